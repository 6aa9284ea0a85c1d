"""``audit.anchor``: the newest records are named in a second place, so that nobody can take them off the end unseen."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Final

from medgemma_tui.audit import anchor, files, key
from medgemma_tui.audit.anchor import EVERY_RECORDS, EVERY_S, Anchors
from medgemma_tui.audit.errors import AuditError
from medgemma_tui.audit.places import Places
from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.audit import log_files
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import AuditVerdict, Figure

_LATE_S: Final = 4 * EVERY_S
_LATE_RECORDS: Final = 2 * EVERY_RECORDS


def run(context: Context) -> Outcome:
    """Compare the newest anchor with the newest record."""
    place = context.audit_place()
    out_of_reach = place.health is not None and place.health.audit is not None and place.health.audit.anchored
    if place.places is None:
        if place.verdict is None:
            return Outcome(place.why or "log_elsewhere")
        grows_only = place.verdict.append_only and place.uid != 0
        return _told(place.verdict, context, out_of_reach=out_of_reach, grows_only=grows_only)
    if not log_files.there(place.places.directory):
        return Outcome("none_yet", {"path": str(place.places.directory)})
    try:
        newest = log_files.newest_record(place.places.directory)
    except OSError as error:
        return Outcome("unreadable", {"path": str(place.places.directory), "reason": error.strerror or "I/O error"})
    if newest is None:
        return Outcome("none_yet", {"path": str(place.places.directory)})
    try:
        secret, _exposed = key.read(place.places.key)
    except AuditError:
        return Outcome("no_key", {"path": str(place.places.key)})
    params = {"path": str(place.places.anchors), "records": f"{newest.seq:,}"}
    last = Anchors(place.places.anchors, None).newest(secret)
    if last is None:
        return _absent(place.places, params, out_of_reach=out_of_reach)
    after = max(0, newest.seq - last.seq)
    age_s = max(0.0, time.time() - datetime.fromisoformat(last.time).timestamp())
    waiting_s = time.time() - newest.instant.timestamp() if after else 0.0
    params["after"] = f"{after:,}"
    figures = (Figure(name="after_anchor", value=after, warning=_LATE_RECORDS), _age(age_s))
    # The clock's tick anchors what the records alone did not: only a gateway that runs has one.
    late = after >= _LATE_RECORDS or (place.health is not None and waiting_s > _LATE_S)
    if late and not out_of_reach:
        return Outcome("behind", params, figures)
    if out_of_reach or (_append_only(place.places.anchors) and place.uid != 0):  # root can take the attribute off
        return Outcome("anchored", params, figures)
    return Outcome("rewritable" if context.installed else "rewritable_demo", params, figures)


def _absent(places: Places, params: dict[str, str], *, out_of_reach: bool) -> Outcome:
    """No anchor under this key in the file: the journal may have them; else the file was never written, or is gone."""
    if out_of_reach:
        return Outcome("journal_only", params)
    try:
        with files.reader(places.anchors):
            pass
    except FileNotFoundError:
        return Outcome("gone", params)
    except OSError as error:
        return Outcome("unreadable", {**params, "reason": error.strerror or "I/O error"})
    return Outcome("gone", params)


def _told(verdict: AuditVerdict, context: Context, *, out_of_reach: bool, grows_only: bool) -> Outcome:
    """From what the gateway found out itself."""
    after = sum(note.count for note in verdict.notes if note.kind == "after_anchor")
    params = {"path": verdict.directory, "records": f"{verdict.last or 0:,}", "after": f"{after:,}"}
    figures = (Figure(name="after_anchor", value=after, warning=_LATE_RECORDS),)
    if not verdict.records:
        return Outcome("none_yet" if verdict.whole else "not_checked", params)
    if not verdict.anchors:
        return Outcome("journal_only" if out_of_reach else "gone", params)
    if after >= _LATE_RECORDS and not out_of_reach:
        return Outcome("behind", params, figures)
    if out_of_reach or grows_only:
        return Outcome("anchored", params, figures)
    return Outcome("rewritable" if context.installed else "rewritable_demo", params, figures)


def _age(seconds: float) -> Figure:
    return Figure(name="anchor_age", value=round(seconds), unit="s")


def _append_only(path: Path) -> bool:
    try:
        with files.reader(path) as file:
            return anchor.append_only(file.fileno())
    except OSError:
        return False


CHECK = Check("audit.anchor", run, timeout_s=60.0)

"""``audit.chain``: every record is there, unaltered and in order, and the log is as long as it was ever known to be.

Besides the anchors, records that the gateway names now, and that earlier health reports named, are looked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from medgemma_tui.audit import key, verify
from medgemma_tui.audit.anchor import Anchor
from medgemma_tui.audit.errors import AuditError
from medgemma_tui.health.audit_place import AuditPlace
from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.audit import log_files
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import AuditFinding, AuditFindingKind, AuditHead, AuditNote, AuditVerdict, Figure, Item

_MOST_ITEMS: Final = 20
_WORST_FIRST: Final[Sequence[AuditFindingKind]] = (
    "wrong_key", "no_key", "bad_key", "unreadable", "rewritten", "altered", "truncated", "missing", "inserted",
    "reordered", "duplicated", "anchor_altered", "torn_tail", "key_readable",
)  # fmt: skip
_NO_KEY: Final = ("wrong_key", "no_key", "bad_key")
_NOTES: Final = ("unanswered", "clock_back", "torn_set_aside", "retention", "foreign_anchors", "anchor_torn")
"""What is told under the result; what concerns the anchors themselves is ``audit.anchor``'s."""


def run(context: Context) -> Outcome:
    """Check the whole log, however long that takes."""
    place = context.audit_place()
    if place.places is None:
        return Outcome(place.why or "log_elsewhere") if place.verdict is None else _outcome(place.verdict)
    if not log_files.there(place.places.directory):
        if place.health is not None and place.health.audit is not None:
            return Outcome("gone", {"path": str(place.places.directory), "seq": str(place.health.audit.seq)})
        return Outcome("none_yet", {"path": str(place.places.directory)})
    try:
        secret, _exposed = key.read(place.places.key)
    except AuditError as error:
        kind: AuditFindingKind = "no_key" if error.code == "no_key" else "unreadable"
        if error.code == "bad_key":
            kind = "bad_key"
        detail = "" if kind == "no_key" else str(error).rpartition(": ")[2]
        finding = AuditFinding(kind=kind, file=error.path, detail=detail)
        return _outcome(AuditVerdict(whole=False, directory=str(place.places.directory), findings=[finding]))
    return _outcome(
        verify.verify_with(
            place.places.directory,
            secret,
            place.places.anchors,
            known=_known(context, place),
            told=lambda percent: context.told(CHECK.id, percent),
        )
    )


def _known(context: Context, place: AuditPlace) -> list[Anchor]:
    """Records that are known from elsewhere: from the gateway now, and from earlier reports."""
    heads: list[tuple[AuditHead, float]] = []
    if place.health is not None and place.health.audit is not None:
        heads.append((place.health.audit, context.started))
    heads += [(report.audit, report.started) for report in context.store.reports() if report.audit is not None]
    return [Anchor(head.seq, head.mac, _time(when), head.key_id) for head, when in heads]


def _time(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).astimezone().isoformat(timespec="seconds")


def _outcome(verdict: AuditVerdict) -> Outcome:
    found = [each for each in verdict.findings if each.kind != "key_readable"]  # audit.key's
    found.sort(key=lambda each: _WORST_FIRST.index(each.kind))
    count = len(found) + verdict.more_findings
    params = {
        "path": verdict.directory, "records": f"{verdict.records:,}", "files": f"{verdict.files:,}",
        "first": f"{verdict.first or 0:,}", "last": f"{verdict.last or 0:,}", "count": f"{count:,}",
    }  # fmt: skip
    figures = (Figure(name="audit_records", value=verdict.records), Figure(name="audit_findings", value=count))
    items = [_finding_item(each) for each in found[:_MOST_ITEMS]]
    if count > len(items):
        items.append(Item(code="audit_more", params={"count": str(count - len(items))}))
    notes = [_note_item(each) for each in verdict.notes if each.kind in _NOTES]
    return Outcome(_code(found, verdict), params, figures, (*items, *notes))


def _code(found: Sequence[AuditFinding], verdict: AuditVerdict) -> str:
    kinds = {each.kind for each in found}
    if not kinds:
        return "whole" if verdict.records else "none_yet"
    if kinds <= {"torn_tail"}:
        return "torn"
    if kinds.intersection(_NO_KEY):
        return "no_key"
    return "unreadable" if kinds <= {"unreadable"} else "broken"


def _finding_item(finding: AuditFinding) -> Item:
    params = {name: str(value) for name, value in finding.model_dump(exclude_none=True).items()}
    return Item(code="audit_finding", params=params)


def _note_item(note: AuditNote) -> Item:
    params = {name: str(value) for name, value in note.model_dump(exclude_none=True).items()}
    return Item(code="audit_note", params=params)


CHECK = Check("audit.chain", run, timeout_s=180.0)

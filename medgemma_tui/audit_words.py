"""What checking the audit log found, in sentences that name the record."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final

from medgemma_tui.i18n import _, ngettext
from medgemma_tui.protocol import AuditFinding, AuditNote, AuditVerdict
from medgemma_tui.safetext import clean_line

_UNCHECKED: Final = ("no_key", "bad_key", "wrong_key", "unreadable")


def finding(found: AuditFinding) -> str:
    """One sentence: what is wrong, with which record, where."""
    words = {
        "altered": _("{records} altered: what is there is not what was written."),
        "missing": _("{records} missing."),
        "inserted": _("A line that is no record of this log was put in."),
        "reordered": _("{records} in the wrong place."),
        "duplicated": _("{records} there a second time."),
        "rewritten": _(
            "{records} replaced: whole, but not the one that was chained or anchored. Only who has the key can do that."
        ),
        "truncated": _("{records} missing: the log is shorter than it was."),
        "torn_tail": ngettext(
            "The last line is half written ({count} byte), as a power loss leaves it. The service sets it aside when "
            "it starts.",
            "The last line is half written ({count} bytes), as a power loss leaves it. The service sets it aside when "
            "it starts.",
            found.bytes or 0,
        ).format(count=found.bytes or 0),
        "wrong_key": _(
            "This is not the key of this log: the records name the key {detail}. Give the right one with --key."
        ),
        "no_key": _("The key is not there. Name its file with --key."),
        "bad_key": _("The file holds no key. Put the right one back, or name it with --key."),
        "key_readable": _(
            "Others than its owner may read the key. Who has read it could rewrite the log: set its file to 0400, and "
            "begin a new log with a new key if somebody may have."
        ),
        "unreadable": (
            _("Cannot be read ({detail}). Ask as a member of the auditors' group, or as the log's owner.")
            if found.detail.endswith(os.strerror(errno.EACCES))
            else _(
                "Cannot be read ({detail}). See what lies there; where the log is elsewhere, name it with --dir, --key "
                "and --anchors."
            )
        ),
        "anchor_altered": _("An anchor was altered, or was not written by this log's service."),
    }
    sentence = words[found.kind].format(records=_records(found), detail=clean_line(found.detail))
    if found.time:
        sentence += " " + _("Record {seq} was anchored at {time}.").format(
            seq=f"{found.last:,}", time=clean_line(found.time)
        )
    place = clean_line(found.file) + (f":{found.line}" if found.line is not None else "")
    return f"{place}: {sentence}" if place else sentence


def note(told: AuditNote) -> str:
    """One sentence about what is no fault and should be known."""
    count = told.count
    words = {
        "empty": _("The log has no record yet."),
        "unanswered": ngettext(
            "{count} question has no answer's record: it is running, or a process was killed. It is record {seq}.",
            "{count} questions have no answer's record: they are running, or a process was killed. The first is "
            "record {seq}.",
            count,
        ),
        "after_anchor": ngettext(
            "{count} record is newer than the last anchor; if it were taken off now, nobody could tell.",
            "{count} records are newer than the last anchor; if they were taken off now, nobody could tell.",
            count,
        ),
        "no_anchors": _("There are no anchors: records taken off the end cannot be told."),
        "anchor_torn": ngettext(
            "{count} line of the anchors is half written and does not count.",
            "{count} lines of the anchors are half written and do not count.",
            count,
        ),
        "foreign_anchors": ngettext(
            "{count} anchor is under another key and could not be checked.",
            "{count} anchors are under another key and could not be checked.",
            count,
        ),
        "torn_set_aside": ngettext(
            "Once a half-written line was set aside; it is in a file torn-… beside the log.",
            "{count} times a half-written line was set aside; they are in files torn-… beside the log.",
            count,
        ),
        "retention": _("Records up to {count} were older than the retention and were removed; the log says so."),
        "clock_back": ngettext(
            "The clock went back once, at record {seq}.",
            "The clock went back {count} times, first at record {seq}.",
            count,
        ),
    }
    return words[told.kind].format(count=f"{count:,}", seq=f"{told.seq or 0:,}")


def verdict(checked: AuditVerdict) -> Iterator[str]:
    """All lines of the report."""
    yield _("Audit log: {path}").format(path=clean_line(checked.directory))
    if checked.first is not None and checked.last is not None:
        records = ngettext("{count} record", "{count} records", checked.records).format(count=f"{checked.records:,}")
        yield _("{records}, {first} to {last}, from {first_time} to {last_time}; key {key}").format(
            records=records, first=f"{checked.first:,}", last=f"{checked.last:,}", key=checked.key_id,
            first_time=clean_line(checked.first_time), last_time=clean_line(checked.last_time),
        )  # fmt: skip
    if checked.anchors:
        anchors = ngettext("{count} anchor", "{count} anchors", checked.anchors).format(count=f"{checked.anchors:,}")
        place = (
            _("{anchors}, in a file that can only grow (append-only attribute)")
            if checked.append_only
            else _("{anchors}, in a file without the append-only attribute: who can write to it can rewrite it")
        )
        yield place.format(anchors=anchors)
    for each in checked.findings:
        yield "! " + finding(each)
    if checked.more_findings:
        yield "! " + ngettext("… and {count} more.", "… and {count} more.", checked.more_findings).format(
            count=f"{checked.more_findings:,}"
        )
    for told in checked.notes:
        yield "- " + note(told)
    if checked.whole and not checked.records:
        yield _("Empty: there is nothing to check.")
    elif checked.whole:
        yield _("Whole: every record is there, unaltered and in order.")
    elif all(each.kind in _UNCHECKED for each in checked.findings):
        yield _("NOT CHECKED: nothing can be said of this log.")
    else:
        yield _("NOT WHOLE. Keep the log, its anchors and its key as they are, and tell the security officer.")


def _records(found: AuditFinding) -> str:
    if found.seq is None:
        return _("Records are")
    if found.last is None or found.last == found.seq:
        return _("Record {seq} is").format(seq=f"{found.seq:,}")
    return _("Records {first} to {last} are").format(first=f"{found.seq:,}", last=f"{found.last:,}")

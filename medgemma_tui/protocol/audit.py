"""What checking the audit log found: ``GET /v1/audit/verify``, and ``audit verify --json``.

``GET /v1/audit`` has no type here: it is the log's own lines, one record each, as ``audit.record.Record`` reads them.
"""

from __future__ import annotations

from typing import Literal

from medgemma_tui.protocol.base import Reply

AuditFindingKind = Literal[
    "altered", "missing", "inserted", "reordered", "duplicated", "rewritten", "truncated", "torn_tail", "wrong_key",
    "no_key", "bad_key", "key_readable", "unreadable", "anchor_altered",
]  # fmt: skip
"""``altered``: the record's keyed hash is not right. ``missing``: the number is not there. ``inserted``: a line that is
no record of this log. ``reordered``, ``duplicated``: a whole record in a wrong place, or there twice. ``rewritten``: a
whole record, but not the one that was chained or anchored: somebody with the key wrote it later. ``truncated``: the
log, or a file of it, ends before a place where it is known to have been. ``torn_tail``: the last line is half written.
``anchor_altered``: a line of the anchors whose keyed hash is not right."""

AuditNoteKind = Literal[
    "empty", "unanswered", "after_anchor", "no_anchors", "anchor_torn", "foreign_anchors", "torn_set_aside",
    "retention", "clock_back",
]  # fmt: skip
"""What is no fault and should be known. ``unanswered``: questions without an answer's record, because they are running,
or a process was killed. ``after_anchor``: records behind the last anchor, which could be taken off unseen."""


class AuditFinding(Reply):
    """One thing that is wrong. ``seq`` to ``last`` are the records' numbers; ``line`` counts from 1 in ``file``."""

    kind: AuditFindingKind
    seq: int | None = None
    last: int | None = None
    file: str = ""
    line: int | None = None
    bytes: int | None = None
    """Of a torn tail, how many bytes it has; of a file that is too short, how many it had."""
    time: str = ""
    """When the record that is gone was anchored, where that is how we know."""
    detail: str = ""
    """The key that was named, the system's reason."""


class AuditNote(Reply):
    """One thing to know. ``count`` of what, from record ``seq`` on, where there is one."""

    kind: AuditNoteKind
    count: int = 0
    seq: int | None = None
    last: int | None = None


class AuditVerdict(Reply):
    """The outcome for one log. ``whole``: there are no findings."""

    whole: bool
    directory: str = ""
    files: int = 0
    records: int = 0
    """Records of ours that were found whole."""
    first: int | None = None
    last: int | None = None
    first_time: str = ""
    last_time: str = ""
    key_id: str = ""
    anchors: int = 0
    append_only: bool = False
    """Whether the file of anchors has the append-only attribute now."""
    findings: list[AuditFinding] = []
    more_findings: int = 0
    """Further ones that are not listed."""
    notes: list[AuditNote] = []

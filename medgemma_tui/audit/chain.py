"""Following the chain from record to record, and telling apart what can have happened to it.

A record whose keyed hash is right is one of ours, so its number can be believed wherever it stands. Numbers that are
not there are missing; lines between two numbers that are no records of ours are what became of the numbers between; a
number that comes late stands in a wrong place; one that comes again is there twice.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from medgemma_tui.audit.key import Key
from medgemma_tui.audit.reading import RawLine
from medgemma_tui.audit.record import Line, at_the_end, authentic, claim, parse
from medgemma_tui.protocol.audit import AuditFinding, AuditFindingKind

MOST_FINDINGS: Final = 1000
_MOST_CLAIMS: Final = 10_000


@dataclass(slots=True)
class Findings:
    """What was found, neighbours of one kind joined; of more than ``MOST_FINDINGS`` the first."""

    listed: list[AuditFinding] = field(default_factory=list)
    more: int = 0
    _end: tuple[AuditFindingKind, str, int, int] | None = None

    def add(self, finding: AuditFinding) -> None:
        """One that stands alone."""
        self._end = None
        if len(self.listed) < MOST_FINDINGS:
            self.listed.append(finding)
        else:
            self.more += 1

    def add_record(self, kind: AuditFindingKind, seq: int, file: str, line: int) -> None:
        """A record's; joined with the one before where both number and line follow."""
        if self._end == (kind, file, seq - 1, line - 1) and not self.more:
            self.listed[-1] = self.listed[-1].model_copy(update={"last": seq})
        else:
            self.add(AuditFinding(kind=kind, seq=seq, last=seq, file=file, line=line))
        self._end = (kind, file, seq, line)


@dataclass(frozen=True, slots=True)
class _Damaged:
    """A line that is no record of ours. ``seq``: what it says it is, where it says so."""

    file: str
    number: int
    seq: int | None


@dataclass(slots=True)
class Gap:
    """Numbers that were not there where they should be. ``file`` and ``line``: the record behind them."""

    first: int
    last: int
    file: str
    line: int


@dataclass(slots=True)
class Chain:
    """Give it every line in order with ``follow``, then ``end``. ``gaps`` then has what is missing."""

    key: Key
    first_by_name: int
    """The number that the first file's name promises."""
    findings: Findings = field(default_factory=Findings)
    records: int = 0
    first: int | None = None
    last: int = 0
    """The highest number that was there, in whatever state."""
    gaps: list[Gap] = field(default_factory=list)
    foreign_key: str = ""
    """The key that the first line which is not ours names, where it names another."""
    next: int = 0
    """The number that the next line should have."""
    _mac: str = ""
    _damaged: list[_Damaged] = field(default_factory=list)
    _damaged_more: int = 0

    def follow(self, line: RawLine, file: str) -> Line | None:
        """The record in a line, None where it is not one of ours."""
        record = parse(line.content) if line.ended else None
        if record is not None and authentic(record, self.key):
            self._record(record, file, line.number)
            return record
        behind = at_the_end(line.content, self.key) if line.ended else None
        if behind is not None:
            self._broken(line.content.removesuffix(behind.content), file, line.number)
            self._record(behind, file, line.number)
            return behind
        self._broken(line.content, file, line.number)
        return None

    def end(self) -> None:
        """No more lines: what is left over was altered."""
        start = self.next if self.records else self.first_by_name
        claims = [each.seq for each in self._damaged if each.seq is not None]
        likely = range(start, start + len(self._damaged) + self._damaged_more)
        # A line that says no number may be a piece of the one before it.
        lines = max(bool(self._damaged), len(claims)) + self._damaged_more
        end = max([start + lines, *(seq + 1 for seq in claims if seq in likely)])
        self._explain(start, end)
        self.last = end - 1

    def _broken(self, content: bytes, file: str, number: int) -> None:
        line = parse(content)
        if line is not None and line.key_id != self.key.id and not self.foreign_key:
            self.foreign_key = line.key_id
        if len(self._damaged) < _MOST_CLAIMS:
            self._damaged.append(_Damaged(file, number, claim(content)))
        else:
            self._damaged_more += 1

    def _record(self, record: Line, file: str, number: int) -> None:
        if not self.records:
            promised = self.first_by_name if self.first_by_name <= record.seq else record.seq - len(self._damaged)
            self.first = self.next = max(1, promised)
        self.records += 1
        if record.seq < self.next:
            self._explain(self.next, self.next)
            self._late(record.seq, file, number)
            return
        if record.seq == self.next and self._mac and record.prev != self._mac and not self._damaged:
            self.findings.add_record("rewritten", record.seq, file, number)
        left = self._explain(self.next, record.seq)
        self.gaps.extend(Gap(first, last, file, number) for first, last in left)
        self.next, self._mac = record.seq + 1, record.mac

    def _explain(self, start: int, end: int) -> Sequence[tuple[int, int]]:
        """Say which of the numbers from ``start`` to before ``end`` the damaged lines were; returns those left over."""
        damaged, more = self._damaged, self._damaged_more
        self._damaged, self._damaged_more = [], 0
        if not damaged:
            return [(start, end - 1)] if start < end else []
        if end <= start:
            self.findings.add(AuditFinding(kind="inserted", file=damaged[0].file, line=damaged[0].number))
            return []
        claimed = {each.seq for each in damaged if each.seq is not None and start <= each.seq < end}
        left: list[tuple[int, int]] = []
        at = start  # numbers before this are explained or left over
        for each in damaged:
            if each.seq is not None and at <= each.seq < end:
                if at < each.seq:
                    left.append((at, each.seq - 1))
                seq = each.seq
            elif at < end and at not in claimed:
                seq = at
            else:
                continue  # a piece of the line before it
            self.findings.add_record("altered", seq, each.file, each.number)
            at = seq + 1
        if more and at < end:  # too many to tell one by one
            last = min(end - 1, at + more - 1)
            self.findings.add(AuditFinding(kind="altered", seq=at, last=last, file=damaged[-1].file))
            at = last + 1
        if at < end:
            left.append((at, end - 1))
        return left

    def _late(self, seq: int, file: str, number: int) -> None:
        index = bisect_right(self.gaps, seq, key=lambda gap: gap.first) - 1
        gap = self.gaps[index] if index >= 0 else None
        if gap is None or seq > gap.last:
            self.findings.add_record("duplicated", seq, file, number)
            return
        parts = [Gap(gap.first, seq - 1, gap.file, gap.line), Gap(seq + 1, gap.last, gap.file, gap.line)]
        self.gaps[index : index + 1] = [part for part in parts if part.first <= part.last]
        self.findings.add_record("reordered", seq, file, number)

"""Checking a log: every record, the chain between them, and the anchors beside it.

Reads line by line; what it keeps in memory are the anchors, what it found, and questions that have no answer yet.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from medgemma_tui.audit import anchor, files, key, reading
from medgemma_tui.audit.anchor import Anchor
from medgemma_tui.audit.chain import Chain, Gap
from medgemma_tui.audit.errors import AuditError
from medgemma_tui.audit.key import Key
from medgemma_tui.audit.reading import RawLine
from medgemma_tui.audit.record import Line, Record, at_the_end
from medgemma_tui.protocol.audit import AuditFinding, AuditFindingKind, AuditNote, AuditNoteKind, AuditVerdict

_CLOCK_SLACK: Final = timedelta(seconds=2)
_TRIES: Final = 3
_MOST_TORN: Final = 100
_TELL_EVERY: Final = 2000
"""Lines."""


def verify(directory: Path, key_file: Path, anchors_file: Path) -> AuditVerdict:
    """Check a log. Blocking. Never raises: what cannot be read, or is no key, is a finding."""
    try:
        secret, exposed = key.read(key_file)
    except AuditError as error:
        kinds: dict[str, AuditFindingKind] = {"no_key": "no_key", "bad_key": "bad_key"}
        finding = AuditFinding(kind=kinds.get(error.code, "unreadable"), file=str(key_file), detail=str(error))
        return AuditVerdict(whole=False, directory=str(directory), findings=[finding])
    exposure = [AuditFinding(kind="key_readable", file=str(key_file))] if exposed else []
    verdict = verify_with(directory, secret, anchors_file)
    findings = [*exposure, *verdict.findings]
    return verdict.model_copy(update={"findings": findings, "whole": not findings})


def verify_with(
    directory: Path,
    secret: Key,
    anchors_file: Path,
    *,
    known: Sequence[Anchor] = (),
    told: Callable[[float], None] = lambda _percent: None,
) -> AuditVerdict:
    """The same with a key at hand, in a thread. Never raises.

    ``known``: records that were named elsewhere, as in an earlier health report; those under another key do not count.
    ``told`` is called now and then with the percent that is done.
    """
    for attempt in range(_TRIES):
        try:
            anchors = _Anchors.read(anchors_file, secret)
            anchors.know(known, secret)
            return _Check(secret, anchors, told).run(directory)
        except FileNotFoundError as error:  # the retention removed a file meanwhile: begin again
            if attempt + 1 == _TRIES or not directory.is_dir():
                return _unreadable(directory, error)
        except OSError as error:
            return _unreadable(directory, error)
    raise AssertionError("unreachable")


def _unreadable(directory: Path, error: OSError) -> AuditVerdict:
    path = str(error.filename or directory)
    finding = AuditFinding(kind="unreadable", file=path, detail=error.strerror or "I/O error")
    return AuditVerdict(whole=False, directory=str(directory), findings=[finding])


@dataclass(slots=True)
class _Anchors:
    """The anchors of a file: the keyed hash of each record that one names."""

    there: bool = False
    append_only: bool = False
    heads: dict[int, set[str]] = field(default_factory=dict)
    newest: Anchor | None = None
    """Of the file's."""
    known: Anchor | None = None
    """The latest record that was named elsewhere."""
    count: int = 0
    torn: int = 0
    foreign: int = 0
    altered: list[AuditFinding] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path, secret: Key) -> _Anchors:
        """Raises OSError, but not where there is none."""
        found = cls()
        try:
            with files.reader(path) as file:
                found.append_only = anchor.append_only(file.fileno())
            found._take(anchor.lines(path), secret, path.name)
        except FileNotFoundError:
            return found
        found.there = True
        return found

    def know(self, named: Sequence[Anchor], secret: Key) -> None:
        """Take records that were named elsewhere."""
        for each in named:
            if each.key_id == secret.id:
                self.heads.setdefault(each.seq, set()).add(each.head)
                if self.known is None or each.seq > self.known.seq:
                    self.known = each

    def _take(self, lines: Iterable[bytes], secret: Key, name: str) -> None:
        for number, line in enumerate(lines, 1):
            parsed = anchor.parse(line, secret)
            if parsed is None:
                self.torn += bool(line.strip())
            elif parsed == "altered":
                self.altered.append(AuditFinding(kind="anchor_altered", file=name, line=number))
            elif parsed.key_id != secret.id:
                self.foreign += 1
            else:
                self.count += 1
                self.heads.setdefault(parsed.seq, set()).add(parsed.head)
                if self.newest is None or parsed.seq >= self.newest.seq:
                    self.newest = parsed


@dataclass(slots=True)
class _Check:
    """One run over a log."""

    secret: Key
    anchors: _Anchors
    told: Callable[[float], None]
    chain: Chain = field(init=False)
    first_time: str = ""
    last_time: str = ""
    _rotated: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Of each record ``rotate``: the file before it, and how many bytes that had."""
    _questions: set[int] = field(default_factory=set)
    """Numbers of questions that no answer was found for yet."""
    _by_session: dict[str, OrderedDict[int, None]] = field(default_factory=dict)
    _removed_to: int = 0
    _set_aside: int = 0
    _back: list[int] = field(default_factory=list)
    _instant: datetime | None = None

    def run(self, directory: Path) -> AuditVerdict:
        """Raises OSError."""
        extents = reading.extents(directory)
        self.chain = Chain(self.secret, extents[0].file.first if extents else 1)
        findings = self.chain.findings
        torn: list[RawLine] = []  # half written, or zeros where a power loss left none of it, and nothing behind
        whole, before = sum(extent.size for extent in extents), 0
        for extent in extents:
            name = extent.file.path.name
            for line in reading.lines(extent):
                if line.number % _TELL_EVERY == 0:
                    self.told(100 * (before + line.start) / whole)
                if extent is extents[-1] and len(torn) < _MOST_TORN and self._half_written(line):
                    torn.append(line)
                    continue
                for each in [*torn, line]:
                    self._follow(each, name)
                torn.clear()
            before += extent.size
        self.chain.end()
        if not self.chain.records and self.chain.foreign_key:
            findings.listed.clear()
            findings.add(AuditFinding(kind="wrong_key", file=extents[0].file.path.name, detail=self.chain.foreign_key))
        else:
            self._missing({each.file.path.name: each.size for each in extents})
            self._truncated()
        if torn:
            size = extents[-1].size - torn[0].start
            name = extents[-1].file.path.name
            findings.add(
                AuditFinding(kind="torn_tail", seq=self.chain.last + 1, file=name, line=torn[0].number, bytes=size)
            )
        for finding in self.anchors.altered:
            findings.add(finding)
        listed = sorted(findings.listed, key=lambda each: each.seq if each.seq is not None else 10**15)
        return AuditVerdict(
            whole=not listed,
            directory=str(directory),
            files=len(extents),
            records=self.chain.records,
            first=self.chain.first,
            last=self.chain.last if self.chain.records else None,
            first_time=self.first_time,
            last_time=self.last_time,
            key_id=self.secret.id,
            anchors=self.anchors.count,
            append_only=self.anchors.append_only,
            findings=listed,
            more_findings=findings.more,
            notes=self._notes(),
        )

    def _half_written(self, line: RawLine) -> bool:
        return not line.ended or (b"\0" in line.content and at_the_end(line.content, self.secret) is None)

    def _follow(self, line: RawLine, file: str) -> None:
        record = self.chain.follow(line, file)
        if record is not None:
            self._take(record, file, line.number)

    def _take(self, line: Line, file: str, number: int) -> None:
        """What a record of ours says about the log, beyond its place in the chain."""
        anchored = self.anchors.heads.get(line.seq)
        if anchored is not None and anchored != {line.mac}:
            self.chain.findings.add_record("rewritten", line.seq, file, number)
        try:
            record = Record.model_validate_json(line.content)
            instant = record.instant
        except (ValidationError, ValueError):  # written with the key, and not by this program
            self.chain.findings.add_record("rewritten", line.seq, file, number)
            return
        self.first_time = self.first_time or record.time
        self.last_time = record.time
        if self._instant is not None and instant < self._instant - _CLOCK_SLACK:
            self._back.append(record.seq)
        self._instant = instant
        counters = record.counters
        if record.event == "question":
            self._questions.add(record.seq)
            self._by_session.setdefault(record.session, OrderedDict())[record.seq] = None
        elif record.event == "answer":
            self._answered(record)
        elif record.event == "rotate":
            self._rotated[record.seq] = (str(counters.get("file", "")), _whole(counters.get("bytes")))
        elif record.event == "retention":
            self._removed_to = max(self._removed_to, _whole(counters.get("last")))
        elif record.event == "torn_tail" and record.outcome == "set_aside":
            self._set_aside += 1

    def _answered(self, answer: Record) -> None:
        """Its question: the one that it names by number, else the oldest of its session."""
        asked = self._by_session.get(answer.session)
        if asked is None:
            return
        seq = _whole(answer.counters.get("question")) or next(iter(asked))
        asked.pop(seq, None)
        self._questions.discard(seq)
        if not asked:
            del self._by_session[answer.session]

    def _missing(self, sizes: dict[str, int]) -> None:
        """Findings for the numbers that are not there, but for those that the retention removed."""
        gaps = list(self.chain.gaps)
        if self.chain.first is not None and self.chain.first > self._removed_to + 1:
            gaps.insert(0, Gap(self._removed_to + 1, self.chain.first - 1, "", 1))
        for gap in gaps:
            old, size = self._rotated.get(gap.last + 1, ("", 0))
            if old and sizes.get(old, size) < size:  # the file before was longer when this one was begun
                found = AuditFinding(kind="truncated", seq=gap.first, last=gap.last, file=old, bytes=size)
            elif old and old not in sizes:
                found = AuditFinding(kind="missing", seq=gap.first, last=gap.last, file=old)
            else:
                found = AuditFinding(kind="missing", seq=gap.first, last=gap.last, file=gap.file, line=gap.line)
            self.chain.findings.add(found)

    def _truncated(self) -> None:
        named = [each for each in (self.anchors.newest, self.anchors.known) if each is not None]
        newest = max(named, key=lambda each: each.seq, default=None)
        if newest is not None and newest.seq > self.chain.last:
            seq = self.chain.last + 1
            self.chain.findings.add(AuditFinding(kind="truncated", seq=seq, last=newest.seq, time=newest.time))

    def _notes(self) -> list[AuditNote]:
        last = self.chain.last if self.chain.records else 0
        newest = self.anchors.newest.seq if self.anchors.newest else 0
        first_question = min(self._questions, default=None)
        counted: list[tuple[AuditNoteKind, int, int | None]] = [
            ("empty", int(not self.chain.records and not self.chain.findings.listed), None),
            ("unanswered", len(self._questions), first_question),
            ("no_anchors", int(not self.anchors.count), None),
            ("after_anchor", max(0, last - newest) if self.anchors.count else 0, newest + 1),
            ("anchor_torn", self.anchors.torn, None),
            ("foreign_anchors", self.anchors.foreign, None),
            ("torn_set_aside", self._set_aside, None),
            ("retention", self._removed_to, 1),
            ("clock_back", len(self._back), self._back[0] if self._back else None),
        ]
        return [AuditNote(kind=kind, count=count, seq=seq) for kind, count, seq in counted if count]


def _whole(value: int | float | str | None) -> int:
    """A counter that is a number of records or bytes; 0 where it is none."""
    with contextlib.suppress(ValueError, TypeError):
        return int(value) if value is not None else 0
    return 0

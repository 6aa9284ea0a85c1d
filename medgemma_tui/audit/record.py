"""One record of the audit log: its fields, its one written form, its keyed hash.

A record is one line of compact JSON in ASCII, its fields in a fixed order. The last is ``mac``, the keyed hash of the
line's own bytes without it; the one before is ``prev``, the ``mac`` of the record before. Who checks a line cuts it and
hashes the very bytes that are there: nothing is read as JSON before it is known to be ours.
"""

from __future__ import annotations

import hmac
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from medgemma_tui.audit.key import Key
from medgemma_tui.safetext import clean_line

Event = Literal[
    "start", "stop", "login", "logout", "lock", "unlock", "unlock_failed", "question", "answer", "guard", "park",
    "take_back", "wipe", "policy", "health", "model_load", "seal", "refused", "dropped", "torn_tail", "rotate",
    "retention", "end_process",
]  # fmt: skip

GENESIS: Final = "0" * 64
"""``prev`` of the first record of all."""
LONGEST_LINE: Final = 16 * 1024
"""Bytes; every record of ours is shorter."""
NOT_A_WORD: Final = "not_a_word"
OUT_OF_RANGE: Final = "out_of_range"
MOST_COUNTERS: Final = 40
_LOGIN_CHARACTERS: Final = 64
_LARGEST: Final = 10**15

_WORD: Final = re.compile(r"[a-z0-9_.-]{1,40}")
_SESSION: Final = re.compile(r"[A-Za-z0-9_.-]{0,64}")
_DIGEST: Final = re.compile(r"(?:[0-9a-f]{64})?")
_END: Final = re.compile(rb',"prev":"([0-9a-f]{64})","mac":"([0-9a-f]{64})"\}')
_END_BYTES: Final = 148
_MAC_BYTES: Final = 74
_START: Final = re.compile(rb'\{"v":1,"seq":([1-9][0-9]{0,14}),"time":"')
_BEGINNING: Final = b'{"v":1,"seq":'
_KEY_ID: Final = re.compile(rb'"key":"([0-9a-f]{16})"')

Counter = int | float | str


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened, as the gateway knows it: who by the kernel, words of fixed sets, counters, keyed hashes. No text.

    ``session`` is the gateway's own name for a conversation. ``input`` and ``output`` are ``Key.digest`` of the texts.
    What is no word, number or hash is not written: in its place stands ``not_a_word`` or ``out_of_range``.
    """

    event: Event
    outcome: str
    uid: int
    login: str
    session: str = ""
    input: str = ""
    output: str = ""
    counters: Mapping[str, Counter] = field(default_factory=dict)


_Digest = Annotated[str, Field(pattern=r"^(?:[0-9a-f]{64})?$")]
_Word = Annotated[str, Field(pattern=r"^[a-z0-9_.-]{1,40}$")]


class Record(BaseModel):
    """A record as it is read from the disk."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    v: Literal[1]
    seq: Annotated[int, Field(ge=1)]
    time: Annotated[str, Field(max_length=40)]
    """ISO 8601 with microseconds and the offset from UTC."""
    uid: int
    login: Annotated[str, Field(max_length=_LOGIN_CHARACTERS)]
    session: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,64}$")]
    event: _Word
    """An ``Event``, or one that a later version knows."""
    outcome: _Word
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    input: _Digest
    output: _Digest
    counters: Annotated[dict[_Word, int | float | _Word], Field(max_length=MOST_COUNTERS)]
    prev: _Digest
    mac: _Digest

    @property
    def instant(self) -> datetime:
        """When, as a time with an offset. Raises ValueError where the line was not written by us."""
        instant = datetime.fromisoformat(self.time)
        if instant.tzinfo is None:
            raise ValueError("a time without an offset")
        return instant


@dataclass(frozen=True, slots=True)
class Line:
    """A line that has the form of a record; whether it is one of ours, ``authentic`` says."""

    content: bytes
    seq: int
    prev: str
    mac: str
    key_id: str

    @property
    def body(self) -> bytes:
        """What the keyed hash is of."""
        return self.content[:-_MAC_BYTES] + b"}"


def write(entry: Entry, *, seq: int, time: datetime, prev: str, key: Key) -> tuple[bytes, str]:
    """A record's line with its newline, and its ``mac``."""
    fields = {
        "v": 1,
        "seq": seq,
        "time": time.isoformat(timespec="microseconds"),
        "uid": entry.uid,
        "login": clean_line(entry.login)[:_LOGIN_CHARACTERS].strip(),
        "session": entry.session if _SESSION.fullmatch(entry.session) else NOT_A_WORD,
        "event": as_word(entry.event),
        "outcome": as_word(entry.outcome),
        "key": key.id,
        "input": entry.input if _DIGEST.fullmatch(entry.input) else "",
        "output": entry.output if _DIGEST.fullmatch(entry.output) else "",
        "counters": as_counters(entry.counters),
        "prev": prev,
    }
    body = json.dumps(fields, separators=(",", ":"), ensure_ascii=True).encode("ascii")
    mac = key.chain_mac(body)
    return body[:-1] + b',"mac":"' + mac.encode("ascii") + b'"}\n', mac


def parse(line: bytes) -> Line | None:
    """A line, without its newline, cut into its parts; None where it has not the form of a record."""
    end = _END.fullmatch(line, max(0, len(line) - _END_BYTES))
    start = _START.match(line)
    if end is None or start is None or len(line) > LONGEST_LINE:
        return None
    key_id = _KEY_ID.search(line)
    prev, mac = end[1].decode("ascii"), end[2].decode("ascii")
    return Line(line, int(start[1]), prev, mac, key_id[1].decode("ascii") if key_id else "")


def claim(line: bytes) -> int | None:
    """The number that a line says it has, whatever has become of its end; None where it does not say one."""
    start = _START.match(line)
    return int(start[1]) if start else None


def authentic(line: Line, key: Key) -> bool:
    """Whether whoever wrote these bytes had the key."""
    return hmac.compare_digest(key.chain_mac(line.body), line.mac)


def at_the_end(line: bytes, key: Key) -> Line | None:
    """The record of ours that a damaged line ends with, behind something else: the newline between was altered."""
    at = line.rfind(_BEGINNING)
    found = parse(line[at:]) if at > 0 else None
    return found if found is not None and authentic(found, key) else None


def as_word(text: str) -> str:
    """The text where it is a word of ``[a-z0-9_.-]``, up to 40 of them; never a part or a rewording of another text."""
    return text if _WORD.fullmatch(text) else NOT_A_WORD


def as_counters(counters: Mapping[str, Counter]) -> dict[str, Counter]:
    """The counters that may be written; of more than ``MOST_COUNTERS`` the first."""
    return {as_word(name): _as_counter(value) for name, value in list(counters.items())[:MOST_COUNTERS]}


def _as_counter(value: Counter) -> Counter:
    if isinstance(value, str):
        return as_word(value)
    if not math.isfinite(value) or abs(value) > _LARGEST:  # a number long enough could hold a text, too
        return OUT_OF_RANGE
    return round(value, 6) if isinstance(value, float) else int(value)

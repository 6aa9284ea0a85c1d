"""Where the newest record is named besides the log: a file that may be append-only, and the system's journal.

Whoever can rewrite the log, but not such a place, cannot take records off its end unseen. An anchor is one line of JSON
with a keyed hash of its own; the journal gets the same line, so that ``journalctl -t medgemma-audit -o cat`` gives what
``audit verify --anchors`` reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import hmac
import json
import os
import re
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from medgemma_tui.audit import files
from medgemma_tui.audit.key import Key

JOURNAL: Final = Path("/run/systemd/journal/socket")
IDENTIFIER: Final = "medgemma-audit"
EVERY_RECORDS: Final = 16
EVERY_S: Final = 30.0
LARGEST_BYTES: Final = 8 * 1024 * 1024
"""A file of anchors that is not append-only is cut to its newer half where it is larger."""
LONGEST_LINE: Final = 512

_GETFLAGS: Final = 0x80006601 | struct.calcsize("l") << 16  # FS_IOC_GETFLAGS
_APPEND: Final = 0x20  # FS_APPEND_FL
_CAP_LINUX_IMMUTABLE: Final = 9
_NEAR_THE_END: Final = 64 * 1024
_FORM: Final = re.compile(
    rb'\{"v":1,"time":"([0-9T:.+-]{20,40})","seq":([1-9][0-9]{0,14}),"head":"([0-9a-f]{64})",'
    rb'"key":"([0-9a-f]{16})","mac":"([0-9a-f]{64})"\}'
)
_MAC_BYTES: Final = 74

FileState = Literal["append_only", "rewritable", "failed", "none"]


@dataclass(frozen=True, slots=True)
class Anchor:
    """At ``time``, record ``seq`` was the newest and its keyed hash was ``head``."""

    seq: int
    head: str
    time: str
    key_id: str


@dataclass(slots=True)
class Anchors:
    """The places where one log is anchored. ``journal`` None: no journal is asked."""

    file: Path | None
    journal: Path | None = JOURNAL
    file_state: FileState = "none"
    """What became of the file at the last try."""
    journal_told: bool = False
    """Whether the journal took the last one."""
    _seq: int = field(default=0, init=False)
    _when: float = field(default=0.0, init=False)

    def offer(self, seq: int, head: str, key: Key, when: datetime, *, force: bool = False) -> None:
        """Anchor this record if it is time to: 16 records or 30 s after the last one, or at once with ``force``.

        Never raises: a place that cannot be written to is tried again, and ``covers`` says what came of it.
        """
        due = seq - self._seq >= EVERY_RECORDS or seq < self._seq or time.monotonic() - self._when >= EVERY_S
        if seq == self._seq or not (due or force):
            return
        line = write(Anchor(seq, head, when.isoformat(timespec="microseconds"), key.id), key)
        self.file_state = self._to_file(line)
        self.journal_told = self._to_journal(line, seq, head)
        self._seq, self._when = seq, time.monotonic()

    def covers(self, seq: int) -> bool:
        """Whether a place that this user cannot rewrite has an anchor of this record, or of one just before it."""
        if not self._seq or seq - self._seq >= EVERY_RECORDS:
            return False
        out_of_reach = self.file_state == "append_only" and not _may_clear_attributes()
        return out_of_reach or (self.journal_told and os.geteuid() != 0)

    def newest(self, key: Key) -> Anchor | None:
        """The anchor of the latest record under this key near the file's end; None where the file has none."""
        best = None
        with contextlib.suppress(OSError):
            for line in self._end().split(b"\n"):
                anchor = parse(line, key)
                if isinstance(anchor, Anchor) and anchor.key_id == key.id and (best is None or anchor.seq >= best.seq):
                    best = anchor
        return best

    def _end(self) -> bytes:
        if self.file is None:
            return b""
        with files.reader(self.file) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _NEAR_THE_END))
            return file.read()

    def _to_file(self, line: bytes) -> FileState:
        if self.file is None:
            return "none"
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new = not self.file.exists()
            descriptor = files.open_regular(self.file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW)
            try:
                size = os.fstat(descriptor).st_size
                if size and files.read_at(descriptor, size - 1, 1) != b"\n":
                    line = b"\n" + line  # the last one was torn
                os.write(descriptor, line)
                os.fsync(descriptor)
                state: FileState = "append_only" if append_only(descriptor) else "rewritable"
            finally:
                os.close(descriptor)
            if new:
                files.sync_directory(self.file.parent)
            if state == "rewritable" and size > LARGEST_BYTES:
                self._keep_newer_half()
        except OSError:
            return "failed"
        return state

    def _keep_newer_half(self) -> None:
        """Raises OSError."""
        assert self.file is not None
        with files.reader(self.file) as old:
            old.seek(os.fstat(old.fileno()).st_size - LARGEST_BYTES // 2)
            old.readline()
            kept = old.read()
        temporary = self.file.with_name(f".{self.file.name}.new")
        temporary.write_bytes(kept)
        temporary.chmod(files.FILE_MODE)
        descriptor = os.open(temporary, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        temporary.replace(self.file)
        files.sync_directory(self.file.parent)

    def _to_journal(self, line: bytes, seq: int, head: str) -> bool:
        """One datagram in the journal's own form; whether it was taken."""
        if self.journal is None:
            return False
        fields = {
            "MESSAGE": line.decode("ascii").strip(),
            "PRIORITY": "5",
            "SYSLOG_IDENTIFIER": IDENTIFIER,
            "MEDGEMMA_AUDIT_SEQ": str(seq),
            "MEDGEMMA_AUDIT_MAC": head,
        }
        message = "".join(f"{name}={value}\n" for name, value in fields.items()).encode("ascii")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as journal:
                journal.setblocking(False)  # a journal that is stuck must not hold a question up
                journal.connect(str(self.journal))
                return journal.send(message) == len(message)
        except OSError:
            return False


def write(anchor: Anchor, key: Key) -> bytes:
    """An anchor's line with its newline."""
    fields = {"v": 1, "time": anchor.time, "seq": anchor.seq, "head": anchor.head, "key": anchor.key_id}
    body = json.dumps(fields, separators=(",", ":")).encode("ascii")
    return body[:-1] + b',"mac":"' + key.anchor_mac(body).encode("ascii") + b'"}\n'


def parse(line: bytes, key: Key) -> Anchor | Literal["altered"] | None:
    """The anchor in a line, ``altered`` where its keyed hash is not right, None where the line is none at all.

    Of an anchor under another key nothing can be said: its ``key_id`` tells.
    """
    found = _FORM.fullmatch(line.rstrip(b"\r\n"))
    if found is None:
        return None
    when, seq, head, key_id, mac = (each.decode("ascii") for each in found.groups())
    anchor = Anchor(int(seq), head, when, key_id)
    if key_id != key.id:
        return anchor
    right = hmac.compare_digest(key.anchor_mac(found[0][:-_MAC_BYTES] + b"}"), mac)
    return anchor if right else "altered"


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file of anchors; one that is too long comes in pieces. Raises OSError."""
    with files.reader(path) as file:
        while line := file.readline(LONGEST_LINE):
            yield line


def append_only(descriptor: int) -> bool:
    """Whether the file has the attribute that ``chattr +a`` sets; False where its file system knows no attributes."""
    try:
        (flags,) = struct.unpack_from("i", fcntl.ioctl(descriptor, _GETFLAGS, bytes(struct.calcsize("l"))))
    except OSError:
        return False
    return bool(flags & _APPEND)


def _may_clear_attributes() -> bool:
    """Whether this process may take the attribute off again (CAP_LINUX_IMMUTABLE, or the user who can get it)."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        effective = int(status.split("CapEff:")[1].split()[0], 16)
    except (OSError, IndexError, ValueError):
        return True
    return bool(effective >> _CAP_LINUX_IMMUTABLE & 1)

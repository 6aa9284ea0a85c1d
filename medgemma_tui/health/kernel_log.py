"""The kernel's own log of this boot: /dev/kmsg, else systemd's journal. Only what the kernel itself wrote counts.

Neither may be open to the service: kernel.dmesg_restrict, a unit's ProtectKernelLogs, no place in the group
systemd-journal. Then there is nothing to judge by, which is not the same as a quiet log.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

KMSG = Path("/dev/kmsg")
_JOURNAL = ("journalctl", "-k", "-b", "-o", "json", "--no-pager", "-n", "100000", "--output-fields=MESSAGE")
_JOURNAL_S = 7.0
_RECORD = 16 * 1024  # the kernel's own limit is 8 KiB with its escapes
_KERNEL = 0  # the facility; whoever may write to /dev/kmsg cannot claim it
_HEAD = re.compile(r"(\d+),(\d+),(\d+),[^;]*;(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


class NotReadable(Exception):
    """The kernel's log cannot be read. ``kmsg`` and ``journal`` say why, in a few English words."""

    def __init__(self, kmsg: str, journal: str) -> None:
        self.kmsg = kmsg
        self.journal = journal
        super().__init__(f"/dev/kmsg: {kmsg}; journalctl: {journal}")


@dataclass(frozen=True, slots=True)
class Record:
    """One message. ``at``: seconds since 1970."""

    at: float
    message: str


@dataclass(frozen=True, slots=True)
class KernelLog:
    """The messages that are left, oldest first. ``complete``: they reach back to the start of this boot."""

    records: tuple[Record, ...]
    complete: bool

    @property
    def since(self) -> float | None:
        """When the oldest message was written; None where there is none."""
        return self.records[0].at if self.records else None


def read(wanted_s: float = 0.0) -> KernelLog:
    """This boot's messages. Where the ring buffer has lost its start and reaches back less than ``wanted_s`` seconds,
    the journal is asked, too, and the one that reaches further counts. Raises NotReadable."""
    ring: KernelLog | None = None
    why = ""
    try:
        ring = from_kmsg(KMSG)
    except OSError as error:
        why = error.strerror or type(error).__name__
    if ring is not None and (ring.complete or (ring.since or 0.0) <= time.time() - wanted_s):
        return ring
    try:
        journal = from_journal()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        if ring is not None:
            return ring
        raise NotReadable(why, _reason(error)) from None
    if ring is not None and (ring.since or 0.0) <= (journal.since or 0.0):
        return ring
    return journal


def from_kmsg(path: Path) -> KernelLog:
    """What is in the ring buffer now; does not wait for more. Raises OSError."""
    booted = time.time() - time.monotonic()
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        lines = list(_lines(descriptor))
    finally:
        os.close(descriptor)
    heads = [head for line in lines if (head := _HEAD.match(line)) is not None]
    records = tuple(
        Record(booted + int(head[3]) / 1e6, _ESCAPE.sub(_unescaped, head[4]))
        for head in heads
        if int(head[1]) >> 3 == _KERNEL
    )
    return KernelLog(records, complete=bool(heads) and int(heads[0][2]) == 0)


def _lines(descriptor: int) -> Iterator[str]:
    """The first line of every record; the lines behind it, which start with a space, are a dictionary."""
    while True:
        try:
            data = os.read(descriptor, _RECORD)
        except BlockingIOError:
            return
        except BrokenPipeError:  # overwritten while we read: the next read goes on with the oldest there is
            continue
        if not data:
            return
        for line in data.decode("utf-8", "replace").splitlines():
            if not line.startswith(" "):
                yield line


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16))


def from_journal() -> KernelLog:
    """What journald kept of this boot. Raises OSError, subprocess.SubprocessError, or ValueError where it shows
    nothing: a kernel that boots always writes, so then it is not open to this user."""
    ran = subprocess.run(
        _JOURNAL,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_JOURNAL_S,
        env={**os.environ, "LC_ALL": "C", "SYSTEMD_PAGER": ""},
        check=False,
    )
    records = tuple(_journal_records(ran.stdout.splitlines()))
    if ran.returncode != 0 or not records:
        raise ValueError("no permission" if b"permission" in ran.stderr else "it shows no kernel messages")
    return KernelLog(records, complete="Linux version" in records[0].message)


def _journal_records(lines: Iterable[bytes]) -> Iterator[Record]:
    for line in lines:
        try:
            entry = json.loads(line)
            at, message = int(entry["__REALTIME_TIMESTAMP"]) / 1e6, entry.get("MESSAGE")
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if isinstance(message, list):  # bytes that are not UTF-8 come as numbers
            message = bytes(byte for byte in message if isinstance(byte, int) and 0 <= byte < 256).decode(
                "utf-8", "replace"
            )
        if isinstance(message, str):
            yield Record(at, message)


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return "no answer"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error)

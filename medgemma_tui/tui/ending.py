"""Ending a process on this box, as far as the kernel lets this user: which one it is, and a signal for it alone.

The process is held by a pidfd from before anything of it is read, so a signal can hit no other one that was given the
same number since. What is read is shown to the person who decides; nothing of it is kept or sent.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import select
import shlex
import signal
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medgemma_tui.protocol import GpuProcess
from medgemma_tui.safetext import clean_line

Why = Literal["gone", "changed", "own", "not_allowed", "hidden", "not_supported"]
"""``gone``: it has ended. ``changed``: another process has its number now. ``own``: it is the service's, or this
screen. ``not_allowed``: the kernel says so. ``hidden``: its command line cannot be seen, and so not be shown.
``not_supported``: this system cannot hold a process."""

_PROC = Path("/proc")
_CLOCK_S = 2.0
"""How far apart the sample's clock and the kernel's boot time may be, in seconds."""
_COMM = 15


class CannotEnd(Exception):
    """The process is not signalled, and why. ``owner``: its login name, where it is known."""

    def __init__(self, why: Why, pid: int, owner: str = "") -> None:
        super().__init__(why)
        self.why: Why = why
        self.pid = pid
        self.owner = owner


@dataclass(slots=True)
class Target:
    """A process that is held. ``started``: seconds since 1970. ``close`` it."""

    pid: int
    owner: str
    command: str
    started: float
    _held: int

    def send(self, number: signal.Signals) -> None:
        """Send it this signal. Raises CannotEnd (``gone``, ``not_allowed``)."""
        _send(self._held, self.pid, number, self.owner)

    @property
    def ended(self) -> bool:
        """Whether it has ended; it may still be there for its parent to look at."""
        return _ended(self._held)

    def close(self) -> None:
        """Let go of it."""
        held, self._held = self._held, -1
        if held >= 0:
            os.close(held)


def take(process: GpuProcess, told_at: float, own: Collection[int]) -> Target:
    """Hold this process and read what it is. ``told_at``: when it was seen on the card; ``own``: the service's pids.

    Raises CannotEnd, also where the kernel would not let this user signal it.
    """
    pid = process.pid
    if pid in own or pid == os.getpid() or process.is_worker:
        raise CannotEnd("own", pid)
    if pid <= 1:
        raise CannotEnd("hidden", pid)
    try:
        held = os.pidfd_open(pid)
    except OSError as error:
        raise CannotEnd("gone" if error.errno == errno.ESRCH else "not_supported", pid) from None
    try:
        target = _read(pid, held, process, told_at, own)
        _send(held, pid, 0, target.owner)  # last: it lives, so what was read is its own; and the kernel would let us
    except BaseException:
        os.close(held)
        raise
    return target


def _read(pid: int, held: int, process: GpuProcess, told_at: float, own: Collection[int]) -> Target:
    here = _PROC / str(pid)
    try:
        words = (here / "cmdline").read_bytes()
        name = (here / "comm").read_bytes().removesuffix(b"\n").decode(errors="ignore")
        status = dict(line.split(b":", 1) for line in (here / "status").read_bytes().splitlines() if b":" in line)
        started = _started((here / "stat").read_bytes())
    except (OSError, ValueError, IndexError):
        raise CannotEnd("gone" if _ended(held) else "hidden", pid) from None
    owner = _login(int(status[b"Uid"].split()[0]))
    if int(status[b"PPid"]) in own:
        raise CannotEnd("own", pid)
    if started > told_at + _CLOCK_S or not _is_same(process, owner, name):
        raise CannotEnd("changed", pid)
    command = shlex.join(os.fsdecode(word) for word in words.removesuffix(b"\0").split(b"\0")) if words else ""
    if not command.strip():
        raise CannotEnd("gone" if _ended(held) else "hidden", pid, owner)
    return Target(pid, owner, clean_line(command), started, held)


def _is_same(process: GpuProcess, owner: str, name: str) -> bool:
    """Whether it is the one that the card's list named. What the list does not tell is not compared."""
    known = process.command or ""
    same_name = not known or known == name or (len(name.encode()) >= _COMM and known.startswith(name[:_COMM]))
    return same_name and process.user in (None, owner)


def _started(stat: bytes) -> float:
    """When, in seconds since 1970, by the 22nd field; the second is a name that may hold anything."""
    ticks = int(stat.rpartition(b")")[2].split()[19])
    boot = next(line for line in (_PROC / "stat").read_bytes().splitlines() if line.startswith(b"btime"))
    return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")


def _login(uid: int) -> str:
    try:
        return clean_line(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return str(uid)


def _send(held: int, pid: int, number: int, owner: str) -> None:
    try:
        signal.pidfd_send_signal(held, number)
    except ProcessLookupError:
        raise CannotEnd("gone", pid, owner) from None
    except PermissionError:
        raise CannotEnd("not_allowed", pid, owner) from None
    except OSError:
        raise CannotEnd("not_supported", pid, owner) from None


def _ended(held: int) -> bool:
    poll = select.poll()
    with contextlib.suppress(OSError, ValueError):
        poll.register(held, select.POLLIN)
        return bool(poll.poll(0))
    return True

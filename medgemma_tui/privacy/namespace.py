"""A network namespace of our own, with nothing in it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from medgemma_tui.privacy import control
from medgemma_tui.privacy.system_calls import CLONE_NEWNET, CLONE_NEWUSER


def interfaces() -> list[str]:
    """The network interfaces that this process could use. Raises OSError."""
    lines = Path("/proc/self/net/dev").read_text().splitlines()
    return [line.partition(":")[0].strip() for line in lines if ":" in line]


def is_empty() -> bool:
    """True where there is no interface but the loopback."""
    try:
        return set(interfaces()) <= {"lo"}
    except OSError:
        return False


def enter_empty() -> str:
    """Go into an empty network namespace, before there are threads; "" or why that cannot be.

    With the right to do so that is all; otherwise in a user namespace of our own, in which we are who we were and
    may do nothing more. ``not_permitted``: neither is allowed here.
    """
    if is_empty():  # the service manager gave one
        return ""
    for flags in (CLONE_NEWNET, CLONE_NEWUSER | CLONE_NEWNET):
        if _works(flags):
            try:
                _enter(flags)
            except OSError as error:
                return errno.errorcode.get(error.errno or 0, "not_permitted")
            return ""
    return "not_permitted"


def _works(flags: int) -> bool:
    """Try it in a child first: a user namespace that cannot be given its ids would leave us without any."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _enter(flags)
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def _enter(flags: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    control.unshare(flags)
    if flags & CLONE_NEWUSER:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
        control.drop_capabilities()

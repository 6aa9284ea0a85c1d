"""The few prctl and capability calls that sealing needs, through the C library."""

from __future__ import annotations

import ctypes
import os

_PR_GET_DUMPABLE = 3
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_PR_GET_NO_NEW_PRIVS = 39
_CAPABILITY_VERSION_3 = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int) -> int:
    """The result of a C call. Raises OSError with its errno where that is -1."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def set_no_new_privs() -> None:
    """No program this process starts gets more rights than it has. Raises OSError."""
    check(_prctl(_PR_SET_NO_NEW_PRIVS, 1))


def has_no_new_privs() -> bool:
    """True where the kernel says so."""
    return _prctl(_PR_GET_NO_NEW_PRIVS) == 1


def set_undumpable() -> None:
    """No core, no debugger, no reading of this process's memory by the same user. Raises OSError."""
    check(_prctl(_PR_SET_DUMPABLE, 0))


def dumpable() -> int:
    """0: not; 1: by this user; 2: by root."""
    return check(_prctl(_PR_GET_DUMPABLE))


def unshare(flags: int) -> None:
    """unshare(2). Raises OSError."""
    check(libc.unshare(flags))


def drop_capabilities() -> None:
    """Give up every capability that this process has. Raises OSError."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    check(libc.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)())))


def _prctl(option: int, value: int = 0) -> int:
    arguments = [ctypes.c_ulong(number) for number in (value, 0, 0, 0)]  # variadic: all of them, full width
    return int(libc.prctl(option, *arguments))

"""System calls that would go past the seal, tried in a way that changes nothing where they are let through."""

from __future__ import annotations

import ctypes
import errno
import platform
from collections.abc import Callable
from dataclasses import dataclass

from medgemma_tui.privacy.control import libc
from medgemma_tui.privacy.system_calls import TIOCSTI
from medgemma_tui.protocol import Finding

NOBODY = 2**22 + 1
"""A process id that the kernel never gives."""
_PTRACE_ATTACH = 16
_NUMBERS = {
    "x86_64": {"ptrace": 101, "process_vm_readv": 310, "setns": 308},
    "aarch64": {"ptrace": 117, "process_vm_readv": 270, "setns": 268},
}
_IO_URING_SETUP = 425
_X32 = 0x40000000


@dataclass(frozen=True, slots=True)
class _Answer:
    result: int
    errno: int

    @property
    def said(self) -> str:
        return "ok" if self.result >= 0 else errno.errorcode.get(self.errno, str(self.errno))


def try_all() -> list[Finding]:
    """One finding a call. A filter's answer is EPERM; any other says that the kernel looked at the call itself."""
    found = [_io_uring()]
    for tried in (_ptrace, _process_vm_readv, _setns, _tiocsti, _x32):
        finding = tried()
        if finding is not None:
            found.append(finding)
    return found


def _io_uring() -> Finding:
    """A ring carries out socket calls that no filter sees. It is closed at once where the kernel gives one."""
    parameters = ctypes.create_string_buffer(120)
    answer = _call(_IO_URING_SETUP, ctypes.c_uint(1), parameters)
    if answer.result >= 0:
        libc.close(ctypes.c_int(answer.result))
    return _finding("io_uring", "io_uring_setup(1)", answer, ("EPERM", "ENOSYS"))


def _ptrace() -> Finding | None:
    """Of nobody: where the call is let through, the kernel looks for it, in vain (ESRCH)."""
    arguments = (ctypes.c_long(_PTRACE_ATTACH), ctypes.c_long(NOBODY), ctypes.c_long(0), ctypes.c_long(0))
    return _named("ptrace", "ptrace(PTRACE_ATTACH, nobody)", *arguments)


def _process_vm_readv() -> Finding | None:
    buffer = ctypes.create_string_buffer(8)
    vector = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)
    one, none = ctypes.c_ulong(1), ctypes.c_ulong(0)
    return _named("process_vm_readv", "process_vm_readv(nobody)", ctypes.c_long(NOBODY), vector, one, vector, one, none)


def _setns() -> Finding | None:
    return _named("setns", "setns(-1)", ctypes.c_long(-1), ctypes.c_long(0))


def _tiocsti() -> Finding:
    """Typing into the terminal, tried on no file at all: EBADF where it is let through."""
    letter = ctypes.create_string_buffer(b"x")
    ctypes.set_errno(0)
    result = libc.ioctl(ctypes.c_int(-1), ctypes.c_ulong(TIOCSTI), letter)
    return _finding("tiocsti", "ioctl(-1, TIOCSTI)", _Answer(result, ctypes.get_errno()), ("EPERM",))


def _x32() -> Finding | None:
    """The same calls under other numbers, which a filter for one ABI would not know."""
    if platform.machine() != "x86_64":
        return None
    answer = _call(_X32 | 41, ctypes.c_long(2), ctypes.c_long(1), ctypes.c_long(0))
    if answer.result >= 0:
        libc.close(ctypes.c_int(answer.result))
    return _finding("x32", "socket(AF_INET, SOCK_STREAM) of the x32 ABI", answer, ("EPERM", "ENOSYS"))


def _named(name: str, tried: str, *arguments: object) -> Finding | None:
    number = _NUMBERS.get(platform.machine(), {}).get(name)
    if number is None:
        return None
    return _finding(name, tried, _call(number, *arguments), ("EPERM", "ENOSYS"))


def _call(number: int, *arguments: object) -> _Answer:
    ctypes.set_errno(0)
    return _Answer(int(_syscall(ctypes.c_long(number), *arguments)), ctypes.get_errno())


def _finding(name: str, tried: str, answer: _Answer, shut: tuple[str, ...]) -> Finding:
    verdict = "shut" if answer.said in shut else "open"
    return Finding(id=name, kind="probe", tried=tried, said=answer.said, verdict=verdict)


_syscall: Callable[..., int] = libc.syscall
libc.syscall.restype = ctypes.c_long

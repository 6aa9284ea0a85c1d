"""Which system calls a sealed process is refused: the filter itself, built with libseccomp.

A refused call answers EPERM, so that a library that only tries something goes on without it. clone3 answers ENOSYS:
its flags lie in memory where no filter can read them, and the C library then uses clone.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import errno
import importlib
from types import ModuleType
from typing import Literal

AF_UNIX = 1
TIOCSTI = 0x5412
"""Types into a terminal as if the person did."""
TIOCLINUX = 0x541C
"""Pastes the console's selection into it, and more of the kind."""

CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
_NAMESPACES = (CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET)
_LOW = 0xFFFFFFFF  # the kernel looks at 32 bits of these arguments; the filter must not be fooled by the upper ones

# Numbers above 423 are the same on every machine: a libseccomp that is older than the call does not know its name.
_NUMBERS = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "clone3": 435, "pidfd_getfd": 438,
    "mount_setattr": 442, "open_tree_attr": 467,
}  # fmt: skip

_REFUSED = (
    # a second way to every other call, past this filter
    "io_uring_setup", "io_uring_enter", "io_uring_register",
    # other processes' memory and files
    "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "userfaultfd", "perf_event_open",
    # the kernel
    "bpf", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot", "iopl", "ioperm",
    "acct", "swapon", "swapoff", "settimeofday", "clock_settime", "sethostname", "setdomainname", "fanotify_init",
    # what the kernel keeps for others
    "keyctl", "add_key", "request_key", "quotactl",
    # another view of the file system, or of anything
    "mount", "umount2", "move_mount", "open_tree", "open_tree_attr", "fsopen", "fsconfig", "fsmount", "fspick",
    "mount_setattr", "pivot_root", "chroot", "setns", "open_by_handle_at",
    # the old entrance to the socket calls, on machines that have it
    "socketcall",
)  # fmt: skip

Filter = Literal["outer", "worker"]
"""``outer``: for processes that start the worker, which must still be able to get a network namespace of its own."""


class NoLibseccomp(Exception):
    """The system has no libseccomp that could be loaded."""


def load(kind: Filter) -> None:
    """Build the filter and hand it to the kernel, for every thread of this process and all it will ever start.

    Raises NoLibseccomp; OSError where the kernel does not take it.
    """
    seccomp = _pyseccomp()
    try:
        rules = seccomp.SyscallFilter(seccomp.ALLOW)
        rules.set_attr(seccomp.Attr.CTL_TSYNC, 1)
        # Another ABI (32-bit, x32) numbers the calls otherwise: none of its calls does anything.
        rules.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.ERRNO(errno.EPERM))
    except RuntimeError as error:
        raise NoLibseccomp from error
    refuse = seccomp.ERRNO(errno.EPERM)
    arg, masked = seccomp.Arg, seccomp.MASKED_EQ
    for name in _REFUSED:
        number = _number(seccomp, name)
        if number is not None:
            rules.add_rule(refuse, number)
    for name in ("socket", "socketpair"):
        rules.add_rule(refuse, name, arg(0, seccomp.NE, AF_UNIX))
    for request in (TIOCSTI, TIOCLINUX):
        rules.add_rule(refuse, "ioctl", arg(1, masked, _LOW, request))
    for flag in _NAMESPACES:
        rules.add_rule(refuse, "clone", arg(0, masked, flag, flag))
    kept = () if kind == "worker" else (CLONE_NEWUSER, CLONE_NEWNET)
    for flag in (*_NAMESPACES, CLONE_NEWTIME):
        if flag not in kept:
            rules.add_rule(refuse, "unshare", arg(0, masked, flag, flag))
    rules.add_rule(seccomp.ERRNO(errno.ENOSYS), _NUMBERS["clone3"])
    rules.load()


def _number(seccomp: ModuleType, name: str) -> int | None:
    """The call's number on this machine; None where there is no such call."""
    number: int = seccomp.resolve_syscall(seccomp.Arch.NATIVE, name)
    if number >= 0:
        return number
    return _NUMBERS.get(name)


def _pyseccomp() -> ModuleType:
    """pyseccomp, which at its import asks ldconfig twice by starting it: 7 ms for two names that never change."""
    asked = ctypes.util.find_library
    names = {"c": "libc.so.6", "seccomp": "libseccomp.so.2"}
    ctypes.util.find_library = lambda name: names.get(name) or asked(name)
    try:
        with contextlib.suppress(OSError):
            return importlib.import_module("pyseccomp")
    finally:
        ctypes.util.find_library = asked
    try:  # another C library, or another place: let it look
        return importlib.import_module("pyseccomp")
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        raise NoLibseccomp from error

"""What a process forbids itself at its start. No torch, no textual: every process of ours may use it."""

from __future__ import annotations

import ctypes
import os
import resource
import signal


def no_core_dumps() -> None:
    """A crash of this process or of any it starts writes no core file: it would hold patient text.

    Hard and soft limit are 0, so no child can raise it again. Where the kernel pipes cores to a program, it is that
    program's to keep to the limit.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def die_with_parent(parent: int) -> bool:
    """Ask the kernel to kill this process when the one that started it, ``parent``, ends. False: it is gone already.

    Raises OSError.
    """
    pr_set_pdeathsig = 1
    if ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_PDEATHSIG")
    return os.getppid() == parent

"""What a process forbids itself at its start. No torch, no textual: every process of ours may use it."""

from __future__ import annotations

import resource


def no_core_dumps() -> None:
    """A crash of this process or of any it starts writes no core file: it would hold patient text.

    Hard and soft limit are 0, so no child can raise it again. Where the kernel pipes cores to a program, it is that
    program's to keep to the limit.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

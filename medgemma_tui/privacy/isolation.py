"""Starting over with nothing of the caller's but what we asked for: isolated Python, known variables, safe arguments.

Variables such as LD_PRELOAD and PYTHONPATH have done their work by the time that we run, and others would go on to
our children: so this process becomes itself again, without them. Imports next to nothing: it comes before all else.
"""

from __future__ import annotations

import contextlib
import os
import sys

from medgemma_tui.child_environment import is_kept, kept
from medgemma_tui.privacy import arguments

NAME = "medgemma-tui"


def enter() -> None:
    """Return only in an isolated process, or in a program of another name around ours, which would be lost."""
    if os.path.basename(sys.argv[0]) not in (NAME, "__main__.py"):  # noqa: PTH119 - pathlib takes long to import
        return
    if not arguments.take_over():
        if not (sys.flags.isolated and all(map(is_kept, os.environ))):
            _start_over()
        arguments.hide()
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as comm:  # noqa: PTH123
        comm.write(NAME)  # by the name that people look for


def _start_over() -> None:
    """Become the same program again. Returns where that cannot be: the kernel's view says that we are not isolated."""
    if not sys.executable:
        return
    environ = kept(os.environ)
    options = [f"-X{name}" if value is True else f"-X{name}={value}" for name, value in sys._xoptions.items()]
    if sys.dont_write_bytecode:
        options.append("-B")
    command = [sys.executable, "-I", *options, "-m", "medgemma_tui", *arguments.hand_over(sys.argv[1:], environ)]
    with contextlib.suppress(OSError):
        os.execve(sys.executable, command, environ)  # noqa: S606 - no shell is meant

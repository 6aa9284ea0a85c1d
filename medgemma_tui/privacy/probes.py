"""Trying to break out, from inside this process, and what the kernel says to that."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from medgemma_tui.privacy import calls_tried, kernel, sockets_tried
from medgemma_tui.protocol import Finding, ProcessName, ProcessPrivacy


def probe(process: ProcessName, *, quick: bool = False) -> ProcessPrivacy:
    """Everything tried now, and the kernel's own view. Takes a second or two: for a thread. Never raises.

    ``quick``: only what takes no time and starts no process: sockets and system calls, without names and libraries.
    """
    found = _group("sockets", sockets_tried.try_all)
    found += _group("system_calls", calls_tried.try_all)
    if not quick:
        from medgemma_tui.privacy import libraries_tried, names_tried

        sockets_open = any(finding.verdict != "shut" for finding in found)
        found += _group("names", lambda: names_tried.try_all(sockets_open=sockets_open))
        found += _group("libraries", lambda: libraries_tried.try_all(sockets_open=sockets_open))
    return ProcessPrivacy(process=process, pid=os.getpid(), findings=[*found, *kernel.view(process)])


def _group(name: str, try_all: Callable[[], Sequence[Finding]]) -> list[Finding]:
    try:
        return list(try_all())
    except Exception as error:
        return [Finding(id=name, kind="probe", tried=name, said=type(error).__name__, verdict="unknown")]

"""What the findings about a process's seal mean, in words: one place for the screen, ``privacy`` and plain mode.

Ids and codes are those of ``privacy.kernel`` and ``privacy.probes``; one that is not known here is told as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from medgemma_tui import i18n
from medgemma_tui.i18n import N_, _
from medgemma_tui.protocol import Finding, ProcessName, ProcessSeal, Verdict
from medgemma_tui.safetext import clean_line

_PROCESSES: Mapping[ProcessName, str] = {"screen": N_("screen"), "gateway": N_("gateway"), "worker": N_("worker")}
_VERDICTS: Mapping[Verdict, str] = {
    "shut": N_("shut"),
    "open": N_("OPEN"),
    "warning": N_("warning"),
    "absent": N_("not here"),
    "unknown": N_("unknown"),
}


Level = Literal["open", "warnings", "absent"]


@dataclass(frozen=True, slots=True)
class _Words:
    """``brief``: what is wrong, in a few words. ``sentence``: what that means and what to do."""

    brief: str
    sentence: str


_PROBLEMS: Mapping[str, _Words] = {
    "seccomp": _Words(
        N_("no system call filter"),
        N_("The system call filter is not in force, so this process could open network sockets."),
    ),
    "no_new_privs": _Words(
        N_("privileges may grow"),
        N_("This process could gain privileges by starting a setuid program. Start it with this version's program."),
    ),
    "tracer": _Words(
        N_("a debugger is attached"),
        N_("Another process is attached as a debugger and reads this one's memory. End it, and start again."),
    ),
    "network_namespace": _Words(
        N_("it sees network interfaces"),
        N_("This process is not in an empty network namespace."),
    ),
    "routes": _Words(N_("it sees network routes"), N_("This process's network namespace has routes to a network.")),
    "open_sockets": _Words(
        N_("network sockets are open"),
        N_("This process holds sockets that are no Unix sockets. Whatever started it handed them in: start it again."),
    ),
    "dumpable": _Words(
        N_("its memory can be read"),
        N_("Other processes of the same user can read this process's memory, and a crash could write it to a file."),
    ),
    "core_limit": _Words(
        N_("core files are allowed"),
        N_("A crash could write this process's memory to a core file: its limit for core files is not 0."),
    ),
    "core_pattern": _Words(
        N_("core dumps go to a program"),
        N_("A crash would be given to the program in kernel.core_pattern, whatever the limit is."),
    ),
    "swap": _Words(
        N_("swap is not encrypted"),
        N_(
            "The system may write memory, and so what was asked, to swap space that is not encrypted. Switch swap off "
            "(swapoff -a), encrypt it, or run the service under a unit with MemorySwapMax=0."
        ),
    ),
    "environment": _Words(
        N_("variables that let something in"),
        N_("The environment has variables that load other code, name a proxy or write logs. Start it without them."),
    ),
    "isolated": _Words(
        N_("Python is not isolated"),
        N_("Python was not started isolated (-I), so modules of the user's own could run in this process."),
    ),
}

_CODES: Mapping[str, str] = {
    "not_sealed": N_(
        "This process was started in a way that does not seal it. Start it with the medgemma-tui command."
    ),
    "no_libseccomp": N_("The library libseccomp.so.2 is not installed on this box. Install it (package libseccomp2)."),
    "not_supported": N_("This kernel does not support it, or something in this box's configuration forbids it."),
    "not_permitted": N_("The kernel or its configuration does not permit it to this user."),
    "not_wanted": N_("This process keeps the network namespace that it was started in."),
    "core_pipe": N_(
        "A crash would be given to the program in kernel.core_pattern, whatever the limit is. "
        "Set ProcessSizeMax=0 in coredump.conf, or another kernel.core_pattern."
    ),
    "resolver_socket": N_("The system's own resolver can be asked for names over its Unix socket."),
}


def process(name: ProcessName) -> str:
    """A process by its name."""
    return _(_PROCESSES[name])


def verdict(finding: Finding) -> str:
    """The verdict in a word."""
    return _(_VERDICTS[finding.verdict])


def brief(id_: str) -> str:
    """What is wrong where this finding is not shut, in a few words: for the status bar."""
    known = _PROBLEMS.get(id_)
    return _(known.brief) if known else clean_line(id_)


def reason(id_: str, code: str = "") -> str:
    """What a finding that is not shut means, why it is so, and what to do: one to three sentences."""
    known = _PROBLEMS.get(id_)
    why = _CODES.get(code)
    parts = [_(known.sentence) if known else clean_line(id_), _(why) if why else clean_line(code)]
    return ("" if i18n.language() == "zh" else " ").join(part for part in parts if part)


def foreign_engine() -> str:
    """Why there is no proof for an engine that is another program."""
    return _("Another program answers in the worker's place (engine_socket): it is not ours to seal or to look into.")


@dataclass(frozen=True, slots=True)
class Noted:
    """A finding that is not shut, and the processes in which it is not."""

    id: str
    code: str
    processes: tuple[ProcessName, ...]

    @property
    def where(self) -> str:
        """Those processes by name."""
        return processes(self.processes)


def processes(names: Sequence[ProcessName]) -> str:
    """Several processes by name."""
    return _(", ").join(process(name) for name in names)


def noted(seals: Mapping[ProcessName, ProcessSeal], level: Level) -> list[Noted]:
    """The findings of one level in these processes, each once for all processes in which it has the same code."""
    where: dict[tuple[str, str], list[ProcessName]] = {}
    for name, seal in seals.items():
        ids = {"open": seal.open, "warnings": seal.warnings, "absent": seal.absent}[level]
        for id_ in dict.fromkeys(ids):
            where.setdefault((id_, seal.codes.get(id_, "")), []).append(name)
    return [Noted(id_, code, tuple(names)) for (id_, code), names in where.items()]

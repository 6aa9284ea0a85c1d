"""What the findings about a process's seal mean, in words: one place for the screen, ``privacy`` and plain mode.

Ids and codes are those of ``privacy.kernel`` and ``privacy.probes``; one that is not known here is told as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from medgemma_tui import i18n
from medgemma_tui.i18n import N_, _
from medgemma_tui.protocol import Finding, ProcessName, ProcessPrivacy, ProcessSeal, Verdict
from medgemma_tui.safetext import clean_line

_PROCESSES: Mapping[ProcessName, str] = {"screen": N_("screen"), "gateway": N_("gateway"), "worker": N_("worker")}
_VERDICTS: Mapping[Verdict, str] = {
    "shut": N_("shut"),
    "open": N_("OPEN"),
    "warning": N_("warning"),
    "absent": N_("not here"),
    "unknown": N_("unknown"),
}


UNKNOWN = "unknown"
"""The code, in the short form, of a finding that could not be tried or read: there it is among the warnings."""
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
    "all_families": _Words(
        N_("a network socket could be opened"),
        N_("Of all kinds of sockets that the kernel knows, one more than Unix sockets could be opened."),
    ),
    "io_uring": _Words(
        N_("io_uring is not closed"),
        N_("io_uring could be set up: through it, sockets are opened past the system call filter."),
    ),
    "ptrace": _Words(
        N_("other processes' memory can be reached"),
        N_("This process could attach itself to another one as a debugger, and act in its place."),
    ),
    "process_vm_readv": _Words(
        N_("other processes' memory can be reached"), N_("This process could read another one's memory.")
    ),
    "setns": _Words(
        N_("namespaces can be changed"), N_("This process could go over into another process's network namespace.")
    ),
    "tiocsti": _Words(
        N_("it can type into the terminal"),
        N_("This process could type commands into the terminal that it was started from."),
    ),
    "x32": _Words(
        N_("the filter knows one ABI only"),
        N_("System calls under the numbers of another ABI (x32) get past the system call filter."),
    ),
    "dns": _Words(
        N_("names can be looked up"), N_("A name could be looked up, and a name that is looked up leaves this box.")
    ),
    "hub": _Words(
        N_("the Hub could be reached"), N_("A download from the Hub by its repo id was not stopped by the kernel.")
    ),
}

_ANY_SOCKET = _Words(
    N_("a network socket could be opened"), N_("A socket that leads out of this box could be opened ({ids}).")
)
_ANY_RESOLVER = _Words(
    N_("a resolver can be asked"),
    N_(
        "A service on this box can be asked for names over its Unix socket, and asks the network in turn ({ids}). "
        "Stop it, or hide its socket from ours (InaccessiblePaths= in the unit)."
    ),
)
_ANY_LIBRARY = _Words(N_("an HTTP library gets through"), N_("An HTTP library could open a connection ({ids})."))
_SOCKETS = (
    "tcp", "udp", "tcp6", "udp6", "dns_packet", "raw", "packet", "netlink", "vsock", "bluetooth", "socketpair"
)  # fmt: skip
_RESOLVERS = ("resolver_varlink", "resolver_nscd", "resolver_avahi", "resolver_bus")
_ALIKE: Mapping[str, _Words] = {
    **dict.fromkeys(_SOCKETS, _ANY_SOCKET),
    **dict.fromkeys(_RESOLVERS, _ANY_RESOLVER),
    **dict.fromkeys(("http_client", "httpx"), _ANY_LIBRARY),
}
"""Where several probes mean the same."""

_CODES: Mapping[str, str] = {
    "not_sealed": N_("It was started in a way that does not seal it. Start it with the medgemma-tui command."),
    "no_libseccomp": N_("The library libseccomp.so.2 is not installed on this box. Install it (package libseccomp2)."),
    "not_supported": N_("This kernel does not support it, or something in this box's configuration forbids it."),
    "not_permitted": N_("The kernel, or its configuration, does not permit it to this user."),
    "not_wanted": N_(
        "It keeps the one that it was started in; a gateway gets an empty one from systemd (PrivateNetwork=yes)."
    ),
    "core_pipe": N_("Set ProcessSizeMax=0 in coredump.conf, or another kernel.core_pattern."),
    "sockets_open": N_("It was not tried, because a socket was to be had: that would have been the very packet."),
    "timeout": N_("The resolver was still waiting for an answer when the time was up: somebody was asked."),
}
"""What a code adds to the sentence of its id."""

_SAID_BY_THE_ID = {"swap_plain", "resolver_socket"}


def process(name: ProcessName) -> str:
    """A process by its name."""
    return _(_PROCESSES[name])


def verdict_of(finding: Finding) -> str:
    """The verdict in a word."""
    return _(_VERDICTS[finding.verdict])


def foreign_engine() -> str:
    """Why there is no proof for an engine that is another program."""
    return _("Another program answers in the worker's place (engine_socket): it is not ours to seal or to look into.")


@dataclass(frozen=True, slots=True)
class Noted:
    """Findings that are not shut and mean the same, and the processes in which they are not."""

    ids: tuple[str, ...]
    code: str
    processes: tuple[ProcessName, ...]

    @property
    def where(self) -> str:
        """Those processes by name."""
        return process_list(self.processes)

    @property
    def about(self) -> str:
        """The ids and the code, to tell one such thing from another."""
        return " ".join((*self.ids, self.code))

    @property
    def brief(self) -> str:
        """What is wrong, in a few words: for the status bar."""
        if self.code == UNKNOWN:
            return _("not everything could be measured")
        known = _words(self.ids[0])
        return _(known.brief) if known else clean_line(self.ids[0])

    @property
    def reason(self) -> str:
        """What it means, why it is so, and what to do: one to three sentences."""
        ids = clean_line(_(", ").join(self.ids))
        if self.code == UNKNOWN:
            return _("{ids} could not be tried or read, so nobody knows.").format(ids=ids)
        known = _words(self.ids[0])
        parts = [_(known.sentence).format(ids=ids) if known else ids]
        if self.code in _CODES:
            parts.append(_(_CODES[self.code]))
        elif self.code not in _SAID_BY_THE_ID:
            parts.append(clean_line(self.code))
        return ("" if i18n.language() == "zh" else " ").join(part for part in parts if part)


def process_list(names: Sequence[ProcessName]) -> str:
    """Several processes by name."""
    return _(", ").join(process(name) for name in names)


def noted(seals: Mapping[ProcessName, ProcessSeal], level: Level) -> list[Noted]:
    """The findings of one level in these processes, in short form."""
    found = []
    for name, seal in seals.items():
        ids = {"open": seal.open, "warnings": seal.warnings, "absent": seal.absent}[level]
        found += [(id_, seal.codes.get(id_, ""), name) for id_ in ids]
    return _together(found)


def noted_in(processes: Sequence[ProcessPrivacy], verdict: Verdict) -> list[Noted]:
    """The findings with this verdict in these processes; what the kernel says of the seal before what was tried."""
    found = [
        (finding.id, UNKNOWN if verdict == "unknown" else finding.code, each.process)
        for kind in ("kernel", "probe")
        for each in processes
        for finding in each.findings
        if finding.verdict == verdict and finding.kind == kind
    ]
    return _together(found)


def _together(found: Sequence[tuple[str, str, ProcessName]]) -> list[Noted]:
    """Findings that mean the same in the same processes as one."""
    where: dict[tuple[str, str], dict[ProcessName, None]] = {}
    for id_, code, name in found:
        where.setdefault((id_, code), {})[name] = None
    alike: dict[tuple[object, str, tuple[ProcessName, ...]], list[str]] = {}
    for (id_, code), names in where.items():
        meaning = UNKNOWN if code == UNKNOWN else _ALIKE.get(id_) or id_
        alike.setdefault((meaning, code, tuple(names)), []).append(id_)
    return [Noted(tuple(ids), code, names) for (_meaning, code, names), ids in alike.items()]


def _words(id_: str) -> _Words | None:
    return _PROBLEMS.get(id_) or _ALIKE.get(id_)

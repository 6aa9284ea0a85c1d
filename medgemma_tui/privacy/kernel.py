"""The kernel's own view of this process: what it says of our seal, read and never remembered."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from medgemma_tui.privacy import control, namespace, swap
from medgemma_tui.privacy.open_sockets import own_inet_sockets
from medgemma_tui.privacy.seal import current
from medgemma_tui.protocol import Finding, ProcessName, ProcessSeal, Verdict

_STATUS = Path("/proc/self/status")
_SCREENS_OWN = {"TEXTUAL_FPS", "TEXTUAL_ANIMATIONS", "TEXTUAL_SMOOTH_SCROLL"}
"""Set by the screen itself; every other one could write a log, a picture or open a port."""
_LOADER = {"LD_PRELOAD", "LD_AUDIT"}
_PROXIES = {"http_proxy", "https_proxy", "ftp_proxy", "all_proxy"}


def view(process: ProcessName) -> list[Finding]:
    """All that the kernel says of this process. What cannot be read is ``unknown``; never raises."""
    readers: dict[str, Callable[[], Finding]] = {
        "seccomp": _seccomp,
        "no_new_privs": _no_new_privs,
        "tracer": _tracer,
        "network_namespace": _network_namespace,
        "routes": _routes,
        "open_sockets": _open_sockets,
        "dumpable": _dumpable,
        "core_limit": _core_limit,
        "core_pattern": _core_pattern,
        "swap": _swap,
        "environment": lambda: _environment(process, os.environ),
        "isolated": _isolated,
    }
    found = []
    for name, read in readers.items():
        try:
            found.append(read())
        except (OSError, ValueError, KeyError, IndexError) as error:
            found.append(_finding(name, "/proc", type(error).__name__, "unknown"))
    return found


def short(findings: Sequence[Finding]) -> ProcessSeal:
    """The short form for the telemetry: these findings by verdict, and the sockets counted now.

    A finding that is not known is no proof, so it is among the warnings.
    """
    loose = [finding for finding in findings if finding.verdict != "shut"]
    return ProcessSeal(
        inet_sockets=own_inet_sockets(),
        open=[finding.id for finding in findings if finding.verdict == "open"],
        warnings=[finding.id for finding in findings if finding.verdict in ("warning", "unknown")],
        absent=[finding.id for finding in findings if finding.verdict == "absent"],
        codes={
            finding.id: "unknown" if finding.verdict == "unknown" else finding.code
            for finding in loose
            if finding.code or finding.verdict == "unknown"
        },
    )


def holds(layer: str) -> bool:
    """True where this process's seal has this layer."""
    own = current()
    return own is not None and any(one.name == layer and one.holds for one in own.layers)


def _reason(layer: str) -> str:
    own = current()
    if own is None:
        return "not_sealed"
    return next((one.reason for one in own.layers if one.name == layer), "")


def _finding(name: str, tried: str, said: str, verdict: Verdict, code: str = "") -> Finding:
    return Finding(id=name, kind="kernel", tried=tried, said=said, verdict=verdict, code=code)


def _status(*names: str) -> list[str]:
    """Values of /proc/self/status; "" for one that this kernel does not tell."""
    lines = _STATUS.read_text().splitlines()
    values = dict(line.partition(":")[::2] for line in lines)
    return [values.get(name, "").strip() for name in names]


def _seccomp() -> Finding:
    mode, filters = _status("Seccomp", "Seccomp_filters")
    said = mode + (f", {filters} filters" if filters else "")
    tried = "/proc/self/status Seccomp, Seccomp_filters"
    if mode == "2" and holds("seccomp"):  # a container's own filter is mode 2 as well, and no proof
        return _finding("seccomp", tried, said, "shut")
    return _finding("seccomp", tried, said, "open", _reason("seccomp"))


def _no_new_privs() -> Finding:
    (value,) = _status("NoNewPrivs")
    return _finding("no_new_privs", "/proc/self/status NoNewPrivs", value, "shut" if value == "1" else "open")


def _tracer() -> Finding:
    (value,) = _status("TracerPid")
    return _finding("tracer", "/proc/self/status TracerPid", value, "shut" if value == "0" else "open")


def _second_layer(empty: bool) -> Verdict:
    """Of the network namespace: nothing is reached through it where the first layer holds."""
    if empty:
        return "shut"
    return "absent" if holds("seccomp") else "open"


def _network_namespace() -> Finding:
    inode = os.readlink("/proc/self/ns/net")  # noqa: PTH115
    names = namespace.interfaces()
    empty = set(names) <= {"lo"}
    said = f"{inode}, " + (", ".join(names) or "no interface")
    code = "" if empty else _reason("network_namespace")
    return _finding("network_namespace", "/proc/self/ns/net, /proc/self/net/dev", said, _second_layer(empty), code)


def _routes() -> Finding:
    v4 = [line.split()[0] for line in Path("/proc/self/net/route").read_text().splitlines()[1:] if line.strip()]
    table = Path("/proc/self/net/ipv6_route")
    v6 = [line.split()[-1] for line in table.read_text().splitlines()] if table.exists() else []
    away = [name for name in v4 + v6 if name != "lo"]
    said = f"{len(away)} routes" if away else "none"
    return _finding("routes", "/proc/self/net/route, ipv6_route", said, _second_layer(not away))


def _open_sockets() -> Finding:
    count = own_inet_sockets()
    tried = "getsockopt(SO_DOMAIN) of all in /proc/self/fd"
    if count is None:
        return _finding("open_sockets", tried, "not readable", "unknown")
    return _finding("open_sockets", tried, str(count), "open" if count else "shut")


def _dumpable() -> Finding:
    value = control.dumpable()
    return _finding("dumpable", "prctl(PR_GET_DUMPABLE)", str(value), "open" if value == 1 else "shut")


def _core_limit() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    said = ", ".join("unlimited" if value == resource.RLIM_INFINITY else str(value) for value in (soft, hard))
    return _finding("core_limit", "getrlimit(RLIMIT_CORE)", said, "shut" if hard == 0 else "open")


def _core_pattern() -> Finding:
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    tried = "/proc/sys/kernel/core_pattern"
    if control.dumpable() == 0:  # the kernel makes no core of it at all
        return _finding("core_pattern", tried, pattern, "shut", "undumpable")
    piped = pattern.startswith("|")  # to a program, whatever the limit
    return _finding("core_pattern", tried, pattern, "warning" if piped else "shut", "core_pipe" if piped else "")


def _swap() -> Finding:
    code, names = swap.state()
    said = ", ".join(names) or "none"
    verdict: Verdict = "warning" if code == "swap_plain" else "shut"
    return _finding("swap", "/proc/swaps, memory.swap.max", said, verdict, code)


def _environment(process: ProcessName, environ: Mapping[str, str]) -> Finding:
    """The names of variables that would let something in or out. No values."""
    bad = [
        name
        for name in sorted(environ)
        if name in _LOADER
        or name.lower() in _PROXIES
        or name.startswith("PYTHON")
        or (name.startswith("TEXTUAL") and name not in _SCREENS_OWN)
    ]
    if process == "worker" and environ.get("HF_HUB_OFFLINE") != "1":
        bad.append("HF_HUB_OFFLINE")
    said = ", ".join(bad) or "none"
    return _finding("environment", "names of environment variables", said, "warning" if bad else "shut")


def _isolated() -> Finding:
    value = sys.flags.isolated
    return _finding("isolated", "sys.flags.isolated", str(value), "shut" if value else "warning")

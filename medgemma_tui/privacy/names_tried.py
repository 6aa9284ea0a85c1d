"""Looking up a name: through the C library, and through the daemons that would do it for us over a Unix socket."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from medgemma_tui.privacy.sockets_tried import said
from medgemma_tui.protocol import Finding, Verdict

NAME = "medgemma-tui-probe.invalid"
"""Reserved (RFC 6761): no server has it, and a resolver that knows its trade does not even ask."""
LIMIT_S = 2.0
_RESOLVERS = {
    "resolver_varlink": "/run/systemd/resolve/io.systemd.Resolve",
    "resolver_nscd": "/run/nscd/socket",
    "resolver_avahi": "/run/avahi-daemon/socket",
}
_NOBODY = {"ENOENT", "ENOTDIR", "ECONNREFUSED", "EACCES", "EPERM"}
"""The kernel's answers where nobody listens, or not for us; after any other, somebody may."""
_BUS = Path("/run/dbus/system_bus_socket")
_BUS_RESOLVERS = ("org.freedesktop.resolve1", "org.freedesktop.Avahi")
_BUS_SERVICES = Path("/usr/share/dbus-1/system-services")


def try_all(*, sockets_open: bool) -> list[Finding]:
    """The library first, then each daemon that may be there: a socket that can be connected to is a way out.

    ``sockets_open``: whether the C library could have asked a name server itself.
    """
    daemons = [_daemon(name, path) for name, path in _RESOLVERS.items()]
    daemons.append(_bus())
    reachable = any(finding.verdict == "open" for finding in daemons)
    return [_lookup(reachable or sockets_open), *daemons]


def _lookup(somebody: bool) -> Finding:
    """``getaddrinfo`` of a name that is nobody's. "No such name" is somebody's answer, where somebody can be asked."""
    answer: list[str] = []

    def ask() -> None:
        try:
            socket.getaddrinfo(NAME, 443)
            answer.append("ok")
        except socket.gaierror as error:
            answer.append(_NAMES.get(error.errno or 0, str(error.errno)))
        except OSError as error:
            answer.append(said(error))

    thread = threading.Thread(target=ask, name="lookup", daemon=True)  # the C library alone knows when it gives up
    thread.start()
    thread.join(LIMIT_S)
    call = f"getaddrinfo({NAME})"
    if not answer:
        return _finding("dns", call, "waits for an answer", "open", "timeout")
    (word,) = answer
    shut = word != "ok" and not (word == "EAI_NONAME" and somebody)
    return _finding("dns", call, word, "shut" if shut else "open")


_NAMES = {
    getattr(socket, name): name
    for name in ("EAI_AGAIN", "EAI_FAIL", "EAI_FAMILY", "EAI_NODATA", "EAI_NONAME", "EAI_SYSTEM")
    if hasattr(socket, name)
}


def _daemon(name: str, path: str) -> Finding:
    call = f"connect({path})"
    word = _connect(path)
    return _finding(name, call, word, _verdict(word), "resolver_socket" if word == "ok" else "")


def _bus() -> Finding:
    """The system bus leads to a resolver where one is installed that listens on it."""
    call = f"connect({_BUS}), a resolver on it"
    word = _connect(str(_BUS))
    if word != "ok":
        return _finding("resolver_bus", call, word, _verdict(word))
    there = [name for name in _BUS_RESOLVERS if (_BUS_SERVICES / f"{name}.service").exists()]
    if there:
        return _finding("resolver_bus", call, ", ".join(there), "open", "resolver_socket")
    return _finding("resolver_bus", call, "no resolver", "shut")


def _verdict(word: str) -> Verdict:
    """What a connection's outcome proves."""
    if word == "ok":
        return "open"
    return "shut" if word in _NOBODY else "unknown"


def _connect(path: str) -> str:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as daemon:
            daemon.settimeout(LIMIT_S)
            daemon.connect(path)
    except OSError as error:
        return said(error)
    return "ok"


def _finding(name: str, tried: str, answer: str, verdict: Verdict, code: str = "") -> Finding:
    return Finding(id=name, kind="probe", tried=tried, said=answer, verdict=verdict, code=code)

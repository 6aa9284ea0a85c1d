"""Every kind of socket, tried: what the kernel says to each, and whether one that it gives would reach anything."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from medgemma_tui.privacy import namespace
from medgemma_tui.protocol import Finding, Verdict

NOWHERE = "192.0.2.1"
"""TEST-NET-1 (RFC 5737): an address that is nobody's."""
NOWHERE_V6 = "2001:db8::1"
DNS_PORT = 53
_HTTPS_PORT = 443
_TYPES = {1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 5: "SOCK_SEQPACKET"}
_FAMILIES = {2: "AF_INET", 10: "AF_INET6", 16: "AF_NETLINK", 17: "AF_PACKET", 31: "AF_BLUETOOTH", 40: "AF_VSOCK"}
_LAST_FAMILY = 45
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
"""Answers of a kernel that would have given the socket: this process, or the system, has no room for one more."""
_EVERYWHERE = {"vsock", "bluetooth"}
"""Kinds that a network namespace does not hold in: they reach the host or the air from any."""


@dataclass(frozen=True, slots=True)
class _Kind:
    id: str
    family: int
    type: int
    protocol: int = 0
    address: tuple[str | int, ...] | None = None
    """Where to connect, when there is a socket. Without one, the namespace decides."""


_KINDS = (
    _Kind("tcp", 2, 1, 0, (NOWHERE, _HTTPS_PORT)),
    _Kind("udp", 2, 2, 0, (NOWHERE, _HTTPS_PORT)),
    _Kind("tcp6", 10, 1, 0, (NOWHERE_V6, _HTTPS_PORT)),
    _Kind("udp6", 10, 2, 0, (NOWHERE_V6, _HTTPS_PORT)),
    _Kind("dns_packet", 2, 2, 0, (NOWHERE, DNS_PORT)),
    _Kind("raw", 2, 3, socket.IPPROTO_ICMP),
    _Kind("packet", 17, 3, 0x0300),
    _Kind("netlink", 16, 3),
    _Kind("vsock", 40, 1),
    _Kind("bluetooth", 31, 3, 1),
)


def said(error: OSError) -> str:
    """The kernel's name for an error."""
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


def try_all() -> list[Finding]:
    """One finding a kind of socket, and one for all families that the kernel may know."""
    found = [_try(kind) for kind in _KINDS]
    found.append(_pair())
    if all(finding.verdict == "shut" for finding in found):  # otherwise this would only load modules into the kernel
        found.append(_all_families())
    return found


def _try(kind: _Kind) -> Finding:
    call = f"socket({_FAMILIES[kind.family]}, {_TYPES[kind.type]})"
    purpose = f", for DNS to port {DNS_PORT}" if kind.id == "dns_packet" else ""
    try:
        tried = socket.socket(kind.family, kind.type, kind.protocol)
    except OSError as error:
        return _finding(kind.id, call + purpose, said(error), _refused(error))
    with tried:
        if kind.address is None:
            held = kind.id not in _EVERYWHERE and namespace.is_empty()
            return _finding(kind.id, call, "ok", "shut" if held else "open", "empty_namespace" if held else "")
        call += f", connect({kind.address[0]} port {kind.address[1]})"
        tried.setblocking(False)
        try:
            tried.connect(kind.address)
        except BlockingIOError:  # a packet has gone out
            return _finding(kind.id, call, "EINPROGRESS", "open")
        except OSError as error:
            held = error.errno in (errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EHOSTUNREACH)
            held = held and namespace.is_empty()
            verdict: Verdict = "shut" if held else "open"
            return _finding(kind.id, call, said(error), verdict, "empty_namespace" if held else "")
    return _finding(kind.id, call, "ok", "open")


def _pair() -> Finding:
    """socketpair of another family, which no Python function makes for us: only the kernel's answer matters."""
    try:
        ends = socket.socketpair(30)  # AF_TIPC, the one other family that has pairs
    except OSError as error:
        return _finding("socketpair", "socketpair(AF_TIPC)", said(error), _refused(error))
    for end in ends:
        end.close()
    return _finding("socketpair", "socketpair(AF_TIPC)", "ok", "open")


def _all_families() -> Finding:
    answers: set[str] = set()
    verdict: Verdict = "shut"
    given: list[str] = []
    for family, kind in _families():
        try:
            socket.socket(family, kind).close()
        except OSError as error:
            answers.add(said(error))
            verdict = verdict if _refused(error) == "shut" else "unknown"
        else:
            given.append(f"{family}/{kind}")
    call = f"socket(0 to {_LAST_FAMILY} except AF_UNIX, 4 types each)"
    return _finding("all_families", call, ", ".join(given or sorted(answers)), "open" if given else verdict)


def _refused(error: OSError) -> Verdict:
    """What an answer other than a socket proves."""
    return "unknown" if error.errno in _NO_ROOM else "shut"


def _families() -> Iterator[tuple[int, int]]:
    for family in range(_LAST_FAMILY + 1):
        if family != socket.AF_UNIX:
            yield from ((family, kind) for kind in _TYPES)


def _finding(name: str, tried: str, answer: str, verdict: Verdict, code: str = "") -> Finding:
    return Finding(id=name, kind="probe", tried=tried, said=answer, verdict=verdict, code=code)

"""The probes: all shut in a sealed process, and open in one that is not: a probe that cannot fail proves nothing."""

from __future__ import annotations

import errno
import os
import socket
import subprocess

import pytest

from medgemma_tui.privacy import hub, libraries_tried, names_tried, sockets_tried

FULL = """
import httpx
from medgemma_tui.privacy import probes
before = sorted(os.listdir("/proc/self/fd")), threading.active_count()
made = []
thread = threading.Thread(target=lambda: made.append(probes.probe(PROCESS)))
thread.start()
thread.join()
after = sorted(os.listdir("/proc/self/fd")), threading.active_count()
tell([made[0].model_dump(), before == after])
"""
QUICK = """
from medgemma_tui.privacy import probes
before = sorted(os.listdir("/proc/self/fd"))
whole = probes.probe("worker", quick=True)
assert sorted(os.listdir("/proc/self/fd")) == before
tell({finding.id: [finding.said, finding.verdict, finding.code] for finding in whole.findings})
"""
PROBES = {
    "tcp", "udp", "tcp6", "udp6", "dns_packet", "raw", "packet", "netlink", "vsock", "bluetooth", "socketpair",
    "all_families", "io_uring", "ptrace", "process_vm_readv", "setns", "tiocsti", "x32", "dns", "http_client", "httpx",
    "hub", "resolver_varlink", "resolver_nscd", "resolver_avahi", "resolver_bus",
}  # fmt: skip


def test_a_sealed_process_is_shut_by_every_probe(child):
    """From a thread of it; nothing is left behind."""
    whole, same = child(FULL.replace("PROCESS", "'screen'"), "screen")
    assert same
    found = {finding["id"]: finding for finding in whole["findings"] if finding["kind"] == "probe"}
    assert found.keys() == PROBES
    here = {name for name in found if name.startswith("resolver_")}  # this machine may have a resolver
    assert {name: one["said"] for name, one in found.items() if one["verdict"] != "shut" and name not in here} == {}
    assert {found[name]["said"] for name in ("tcp", "udp", "raw", "io_uring", "ptrace", "http_client", "httpx")} == {
        "EPERM"
    }
    calls = [found[name]["tried"] for name in sockets_tried_ids()]
    assert len(set(calls)) == len(calls)  # each row says what it is
    assert "port 53" in found["dns_packet"]["tried"]
    assert found["hub"]["said"] in ("EAI_AGAIN", "EPERM")
    assert found["hub"]["code"] in ("", "without_library")


def sockets_tried_ids() -> list[str]:
    return [kind.id for kind in sockets_tried._KINDS]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
def test_no_room_for_a_socket_is_no_proof_that_there_is_none(monkeypatch, number):
    """Without a filter a process that has too many files open is told so, and not that it may not."""

    def full(*_: object) -> None:
        raise OSError(number, "no room")

    monkeypatch.setattr(sockets_tried.socket, "socket", full)
    monkeypatch.setattr(sockets_tried.socket, "socketpair", full)
    assert {finding.verdict for finding in sockets_tried.try_all()} == {"unknown"}
    assert sockets_tried._all_families().verdict == "unknown"


def test_a_process_that_is_not_sealed_is_open(child):
    found = child(QUICK)
    assert found["seccomp"][1:] == ["open", "not_sealed"]
    for name in ("no_new_privs", "dumpable", "core_limit", "netlink", "ptrace", "process_vm_readv", "setns", "tiocsti"):
        assert found[name][1] == "open", name
    assert found["ptrace"][0] == "ESRCH"
    assert "all_families" not in found  # that would only load modules


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace with a route")
def test_a_way_out_is_seen(child):
    """In a namespace of its own, with a device that leads nowhere: a packet would go."""
    ready = (
        "set -e; ip link add v0 type veth peer name v1; ip addr add 192.0.2.9/24 dev v0; ip link set v0 up; "
        'ip link set v1 up; exec "$@"'
    )
    if subprocess.run(["unshare", "-n", "sh", "-c", ready, "sh", "true"], capture_output=True).returncode:
        pytest.skip("no pair of devices to be had here (ip, veth)")
    found = child(QUICK, "", ("unshare", "-n", "sh", "-c", ready, "sh"))
    assert found["udp"] == ["ok", "open", ""]
    assert found["tcp"] == ["EINPROGRESS", "open", ""]
    assert found["dns_packet"] == ["ok", "open", ""]
    assert found["raw"][1] == found["packet"][1] == "open"
    assert found["network_namespace"][1] == found["routes"][1] == "open"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace")
def test_an_empty_namespace_shuts_without_a_filter(child):
    """The second layer alone: what it holds is shut by it, what it does not hold is open."""
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("network namespaces cannot be made here")
    found = child(QUICK, "", ("unshare", "-n"))
    for name in ("tcp", "udp", "tcp6", "udp6", "dns_packet", "raw", "packet", "netlink"):
        assert found[name][1:] in (["shut", "empty_namespace"], ["shut", ""]), name
    assert found["udp"][0] in ("ENETUNREACH", "EADDRNOTAVAIL", "ENETDOWN")
    assert found["network_namespace"][1] == found["routes"][1] == "shut"
    assert found["seccomp"][1] == "open"


def test_without_a_seal_nobody_calls_the_hub(monkeypatch):
    """A packet to prove that packets can go would be the one that we promise never to send."""
    monkeypatch.setattr(libraries_tried.subprocess, "run", None)
    finding = libraries_tried._hub(sockets_open=True)
    assert (finding.verdict, finding.code) == ("open", "sockets_open")


def test_a_hub_process_that_fails_is_no_proof(monkeypatch):
    monkeypatch.setattr(libraries_tried.hub, "__name__", "no.such.module")
    finding = libraries_tried._hub(sockets_open=False)
    assert finding.verdict == "unknown"


def test_the_word_of_a_chain_of_errors():
    outer = RuntimeError("while asking")
    outer.__cause__ = socket.gaierror(socket.EAI_AGAIN, "text")
    assert hub.root_of(outer) == "EAI_AGAIN"
    assert hub.root_of(PermissionError(1, "no")) == "EPERM"
    assert hub.root_of(ValueError("some text")) == "ValueError"


def test_a_resolver_that_answers_over_a_unix_socket_is_a_way_out(monkeypatch, tmp_path):
    """A filter on network sockets lets a process ask another daemon, which asks the world."""
    place = str(tmp_path / "resolve")
    monkeypatch.setattr(names_tried, "_RESOLVERS", {"resolver_varlink": place})
    monkeypatch.setattr(names_tried, "_BUS", tmp_path / "bus")
    monkeypatch.setattr(names_tried.socket, "getaddrinfo", _no_such_name)
    lookup, daemon, bus = names_tried.try_all(sockets_open=False)
    assert (lookup.verdict, lookup.said) == ("shut", "EAI_NONAME")  # the hosts file's answer: nobody else was there
    assert (daemon.verdict, daemon.said) == ("shut", "ENOENT")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()
        lookup, daemon, bus = names_tried.try_all(sockets_open=False)
    assert (daemon.verdict, daemon.code, daemon.said) == ("open", "resolver_socket", "ok")
    assert lookup.verdict == "open"  # the same words, and somebody who may have said them
    assert bus.verdict == "shut"
    lookup, daemon, _ = names_tried.try_all(sockets_open=True)
    assert (lookup.verdict, daemon.said) == ("open", "ECONNREFUSED")


def test_a_resolver_that_is_busy_is_not_taken_for_none(monkeypatch, tmp_path):
    """Its queue is full: a connection waits, and comes to nothing in time."""
    monkeypatch.setattr(names_tried, "LIMIT_S", 0.05)
    monkeypatch.setattr(names_tried, "_BUS", tmp_path / "bus")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(tmp_path / "bus"))
        listener.listen(0)
        first.connect(str(tmp_path / "bus"))
        assert names_tried._bus().verdict == "unknown"
        assert names_tried._daemon("resolver_nscd", str(tmp_path / "bus")).verdict == "unknown"


def test_the_bus_is_a_way_out_where_a_resolver_is_on_it(monkeypatch, tmp_path):
    monkeypatch.setattr(names_tried, "_BUS", tmp_path / "bus")
    monkeypatch.setattr(names_tried, "_BUS_SERVICES", tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "bus"))
        listener.listen()
        assert (names_tried._bus().verdict, names_tried._bus().said) == ("shut", "no resolver")
        (tmp_path / "org.freedesktop.resolve1.service").touch()
        assert (names_tried._bus().verdict, names_tried._bus().code) == ("open", "resolver_socket")


def test_a_lookup_that_does_not_end_is_waited_for_a_while_only(monkeypatch):
    import threading

    end = threading.Event()
    monkeypatch.setattr(names_tried, "LIMIT_S", 0.05)
    monkeypatch.setattr(names_tried.socket, "getaddrinfo", lambda *_: end.wait())
    finding = names_tried._lookup(False)
    end.set()
    assert (finding.verdict, finding.code) == ("open", "timeout")


def _no_such_name(*_: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

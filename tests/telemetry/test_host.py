"""Host figures and socket counts, on real processes and real sockets."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys

import psutil
import pytest

from medgemma_tui.telemetry import host

HOLDER = """
import os, socket, sys
kind = sys.argv[1]
if kind == "hidden":
    import ctypes
    from medgemma_tui.telemetry.host import inet_sockets
    os.setuid(65534)
    ctypes.CDLL(None).prctl(4, 0)  # PR_SET_DUMPABLE
    a_socket = socket.socket()
    print(os.stat("/proc/self/fd").st_uid, inet_sockets(os.getpid()), flush=True)
held = []
families = {"tcp": (2, 1), "udp6": (10, 2), "netlink": (16, 3), "unix": (1, 1), "packet": (17, 3)}
for name in sys.argv[2:]:
    held.append(socket.socket(*families[name]))
    if name == "unix":
        held.extend(socket.socketpair())
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder():
    """Starts a process that holds the named sockets, and ends it."""
    started = []

    def start(*names: str, **options) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, "plain", *names], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options
        )
        started.append(process)
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def test_the_first_sample_has_no_cpu_percentage_the_next_has():
    reader = host.HostReader()
    first = reader.read()
    assert first.cpu_percent is None
    second = reader.read()
    assert second.cpu_percent is not None
    assert 0 <= second.cpu_percent <= 100
    assert second.memory_total == psutil.virtual_memory().total
    assert 0 < second.memory_used < second.memory_total
    assert second.swap_total == psutil.swap_memory().total


def test_after_a_pause_the_cpu_percentage_is_not_an_old_average(monkeypatch):
    reader = host.HostReader()
    reader.read()
    now = host.time.monotonic()
    monkeypatch.setattr(host.time, "monotonic", lambda: now + 60)
    assert reader.read().cpu_percent is None


@pytest.mark.parametrize(
    ("names", "count"), [((), 0), (("unix",), 0), (("tcp",), 1), (("udp6",), 1), (("netlink", "unix", "tcp"), 2)]
)
def test_sockets_other_than_unix_are_counted(holder, names, count):
    assert host.inet_sockets(holder(*names).pid) == count


def test_a_listener_opened_later_is_seen():
    before = host.inet_sockets(os.getpid())
    with socket.create_server(("127.0.0.1", 0)):
        assert host.inet_sockets(os.getpid()) == before + 1
    assert host.inet_sockets(os.getpid()) == before


def test_raw_packet_sockets_are_counted(holder):
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    except PermissionError:
        pytest.skip("packet sockets need CAP_NET_RAW")
    assert host.inet_sockets(holder("packet").pid) == 1


def test_a_process_in_its_own_network_namespace_holds_our_unix_socket(holder):
    """The worker's end of a socket pair is listed in the namespace that made it, not in the worker's."""
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("network namespaces cannot be made here")
    libc = ctypes.CDLL(None)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = holder("tcp", pass_fds=[theirs.fileno()], preexec_fn=lambda: libc.unshare(0x40000000))
        assert os.readlink(f"/proc/{process.pid}/ns/net") != os.readlink("/proc/self/ns/net")
        assert host.inet_sockets(process.pid) == 1


def test_a_process_that_is_gone_or_not_ours_is_not_zero():
    assert host.inet_sockets(2**22 + 1) is None
    assert host.rss(2**22 + 1) is None
    assert host.process_facts(2**22 + 1) == (None, None)


def test_an_undumpable_process_counts_its_own_sockets():
    """The worker is not dumpable: it can read its own files, whoever else cannot."""
    if os.getuid() != 0:
        pytest.skip("needs root to give up root")
    done = subprocess.run(
        [sys.executable, "-c", HOLDER, "hidden"], input=b"", stdout=subprocess.PIPE, check=True, timeout=30
    )
    assert done.stdout == b"0 1\nready\n"  # the folder is root's, and yet


def test_rss_is_that_of_the_process():
    assert host.rss(os.getpid()) == pytest.approx(psutil.Process().memory_info().rss, rel=0.05)


def test_the_count_is_cheap_enough_for_every_second():
    """On this machine's own table of Unix sockets, with a few hundred more."""
    pairs = [socket.socketpair() for _ in range(200)]
    try:
        started = host.time.process_time()
        for _ in range(10):
            host.inet_sockets(os.getpid())
        assert (host.time.process_time() - started) / 10 < 0.1
    finally:
        for pair in pairs:
            for end in pair:
                end.close()

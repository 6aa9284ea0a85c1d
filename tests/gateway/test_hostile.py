"""Clients that send nonsense, too much, too slowly, or do not read get an error or the door, and nobody else waits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import psutil
import pytest
from gateway_running import Engine, Running, client, short_directory, wait_for

from medgemma_tui import http_errors
from medgemma_tui.gateway.door import CONNECTIONS, CONNECTIONS_PER_USER, OUTSIDERS, Door
from medgemma_tui.gateway.incidents import Incidents
from medgemma_tui.gateway.peers import Peer
from medgemma_tui.gateway.roles import Group, Policy, Role

FUZZER = Path(__file__).with_name("fuzzer.py")
USERS, HOSTILE = 47110, 48999  # a group and a user that no system has
SHORT = (
    "import medgemma_tui.gateway.connection as c; c.HEADERS_S = c.STALL_S = 0.5; c.IDLE_S = 1; "
    "import medgemma_tui.gateway.telemetry_stream as t; see = t.sample_for; "
    "t.sample_for = lambda peer, sample: see(peer, sample.model_copy(update={'driver_version': 'x' * 200_000}))"
)
"""A gateway with little patience, and so much telemetry that a buffer is soon full."""


def served(**settings):
    """A gateway for the group before a stub engine."""
    directory = short_directory()
    directory.chmod(0o755)
    engine = Engine(directory)
    gateway = Running(
        engine_socket=engine.socket, directory=directory, audit_dir=directory / "audit", users_group=USERS,
        telemetry_interval_s=0.2, **settings,
    )  # fmt: skip
    try:
        yield SimpleNamespace(gateway=gateway.ready(), engine=engine)
    finally:
        gateway.stop()
        engine.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def patient():
    """A gateway as it is."""
    yield from served(session_max_bytes=1024 * 1024)


@pytest.fixture(scope="module")
def hasty():
    """A gateway whose times are short."""
    yield from served(patch=SHORT)


@contextlib.contextmanager
def connected(gateway):
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(20)
        raw.connect(str(gateway.socket))
        yield raw


def everything(raw) -> bytes:
    """What comes until the gateway ends the connection."""
    reply = b""
    with contextlib.suppress(ConnectionError):
        while piece := raw.recv(65536):
            reply += piece
    return reply


def error_of(reply: bytes) -> tuple[int, str]:
    """Status and code of an error reply, which must be OpenAI's object in JSON."""
    head, _, body = reply.partition(b"\r\n\r\n")
    assert b"application/json" in head, reply[:300]
    error = json.loads(body)["error"]
    assert error["type"]
    assert error["message"]
    return int(head.split()[1]), error["code"]


def records(gateway, event):
    return {record["outcome"] for record in gateway.records(event)}


# --- requests that are wrong ---

CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
WRONG = {
    "no request": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "malformed_request"),
    "no method": (b"/health HTTP/1.1\r\n\r\n", 400, "malformed_request"),
    "a version that is not there": (b"GET /health HTTP/7.1\r\n\r\n", 400, "malformed_request"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "malformed_request"),
    "a tunnel": (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "malformed_request"),
    "a target that is no UTF-8": (b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", 400, "malformed_request"),
    "a header without a name": (b"GET /health HTTP/1.1\r\n: x\r\n\r\n", 400, "malformed_request"),
    "a null byte in a header": (b"GET /health HTTP/1.1\r\nX: a\0b\r\n\r\n", 400, "malformed_request"),
    "two lengths": (CHAT + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, "malformed_request"),
    "a length and chunks": (
        CHAT + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400, "malformed_request",
    ),
    "a negative length": (CHAT + b"Content-Length: -2\r\n\r\n{}", 400, "malformed_request"),
    "an absurd length": (CHAT + b"Content-Length: 99999999999999999999999\r\n\r\n{}", 400, "malformed_request"),
    "a huge length": (CHAT + b"Content-Length: 99999999999999\r\n\r\n{}", 413, "body_too_large"),
    "chunks that are none": (CHAT + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "malformed_request"),
    "a chunk that overflows": (
        CHAT + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400, "malformed_request",
    ),
    "endless trailers": (
        CHAT + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + b"A: b\r\n" * 20_000, 431, "headers_too_large",
    ),
    "an endless trailer": (
        CHAT + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nA: " + b"b" * 600_000, 431, "headers_too_large",
    ),
    "an endless header": (b"GET /health HTTP/1.1\r\nX: " + b"y" * 600_000, 431, "headers_too_large"),
    "an endless name": (b"GET /health HTTP/1.1\r\n" + b"y" * 600_000, 431, "headers_too_large"),
    "an endless target": (b"GET /" + b"y" * 600_000, 431, "headers_too_large"),
    "endless empty lines": (b"\r\n" * 300_000, 431, "headers_too_large"),
    "an endless chunk extension": (
        CHAT + b"Transfer-Encoding: chunked\r\n\r\n2;" + b"e" * 600_000, 431, "headers_too_large",
    ),
    "no JSON": (CHAT + b"Content-Length: 3\r\n\r\n\xff\0{", 400, "invalid_json"),
    "a place that is not there": (b"GET /%00%ff/../x HTTP/1.1\r\nConnection: close\r\n\r\n", 404, "not_found"),
    "a method that is not there": (b"TRACE /health HTTP/1.1\r\nConnection: close\r\n\r\n", 405, "method_not_allowed"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_in_json_and_the_connection_ends(patient, name):
    sent, status, code = WRONG[name]
    if b"\r\n\r\n{}" in sent or code == "invalid_json":
        sent = sent.replace(b"Host: x\r\n", b"Host: x\r\nConnection: close\r\n", 1)
    with connected(patient.gateway) as raw:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not be read to its end
            raw.sendall(sent)
        assert error_of(everything(raw)) == (status, code)
    assert patient.gateway.http.get("/health").status_code == 200


def test_an_upgrade_is_answered_as_if_it_had_not_been_asked(patient):
    for protocol in (b"websocket", b"h2c"):
        with connected(patient.gateway) as raw:
            upgrade = b"Connection: Upgrade\r\nUpgrade: " + protocol
            raw.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n" + upgrade + b"\r\n\r\n" + b"\0" * 100)
            reply = everything(raw)
        assert reply.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in reply


def test_some_requests_may_wait_behind_one_but_not_any_number(patient):
    one = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    with connected(patient.gateway) as raw:
        raw.sendall(one * 8 + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert everything(raw).count(b"HTTP/1.1 200 ") == 9
    with connected(patient.gateway) as raw:
        raw.sendall(one * 2000)
        assert everything(raw).count(b"HTTP/1.1 200 ") < 10
    assert "too_many_calls" in records(patient.gateway, "dropped")


def test_who_leaves_while_another_request_waits_behind_has_left(patient):
    """A reply that nobody reads any more is stopped, although it is not the connection's newest request."""
    body = json.dumps({"messages": [{"role": "user", "content": "n=100000 pause=0.01"}], "stream": True}).encode()
    with connected(patient.gateway) as raw:
        raw.sendall(CHAT + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        raw.recv(100)
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: patient.engine.seen()["active"] == 1, what="the reply")
        cancelled = patient.engine.seen()["cancelled"]
    wait_for(lambda: patient.engine.seen()["cancelled"] == cancelled + 1, what="its end")
    assert " ERROR " not in patient.gateway.log.read_text()


def test_a_body_of_nothing_but_commas_is_not_taken_apart(patient):
    heads = (b'{"messages":[', b'{"messages":[{"role":"user","content":[', b'{"x":[', b'{"payload":"x","y":[')
    for head, unit in zip(heads, (b"1,", b"{},", b"[],", b'"",'), strict=True):
        began = time.monotonic()
        with client(patient.gateway.socket) as http:
            body = head + unit * (4_000_000 // len(unit))
            reply = http.post("/v1/chat/completions", content=body)
        assert (reply.status_code, reply.json()["error"]["code"]) == (413, "too_many_parts")
        assert time.monotonic() - began < 10  # it was 38 s, in which nobody else was served
    many = b'{"messages":[' + b"1," * 15_000 + b"1]}"
    reply = patient.gateway.http.post("/v1/chat/completions", content=many)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "too_many_faults")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('{"a":"b,[{","c":[1,2,{}]}', 9),
        (r'["\"","\\",",\\\",",3]', 7),
        ('["' + r"\"" * 50, 2),
        ('""' * 20, 20),
        ("[" * 20, 20),
        ("\\", 0),
        ('"\\', 1),
    ],
)
def test_the_parts_of_a_json_text_are_counted_outside_its_strings(monkeypatch, text, parts):
    monkeypatch.setattr(http_errors, "MAX_PARTS", parts)
    assert http_errors._few_parts(text.encode())
    monkeypatch.setattr(http_errors, "MAX_PARTS", parts - 1)
    assert parts == 0 or not http_errors._few_parts(text.encode())


def test_text_with_any_number_of_commas_and_quotes_is_text(patient):
    for text in ("a,b,[{" * 20_000, '"' * 60_000, "血,\\" * 20_000):
        assert patient.gateway.ask(f"n=1 {text}").status_code == 200


def test_one_users_bodies_are_so_many_bytes_at_once(patient):
    head = CHAT + b"Content-Length: 4194304\r\n\r\n"
    with contextlib.ExitStack() as stack:
        for _ in range(4):  # announced, and kept waiting
            raw = stack.enter_context(connected(patient.gateway))
            raw.sendall(head + b"{")
        wait_for(lambda: patient.gateway.ask("n=1").status_code == 429, what="the limit")
        assert patient.gateway.ask("n=1").json()["error"]["code"] == "too_many_bytes"
        assert patient.gateway.http.get("/health").status_code == 200
    wait_for(lambda: patient.gateway.ask("n=1").status_code == 200, what="an end of the limit")


# --- clients that take their time ---


@pytest.mark.parametrize(
    ("before", "sent"),
    [
        (b"", b"G"),
        (b"", b"GET /health HTTP/1.1\r\nHost: x\r\nX: y"),
        (b"", b"\r\n"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /health HTTP/1.1\r\n"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n"),
    ],
)
def test_headers_that_do_not_become_whole(hasty, before, sent):
    with connected(hasty.gateway) as raw:
        if before:
            raw.sendall(before)
            assert raw.recv(65536).startswith(b"HTTP/1.1 200 ")
        raw.sendall(sent)
        assert error_of(everything(raw)) == (408, "headers_timeout")
    assert "headers_timeout" in records(hasty.gateway, "dropped")


def test_headers_that_trickle_in_have_no_more_time_than_others(hasty):
    with connected(hasty.gateway) as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\n")
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 200:  # ten seconds
                raw.sendall(b"X: y\r\n")
                sent += 1
                time.sleep(0.05)
        assert sent < 200
        assert error_of(everything(raw)) == (408, "headers_timeout")


def test_a_connection_on_which_nothing_comes_is_closed(hasty):
    with connected(hasty.gateway) as raw:
        assert everything(raw) == b""


def test_half_headers_behind_a_running_reply_wait_for_its_end(hasty):
    body = json.dumps({"messages": [{"role": "user", "content": "n=100 pause=0.01"}], "stream": True}).encode()
    with connected(hasty.gateway) as raw:
        raw.sendall(CHAT + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        raw.sendall(b"GET /he")
        reply = everything(raw)
    assert b"data: [DONE]" in reply  # longer than the headers' time
    assert error_of(reply[reply.rindex(b"HTTP/1.1") :]) == (408, "headers_timeout")


@pytest.mark.parametrize("what", ["telemetry", "a whole reply"])
def test_who_does_not_read_is_dropped(hasty, what):
    if what == "telemetry":
        target = "/v1/telemetry"
    else:
        target = "/v1/session"
        assert hasty.gateway.http.put(target, json={"payload": "x" * 1_500_000}).status_code == 204
    with connected(hasty.gateway) as raw:
        raw.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        raw.recv(1000)
        with connected(hasty.gateway) as other:  # beside it
            other.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert everything(other).startswith(b"HTTP/1.1 200 ")
        wait_for(lambda: lost(raw), what="the end")
    assert "slow_reader" in records(hasty.gateway, "dropped")


def lost(raw) -> bool:
    """Whether the other end is gone, without reading what it had sent."""
    try:
        raw.send(b"\r\n", socket.MSG_DONTWAIT)
    except (BrokenPipeError, ConnectionResetError):
        return True
    except BlockingIOError:
        pass
    return False


# --- too much of everything ---


class Line:
    """A connection as the door sees it."""

    def __init__(self, door, uid, *, idle=True):
        member = frozenset({Role.USERS}) if uid != 0 else frozenset()
        self.peer = Peer(1, uid, 0, frozenset(), 1, lambda: None, member)
        self.door, self.idle, self.open = door, idle, True
        door.come(self)

    def drop(self):
        self.open = False
        self.door.leave(self)


@pytest.fixture
async def door():
    """A door, on a loop that has a clock for its incidents."""
    door = Door(Policy(1, {Role.USERS: Group(5, "g")}), Incidents(), calls_per_user=3)
    yield door
    door.incidents.stop()


async def test_a_user_has_so_many_connections(door):
    mine = [Line(door, 7) for _ in range(CONNECTIONS_PER_USER + 5)]
    assert sum(line.open for line in mine) == CONNECTIONS_PER_USER
    assert Line(door, 8).open


async def test_outsiders_have_few_connections_together(door):
    outside = [Line(door, 0) for _ in range(OUTSIDERS + 5)]
    assert sum(line.open for line in outside) == OUTSIDERS
    assert Line(door, 8).open


async def test_when_all_connections_are_taken_who_has_most_loses_an_idle_one(door):
    held = {uid: [Line(door, uid, idle=index > 2) for index in range(CONNECTIONS_PER_USER)] for uid in (1, 2, 3)}
    held[4] = [Line(door, 4) for _ in range(CONNECTIONS - 3 * CONNECTIONS_PER_USER)]
    few = [Line(door, 5) for _ in range(20)]
    assert all(line.open for line in few)
    assert len(door.connections) == CONNECTIONS
    lost = [line for lines in held.values() for line in lines if not line.open]
    assert len(lost) == 20
    assert all(line.idle for line in lost)


async def test_a_user_has_so_many_calls(door):
    peer = Line(door, 7).peer
    for _ in range(3):
        assert door.refusal(peer) is None
        door.begin(peer)
    assert (door.refusal(peer).status, door.refusal(peer).code) == (429, "too_many_calls")
    assert door.refusal(Line(door, 8).peer) is None
    door.end(peer, 0)
    assert door.refusal(peer) is None


async def test_what_happens_often_is_counted_and_told_once(door, monkeypatch):
    told = []
    incidents = Incidents(told.append)
    peer = Line(door, 7).peer
    monkeypatch.setattr("medgemma_tui.gateway.incidents.QUIET_S", 0.05)
    for _ in range(1000):
        incidents.note("refused", "role_needed", peer)
    incidents.note("refused", "peer_not_allowed", peer)
    assert [(incident.reason, incident.count) for incident in told] == [("role_needed", 1), ("peer_not_allowed", 1)]
    async with asyncio.timeout(10):
        while len(told) < 3:  # noqa: ASYNC110 - the minute's end has no event
            await asyncio.sleep(0.01)
    assert (told[2].reason, told[2].count) == ("role_needed", 999)
    incidents.note("refused", "role_needed", peer)
    incidents.stop()
    assert sum(incident.count for incident in told) == 1002


# --- everything at once ---


@pytest.mark.timeout(300)
def test_ten_thousand_hostile_requests_and_one_who_is_served_meanwhile(patient):
    """Beside 64 hostile connections, nobody waits for a second, nothing breaks, and no memory is lost."""
    seed = int(os.environ.get("FUZZ_SEED", "20260"))
    print(f"seed {seed}: set FUZZ_SEED for another")
    gateway = patient.gateway
    uid, gid = (HOSTILE, USERS) if os.geteuid() == 0 else (os.geteuid(), os.getegid())

    def attack(seed, count):
        arguments = [str(gateway.socket), str(seed), str(count), "64", str(uid), str(gid)]
        return subprocess.Popen([sys.executable, "-I", str(FUZZER), *arguments], stdout=subprocess.PIPE, text=True)

    with attack(seed + 1, 1500) as warm:
        warm.communicate()
    process = psutil.Process(gateway.process.pid)
    before = process.memory_info().rss
    waits = {"health": [], "question": []}
    refused = []
    stop = threading.Event()

    def well_behaved(name, call):
        with client(gateway.socket) as http:
            while not stop.is_set():
                began = time.monotonic()
                try:
                    reply = call(http)
                except httpx.HTTPError as error:
                    refused.append(repr(error))
                    return
                waits[name].append(time.monotonic() - began)
                if reply.status_code != 200:
                    refused.append(reply.text)
                stop.wait(0.02)

    question = {"messages": [{"role": "user", "content": "n=2"}]}
    calls = [
        threading.Thread(target=well_behaved, args=("health", lambda http: http.get("/health"))),
        threading.Thread(
            target=well_behaved, args=("question", lambda http: http.post("/v1/chat/completions", json=question))
        ),
    ]
    for call in calls:
        call.start()
    with attack(seed, 10_000) as attacking:
        told = json.loads(attacking.communicate()[0])
    stop.set()
    for call in calls:
        call.join()
    print(told["statuses"], {name: f"{max(each):.3f} s of {len(each)}" for name, each in waits.items()})
    assert refused == []
    assert told["faults"] == []
    assert sum(told["statuses"].values()) == 10_000
    assert told["statuses"]["400"] > 1000
    assert told["statuses"]["200"] > 300
    for name, each in waits.items():
        assert len(each) > 20, name
        assert max(each) < 1.0, name
    grew = process.memory_info().rss - before
    assert grew < 20_000_000, f"{grew / 1e6:.1f} MB"
    assert gateway.process.poll() is None
    log = gateway.log.read_text()
    assert "Traceback" not in log
    assert " ERROR " not in log
    wait_for(lambda: patient.engine.seen()["active"] == 0, what="the end of what nobody reads")

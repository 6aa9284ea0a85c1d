"""Chat over the gateway's socket, before an engine that does as it is told."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time

import httpx
import psutil
import pytest
from gateway_running import Running, client, events, wait_for

from medgemma_tui.protocol import MAX_BODY_BYTES

QUESTION = [{"role": "user", "content": "n=1"}]


def chunks(response):
    return [json.loads(data) for data in events(response) if data != "[DONE]"]


def quiet(stubbed):
    """Nothing in flight."""
    wait_for(lambda: stubbed.engine.seen()["active"] == 0, what="a quiet engine")
    wait_for(lambda: stubbed.gateway.metrics()[("medgemma_requests_active", ())] == 0, what="a quiet gateway")


def test_a_stream_is_passed_on_without_our_extensions(stubbed):
    with stubbed.gateway.stream("n=3") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = list(events(response))
    assert lines[-1] == "[DONE]"
    got = [json.loads(line) for line in lines[:-1]]
    assert all(chunk["choices"] for chunk in got)  # neither progress nor a chunk of usage alone
    assert [chunk["choices"][0]["delta"].get("content") for chunk in got] == [None, "w0 ", "w1 ", "w2 ", None]
    assert got[0]["choices"][0]["delta"]["reasoning"] == "why"
    assert got[-1]["choices"][0]["finish_reason"] == "stop"


def test_usage_comes_when_it_is_asked_for(stubbed):
    with stubbed.gateway.stream("n=3", stream_options={"include_usage": True}) as response:
        got = chunks(response)
    assert got[-1]["choices"] == []
    assert got[-1]["usage"]["completion_tokens"] == 3
    assert not any("progress" in chunk for chunk in got)


def test_wait_brings_progress_and_usage(stubbed):
    with stubbed.gateway.stream("n=1", wait=True) as response:
        got = chunks(response)
    assert got[0]["progress"] == {"phase": "prefill", "percent": 50}
    assert got[-1]["usage"]["total_tokens"] == 8


def test_another_engine_gets_none_of_our_fields_and_its_reasoning_is_renamed(stubbed):
    fields = {"thinking": "force", "thinking_budget": 9, "sections": ["A"], "wait": True, "temperature": 0.5, "seed": 3}
    with stubbed.gateway.stream("n=1 old", **fields) as response:
        got = chunks(response)
    sent = stubbed.engine.seen()["chats"][-1]
    assert sent == {
        "messages": [{"role": "user", "content": "n=1 old"}],
        "stream": True, "stream_options": {"include_usage": True}, "temperature": 0.5, "seed": 3,
    }  # fmt: skip
    deltas = [chunk["choices"][0]["delta"] for chunk in got if chunk["choices"]]
    assert deltas[0] == {"role": "assistant", "reasoning": "why"}
    whole = stubbed.gateway.ask("n=2").json()
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": "word word ", "reasoning": "why"}


def test_the_owner_is_the_kernels_word_and_an_odd_session_is_hashed(stubbed):
    headers = {"X-Medgemma-Owner": "1000:victim", "X-Medgemma-Session": "ab-1.\t:0:/x" + "y" * 100}
    stubbed.gateway.ask("n=1", headers=headers)
    owner = stubbed.engine.seen()["owners"][-1]
    uid, _, key = owner.partition(":")
    assert uid == str(os.getuid())
    assert re.fullmatch(r"h\.[0-9a-f]{32}", key)
    stubbed.gateway.ask("n=1")
    stubbed.gateway.ask("n=1")
    with client(stubbed.gateway.socket) as other:
        other.post("/v1/chat/completions", json={"messages": QUESTION})
    *_, first, second, third = stubbed.engine.seen()["owners"]
    assert first == second  # one connection
    assert first.startswith(f"{uid}:c.")
    assert third not in (first, owner)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": QUESTION, "temprature": 1}, "temprature"),
        ({"messages": QUESTION, "foo[bar]": 1}, "foo[bar]"),
        ({"messages": QUESTION, "f(x)": 1}, "f(x)"),
        ({"messages": QUESTION, "str": 1}, "str"),
        ({"messages": QUESTION, "temperature": 9}, "temperature"),
        ({"messages": QUESTION, "max_tokens": 0}, "max_tokens"),
        ({"messages": QUESTION, "thinking": "hard"}, "thinking"),
        ({"messages": QUESTION, "sections": [""]}, "sections.0"),
        ({"messages": QUESTION, "n": 2}, "n"),
        ({"messages": QUESTION, "response_format": {"type": "json_schema"}}, "response_format"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "messages"),
        ({"messages": [*QUESTION, *QUESTION]}, "messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
    ],
)
def test_a_bad_body_gets_400_that_names_the_field(stubbed, body, param):
    response = stubbed.gateway.http.post("/v1/chat/completions", json=body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["param"].startswith(param)
    assert error["message"]
    assert error["code"]


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b'{"messages": NaN}'])
def test_what_is_not_a_json_object_gets_400(stubbed, body):
    response = stubbed.gateway.http.post("/v1/chat/completions", content=body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_an_error_never_quotes_what_was_asked(stubbed):
    text = "王小明 HIV positive"
    response = stubbed.gateway.http.post("/v1/chat/completions", json={"messages": [{"role": text, "content": 3}]})
    assert response.status_code == 400
    assert "王" not in response.text
    assert "HIV" not in response.text
    assert "HIV" not in stubbed.gateway.log.read_text()


def test_a_body_that_is_too_large_gets_413(stubbed):
    big = json.dumps({"messages": [{"role": "user", "content": "x" * MAX_BODY_BYTES}]}).encode()
    response = stubbed.gateway.http.post("/v1/chat/completions", content=big)
    assert response.status_code == 413
    assert response.json()["error"]["type"] == "too_large"


def test_a_body_that_is_too_large_is_refused_while_it_is_read(stubbed):
    """Chunked, so its length is not told; and it never ends, so only a reader that gives up can answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(stubbed.gateway.socket))
        connection.settimeout(20)
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(MAX_BODY_BYTES // 0x10000 + 2):
            connection.sendall(piece)
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")


def test_headers_are_bounded(stubbed):
    response = stubbed.gateway.http.get("/health", headers={"X-Much": "x" * 40_000})
    assert response.status_code == 431
    response = stubbed.gateway.http.get("/health?" + "x" * 40_000)
    assert response.status_code == 431


def test_unknown_places_and_methods(stubbed):
    response = stubbed.gateway.http.get("/v1/completions")
    assert (response.status_code, response.json()["error"]["type"]) == (404, "not_found")
    response = stubbed.gateway.http.get("/v1/chat/completions")
    assert (response.status_code, response.json()["error"]["type"]) == (405, "method_not_allowed")


@pytest.mark.parametrize("stream", [False, True])
def test_the_engines_own_refusal_keeps_its_status_and_words(stubbed, stream):
    if stream:
        with stubbed.gateway.stream("refuse=413") as response:
            response.read()
    else:
        # the stub looks at its script before the kind of reply
        response = stubbed.gateway.ask("refuse=413")
    assert response.status_code == 413
    error = response.json()["error"]
    assert (error["type"], error["code"]) == ("too_large", "context_length_exceeded")


def test_a_full_queue_gets_429_with_position_and_retry_after(stubbed):
    """Two places and a queue of three: the sixth is refused, and works when somebody has left."""
    quiet(stubbed)
    streams = [stubbed.gateway.stream("n=2000 pause=0.02", wait=True) for _ in range(5)]
    opened = [stream.__enter__() for stream in streams]
    lines = [events(response) for response in opened]  # kept: dropping one hangs up
    waiting = [json.loads(next(each))["progress"] for each in lines[2:]]
    assert waiting == [{"phase": "queued", "position": position} for position in (1, 2, 3)]
    response = stubbed.gateway.ask("n=1")
    assert response.status_code == 429
    error = response.json()["error"]
    assert (error["type"], error["position"]) == ("queue_full", 4)
    assert int(response.headers["Retry-After"]) >= 1
    assert stubbed.gateway.metrics()[("medgemma_queue_waiting", ())] == 3
    for stream in streams[:4]:
        stream.__exit__(None, None, None)
    wait_for(lambda: stubbed.gateway.metrics()[("medgemma_queue_waiting", ())] == 0, 10, what="an empty queue")
    assert stubbed.gateway.ask("n=1").status_code == 200
    streams[4].__exit__(None, None, None)
    quiet(stubbed)


def test_a_client_that_leaves_ends_the_engines_work_at_once(stubbed):
    quiet(stubbed)
    before = stubbed.engine.seen()["cancelled"]
    counted = stubbed.gateway.metrics().get(("medgemma_requests_total", ("cancelled",)), 0)
    with stubbed.gateway.stream("n=5000 pause=0.01") as response:
        lines = events(response)
        for _ in range(5):
            next(lines)
        left = time.monotonic()
    wait_for(lambda: stubbed.engine.seen()["cancelled"] == before + 1, 10, what="the cancellation")
    assert time.monotonic() - left < 5  # of the fifty that the stream would take
    quiet(stubbed)
    assert stubbed.gateway.metrics()[("medgemma_requests_total", ("cancelled",))] == counted + 1


def test_a_client_that_leaves_a_whole_reply_ends_it_too(stubbed):
    quiet(stubbed)
    with pytest.raises(httpx.ReadTimeout):
        stubbed.gateway.ask("n=5000 pause=0.01", timeout=0.3)
    wait_for(lambda: stubbed.gateway.metrics()[("medgemma_requests_active", ())] == 0, 10, what="a free place")


def test_a_client_that_leaves_the_queue_leaves_it(stubbed):
    quiet(stubbed)
    with stubbed.gateway.stream("n=5000 pause=0.01"), stubbed.gateway.stream("n=5000 pause=0.01"):
        with stubbed.gateway.stream("n=1", wait=True) as third:
            lines = events(third)  # kept: dropping it hangs up
            next(lines)
            assert stubbed.gateway.metrics()[("medgemma_queue_waiting", ())] == 1
        wait_for(lambda: stubbed.gateway.metrics()[("medgemma_queue_waiting", ())] == 0, 10, what="an empty queue")
    quiet(stubbed)


def test_a_slow_reader_does_not_grow_the_gateway(stubbed):
    """64 MB for a client that reads none of them: the engine is held back, and memory stays."""
    quiet(stubbed)
    process = psutil.Process(stubbed.gateway.process.pid)
    before = process.memory_info().rss
    with stubbed.gateway.stream("n=64000 big"):

        def stands_still():
            written = stubbed.engine.seen()["written"]
            time.sleep(0.5)
            return written and stubbed.engine.seen()["written"] == written

        wait_for(stands_still, what="an engine that is held back")
        assert stubbed.engine.seen()["written"] < 8000
        assert process.memory_info().rss - before < 16 * 2**20
        assert stubbed.gateway.ask("n=1").status_code == 200  # others go on
    quiet(stubbed)


def test_a_client_that_does_not_read_at_all_loses_its_place_in_time(stubbed):
    """On a gateway whose patience is half a second."""
    quiet(stubbed)
    patch = "import medgemma_tui.gateway.chat as chat; chat.STALL_S = 0.5"
    gateway = Running(engine_socket=stubbed.engine.socket, slots=1, patch=patch).ready()
    try:
        since = wait_for(lambda: gateway.health().get("audit"), what="the audit log's first record")["seq"]
        with gateway.stream("n=64000 big") as stalled:
            began = time.monotonic()
            assert gateway.ask("n=1").status_code == 200  # as soon as the place is free
            assert 0.2 < time.monotonic() - began < 20
            with pytest.raises(httpx.TransportError):
                stalled.read()
        assert gateway.metrics()[("medgemma_requests_total", ("cancelled",))] == 1
        told = {(record["event"], record["outcome"]) for record in gateway.records(since=since)}
        assert told >= {("answer", "dropped"), ("dropped", "slow_reader")}
    finally:
        gateway.stop()
    quiet(stubbed)


def test_a_client_that_waits_is_told_that_the_gateway_lives(stubbed):
    """On a gateway with a fast pulse: while a question waits, and while its engine is silent."""
    quiet(stubbed)
    patch = "import medgemma_tui.gateway.chat as chat; chat.BEAT_S = 0.1"
    gateway = Running(engine_socket=stubbed.engine.socket, slots=1, patch=patch).ready()
    try:
        with gateway.stream("n=3 pause=0.5") as first, client(gateway.socket) as other:
            body = {"messages": [{"role": "user", "content": "n=2 pause=0.5"}], "stream": True, "wait": True}
            with other.stream("POST", "/v1/chat/completions", json=body, timeout=60) as waiting:
                lines = [line for line in waiting.iter_lines() if line]
            assert ": waiting" not in first.read().decode()  # another client may not know what a comment is
        beats = [index for index, line in enumerate(lines) if line == ": waiting"]
        text = [index for index, line in enumerate(lines) if '"content"' in line]
        assert beats[0] < text[0]
        assert any(text[0] < beat < text[-1] for beat in beats)
        assert lines[-1] == "data: [DONE]"
        assert " ERROR " not in gateway.log.read_text()
    finally:
        gateway.stop()


def test_nobody_can_take_all_the_connections(stubbed):
    opened = []
    try:
        for _ in range(110):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(stubbed.gateway.socket))
            opened.append(connection)
        assert dropped(opened[-1])
        assert not dropped(opened[0])
    finally:
        for connection in opened:
            connection.close()
    with client(stubbed.gateway.socket) as http:
        wait_for(lambda: answers(http), 5, what="a free connection")


def dropped(connection):
    connection.settimeout(1)
    try:
        return connection.recv(10) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def answers(http):
    try:
        return http.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def test_many_streams_at_once_are_each_whole(stubbed):
    quiet(stubbed)
    got = {}

    def read(number):
        with client(stubbed.gateway.socket) as http:
            body = {"messages": [{"role": "user", "content": "n=300"}], "stream": True, "wait": True}
            with http.stream("POST", "/v1/chat/completions", json=body) as response:
                got[number] = "".join(
                    chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks(response) if chunk["choices"]
                )

    threads = [threading.Thread(target=read, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = "".join(f"w{index} " for index in range(300))
    assert got == dict.fromkeys(range(5), whole)


@pytest.mark.parametrize("raw", ["{not-json", '{"choices":7}'])
def test_an_event_that_makes_no_sense_ends_the_stream_with_an_error(stubbed, raw):
    with stubbed.gateway.stream(f"n=1 raw={raw}") as response:
        lines = list(events(response))
    assert json.loads(lines[-1])["error"]["type"] == "worker_lost"


def test_an_engines_error_event_ends_the_stream(stubbed):
    with stubbed.gateway.stream('n=1 raw={"error":{"type":"boom","message":"m"}}') as response:
        lines = list(events(response))
    assert json.loads(lines[-1]) == {"error": {"type": "boom", "message": "m", "code": "boom"}}


def test_an_engine_that_dies_is_told_in_the_stream_and_in_health(stubbed):
    """On an engine and a gateway of their own, as the engine dies."""
    from gateway_running import Engine, short_directory

    directory = short_directory()
    engine = Engine(directory)
    gateway = Running(engine_socket=engine.socket, directory=directory).ready()
    try:
        with gateway.stream("n=9 pause=0.01 die=3") as response:
            lines = list(events(response))
        assert response.status_code == 200
        assert [json.loads(line)["choices"][0]["delta"].get("content") for line in lines[1:-1]] == ["w0 ", "w1 ", "w2 "]
        assert json.loads(lines[-1])["error"]["type"] == "worker_lost"
        wait_for(lambda: gateway.http.get("/health").status_code == 503, 5, what="an unready gateway")
        assert gateway.health()["reason"] == "worker_lost"
        for path in ("/v1/models", "/tokenize"):
            method = "GET" if path == "/v1/models" else "POST"
            response = gateway.http.request(method, path, json={"prompt": "x"} if method == "POST" else None)
            assert (response.status_code, response.json()["error"]["type"]) == (503, "worker_lost")
        response = gateway.ask("n=1")
        assert (response.status_code, response.json()["error"]["type"]) == (503, "worker_lost")
        assert response.headers["Retry-After"]
        engine.stop()
        engine.socket.unlink()
        engine = Engine(directory)
        assert gateway.ask("n=1", wait=True).status_code == 200
    finally:
        gateway.stop()
        engine.stop()


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/chat/completions"), ("POST", "/tokenize"), ("PUT", "/v1/session")]
)
def test_a_body_that_does_not_come_is_not_waited_for(stubbed, method, path):
    """On a gateway whose patience is half a second."""
    patch = "import medgemma_tui.http_errors as http_errors; http_errors.BODY_S = 0.5"
    gateway = Running(engine_socket=stubbed.engine.socket, patch=patch).ready()
    try:
        with socket.socket(socket.AF_UNIX) as half:
            half.settimeout(20)
            half.connect(str(gateway.socket))
            half.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
            reply = half.recv(65536)
        assert reply.startswith(b"HTTP/1.1 408 ")
    finally:
        gateway.stop()

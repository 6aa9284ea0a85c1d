"""The way to the engine: events cut from a byte stream, and engines that break it off in every place."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import pytest
from gateway_running import short_directory
from hypothesis import given
from hypothesis import strategies as st

from medgemma_tui.gateway.upstream import (
    MAX_REPLY_BYTES,
    Answer,
    EngineLost,
    EngineUnreachable,
    EventSplitter,
    Upstream,
)
from medgemma_tui.http_errors import ApiError
from medgemma_tui.protocol import ChatChunk, ChatMessage, ChatRequest, ErrorInfo

ASK = ChatRequest(messages=[ChatMessage(role="user", content="x")], stream=True)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


@contextlib.asynccontextmanager
async def engine(reply: bytes, *, hold: bool = False):
    """An engine that answers every request with these bytes and hangs up, or holds the line; and what it got."""
    got = []

    async def handle(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        got.append(head)
        writer.write(reply)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
            if hold:
                await reader.read()
                got.append(b"left")
        writer.close()

    directory = short_directory()
    server = await asyncio.start_unix_server(handle, directory / "e.sock")
    try:
        async with server:
            yield Upstream(directory / "e.sock"), got
    finally:
        (directory / "e.sock").unlink(missing_ok=True)
        directory.rmdir()


async def left(got: list[bytes]) -> None:
    """Wait until the engine has noticed that its line was hung up."""
    async with asyncio.timeout(20):
        while got[-1:] != [b"left"]:  # noqa: ASYNC110 - a list has no event
            await asyncio.sleep(0.01)


async def read(upstream: Upstream) -> list[bytes]:
    data = []
    async with upstream.events(ASK, "0:s.x") as reads:
        async for events in reads:
            data += [event.data for event in events]
    return data


async def test_a_whole_stream():
    reply = HEAD + chunked(b'data: {"choices":[]}\n\n', b": comment\n\ndata: [DONE]\n\n") + b"0\r\n\r\n"
    async with engine(reply) as (upstream, got):
        assert await read(upstream) == [b'{"choices":[]}']
    assert b"X-Medgemma-Owner: 0:s.x\r\n" in got[0]


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"nonsense\r\n\r\n",
        HEAD,
        HEAD + chunked(b'data: {"choices":[]}\n\n'),
        HEAD + chunked(b'data: {"choices":[]}\n\n') + b"zz\r\n",
        HEAD + chunked(b'data: {"choices":[]}\n\n') + b"0\r\n\r\n",  # whole HTTP, but no [DONE]
        HEAD + chunked(b"data: {}}\n\n"),
        HEAD + chunked(b"data: [1]\n\n"),
        HEAD + chunked(b"data: \xff\n\n"),
    ],
)
async def test_a_stream_that_breaks_anywhere_is_a_lost_engine(reply):
    async with engine(reply) as (upstream, _got):
        with pytest.raises(EngineLost):
            await read(upstream)


async def test_nobody_there(tmp_path):
    upstream = Upstream(tmp_path / "no.sock")
    with pytest.raises(EngineUnreachable):
        await read(upstream)
    with pytest.raises(EngineUnreachable):
        await upstream.call("GET", "/health")


async def test_a_refusal_keeps_its_words():
    body = json.dumps({"error": {"type": "queue_full", "message": "m", "code": 7, "position": 3}}).encode()
    reply = b"HTTP/1.1 429 X\r\nRetry-After: 9\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with engine(reply) as (upstream, _got):
        with pytest.raises(ApiError) as caught:
            await read(upstream)
    error = caught.value
    assert (error.status, error.type, error.code, error.position, error.retry_after_s) == (429, "queue_full", "7", 3, 9)


async def test_a_refusal_without_words():
    async with engine(b"HTTP/1.1 500 X\r\nContent-Length: 4\r\n\r\noops") as (upstream, _got):
        with pytest.raises(ApiError) as caught:
            await read(upstream)
    assert (caught.value.status, caught.value.type) == (500, "bad_reply")
    assert "oops" not in caught.value.message


async def test_no_answer_in_time():
    async with engine(b"", hold=True) as (upstream, got):
        with pytest.raises(EngineLost, match="in time"):
            await upstream.call("GET", "/health", timeout_s=0.1)
        await left(got)


async def test_leaving_hangs_up_at_once():
    async with engine(HEAD + chunked(b'data: {"choices":[]}\n\n'), hold=True) as (upstream, got):
        async with upstream.events(ASK, "") as reads:
            await anext(aiter(reads))
        await left(got)
        assert b"X-Medgemma-Owner" not in got[0]


async def test_a_100_continue_is_not_the_answer():
    reply = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    async with engine(reply) as (upstream, _got):
        assert (await upstream.call("GET", "/health")).body == b"{}"


async def test_a_reply_without_an_end_is_given_up():
    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(chunked(b"x" * 65536))
                await writer.drain()
        writer.close()

    directory = short_directory()
    async with await asyncio.start_unix_server(handle, directory / "e.sock"):
        upstream = Upstream(directory / "e.sock")
        with pytest.raises(EngineLost, match="too large"):
            await upstream.call("GET", "/v1/models")
        with pytest.raises(EngineLost, match="too large"):
            await read(upstream)
    (directory / "e.sock").unlink()
    directory.rmdir()


@given(
    events=st.lists(st.text(alphabet='ab {}"é\u2028', min_size=1), max_size=6),
    newline=st.sampled_from(["\n", "\r\n"]),
    cuts=st.lists(st.integers(1, 20), max_size=40),
    noise=st.sampled_from(["", ": ping", "event: message", "id: 1"]),
)
def test_events_do_not_depend_on_how_the_bytes_are_cut(events, newline, cuts, noise):
    stream = "".join(f"{noise}{newline}data: {event}{newline}{newline}" for event in events).encode()
    splitter, got = EventSplitter(), []
    for cut in cuts:
        got += splitter.feed(stream[:cut])
        stream = stream[cut:]
    got += splitter.feed(stream)
    assert [data.decode() for data in got] == events


def test_an_event_may_have_several_lines_and_must_not_be_endless():
    assert EventSplitter().feed(b"data: a\ndata:b\n\n") == [b"a\nb"]
    splitter = EventSplitter()
    for _ in range(MAX_REPLY_BYTES // 2**20):
        assert splitter.feed(b"x" * 2**20) == []
    with pytest.raises(EngineLost):
        splitter.feed(b"x")


@pytest.mark.parametrize(
    "body",
    [
        '{"choices":null,"usage":{"prompt_tokens":3,"completion_tokens":null,"prompt_tokens_details":null,'
        '"completion_tokens_details":null}}',
        '{"choices":[],"usage":{"prompt_tokens":3,"prompt_tokens_details":{"cached_tokens":null},'
        '"completion_tokens_details":{"reasoning_tokens":null}}}',
    ],
)
def test_nulls_of_another_engine_are_read(body):
    event = Upstream(Path("/x"), foreign=True).whole(Answer(200, body.encode()))
    assert event.usage is not None
    assert (event.usage.prompt_tokens, event.usage.completion_tokens) == (3, 0)
    assert event.usage.prompt_tokens_details.cached_tokens == 0
    chunk = ChatChunk.model_validate_json(body)
    assert chunk.choices == []
    assert chunk.usage == event.usage


def test_every_error_has_a_code():
    assert json.loads(ApiError(503, "worker_lost", "x").body())["error"]["code"] == "worker_lost"
    assert ErrorInfo(type="unreachable", message="x").code == "unreachable"

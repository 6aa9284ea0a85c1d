"""The one client of the gateway, against a real gateway, and against servers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from gateway_running import short_directory, wait_for

from medgemma_tui.client import Client, ServiceError
from medgemma_tui.protocol import ChatMessage, ChatRequest, SessionBody, TokenizeRequest


def ask(content: str, **fields) -> ChatRequest:
    return ChatRequest(messages=[ChatMessage(role="user", content=content)], **fields)


@pytest.fixture
async def client(gateway):
    async with Client(gateway.socket) as client:
        yield client


@contextlib.asynccontextmanager
async def server(reply: bytes):
    """A server that reads a request, sends these bytes, and hangs up."""

    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    directory = short_directory()
    running = await asyncio.start_unix_server(handle, directory / "s.sock")
    try:
        async with running, Client(directory / "s.sock") as client:
            yield client
    finally:
        (directory / "s.sock").unlink(missing_ok=True)
        directory.rmdir()


def response(body: str, status: str = "200 OK", kind: str = "application/json", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}Connection: close\r\n\r\n{body}".encode()


async def test_health_and_model(client):
    health = await client.health()
    assert health.status == "ok"
    model = await client.model()
    assert model is not None
    assert model.demo
    assert health.model == model


async def test_a_stream_ends_with_usage(client):
    chunks = [chunk async for chunk in client.stream(ask("高血压的诊断标准是什么？", max_tokens=40, wait=True))]
    text = "".join((c.delta.reasoning or "") + (c.delta.content or "") for chunk in chunks for c in chunk.choices)
    assert text
    assert chunks[-1].usage.completion_tokens > 0
    whole = await client.chat(ask("高血压的诊断标准是什么？", max_tokens=40))
    assert (whole.choices[0].message.reasoning or "") + (whole.choices[0].message.content or "") == text


async def test_leaving_a_stream_cancels_it(client, gateway):
    async for chunk in client.stream(ask("糖尿病肾病的GFR分期标准是什么？", wait=True)):
        if chunk.choices:
            break
    await asyncio.sleep(0)
    await asyncio.to_thread(
        wait_for, lambda: gateway.metrics()[("medgemma_requests_active", ())] == 0, 2, what="the cancellation"
    )


async def test_counts(client):
    whole = await client.tokenize(TokenizeRequest(messages=[ChatMessage(role="user", content="eGFR")]))
    assert whole.count == sum(whole.message_counts) + whole.generation_prompt_tokens
    assert (await client.tokenize(TokenizeRequest(prompt=""))).max_model_len == whole.max_model_len


async def test_parking(client):
    assert await client.parked() is None
    await client.park(SessionBody(payload="对话", ttl_s=60))
    parked = await client.parked()
    assert parked is not None
    assert parked.payload == "对话"
    async with Client(client.socket) as another:  # the same user, after a dropped line
        assert (await another.parked()).payload == "对话"
    await client.forget()
    assert await client.parked() is None
    with pytest.raises(ServiceError) as caught:
        await client.park(SessionBody(payload="x" * (3 * 1024 * 1024)))
    assert (caught.value.status, caught.value.info.type) == (413, "too_large")


async def test_telemetry(client):
    async for sample in client.telemetry():
        assert sample.host.memory_total
        break


async def test_a_refusal_has_its_type_and_place(client):
    with pytest.raises(ServiceError) as caught:
        await client.chat(ask("血压 " * 60_000))
    assert (caught.value.status, caught.value.info.code) == (413, "context_length_exceeded")
    with pytest.raises(ServiceError) as caught:
        async for _chunk in client.stream(ask("血压 " * 60_000, wait=True)):
            pass
    assert caught.value.info.code == "context_length_exceeded"


async def test_each_client_is_a_session_of_its_own(gateway):
    """The second turn finds the first one's prefix, whichever connection it takes; another client's does not."""
    question = "糖尿病肾病的GFR分期标准是什么？"
    async with Client(gateway.socket) as client:
        first = await client.chat(ask(question))
        history = [
            ChatMessage(role="user", content=question),
            ChatMessage(role="assistant", content=first.choices[0].message.content or ""),
            ChatMessage(role="user", content="?"),
        ]
        await asyncio.sleep(0)
        await client._http._transport.__aexit__(None, None, None)  # every connection is dropped
        await client._http._transport.__aenter__()
        second = await client.chat(ChatRequest(messages=history, max_tokens=4))
        assert second.usage.prompt_tokens_details.cached_tokens > 0


async def test_nobody_there(tmp_path):
    async with Client(tmp_path / "no.sock") as client:
        for call in (client.health(), client.model(), client.chat(ask("x")), client.parked(), client.forget()):
            with pytest.raises(ServiceError) as caught:
                await call
            assert (caught.value.status, caught.value.info.type) == (0, "unreachable")
        with pytest.raises(ServiceError, match="does not answer"):
            async for _chunk in client.stream(ask("x")):
                pass


FULL = '{"error": {"type": "queue_full", "message": "m", "position": 4}}'
CHUNK = 'data: {"id":"x","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"", "interrupted"),
        (b"junk\r\n\r\n", "interrupted"),
        (response(CHUNK, kind="text/event-stream"), "interrupted"),  # ends without [DONE]
        (response(CHUNK + "data: {not json\n\n", kind="text/event-stream"), "bad_reply"),
        (response(CHUNK + 'data: {"choices": 3}\n\n', kind="text/event-stream"), "bad_reply"),
        (response(CHUNK, kind="text/event-stream", more="Content-Length: 9999\r\n"), "interrupted"),
        (response("<html>", kind="text/html"), "interrupted"),
        (response("oops", "502 Bad Gateway"), "bad_reply"),
        (response('data: {"error": {"type": "worker_lost", "message": "m"}}\n\n', kind="text/event-stream"),
         "worker_lost"),
        (response(FULL, "429 Too Many", more="Retry-After: 7\r\n"), "queue_full"),
    ],
)  # fmt: skip
async def test_a_stream_that_goes_wrong_is_a_typed_error(reply, kind):
    async with server(reply) as client:
        with pytest.raises(ServiceError) as caught:
            async for _chunk in client.stream(ask("x")):
                pass
    assert caught.value.info.type == kind
    if kind == "queue_full":
        assert (caught.value.status, caught.value.info.position, caught.value.retry_after_s) == (429, 4, 7)


async def test_a_reply_that_is_not_one_is_told_without_its_text():
    async with server(response('{"status": "secret"}')) as client:
        with pytest.raises(ServiceError) as caught:
            await client.health()
    assert caught.value.info.type == "bad_reply"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("begun", [False, True])
async def test_a_gateway_that_says_nothing_is_given_up_and_one_that_waits_is_not(monkeypatch, begun):
    monkeypatch.setattr("medgemma_tui.client.SILENCE_S", 0.5)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    lives = True

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        if lives:
            for piece in (head, *[b": waiting\n\n"] * 10, CHUNK.encode(), b"data: [DONE]\n\n"):
                writer.write(piece)
                await asyncio.sleep(0.1)
        else:
            writer.write(head if begun else b"")
            await reader.read()
        writer.close()

    directory = short_directory()
    path = directory / "x.sock"
    async with await asyncio.start_unix_server(serve, path), Client(path) as client:
        assert len([chunk async for chunk in client.stream(ask("x", wait=True))]) == 1
        lives = False
        with pytest.raises(ServiceError) as caught:
            async for _chunk in client.stream(ask("x", wait=True)):
                pass
    assert (caught.value.info.type, caught.value.info.code) == ("interrupted", "silent")
    path.unlink(missing_ok=True)
    directory.rmdir()

"""An OpenAI-shaped engine that attacks the terminal with all that it says. ``hostile_engine.py SOCKET [tame]``.

The gateway is pointed at it as at any other engine (``engine_socket``); what it writes must not reach the terminal.
With ``tame`` its model has a name like any other.
A word in the question chooses what it says: ``mode:split`` (each attack cut at every place, in trace and answer),
``mode:whole``, ``mode:bytes`` (each attack's bytes one by one), ``huge``, ``box``, ``arrows`` (a causal chain),
``refuse``, ``fail``, ``finish``, ``surrogate``, ``echo`` (the question back, slowly).
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.e2e.attacks import ATTACKS, BOX, DECEITS, HUGE, LINE, PLAIN, splits

CARD = {
    "id": f"evil {LINE}",
    "object": "model",
    "max_model_len": 131072,
    "quantization": f"q {LINE}",
    "dtype": f"d {LINE}",
    "device": f"x {LINE}",
    "owned_by": LINE,
}
END = "THE END"
PAGE_S = 0.12
"""Longer than the screen waits between two paintings, so that each page of attacks is painted."""


def label(name: str) -> str:
    """How an attack is announced in the text, so that a test sees it drawn."""
    return "at:" + name.replace(" ", "-")


def _deltas(field: str) -> Iterator[dict[str, str] | None]:
    """Each attack cut at every place; None: a page is full, let it be painted."""
    for at, (name, attack) in enumerate(ATTACKS.items()):
        if "\u2028" in attack or "\x0b" in attack:  # these make many lines
            yield None
        yield {field: f"\n\n{label(name)} {attack} whole."}
        for before, after in splits(attack):
            yield {field: f" {before}"}
            yield {field: f"{after}."}
        yield {field: f" {label(name)}"}
        if at % 4 == 3:
            yield None
    yield {field: f"\n\n{PLAIN}"}
    yield None


def _event(delta: dict[str, str] | None = None, finish: str | None = None, *, raw: bool = False) -> bytes:
    body = {"id": "x", "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}]}
    return f"data: {json.dumps(body, ensure_ascii=not raw)}\n\n".encode()


async def _split(_: str) -> AsyncIterator[bytes]:
    for field in ("reasoning", "content"):
        for delta in _deltas(field):
            if delta is None:
                await asyncio.sleep(PAGE_S)
            else:
                yield _event(delta)


async def _whole(_: str) -> AsyncIterator[bytes]:
    for field in ("reasoning", "content"):
        for at, (name, attack) in enumerate(ATTACKS.items()):
            yield _event({field: f"\n\n{label(name)} {attack}"})
            if at % 12 == 11:
                await asyncio.sleep(PAGE_S)


async def _bytes(_: str) -> AsyncIterator[bytes]:
    for at, (name, attack) in enumerate(ATTACKS.items()):
        event = _event({"content": f"\n\n{label(name)} {attack}"}, raw=True)
        first = event.index(b"at:")  # what is before is the same each time
        for byte in (event[:first], *(event[place : place + 1] for place in range(first, len(event)))):
            yield byte
        if at % 12 == 11:
            await asyncio.sleep(PAGE_S)


async def _huge(_: str) -> AsyncIterator[bytes]:
    for text in HUGE.values():
        yield _event({"content": text + "\n\n"})
        await asyncio.sleep(PAGE_S)


async def _box(_: str) -> AsyncIterator[bytes]:
    yield _event({"reasoning": BOX})
    await asyncio.sleep(PAGE_S)
    yield _event({"content": BOX})


async def _echo(question: str) -> AsyncIterator[bytes]:
    for field in ("reasoning", "content"):
        for _ in range(20):
            yield _event({field: f"{question}\n\n"})
            await asyncio.sleep(0.05)


async def _surrogate(_: str) -> AsyncIterator[bytes]:
    yield _event({"content": "before "})
    yield _event({"content": "\ud83d"})
    yield _event({"content": "\ude00 after \udc9b2J"})


async def _fail(_: str) -> AsyncIterator[bytes]:
    yield _event({"content": "so far"})
    yield f"data: {json.dumps({'error': {'type': LINE, 'message': LINE, 'code': LINE}})}\n\n".encode()


async def _finish(_: str) -> AsyncIterator[bytes]:
    yield _event({"content": END}, finish=LINE)
    yield b"data: [DONE]\n\n"


async def _arrows(_: str) -> AsyncIterator[bytes]:
    yield _event({"content": " → ".join(f"cause{at}{attack}" for at, attack in enumerate(DECEITS.values()))})


MODES: dict[str, Callable[[str], AsyncIterator[bytes]]] = {
    "split": _split, "whole": _whole, "bytes": _bytes, "huge": _huge, "box": _box, "echo": _echo, "fail": _fail,
    "finish": _finish, "arrows": _arrows, "surrogate": _surrogate,
}  # fmt: skip


async def _models(_: Request) -> Response:
    return JSONResponse({"object": "list", "data": [CARD]})


async def _tokenize(request: Request) -> Response:
    messages = (await request.json()).get("messages") or []
    return JSONResponse({"count": 10 + 10 * len(messages), "max_model_len": 131072, "tokens": []})


async def _chat(request: Request) -> Response:
    question = (await request.json())["messages"][-1]["content"]
    chosen = re.search(r"mode:(\w+)", question)
    mode = chosen[1] if chosen else ""
    if mode == "refuse":
        return JSONResponse({"error": {"type": LINE, "message": LINE, "code": LINE}}, status_code=400)

    async def events() -> AsyncIterator[bytes]:
        async for event in MODES.get(mode, _split)(question):
            yield event
        yield _event({"content": f"\n\n{END} of {mode}"})
        yield _event(finish="stop")
        yield b"data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


async def _health(_: Request) -> Response:
    return Response(status_code=200)


app = Starlette(
    routes=[
        Route("/v1/models", _models),
        Route("/health", _health),
        Route("/tokenize", _tokenize, methods=["POST"]),
        Route("/v1/chat/completions", _chat, methods=["POST"]),
    ]
)

if __name__ == "__main__":
    if "tame" in sys.argv[2:]:
        CARD |= {"id": "tame", "quantization": "nf4", "dtype": "bfloat16", "device": "cpu", "owned_by": "us"}
    uvicorn.run(app, uds=sys.argv[1], log_level="warning")

"""An OpenAI-shaped engine whose every answer attacks the terminal. ``python hostile_engine.py SOCKET``.

The gateway is pointed at it as at any other engine (``engine_socket``); what it writes must not reach the terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

ATTACKS = {
    "osc52": "\x1b]52;c;cGF0aWVudA==\x07",
    "osc8": "\x1b]8;;http://evil.example/\x1b\\click\x1b]8;;\x1b\\",
    "title": "\x1b]0;pwned\x07",
    "cpr": "\x1b[6n",
    "dcs": "\x1bPq#0;2;0;0;0\x1b\\",
    "c1 csi": "\x9b2J",
    "c1 osc": "\x9d0;pwned\x9c",
    "alternate screen": "\x1b[?1049l",
    "unterminated": "\x1b]0;never closed",
    "bidi": "INR \u202e5.1\u202c \u2066x\u2069",
    "zero width": "do\u200bse\u2060\ufeff",
    "backspace": "5 mg\b\b\b\b50 mg",
}
PLAIN = "Give <dose> mg if INR<target>"


def pieces() -> list[tuple[str, str]]:
    """The stream's deltas: each attack cut in two in its middle, in the trace and in the answer."""
    out: list[tuple[str, str]] = []
    for field in ("reasoning", "content"):
        for name, attack in ATTACKS.items():
            out.append((field, f"\n\n{name}: {attack[: len(attack) // 2]}"))
            out.append((field, attack[len(attack) // 2 :] + " after."))
        out.append((field, "\n\n" + PLAIN))
    return [*out, ("content", "\n\nTHE END")]


async def _models(_: Request) -> Response:
    return JSONResponse(
        {"object": "list", "data": [{"id": "evil\x1b]0;pwned\x07", "object": "model", "max_model_len": 8192}]}
    )


async def _tokenize(request: Request) -> Response:
    messages = (await request.json()).get("messages") or []
    return JSONResponse({"count": 10 + 10 * len(messages), "max_model_len": 8192, "tokens": []})


async def _chat(_: Request) -> Response:
    async def events() -> AsyncIterator[str]:
        for field, text in pieces():
            yield f"data: {json.dumps({'id': 'x', 'choices': [{'index': 0, 'delta': {field: text}}]})}\n\n"
        yield f"data: {json.dumps({'id': 'x', 'choices': [{'index': 0, 'delta': {}, 'finish_reason': 'stop'}]})}\n\n"
        yield "data: [DONE]\n\n"

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
    uvicorn.run(app, uds=sys.argv[1], log_level="warning")

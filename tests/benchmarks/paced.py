"""A stand-in gateway that writes at a set pace, so that the screen is measured and not the model.

``python -m tests.benchmarks.paced SOCKET TOKENS_PER_SECOND SECONDS``. It speaks the gateway's wire: health, model,
telemetry of a busy card once a second, tokenize (four letters a token), and a long answer at the pace asked.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from medgemma_tui import protocol as wire

PIECES = (
    "急性",
    "心肌",
    "梗死",
    "的",
    "再灌注",
    "治疗",
    "应",
    "尽早",
    "开始",
    "，",
    " PCI ",
    "优先",
    "于",
    "溶栓",
    "。",
    "\n- ",
    "**阿司匹林** ",
)
CARD = wire.ModelCard(id="paced", max_model_len=8192, quantization="nf4", dtype="bfloat16", device="cuda:0")


def app(rate: float, seconds: float) -> Starlette:
    """The application; ``rate`` in tokens a second, ``seconds`` of answer."""

    async def health(_: Request) -> Response:
        return Response(wire.Health(status="ok", reason="ready", model=CARD).model_dump_json())

    async def models(_: Request) -> Response:
        return Response(wire.ModelList(data=[CARD]).model_dump_json())

    async def tokenize(request: Request) -> Response:
        body = wire.TokenizeRequest.model_validate_json(await request.body())
        counts = [len(message.text) // 4 + 4 for message in body.messages or []]
        total = sum(counts) + 3 if counts else len(body.prompt or "") // 4
        reply = wire.TokenizeReply(count=total, max_model_len=8192, message_counts=counts, generation_prompt_tokens=3)
        return Response(reply.model_dump_json())

    async def telemetry(_: Request) -> Response:
        async def events() -> AsyncIterator[str]:
            tick = 0
            while True:
                tick += 1
                busy = 80 + 15 * math.sin(tick)
                card = wire.GpuSample(
                    index=0, name="NVIDIA L4", utilization=round(busy), memory_total=24 << 30,
                    memory_used=int((6 + busy / 100) * 2**30), memory_free=17 << 30, temperature=round(55 + busy / 10),
                    power=round(busy * 0.7, 1), power_limit=72.0, clock_sm=1500, clock_sm_max=2040, throttle=[],
                )  # fmt: skip
                host = wire.HostSample(cpu_percent=round(busy / 4, 1), memory_total=64 << 30, memory_used=9 << 30)
                yield f"data: {wire.Telemetry(time=time.time(), gpus=[card], host=host).model_dump_json()}\n\n"
                await asyncio.sleep(1)

        return StreamingResponse(events(), media_type="text/event-stream")

    async def chat(request: Request) -> Response:
        await request.body()

        async def events() -> AsyncIterator[str]:
            count = int(rate * seconds)
            began = time.perf_counter()
            for index in range(count):
                kind = "reasoning" if index < count // 4 else "content"
                piece = PIECES[index % len(PIECES)]
                yield f"data: {json.dumps({'choices': [{'index': 0, 'delta': {kind: piece}}]})}\n\n"
                await asyncio.sleep(max(0.0, began + (index + 1) / rate - time.perf_counter()))
            usage = wire.Usage(prompt_tokens=40, completion_tokens=count, answer_tokens=count, tokens_per_second=rate)
            last = wire.ChatChunk(choices=[wire.ChunkChoice(finish_reason="stop")], usage=usage)
            yield f"data: {last.model_dump_json()}\n\ndata: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async def session(_: Request) -> Response:
        return JSONResponse({})

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", models),
            Route("/v1/telemetry", telemetry),
            Route("/tokenize", tokenize, methods=["POST"]),
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/session", session, methods=["GET", "PUT", "DELETE"]),
        ]
    )


if __name__ == "__main__":
    uvicorn.run(app(float(sys.argv[2]), float(sys.argv[3])), uds=sys.argv[1], log_level="warning")

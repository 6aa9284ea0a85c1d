"""``GET /v1/telemetry``: samples as they come, so many streams a user, and to each reader what they may see."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from medgemma_tui.gateway.logins import Logins
from medgemma_tui.gateway.peers import Peer
from medgemma_tui.gateway.roles import Role
from medgemma_tui.http_errors import ApiError
from medgemma_tui.protocol import GpuProcess, GpuSample, Telemetry
from medgemma_tui.telemetry.sampler import Sampler

STREAMS_PER_USER = 8


class TelemetryStream:
    """The endpoint, as an ASGI application."""

    def __init__(self, sampler: Sampler, logins: Logins) -> None:
        self._sampler = sampler
        self._logins = logins
        self._open: Counter[int] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send samples until the client leaves or the sampler ends. Raises ApiError (429)."""
        peer: Peer = scope["state"]["peer"]
        if self._open[peer.uid] >= STREAMS_PER_USER:
            raise ApiError(
                429, "too_many_calls", f"more than {STREAMS_PER_USER} streams of telemetry at once", retry_after_s=5
            )
        headers = {"Cache-Control": "no-store"}
        stream = StreamingResponse(self._events(peer), media_type="text/event-stream", headers=headers)
        self._open[peer.uid] += 1
        try:
            with self._logins.stream(peer.owner(Request(scope).headers.get("x-medgemma-session"))):
                await stream(scope, receive, send)
        finally:
            self._open[peer.uid] -= 1
            if not self._open[peer.uid]:
                del self._open[peer.uid]

    async def _events(self, peer: Peer) -> AsyncIterator[bytes]:
        async with contextlib.aclosing(self._sampler.subscribe()) as samples:
            async for sample in samples:
                yield b"data: %b\n\n" % sample_for(peer, sample).model_dump_json(exclude_none=True).encode()


def sample_for(peer: Peer, sample: Telemetry) -> Telemetry:
    """The sample as this peer may see it: who is not ops sees the worker, their own processes, a sum of the rest."""
    if Role.OPS in peer.roles:
        return sample
    return sample.model_copy(update={"gpus": [_without_others(gpu, peer.name) for gpu in sample.gpus]})


def _without_others(gpu: GpuSample, login: str) -> GpuSample:
    if not gpu.processes:
        return gpu
    known = [process for process in gpu.processes if process.is_worker or process.user == login]
    others = [process.used_bytes for process in gpu.processes if not process.is_worker and process.user != login]
    if others:
        held = [used for used in others if used is not None]
        total = sum(held) if len(held) == len(others) else None
        known.append(GpuProcess(pid=0, used_bytes=total, together=len(others)))
    return gpu.model_copy(update={"processes": known})

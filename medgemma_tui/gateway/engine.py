"""Another OpenAI-compatible engine on a Unix socket (``vllm serve --uds``): we do not run it, only watch it."""

from __future__ import annotations

import asyncio
import logging

from pydantic import ValidationError

from medgemma_tui.exits import ExitCode
from medgemma_tui.gateway.board import Board
from medgemma_tui.gateway.upstream import EngineLost, EngineUnreachable, Upstream
from medgemma_tui.protocol import Health, ModelList

log = logging.getLogger(__name__)

_POLL_S = 1.0


class EngineWatch:
    """Asks the engine for its models: an answer is readiness, under every such engine."""

    pid: int | None = None

    def __init__(self, upstream: Upstream, board: Board) -> None:
        self._upstream = upstream
        self._board = board

    async def run(self) -> ExitCode:
        """Watch until cancelled."""
        while True:
            health = await self._ask()
            if health.status != self._board.engine.status:
                log.info("the engine is %s", "ready" if health.status == "ok" else f"not ready: {health.detail}")
            self._board.put(health)
            await asyncio.sleep(_POLL_S)

    async def _ask(self) -> Health:
        try:
            answer = await self._upstream.call("GET", "/v1/models", timeout_s=10.0)
            if answer.status == 200:
                models = ModelList.model_validate_json(answer.body).data
                return Health(status="ok", reason="ready", model=models[0] if models else None)
            detail = f"the engine answered HTTP {answer.status}"
        except (EngineUnreachable, EngineLost):
            detail = "the engine's socket does not answer"
        except ValidationError:
            detail = "the engine's list of models is not valid"
        return Health(status="not_ready", reason="worker_lost", detail=detail)

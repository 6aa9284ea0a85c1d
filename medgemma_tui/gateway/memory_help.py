"""``GET /v1/memory``: help where memory is short, from the model's directory and the newest sample."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from medgemma_tui import memory_choices, model_dir, settings
from medgemma_tui.gateway.board import Board
from medgemma_tui.gateway.launch import model_directory
from medgemma_tui.gateway.peers import Peer
from medgemma_tui.gateway.roles import Role
from medgemma_tui.gateway.telemetry_stream import sample_for
from medgemma_tui.memory_choices import CONTEXT_BYTES, Ask
from medgemma_tui.model_dir import ModelDir, ModelDirError
from medgemma_tui.protocol import GpuProcess, GpuSample, Health, Telemetry
from medgemma_tui.protocol.memory import MemoryHelp, MemoryNote, MemoryUnknown
from medgemma_tui.safetensors_header import BrokenFile
from medgemma_tui.settings import Settings
from medgemma_tui.telemetry.sampler import Sampler
from medgemma_tui.vram import DEFAULT_WINDOW, UPCASTS_BELOW

_SAMPLE_S = 2.0
_GPU_CODES = ("gpu_loading", "gpu_answering", "does_not_fit", "too_small_gpu")


@dataclass(frozen=True, slots=True)
class _Card:
    """Where the model runs, or would: a card of the sample, or none: the CPU. ``assumed``: one of several."""

    gpu: GpuSample | None
    assumed: bool = False


class MemoryPage:
    """The call. ``worker_pid`` gives the worker's process id while it runs."""

    def __init__(
        self, settings: Settings, sampler: Sampler, board: Board, worker_pid: Callable[[], int | None]
    ) -> None:
        self._settings = settings
        self._sampler = sampler
        self._board = board
        self._worker_pid = worker_pid

    async def reply(self, request: Request) -> Response:
        """What this reader may see of it: other people's processes are a sum for who is not of ops."""
        peer: Peer = request.scope["state"]["peer"]
        sample = self._sampler.latest()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SAMPLE_S):
                sample = await self._sampler.current()
        sample = sample_for(peer, sample)
        found = await asyncio.to_thread(self._help, sample, self._board.engine, may_end=Role.OPS in peer.roles)
        return Response(found.model_dump_json(exclude_none=True), media_type="application/json")

    def _help(self, sample: Telemetry, health: Health, *, may_end: bool) -> MemoryHelp:
        card = _card(sample, health, os.environ)
        help_ = _figures(sample, health, card).model_copy(
            update={
                "config": str(settings.config_file()),
                "may_end": may_end,
                "own": [pid for pid in (os.getpid(), self._worker_pid()) if pid is not None],
            }
        )
        if self._settings.uses_engine:
            return help_.model_copy(update={"unknown": "engine"})
        try:
            model = model_dir.inspect(model_directory(self._settings))
        except ModelDirError:
            return help_.model_copy(update={"unknown": "model"})
        ask = self._ask(model, health, card.gpu)
        told = {
            "need": memory_choices.breakdown(ask), "smallest": ask.smallest, "notes": _notes(model),
        }  # fmt: skip
        if help_.available is None:
            return help_.model_copy(update=told)
        others = [one for one in help_.holders or () if not one.is_worker and one.pid not in help_.own]
        told |= {
            "fits": ask.need() <= help_.available,
            "choices": memory_choices.choices(ask, help_.available, others),
        }
        return help_.model_copy(update=told)

    def _ask(self, model: ModelDir, health: Health, gpu: GpuSample | None) -> Ask:
        """What is configured; where no window is, the one in use, else the usual one."""
        used = health.model.max_model_len if health.model is not None else None
        window = min(self._settings.max_model_len or used or DEFAULT_WINDOW, model.context_limit)
        upcasts = gpu is not None and (_capability(gpu) or UPCASTS_BELOW) < UPCASTS_BELOW
        context = CONTEXT_BYTES if gpu is not None else 0
        return Ask(model, window, self._settings.slots, upcasts=upcasts, context=context)


def _card(sample: Telemetry, health: Health, environ: Mapping[str, str]) -> _Card:
    """The card that our worker is on, that it was given, or the only one."""
    on_card = health.code in _GPU_CODES or (
        bool(sample.gpus) and not health.code.startswith("host_") and (health.model is None or _is_cuda(health))
    )
    if not on_card:
        return _Card(None)
    for gpu in sample.gpus:
        if any(process.is_worker for process in gpu.processes or ()):
            return _Card(gpu)
    named = environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    for gpu in sample.gpus:
        if named.startswith("GPU-") and (gpu.uuid or "").startswith(named):
            return _Card(gpu)
    if named.isdigit() and int(named) < len(sample.gpus):
        return _Card(sample.gpus[int(named)], assumed=environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID")
    first = sample.gpus[0] if sample.gpus else GpuSample(index=0)
    return _Card(first, assumed=len(sample.gpus) > 1)


def _is_cuda(health: Health) -> bool:
    return health.model is not None and health.model.device != "cpu"


def _capability(gpu: GpuSample) -> tuple[int, int] | None:
    major, _dot, minor = (gpu.compute_capability or "").partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None


def _figures(sample: Telemetry, health: Health, card: _Card) -> MemoryHelp:
    """What is there and who has it."""
    gpu, host = card.gpu, sample.host
    if gpu is None:
        rss = sample.service.worker_rss or 0
        return MemoryHelp(
            at=sample.time, reason=health.reason, code=health.code, device="host",
            total=host.memory_total, free=host.memory_available, worker_bytes=rss,
            available=None if host.memory_available is None else host.memory_available + rss,
            unknown="no_figures" if host.memory_available is None else "",
        )  # fmt: skip
    held = _worker_bytes(gpu.processes)
    unknown: MemoryUnknown = "mig" if gpu.mig_enabled else "no_figures"
    available = None if gpu.memory_free is None or held is None or gpu.mig_enabled else gpu.memory_free + held
    return MemoryHelp(
        at=sample.time, reason=health.reason, code=health.code, device="gpu",
        gpu=gpu.index, gpu_name=gpu.name, gpu_assumed=card.assumed,
        total=gpu.memory_total, free=gpu.memory_free, worker_bytes=held, available=available,
        holders=gpu.processes, unknown=unknown if available is None else "",
    )  # fmt: skip


def _worker_bytes(processes: list[GpuProcess] | None) -> int | None:
    """What our worker holds; None where it is not told."""
    if processes is None:
        return None
    held = [process.used_bytes for process in processes if process.is_worker]
    return None if None in held else sum(used or 0 for used in held)


def _notes(model: ModelDir) -> list[MemoryNote]:
    try:
        return memory_choices.notes(model)
    except (OSError, BrokenFile):  # meanwhile
        return []

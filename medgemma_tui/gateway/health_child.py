"""A health run as a child process: ``medgemma-tui health --events``, its lines read with care, its end seen to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from medgemma_tui.gateway.launch import model_directory
from medgemma_tui.launch import gateway_environment
from medgemma_tui.privacy import native_output
from medgemma_tui.protocol import HealthProgress
from medgemma_tui.settings import Settings

log = logging.getLogger(__name__)

PROGRAM: Sequence[str] = ("-m", "medgemma_tui")
RUN_S = 900.0
"""Seconds that a run may take in all."""
FULL_RUN_S = 3600.0
"""The same with every byte of the model hashed."""
SILENCE_S = 300.0
"""Seconds between two lines. No check takes so long without telling how far it is."""
LINE_BYTES = 2 * 1024 * 1024
"""The longest line: the report."""
_LINES = 100_000
_END_S = 3.0
"""Seconds from the last line to the process's end."""

FailureCode = Literal["not_started", "hung", "bad_output", "killed", "no_report", "shutting_down"]


class RunFailed(Exception):
    """The run ended without a report. ``params``: ``seconds`` of a hung one, ``signal``, ``exit``."""

    def __init__(self, code: FailureCode, params: Mapping[str, str] | None = None) -> None:
        self.code = code
        self.params = dict(params or {})
        super().__init__(code)


def command(settings: Settings, socket: Path, *, full: bool, new_baseline: bool = False) -> list[str]:
    """The command line of a run against the gateway on ``socket``, for the model of these settings."""
    arguments = [sys.executable, "-I", "-m", "medgemma_tui.gateway.leash", str(os.getpid()), *PROGRAM]
    arguments += ["health", "--events", "--socket", str(socket)]
    if not settings.uses_engine:
        arguments += ["--demo"] if settings.uses_demo else ["--model", str(model_directory(settings))]
    arguments += ["--full"] if full else []
    return [*arguments, "--new-baseline"] if new_baseline else arguments


def environment(settings: Settings) -> dict[str, str]:
    """What the run gets to see: what the gateway runs with, and what its command line made of the settings."""
    own = gateway_environment()
    for name in ("max_model_len", "slots"):
        value = getattr(settings, name)
        if value is not None:
            own[f"MEDGEMMA_{name.upper()}"] = str(value)
    return own


async def events(
    arguments: Sequence[str], environ: Mapping[str, str], *, limit_s: float
) -> AsyncGenerator[HealthProgress]:
    """What a run tells, the report last. Leaving the generator kills it, with all that it started.

    Raises RunFailed where it ends without a report, tells what is none of ours, or takes too long.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(environ),
            start_new_session=True,
            limit=LINE_BYTES,
        )
    except OSError as error:
        log.error("the health run cannot be started: %s", error.strerror)
        raise RunFailed("not_started") from None
    assert process.stdout is not None
    assert process.stderr is not None
    counting = asyncio.ensure_future(_count(process.stderr))
    ends_at = time.monotonic() + limit_s
    try:
        for _number in range(_LINES):
            line = await _line(process.stdout, min(SILENCE_S, ends_at - time.monotonic()), limit_s)
            if not line.endswith(b"\n"):  # its end, or the half of a line before it
                raise await _verdict(process)
            progress = _parsed(line)
            yield progress
            if progress.report is not None:
                await _ended(process)
                return
        raise RunFailed("bad_output")
    finally:
        await _end(process)
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)


async def _line(stream: asyncio.StreamReader, patience_s: float, limit_s: float) -> bytes:
    try:
        async with asyncio.timeout(patience_s):
            return await stream.readline()
    except TimeoutError:
        raise RunFailed("hung", {"seconds": f"{min(limit_s, SILENCE_S):.0f}"}) from None
    except ValueError:  # longer than any of ours
        raise RunFailed("bad_output") from None


def _parsed(line: bytes) -> HealthProgress:
    try:
        return HealthProgress.model_validate_json(line)
    except ValidationError:
        raise RunFailed("bad_output") from None


async def _verdict(process: asyncio.subprocess.Process) -> RunFailed:
    """Why its lines have ended."""
    if not await _ended(process) or process.returncode is None:
        return RunFailed("no_report", {"exit": "?"})
    if process.returncode < 0:
        return RunFailed("killed", {"signal": _signal_name(-process.returncode)})
    return RunFailed("no_report", {"exit": str(process.returncode)})


def _signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return str(number)


async def _ended(process: asyncio.subprocess.Process) -> bool:
    """Wait for its end, not for long; whether it has come."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_END_S):
            await process.wait()
    return process.returncode is not None


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _count(stream: asyncio.StreamReader) -> None:
    """What it writes to stderr could quote anything: it is counted and told as a native library's words are."""
    size, words = 0, set[str]()
    try:
        while piece := await stream.read(64 * 1024):
            size += len(piece)
            words.update(native_output.known(piece))
    finally:
        if size:
            log.warning("the health run wrote %d bytes (withheld) %s", size, " ".join(sorted(words)))

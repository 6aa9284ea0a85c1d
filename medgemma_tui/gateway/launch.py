"""How our worker is started: its command line, and an environment with nothing in it that it does not need."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from medgemma_tui import demo
from medgemma_tui.child_environment import handed_on
from medgemma_tui.gateway.supervisor import Command
from medgemma_tui.settings import Settings

_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def model_directory(settings: Settings) -> Path:
    """The directory of the model that these settings ask for."""
    if settings.uses_demo or settings.model is None:
        return demo.model_dir()
    return settings.model


def worker_command(settings: Settings, socket: Path) -> Command:
    """The worker's command line and environment.

    ``-I`` keeps the working directory and PYTHON… variables out of what it imports. HOME and HF_HOME are its own
    private directory: nothing of the user's caches and tokens is seen.
    """
    arguments = [
        sys.executable, "-I", "-m", "medgemma_tui.worker",
        "--socket", str(socket), "--model", str(model_directory(settings)), "--slots", str(settings.slots),
    ]  # fmt: skip
    if settings.max_model_len is not None:
        arguments += ["--max-model-len", str(settings.max_model_len)]
    if not settings.short_cuts:
        arguments.append("--no-short-cuts")
    return Command(arguments, worker_environment(os.environ, socket.parent), socket)


def worker_environment(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """What the worker gets to see of ``environ``."""
    return {**handed_on(environ), **_OFFLINE, "HOME": str(home), "HF_HOME": str(home / "hf")}

"""The screen and the gateway load neither torch nor transformers: seen in processes, not only in import statements."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "bitsandbytes", "numpy")


@pytest.mark.parametrize(
    "modules",
    ["medgemma_tui.tui.start", "medgemma_tui.gateway.serve, medgemma_tui.telemetry.sampler", "medgemma_tui.plain"],
)
def test_no_torch_is_loaded(modules: str) -> None:
    code = f"import {modules}, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

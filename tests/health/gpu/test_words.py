"""The panel and the health check speak of one thing in the same words."""

from __future__ import annotations

from typing import get_args

import pytest

from medgemma_tui.health import meanings
from medgemma_tui.health.checks.gpu.driver import _CODES
from medgemma_tui.protocol import NvmlErrorCode, ThrottleReason
from medgemma_tui.tui.widgets import gpu_words


@pytest.mark.parametrize("reason", get_args(ThrottleReason))
def test_every_reason_for_slowness_has_words_and_a_fault_those_of_the_panel(reason):
    words = meanings.ITEMS[f"throttle_{reason}"]
    assert words.advice or reason == "idle"
    assert words.text == gpu_words._SLOWED.get(reason, words.text)


@pytest.mark.parametrize("code", get_args(NvmlErrorCode))
def test_every_error_of_nvml_has_words_and_those_of_the_panel(code):
    found = meanings.MEANINGS["gpu.present" if code == "no_device" else "gpu.driver"]
    meaning = found[_CODES.get(code, "no_device" if code == "no_device" else "nvml_error")]
    assert meaning.advice
    if code not in ("starting", "unknown"):  # the first is no outcome; the second names the error here
        assert meaning.text == gpu_words._NVML[code]

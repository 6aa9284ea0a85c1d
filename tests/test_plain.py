"""Plain mode says why nothing happened, and speaks one language."""

from __future__ import annotations

import asyncio

import pytest

from medgemma_tui import i18n, plain
from medgemma_tui.protocol import Health, Telemetry
from medgemma_tui.settings import Settings


class Client:
    """A service that is ready, on a box without a driver."""

    async def health(self):
        return Health(status="ok", reason="ready")

    async def telemetry(self):
        yield Telemetry(time=1.0, nvml_error="NVML: library not found", nvml_error_code="library_not_found")


@pytest.mark.parametrize(
    ("line", "lang", "words"),
    [
        ("/nonsense now", "en", "There is no command /nonsense"),
        ("/again", "en", "There is no question yet."),
        ("/help", "en", "/status"),
        ("/status", "zh", "NVML：没有找到库"),
    ],
)
def test_a_command_that_can_do_nothing_says_why(line, lang, words, monkeypatch):
    lines: list[str] = []
    monkeypatch.setattr(plain, "_tell", lines.append)
    i18n.set_language(lang)
    try:
        with asyncio.Runner() as runner:
            plain._Session(Settings(demo=True), Client(), runner)._command(line)
    finally:
        i18n.set_language("en")
    told = "\n".join(lines)
    assert words in told
    assert "library not found" not in told

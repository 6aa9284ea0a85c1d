"""Plain mode's lines about privacy and health: told where something is known not to be shut, or the box not to be fit,
and nothing where all is."""

from __future__ import annotations

import asyncio
import contextlib

from medgemma_tui import fitness_words, privacy_state
from medgemma_tui.client import Client, ServiceError
from medgemma_tui.i18n import _
from medgemma_tui.plain_lines import tell
from medgemma_tui.privacy.watch import Watch
from medgemma_tui.protocol import Telemetry

_FIGURES_S = 2.0
"""Seconds for which the service's figures are waited for."""


class Notice:
    """What was told last, so that a state is told once."""

    def __init__(self) -> None:
        self._own = Watch("screen")
        self._told = self._told_unfit = ""

    async def tell(self, client: Client) -> None:
        """Measure this process, ask for what the others measured, and tell what is news and not shut."""
        sample = Telemetry(time=0)
        with contextlib.suppress(ServiceError, TimeoutError):
            async with asyncio.timeout(_FIGURES_S), contextlib.aclosing(client.telemetry()) as samples:
                sample = await anext(samples, sample)
        unfit = fitness_words.unfit(sample.service.fitness, fitness_words.COMMAND)
        if unfit and unfit != self._told_unfit:
            tell(unfit)
        self._told_unfit = unfit
        own = await asyncio.to_thread(self._own.read)
        running = sample.service.worker_pid is not None
        state = privacy_state.state(sample.privacy, own, own.inet_sockets if own else None, has_worker=running)
        what = f"{state.level} {state.about or state.text}"
        if state.level in ("bad", "warn") and what != self._told:
            self._told = what
            tell(_("{name}: {value}").format(name=_("Privacy"), value=state.text))

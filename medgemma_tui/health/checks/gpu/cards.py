"""What the checks of this group share: which cards there are to judge, how one is named, and the worst of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from medgemma_tui.health import meanings
from medgemma_tui.health.check import Outcome
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import Figure, GpuSample, NvmlErrorCode, Status, Unit

GIB: Final = 1 << 30
NO_CARD: Final[tuple[NvmlErrorCode, ...]] = ("library_not_found", "driver_not_loaded", "no_device")
"""What NVML says where there is no card that could be used; other errors say that nobody knows."""
_BADNESS: Final[dict[Status, int]] = {"skipped": 0, "ok": 1, "warning": 2, "unknown": 3, "critical": 4}


def each_card(check_id: str, context: Context, judge: Callable[[GpuSample], Outcome]) -> Outcome:
    """The worst outcome over the cards that answer, with the figures and items of all.

    Where none answers this check does not apply: ``gpu.driver`` and ``gpu.present`` say why.
    """
    cards = answering(context)
    if not cards:
        return nothing_to_judge(context)
    return worst(check_id, [beside(check_id, context, card, judge(card)) for card in cards])


def ours(context: Context) -> list[GpuSample]:
    """The cards that our worker holds memory of; none where it holds none yet, or nobody tells."""
    return [card for card in answering(context) if any(process.is_worker for process in card.processes or ())]


def beside(check_id: str, context: Context, card: GpuSample, outcome: Outcome) -> Outcome:
    """What is critical of the model's card is another outcome (``…_beside``) of one that it is known not to be on."""
    mine = ours(context)
    if not mine or card in mine or _status(check_id, outcome.code) != "critical":
        return outcome
    return replace(outcome, code=f"{outcome.code}_beside")


def answering(context: Context) -> list[GpuSample]:
    """The cards that gave figures."""
    reading = context.gpu()
    return [card for card in reading.samples if card.error is None] if reading.error is None else []


def nothing_to_judge(context: Context) -> Outcome:
    """The outcome where no card gives figures."""
    return Outcome("no_card") if context.gpu().error in NO_CARD else Outcome("no_answer")


def worst(check_id: str, outcomes: Sequence[Outcome]) -> Outcome:
    """The worst by its meaning, the first of equals, with the figures and items of all."""
    found = max(outcomes, key=lambda outcome: _BADNESS[_status(check_id, outcome.code)])
    return replace(
        found,
        figures=tuple(figure for outcome in outcomes for figure in outcome.figures),
        items=tuple(item for outcome in outcomes for item in outcome.items),
    )


def _status(check_id: str, code: str) -> Status:
    meaning = meanings.of(check_id, code)
    return meaning.status if meaning is not None else "unknown"


def graded(context: Context, code: str) -> str:
    """The code for an installed box, its twin ``…_demo`` for the demo, where the same is a warning only."""
    return code if context.installed else f"{code}_demo"


def name_of(card: GpuSample) -> str:
    """A card by its index and name: ``GPU 0 (NVIDIA L4)``."""
    return f"GPU {card.index} ({card.name})" if card.name else f"GPU {card.index}"


def named(card: GpuSample, **params: str) -> dict[str, str]:
    """The params of a sentence about this card."""
    return {"card": name_of(card), "index": str(card.index), **params}


def figure(
    card: GpuSample,
    name: str,
    value: float | None,
    unit: Unit = "",
    *,
    warning: float | None = None,
    critical: float | None = None,
    below: bool = False,
) -> tuple[Figure, ...]:
    """One figure of this card, none where it does not tell."""
    if value is None:
        return ()
    shown = Figure(
        name=name, value=value, unit=unit, label=str(card.index), warning=warning, critical=critical, below=below
    )
    return (shown,)


def gib(size: float) -> str:
    """Bytes in GiB, without the unit."""
    return f"{size / GIB:.2f}"

"""gpu.holders: who holds the card's memory, and, where it is short, whose end would make room."""

from __future__ import annotations

from collections.abc import Sequence

from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.gpu.cards import answering, figure, gib, named, nothing_to_judge, worst
from medgemma_tui.health.checks.gpu.need import need_on
from medgemma_tui.health.checks.gpu.used import used
from medgemma_tui.health.context import Context
from medgemma_tui.model_dir import ModelDirError
from medgemma_tui.protocol import GpuProcess, GpuSample, Item

ID = "gpu.holders"
_DESKTOP = frozenset({"Xorg", "Xwayland", "gnome-shell", "kwin_x11", "kwin_wayland", "plasmashell", "gdm-x-session"})


def run(context: Context) -> Outcome:
    """The outcome on this box."""
    if not answering(context):
        return nothing_to_judge(context)
    cards = used(context)
    return worst(ID, [_judged(card, _short(context, card), len(cards) > 1) for card in cards])


def _short(context: Context, card: GpuSample) -> int:
    """Bytes that the model lacks on this card; 0 where it fits, or nobody knows."""
    if context.settings.uses_engine:
        return 0
    try:
        need = need_on(context, card)
    except ModelDirError:
        return 0
    return need.short if need is not None else 0


def _judged(card: GpuSample, short: int, several: bool) -> Outcome:
    if card.processes is None:
        return Outcome("not_told_short" if short else "not_told", named(card, short=gib(short)))
    others = [process for process in card.processes if not process.is_worker]
    known = sum(process.used_bytes or 0 for process in others)
    params = named(card, count=str(len(others)), gib=gib(known), short=gib(short))
    figures = figure(card, "vram_others", known, "B")
    items = tuple(_item(process, short) for process in card.processes)
    if several and items:
        items = (Item(code="card", params=named(card)), *items)
    if not short:
        return Outcome("others" if others else "ok", params, figures, items)
    if any(process.used_bytes is None for process in others):
        return Outcome("short", params, figures, items)  # perhaps enough: nobody can say
    if known < short:
        return Outcome("short_anyway", params, figures, items)
    enough = ", ".join(str(process.pid) for process in _fewest(others, short))
    return Outcome("short_enough", {**params, "pids": enough}, figures, items)


def _fewest(others: Sequence[GpuProcess], short: int) -> list[GpuProcess]:
    """The fewest processes whose end makes room: the smallest that does alone, else the largest ones."""
    alone = [process for process in others if (process.used_bytes or 0) >= short]
    if alone:
        return [min(alone, key=lambda process: process.used_bytes or 0)]
    chosen: list[GpuProcess] = []
    for process in sorted(others, key=lambda process: -(process.used_bytes or 0)):
        chosen.append(process)
        if sum(each.used_bytes or 0 for each in chosen) >= short:
            break
    return chosen


def _item(process: GpuProcess, short: int) -> Item:
    size = "?" if process.used_bytes is None else gib(process.used_bytes)
    params = {"pid": str(process.pid), "user": process.user or "?", "command": process.command or "?", "gib": size}
    if process.is_worker:
        return Item(code="holder_worker", params=params)
    if process.command is None:  # gone meanwhile, or in a container of its own
        return Item(code="holder_unseen", params=params)
    if short and process.command in _DESKTOP:
        return Item(code="holder_desktop", params=params)
    if short and (process.used_bytes or 0) >= short:
        return Item(code="holder_enough", params=params)
    return Item(code="holder", params=params)


CHECK = Check(ID, run)

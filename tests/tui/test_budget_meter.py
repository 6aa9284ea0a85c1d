"""The context meter: figures, named segments told apart without colour, and what does not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medgemma_tui import i18n
from medgemma_tui.clinical.budget import BudgetPlan
from medgemma_tui.tui.ink import width_of
from medgemma_tui.tui.profile import choose
from medgemma_tui.tui.widgets.budget_meter import BudgetMeter

PLAN = BudgetPlan(window=8192, instructions=210, card=330, history=1200, draft=90, reserve=2048)


@pytest.fixture(autouse=True)
def _english():
    i18n.set_language("en")


def said(plan: BudgetPlan, width: int = 34, *, compact: bool = False, profile: str = "color") -> list[str]:
    meter = BudgetMeter(choose(profile, {"TERM": "xterm-256color"}))
    meter.show(plan)
    meter.compact = compact
    lines = meter.compose_lines(width)
    assert all(width_of(line) <= width for line in lines), lines
    return ["".join(text for text, _ink in line) for line in lines]


def test_figures_bar_and_legend() -> None:
    figures, bar, *legend = said(PLAN)
    assert figures == "Context 3,878 / 8,192 tok"
    assert bar.endswith("  47 %")
    assert "".join(dict.fromkeys(bar.split(" ")[0])) == "■▨▤▦░·"  # every segment, in order
    text = " ".join(legend)
    assert all(name in text for name in ("■ rules", "▨ card", "▤ history", "▦ draft", "░ reserve"))


def test_the_bar_is_in_proportion() -> None:
    bar = said(replace(PLAN, instructions=0, card=0, draft=0, history=4096, reserve=2048), 56)[1]
    cells = bar.split(" ")[0]
    assert cells.count("▤") == round(len(cells) / 2)
    assert cells.count("░") == pytest.approx(len(cells) / 4, abs=1)


def test_a_small_segment_is_still_there() -> None:
    assert said(replace(PLAN, draft=1, card=1), 34)[1].count("▦") == 1


def test_estimates_are_marked() -> None:
    assert "≈" in said(replace(PLAN, exact=False))[0]
    assert "~" in said(replace(PLAN, exact=False), profile="ascii")[0]
    assert "≈" not in said(PLAN)[0]


@pytest.mark.parametrize("compact", [False, True])
def test_too_much_says_by_how_much(compact: bool) -> None:
    text = " ".join(said(replace(PLAN, draft=9000, over_by=4596), 80, compact=compact))
    assert "over by 4,596 tok" in text


@pytest.mark.parametrize("compact", [False, True])
def test_turns_that_left_are_counted(compact: bool) -> None:
    words = (
        ("1 turn not sent", "3 turns not sent") if compact else ("1 oldest turn no longer", "3 oldest turns no longer")
    )
    assert words[0] in " ".join(said(replace(PLAN, dropped_turns=1), 80, compact=compact))
    assert words[1] in " ".join(said(replace(PLAN, dropped_turns=3), 80, compact=compact))


@pytest.mark.parametrize("width", [20, 34, 60, 120])
@pytest.mark.parametrize("profile", ["color", "console16", "ascii"])
def test_every_width_and_profile_fits(width: int, profile: str) -> None:
    over = replace(PLAN, draft=9000, over_by=4596, dropped_turns=2, exact=False)
    for plan in (PLAN, over, BudgetPlan(0, 0, 0, 0, 0, 0)):
        for compact in (False, True):
            lines = said(plan, width, compact=compact, profile=profile)
            assert not compact or len(lines) == 1
            if profile == "ascii":
                assert "".join(lines).isascii()


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("more", [{}, {"draft": 0}, {"draft": 0, "card": 0}, {"dropped_turns": 12}, {"over_by": 1234}])
def test_eighty_columns_show_every_segment_with_its_name(lang: str, more: dict[str, int]) -> None:
    i18n.set_language(lang)
    plan = replace(PLAN, history=1200, **more)
    (line,) = said(plan, 78, compact=True)
    names = {"en": ["rules", "card", "history", "draft", "reserve"], "zh": ["指令", "病历", "历史", "草稿", "预留"]}[
        lang
    ]
    tokens = [plan.instructions, plan.card, plan.history, plan.draft, plan.reserve]
    told = [f"{name} {count:,}" in line for name, count in zip(names, tokens, strict=True) if count]
    assert all(told[:2]), line  # a pinned card is told whatever else is
    assert all(told) or plan.over_by or plan.dropped_turns, line
    assert "47 %" in line or plan.draft == 0


def test_the_compact_line_keeps_the_figures() -> None:
    assert said(PLAN, 38, compact=True)[0].startswith("Context 3,878 / 8,192 tok  47 %")

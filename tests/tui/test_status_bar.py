"""The status and title bars fit any width and cut the least important words first."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgemma_tui import i18n
from medgemma_tui.tui.ink import width_of
from medgemma_tui.tui.profile import choose
from medgemma_tui.tui.widgets.status_bar import Statement, StatusBar
from medgemma_tui.tui.widgets.title_bar import TitleBar

GPU = Statement("OK (L4, 24GB)", "ok")
MODEL = Statement("MedGemma-1.5-4B-IT loaded, nf4", "ok", short="MedGemma-1.5-4B-IT loaded")
PRIVACY = Statement(
    "Local-only, sealed: no network socket in any process", "ok", short="Local-only, sealed", shortest="sealed"
)
FIT = Statement("fit 06:30", "ok", shortest="fit")


@pytest.fixture(autouse=True)
def _english():
    i18n.set_language("en")


def bar(
    gpu: Statement, model: Statement, privacy: Statement, width: int, profile: str = "color", health: Statement = FIT
) -> str:
    widget = StatusBar(choose(profile, {"TERM": "xterm-256color"}))
    widget.show(gpu, model, privacy, health)
    (line,) = widget.compose_lines(width)
    assert width_of(line) <= width
    return "".join(text for text, _ink in line)


def test_all_of_it_where_there_is_room() -> None:
    assert bar(GPU, MODEL, PRIVACY, 150) == (
        "GPU: OK (L4, 24GB) │ Model: MedGemma-1.5-4B-IT loaded, nf4 │ "
        "Privacy: Local-only, sealed: no network socket in any process │ Health: fit 06:30"
    )


def test_eighty_columns_show_the_short_forms_whole() -> None:
    model = replace(MODEL, short="loaded, nf4")
    text = bar(GPU, model, PRIVACY, 78)
    assert text == "GPU: OK │ Model: loaded, nf4 │ Privacy: Local-only, sealed │ Health: fit 06:30"


def test_where_not_even_the_shortest_fit_the_verdict_goes_whole() -> None:
    unfit = Statement("NOT FIT 06:30", "bad", shortest="NOT FIT")
    model = replace(MODEL, short="loaded, nf4")
    assert bar(GPU, model, PRIVACY, 78, health=unfit).endswith("Health: ✗ NOT FIT")
    without = bar(Statement("x" * 40, "warn"), model, PRIVACY, 78, health=unfit)
    assert "Health" not in without
    assert "Privacy: sealed" in without


WORDS = st.text("OK标准 ·,：x" + "\x1b", max_size=30)
STATEMENTS = st.builds(Statement, WORDS, st.sampled_from(["ok", "warn", "bad", "unknown"]), short=WORDS, shortest=WORDS)


@given(STATEMENTS, STATEMENTS, STATEMENTS, STATEMENTS, st.integers(10, 200), st.sampled_from(["color", "ascii"]))
@settings(max_examples=150, deadline=None)
def test_whatever_is_said_it_is_one_line_that_fits(gpu, model, privacy, health, width, profile) -> None:
    text = bar(gpu, model, privacy, width, profile, health)
    assert "\x1b" not in text


def test_a_short_form_is_made_where_none_is_given() -> None:
    assert Statement("none (NVML: driver not loaded); the model runs on the CPU").brief == "none"
    assert Statement("就绪（L4，24GB）").brief == "就绪"
    assert Statement("local-only · 0 network sockets (screen, gateway, worker)").brief == "local-only"
    assert Statement("OK").brief == "OK"


def test_demo_is_never_cut() -> None:
    demo = Statement("DEMO, NOT MEDICAL, a tiny model of this program's own", "warn", short="DEMO, NOT MEDICAL")
    long = Statement("x" * 80, "bad")
    for width in range(58, 120):
        assert "DEMO, NOT MEDICAL" in bar(long, demo, long, width)


def test_faults_have_a_sign_besides_their_colour() -> None:
    text = bar(Statement("too hot", "warn"), Statement("lost", "bad"), Statement("not measured", "unknown"), 100)
    assert text == "GPU: ! too hot │ Model: ✗ lost │ Privacy: not measured │ Health: fit 06:30"
    assert bar(Statement("too hot", "warn"), Statement("lost", "bad"), GPU, 100, "ascii").isascii()


def test_nothing_said_is_unknown() -> None:
    assert bar(Statement(""), GPU, GPU, 80).startswith("GPU: unknown")


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80])
def test_every_width_fits(width: int) -> None:
    widget = StatusBar(choose("color", {}))
    wide = Statement("中文状态说明" * 6, "warn")
    widget.show(wide, wide, wide, wide)
    assert len(widget.compose_lines(width)) == 1


def test_foreign_text_is_made_safe() -> None:
    assert "\x1b" not in bar(Statement("a\x1b[31mb"), GPU, GPU, 80)


def title(left: str, demo: bool, width: int, profile: str = "color") -> str:
    widget = TitleBar(choose(profile, {"TERM": "xterm-256color"}))
    widget.show(left, demo, "zh")
    (line,) = widget.compose_lines(width)
    assert width_of(line) == width
    return "".join(text for text, _ink in line)


def test_the_title_has_its_parts() -> None:
    text = title("MedGemma · box-3", True, 80)
    assert text.startswith("─ MedGemma · box-3 ─")
    assert " DEMO, NOT MEDICAL " in text
    assert re.search(r" zh ─ \d\d:\d\d $", text)
    assert "DEMO" not in title("MedGemma", False, 80)


@pytest.mark.parametrize("width", [40, 50, 80, 120])
def test_the_title_is_cut_before_the_demo_mark(width: int) -> None:
    text = title("名" * 60 + "\x1b[31m", True, width)
    assert "DEMO, NOT MEDICAL" in text
    assert "\x1b" not in text
    assert title("box", True, width, "ascii").isascii()


def test_the_models_state_is_shortened_after_the_other_two() -> None:
    model = Statement("DEMO, NOT MEDICAL · loading 40 %", "warn", short="DEMO, NOT MEDICAL")
    privacy = Statement("local-only · 0 network sockets (screen, gateway, worker)", "ok", short="local-only")
    assert "loading 40 %" in bar(Statement("none · CPU", "warn"), model, privacy, 110)

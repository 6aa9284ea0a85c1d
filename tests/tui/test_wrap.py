"""Wrapping, truncating and padding are measured in terminal cells."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from medgemma_tui.safetext import clean_line
from medgemma_tui.tui.wrap import pad, truncate, wrap, wrap_text

ALPHABET = "abc XYZ019 -/%.,()。，、；：？！）》」（《“”‘’…—糖尿病肾病分期年岁小时e\u0301☺👩🏽é½ｱ°µ\u200d\ufe0f❤一\t"
TEXTS = st.text(ALPHABET + "\n", max_size=160) | st.text(max_size=60)
WIDTHS = st.integers(2, 40)


def squeezed(text: str) -> str:
    return "".join(text.split())


@settings(deadline=None)
@given(TEXTS, WIDTHS)
def test_no_line_is_wider_than_the_width(text: str, width: int) -> None:
    assert all(cell_len(line) <= width for line in wrap_text(text, width))


@settings(deadline=None)
@given(TEXTS, WIDTHS)
def test_every_letter_is_kept_in_order(text: str, width: int) -> None:
    assert squeezed("".join(wrap_text(text, width))) == squeezed(text)


@settings(deadline=None)
@given(TEXTS, WIDTHS)
def test_wrapping_again_changes_nothing(text: str, width: int) -> None:
    lines = wrap_text(text, width)
    assert wrap_text("\n".join(lines), width) == lines


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(ALPHABET + "\n", max_size=30), st.integers(0, 3)), max_size=8), WIDTHS)
def test_inks_stay_with_their_letters(runs: list[tuple[str, int]], width: int) -> None:
    want = [(letter, ink) for text, ink in runs for letter in squeezed(text)]
    got = [(letter, ink) for line in wrap(runs, width) for text, ink in line for letter in squeezed(text)]
    assert got == want


@settings(deadline=None)
@given(TEXTS, st.integers(0, 20))
def test_truncate_and_pad_fit(text: str, width: int) -> None:
    text = clean_line(text)  # a joiner at the end would swallow the padding
    assert cell_len(truncate(text, width)) <= width
    assert cell_len(pad(text, width)) == width


def test_chinese_breaks_between_characters_and_keeps_the_margins() -> None:
    lines = wrap_text("按照指南，糖尿病肾病（DKD）的分期标准，应当复查。", 12)
    assert len(lines) > 2
    assert not any(line[0] in "，。）" for line in lines)
    assert not any(line[-1] == "（" for line in lines)
    assert cell_len(lines[1]) >= 8  # filled up to the bracket, not broken at a comma


def test_no_closing_mark_begins_a_line_at_any_width() -> None:
    text = "他说：「可以！」（见《指南》）血压140％、温度38℃；“好”？是。" * 3
    for width in range(8, 50):
        lines = wrap_text(text, width)
        assert not any(line[0] in "。，、；：？！）》」』”％℃" for line in lines), (width, lines)
        assert not any(line[-1] in "（《「『“" for line in lines), (width, lines)


def test_words_stay_whole_where_they_fit() -> None:
    assert wrap_text("rivaroxaban reduces stroke", 14) == ["rivaroxaban", "reduces stroke"]
    assert wrap_text("目标INR控制在范围内", 10) == ["目标INR控", "制在范围内"]


def test_a_number_keeps_its_unit() -> None:
    assert wrap_text("troponin was 8.2 ng/mL today", 18) == ["troponin was", "8.2 ng/mL today"]
    assert all("小时" in line for line in wrap_text("持续时间约2小时", 12) if "2" in line)
    assert wrap_text("约12 小时后复查", 8)[0] == "约"


def test_a_word_longer_than_the_line_is_split() -> None:
    assert wrap_text("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
    assert wrap_text("中" * 7, 5) == ["中中", "中中", "中中", "中"]


def test_tabs_newlines_and_combining_marks() -> None:
    assert wrap_text("a\tb\n\nc", 10) == ["a   b", "", "c"]
    assert wrap_text("e\u0301" * 4, 3) == ["e\u0301" * 3, "e\u0301"]


def test_an_ordinary_apostrophe_and_degree_do_not_break_a_word() -> None:
    for width in range(5, 16):
        joined = "|".join(wrap_text("don’t heat to 38 °C or V1–V4 up", width))
        assert "don|" not in joined
        assert "°|C" not in joined


def test_room_for_a_mark_before_the_first_and_further_lines() -> None:
    lines = wrap([("one two three four", None)], 9, first=4, rest=2)
    assert ["".join(text for text, _ in line) for line in lines] == ["one", "two", "three", "four"]


def test_truncate_says_that_it_cut() -> None:
    assert truncate("糖尿病肾病", 7) == "糖尿病…"
    assert truncate("糖尿病肾病", 8, "...") == "糖尿..."
    assert truncate("short", 5) == "short"

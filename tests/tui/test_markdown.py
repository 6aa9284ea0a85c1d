"""What the model writes is shown letter for letter, fits, and does not flicker while it grows."""

from __future__ import annotations

import re
from itertools import pairwise
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from medgemma_tui.tui.blocks import MAX_BLOCK, Splitter
from medgemma_tui.tui.ink import Line, width_of
from medgemma_tui.tui.markdown import render
from medgemma_tui.tui.profile import ASCII, UNICODE

DOSE = "Give <dose> mg if INR<target>"
ANSWER = """## 定义
糖尿病肾病（DKD）的GFR分期，按照 **KDIGO 2024**：eGFR 8.2 mL/min/1.73 m²，`2*3` 小时内复查。

| 分期 | GFR (mL/min/1.73 m²) | 说明 |
|---|---:|:---:|
| G1 | ≥ 90 | 正常或增高，需要有肾损伤的其他证据，例如白蛋白尿 |
| G5 | < 15 | 肾衰竭 |

1. one
   - nested <a>
     more
2. two

3. three

> quoted **bold** and long enough to be wrapped at the narrow widths of this test

```python
if x < 1:
\tdose = "<mg>"
```

text
---
[KDIGO](https://kdigo.org) ![figure 1](f.png) ~~gone~~
"""


def text(lines: list[Line]) -> str:
    return "\n".join("".join(part for part, _ink in line) for line in lines)


def squeezed(value: str) -> str:
    return re.sub(r"[\s│]+", "", value)


@pytest.mark.parametrize(
    "source",
    [DOSE, f"- {DOSE}", f"1. {DOSE}\n2. {DOSE}", f"# {DOSE}", f"> {DOSE}", f"**{DOSE}**", f"`{DOSE}`", f"a\n  {DOSE}",
     f"| {DOSE} | b |\n|---|---|\n| {DOSE} | {DOSE} |", f"```\n{DOSE}\n```", f"    {DOSE}",
     f"x\n\n{DOSE}\n<br>\n<!-- y -->"],
)  # fmt: skip
@pytest.mark.parametrize("width", [80, 24])
def test_angle_brackets_are_shown_letter_for_letter(source: str, width: int) -> None:
    shown = squeezed(text(render(source, width, UNICODE)))
    if source.startswith("|") and width < 60:  # wrapped in cells side by side
        assert all(shown.count(part) == 3 for part in ("<dose>", "INR<target>"))
    else:
        assert squeezed(DOSE) in shown
    if "<br>" in source:
        assert "<br>" in shown
        assert "<!--y-->" in shown


@pytest.mark.parametrize(
    "literal",
    ["<a:b> <INR:3>", "40*1.73*2", "5 < 6 > 4 & 2", "K+ 3.5~5.0", "> 5 mg is too much", "HLA-B*57:01 and HLA-B*58:01",
     "WBC 5*10**9/L, RBC 4*10**12/L", "x**y and z**w", "3~~5 and 7~~9", "CYP2C19*2/*17 and CYP2D6*4/*10", "5 mg** and"],
)  # fmt: skip
def test_what_markdown_would_eat_stays(literal: str) -> None:
    assert text(render(literal, 80, UNICODE)) == literal


def test_a_line_of_dashes_is_a_rule_and_makes_no_heading() -> None:
    lines = render("text\n---\nmore", 40, UNICODE)
    assert text(lines).startswith("text\n")
    assert lines[0][0][1].role == "text"


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_no_line_is_wider_than_the_width(glyphs) -> None:
    for width in (2, 5, 9, 13, 20, 31, 56, 80, 120):
        for line in render(ANSWER, width, glyphs):
            assert width_of(line) <= width, (width, line)


def test_ascii_draws_with_ascii_only() -> None:
    source = "# h\n- a\n  - b\n\n> q\n\n| a | b |\n|---|---|\n| c | d |\n\n---\n"
    assert text(render(source, 40, ASCII)).isascii()


def test_marks_and_inks() -> None:
    runs = {part: ink for line in render("**b** *i* `c` ~~s~~ [words](http://x)", 80, UNICODE) for part, ink in line}
    assert runs["b"].bold
    assert runs["i"].italic
    assert runs["c"].role == "code"
    assert runs["s"].strike
    assert runs["words"].role == "link"
    assert " (http://x)" in runs


def test_a_comparison_at_the_start_of_an_item_is_not_a_quotation() -> None:
    assert text(render("- > 60 mL/min: no change\n- < 15: dialysis", 80, UNICODE)) == (
        "• > 60 mL/min: no change\n• < 15: dialysis"
    )


@pytest.mark.parametrize(
    ("source", "bold"),
    [
        ("**诊断：**糖尿病肾病", ["诊断："]), ("剂量为**（5 mg）**每日", ["（5 mg）"]),
        ("按KDIGO**2024**指南", ["2024"]), ("|**剂量：**5|\n|-|", ["剂量："]),
        ("**HLA-B*57:01：**阳性", ["HLA-B*57:01："]), ("**注意：**一；**禁忌：**二", ["注意：", "禁忌："]),
        ("- **用法（成人）：**5 mg", ["用法（成人）："]), ("**a**, **b**", ["a", "b"]),
    ],
)  # fmt: skip
def test_bold_beside_chinese_punctuation(source: str, bold: list[str]) -> None:
    runs = [run for line in render(source, 80, UNICODE) for run in line]
    assert [part for part, ink in runs if ink.bold and not part.isspace()][: len(bold)] == bold
    assert "**" not in "".join(part for part, _ink in runs)


def test_links_and_images_are_text() -> None:
    shown = text(render("[KDIGO](https://kdigo.org) ![figure 1](f.png)", 80, UNICODE))
    assert shown == "KDIGO (https://kdigo.org) figure 1"


def test_lists_keep_their_numbers_and_hang() -> None:
    shown = text(render("3. three is long enough to wrap\n4. four\n   - nested\n     - deeper", 20, UNICODE))
    assert shown.split("\n") == ["3. three is long", "   enough to wrap", "4. four", "   ◦ nested", "     ▪ deeper"]


def test_a_table_fits_with_wrapped_cells() -> None:
    lines = render("| a | b |\n|---|--:|\n| short | " + "长" * 40 + " |", 40, UNICODE)
    assert all(width_of(line) <= 40 for line in lines)
    assert text(lines).count("长") == 40
    assert "┼" in text(lines)


def test_a_table_without_room_is_stacked() -> None:
    source = "| stage | GFR | note |\n|---|---|---|\n| G1 | ≥ 90 | normal |\n| G5 | < 15 | failure |"
    shown = text(render(source, 16, UNICODE))
    assert "stage: G1" in shown
    assert "note: failure" in shown


def test_a_ragged_table_loses_no_cell() -> None:
    shown = text(render("| a | b |\n|---|---|\n| 1 |\n| 2 | 3 |", 40, UNICODE))
    assert all(each in shown for each in "ab123")


@pytest.mark.parametrize(
    "evil",
    ["\x1b]52;c;ZXZpbA==\x07", "\x9b31m", "&#x202e;dose", "a\u202eb", "&#27;[31m", "[x](http://a\u202eb)", "`\x1b[2J`"],
)
def test_no_control_reaches_a_line(evil: str) -> None:
    shown = text(render(f"{evil}\n\n```\n{evil}\n```\n\n| {evil} |\n|---|\n| {evil} |", 60, UNICODE))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)


# --- growing text -----------------------------------------------------------------------------------------


def stream(source: str, step: int = 1) -> list[list[str]]:
    """The lines shown after each piece, as the transcript makes them."""
    splitter, frames = Splitter(), []
    for end in range(step, len(source) + step, step):
        blocks = splitter.feed(source[:end])
        lines: list[str] = []
        for at, block in enumerate(blocks):
            growing = at == len(blocks) - 1
            lines += ([""] if block.gap else []) + text(render(block.text, 56, UNICODE, live=growing)).split("\n")
        frames.append(lines)
    return frames


def test_growing_text_is_cut_as_the_whole_is() -> None:
    whole = Splitter().feed(ANSWER)
    splitter = Splitter()
    for end in range(1, len(ANSWER) + 1):
        grown = splitter.feed(ANSWER[:end])
    assert grown == whole
    assert len(whole) >= 8


@settings(max_examples=60, deadline=None)
@given(st.text("ab \n-#>`|*1.~　中", max_size=120), st.integers(1, 7))
def test_any_text_grows_to_what_it_is_at_once(source: str, step: int) -> None:
    splitter = Splitter()
    blocks = []
    for end in [*range(step, len(source), step), len(source)]:
        blocks = splitter.feed(source[:end])
    assert blocks == Splitter().feed(source)
    for block in blocks:
        for live in (False, True):
            assert all(width_of(line) <= 20 for line in render(block.text, 20, UNICODE, live=live))


def test_stable_blocks_are_the_same_objects() -> None:
    splitter = Splitter()
    before = splitter.feed(ANSWER[:200])
    after = splitter.feed(ANSWER[:400])
    assert len(before) > 1
    assert all(one is other for one, other in zip(before[:-1], after, strict=False))


def test_a_changed_beginning_starts_over() -> None:
    splitter = Splitter()
    splitter.feed("first\n\nsecond\n\nthird")
    assert splitter.feed("other\n\nthing") == Splitter().feed("other\n\nthing")


def test_growing_bold_list_and_dashes_do_not_flicker() -> None:
    """A line once shown in full keeps its beginning: markers do not come and go."""
    frames = stream(
        "按照**KDIGO 2024**指南，**（5 mg）**每日\n**诊断：**甲 > 5*10**9/L\n"
        "- 第一项 `code x` 好\n- 第二项\n\n结束\n---\n1. **一**项\n"
    )
    for before, after in pairwise(frames):
        for old, new in zip(before, after, strict=False):
            assert new.startswith(old.rstrip()) or cell_len(old) >= 50, (old, new)
    lines = [line.replace("10**9", "") for frame in frames for line in frame]
    assert not any("**" in line or "`" in line for line in lines)


def test_an_update_of_a_long_answer_costs_what_its_last_block_costs() -> None:
    long = (ANSWER + "\n") * 300
    splitter = Splitter()
    splitter.feed(long)
    start = perf_counter()
    for block in splitter.feed(long):
        render(block.text, 56, UNICODE, live=True)
    whole = perf_counter() - start
    start = perf_counter()
    for extra in range(20):
        last = splitter.feed(long + "x" * extra)[-1]
        render(last.text, 56, UNICODE, live=True)
    assert (perf_counter() - start) / 20 < whole / 10
    assert len(last.text) < 1000


@pytest.mark.parametrize(
    "source", ["x" * 200_000, "中" * 200_000, "- a\n" * 50_000, "```\n" + "x = 1\n" * 30_000, "a\n" * 90_000]
)
def test_no_block_is_ever_large(source: str) -> None:
    blocks = Splitter().feed(source)
    assert max(len(block.text) for block in blocks) <= 3 * MAX_BLOCK
    want, got = source.replace("\n", ""), "".join(block.text for block in blocks).replace("\n", "")
    assert got.replace("```", "") == want.replace("```", "")

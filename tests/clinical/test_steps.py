"""Where a trace is cut into steps."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgemma_tui.clinical.steps import split
from medgemma_tui.demo import corpus


def texts(trace: str) -> list[str]:
    return [trace[start:end] for start, end in split(trace)]


MEDGEMMA = """Thinking process:
1.  **Understand the Request:** The user asks about STEMI.
    *   The patient is 65.
    *   ST elevation V1-V4.

2.  **Identify Key Info:**
    1. Age
    2. Time

    More on it.
3. **Plan:** Give aspirin.

Final check: all good."""


def test_a_number_with_the_bullets_under_it_is_one_step() -> None:
    found = texts(MEDGEMMA)
    assert [step.split("\n")[0] for step in found[1:]] == [
        "2.  **Identify Key Info:**", "3. **Plan:** Give aspirin.", "Final check: all good.",
    ]  # fmt: skip
    assert found[0].startswith("Thinking process:\n1.  **Understand")
    assert found[0].endswith("V1-V4.")
    assert found[1].endswith("More on it.")


@pytest.mark.parametrize(
    ("trace", "steps"),
    [
        ("1. 甲\n2. 乙\n3. 丙", ["1. 甲", "2. 乙", "3. 丙"]),
        ("1、甲\n2、乙", ["1、甲", "2、乙"]),
        ("一、甲\n二、乙", ["一、甲", "二、乙"]),
        ("（1）甲\n（2）乙", ["（1）甲", "（2）乙"]),
        ("① 甲\n② 乙", ["① 甲", "② 乙"]),
        ("步骤一：甲\n步骤二：乙", ["步骤一：甲", "步骤二：乙"]),
        ("**Step 1:** a\n**Step 2:** b", ["**Step 1:** a", "**Step 2:** b"]),
        ("- 甲\n  - 子\n- 乙", ["- 甲\n  - 子", "- 乙"]),
        ("## 分析\n甲。\n\n## 结论\n乙。", ["## 分析\n甲。", "## 结论\n乙。"]),
        ("## 分析\n\n甲。\n\n乙。", ["## 分析\n\n甲。", "乙。"]),
        ("甲一段。\n还有。\n\n乙一段。", ["甲一段。\n还有。", "乙一段。"]),
        ("用户问题。\n考虑心梗。\n因此PCI。", ["用户问题。", "考虑心梗。", "因此PCI。"]),
        ("hard wrapped text\nthat goes on to\nthe end.", ["hard wrapped text\nthat goes on to\nthe end."]),
        ("1）甲 2）乙 3）丙", ["1）甲 ", "2）乙 ", "3）丙"]),
        ("只有一句", ["只有一句"]),
        ("eGFR 1.73\n2.5 mg", ["eGFR 1.73\n2.5 mg"]),  # decimals are no numbering
        # a list within a list, though it is not indented
        ("一、理解\n1. 甲\n2. 乙\n二、方案\n1. 丙", ["一、理解\n1. 甲\n2. 乙", "二、方案\n1. 丙"]),
        ("1. 甲\n(1) 子\n(2) 子\n2. 乙", ["1. 甲\n(1) 子\n(2) 子", "2. 乙"]),
        ("**1. A**\n1. x\n2. y\n**2. B**\n1. z", ["**1. A**\n1. x\n2. y", "**2. B**\n1. z"]),
        ("1. 甲\n2、乙\n3. 丙", ["1. 甲", "2、乙", "3. 丙"]),
        ("先评估。\n\n1. 甲\n2. 乙", ["先评估。", "1. 甲", "2. 乙"]),
    ],
)
def test_every_way_to_write_steps(trace: str, steps: list[str]) -> None:
    assert texts(trace) == [step.strip() for step in steps]


def test_a_wall_of_text_is_cut_at_its_thoughts() -> None:
    zh = "患者65岁，胸痛2小时。V1-V4 ST段抬高。首先考虑STEMI。其次需排除主动脉夹层。因此应尽快再灌注。"
    assert [step[:2] for step in texts(zh)] == ["患者", "首先", "其次", "因此"]
    en = "First, the patient has CKD. Then e.g. metformin must be adjusted vs. stopped. So stop it."
    assert texts(en) == [
        "First, the patient has CKD.", "Then e.g. metformin must be adjusted vs. stopped.", "So stop it.",
    ]  # fmt: skip


@pytest.mark.parametrize("trace", ["", "  \n\n", "---\n***", "- \n- "])
def test_a_trace_that_says_nothing_has_no_step(trace: str) -> None:
    assert split(trace) == ()


def test_the_demo_models_traces_are_cut_at_their_numbers() -> None:
    for entry in corpus.entries():
        for turn in entry.turns:
            numbered = sum(line[:1].isdigit() for line in turn.reasoning.split("\n"))
            assert len(split(turn.reasoning)) == max(numbered, 1), entry.id


_PIECES = st.sampled_from(
    [
        "1. ",
        "2. ",
        "- ",
        "    ",
        "\n",
        "\n\n",
        "甲",
        "ab",
        "。",
        ". ",
        "## ",
        "**",
        "：",
        "（1）",
        "因此",
        "So ",
        "\t",
        "x" * 50,
    ]
)


@settings(max_examples=200)
@given(st.lists(_PIECES, max_size=40).map("".join) | st.text(max_size=60))
def test_every_letter_is_in_exactly_one_step(trace: str) -> None:
    last = 0
    for start, end in split(trace):
        assert last <= start < end <= len(trace)
        assert not any(map(str.isalnum, trace[last:start]))
        assert trace[start:end] == trace[start:end].strip()
        last = end
    assert not any(map(str.isalnum, trace[last:]))


@pytest.mark.parametrize(
    "piece", ["1. ", "\n1. x", "- ", "\n", ".", "x. ", "X. ", "。", " ", "\n ", "因此", "\n## x\n", "1) "]
)
def test_hostile_traces_take_no_long_time(piece: str) -> None:
    trace = (piece * 100_000)[:100_000]
    started = time.process_time()
    split(trace)
    assert time.process_time() - started < 2

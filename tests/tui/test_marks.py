"""What the transcript says of a question and of a reply that has ended."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from medgemma_tui import i18n
from medgemma_tui.clinical import tables
from medgemma_tui.clinical.analysis import analyze
from medgemma_tui.clinical.findings import Analysis, Coaching, Entity, Mark, Quantity, Review, Step, Term
from medgemma_tui.tui import marks
from medgemma_tui.tui.blocks import Splitter
from medgemma_tui.tui.conversation import Turn
from medgemma_tui.tui.profile import ASCII, UNICODE
from medgemma_tui.tui.widgets.pieces import Composer

NOON = datetime(2026, 11, 24, 14, 1)


@pytest.fixture(autouse=True)
def _chinese():
    i18n.set_language("zh")


def text(lines) -> str:
    return "\n".join("".join(part for part, _ink in line) for line in lines)


def shown(turn: Turn, width: int = 80, *, trace: bool = False, glyphs=UNICODE, full_names: bool = True) -> str:
    """The turn as the transcript would show it; no line is wider than asked for."""
    pieces = Composer(glyphs).turn(turn, trace_open=trace, selected=False, full_names=full_names)
    lines = [line for piece in pieces for line in piece.lines(width)]
    assert all(cell_len(text([line])) <= width for line in lines)
    return text(lines)


def turn(question: str = "问题", answer: str = "回答", **more: object) -> Turn:
    made = Turn(question, NOON, answer=answer, state="done", finish_reason="stop", model="medgemma-1.5-4b-it")
    for name, value in more.items():
        setattr(made, name, value)
    return made


# --- where marks stand ---

TRACE = "1. 按KDIGO 2012。\n2. 可能是慢性肾病。\n\n其余：\n一、大概如此\n二、查HbA1c\n```\n1. 可能\n```\n"


def steps_of(trace: str, *parts: tuple[str, str, str]) -> list[Step]:
    """Steps by their text, each with a mark of a kind on a part of it."""
    made = []
    for line, kind, evidence in parts:
        start = trace.index(line)
        at = line.index(evidence)
        made.append(Step(line, (start, start + len(line)), (Mark(kind, evidence, (at, at + len(evidence))),)))
    return made


def test_blocks_know_where_they_begin_however_the_text_came():
    for cut in (1, 3, 7, len(TRACE)):
        splitter = Splitter()
        for end in range(0, len(TRACE), cut):
            splitter.feed(TRACE[:end])
        for block in splitter.feed(TRACE):
            assert TRACE.startswith(block.text, block.start)


def test_marks_stand_under_the_line_of_their_step():
    steps = steps_of(
        TRACE, ("1. 按KDIGO 2012。", "guideline", "KDIGO 2012"), ("一、大概如此", "hedge", "大概"),
        ("二、查HbA1c", "method_missing", "HbA1c"),
    )  # fmt: skip
    blocks = marks.cut_at_steps(Splitter().feed(TRACE), steps)
    by_block = marks.by_block(blocks, steps)
    under = {block.text: [mark.evidence for mark in found] for block, found in zip(blocks, by_block, strict=True)}
    assert under["1. 按KDIGO 2012。"] == ["KDIGO 2012"]
    assert under["其余：\n一、大概如此" if "其余：\n一、大概如此" in under else "一、大概如此"] == ["大概"]
    assert any(block.startswith("二、") and found == ["HbA1c"] for block, found in under.items())
    assert "".join(under).replace("\n", "") == TRACE.replace("\n", "")


def test_cutting_changes_no_line_of_the_trace():
    steps = steps_of(TRACE, ("二、查HbA1c", "method_missing", "HbA1c"))
    whole = shown(turn(reasoning=TRACE), trace=True)
    blocks = Splitter().feed(TRACE)
    assert [b.text for b in marks.cut_at_steps(blocks, [])] == [b.text for b in blocks]
    cut = marks.cut_at_steps(blocks, steps)
    assert "\n".join(b.text for b in cut).replace("\n", "") == "".join(b.text for b in blocks).replace("\n", "")
    for row in ("1. 按KDIGO 2012。", "一、大概如此", "二、查HbA1c"):
        assert row in whole


# --- words ---


def test_what_was_found_is_said_in_words_kind_by_kind_each_once():
    found = [Mark("hedge", "可能", (0, 2)), Mark("guideline", "KDIGO 2012", (3, 13)), Mark("hedge", "可能", (20, 22))]
    assert text([marks.line(found, UNICODE)]) == "⚑ 引文：KDIGO 2012 · 含糊（无来源）：可能"
    i18n.set_language("en")
    assert text([marks.line(found, ASCII)]) == "* citation: KDIGO 2012 - hedge without source: 可能"


def test_many_numbers_are_named_in_part_and_counted():
    found = Review(answer_marks=tuple(Mark("unsupported_number", str(n), (0, 1)) for n in range(9)))
    ((said, ink),) = marks.answer_lines(found, UNICODE)
    assert said.endswith("0、1、2、3、4、5 +3")
    assert ink.role == "warn"


def test_evidence_of_the_models_is_made_safe_and_short():
    found = Review(answer_marks=(Mark("jump", "\x1b[31m建议\u202e" + "很长" * 60, (0, 1)),))
    ((said, _ink),) = marks.answer_lines(found, UNICODE)
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert cell_len(said) < 80


# --- the question ---


def chips(analysis: Analysis, glyphs=UNICODE) -> str:
    return text([marks.chips(analysis, glyphs)])


def test_chips_have_the_standard_term_with_its_codes_and_both_units():
    term = Term("心梗", (0, 2), "急性心肌梗死", "acute myocardial infarction", "BA41.Z", "I21.9")
    lab = Entity("lab", "肌酐132", (3, 8), "creatinine", 132.0, "μmol/L", (Quantity(1.49, "mg/dL"),))
    age = Entity("age", "62岁", (9, 12), "", 62.0, "year")
    drug = Entity("drug", "利伐沙班", (13, 17), "rivaroxaban")
    said = chips(Analysis((lab, age, drug), (), (term,)))
    assert "心梗→急性心肌梗死" in said
    assert "BA41.Z" in said
    assert "I21.9" in said
    assert "1.49 mg/dL" in said
    assert "62岁" in said
    assert "利伐沙班" not in said  # stands in the question as it is


def test_an_impossible_value_is_asked_about():
    pressure = Entity("vital", "血压 1680/95", (0, 10), "blood_pressure", "1680/95", "mmHg", implausible=True)
    line = marks.chips(Analysis((pressure,)), UNICODE)
    assert "1680/95" in text([line])
    assert line[-1][1].role == "warn"


def test_a_real_question_has_its_chips_under_it_and_a_plain_one_has_none():
    question = "65岁男性，肌酐132μmol/L，如何处理？"
    rows = shown(turn(question, analysis=analyze(question))).split("\n")
    assert rows[1] == question
    assert "65岁" in rows[2]
    assert "mg/dL" in rows[2]
    plain = "如何处理？"
    assert shown(turn(plain, analysis=analyze(plain))).split("\n")[2].startswith("medgemma")


def test_a_request_that_is_the_clinicians_is_said_to_be():
    asked = turn("开处方", analysis=Analysis(coaching=Coaching("conduct")))
    assert "处方" in shown(asked).split("\n", 3)[3]
    assert "处方" not in shown(turn("为何", analysis=Analysis())).split("\n", 3)[-1]


def test_every_answer_says_that_it_is_to_be_checked():
    assert "使用前须核对" in shown(turn())
    demo = shown(turn(model="medgemma-tui-demo"))
    assert "DEMO, NOT MEDICAL" in demo


# --- a whole reply, as it is reviewed ---

REASONING = "1. 按KDIGO 2012分期。\n2. 可能是慢性肾病。\n3. HbA1c为7.2%，血糖控制一般。\n"
REPLY = "## 定义\n慢性肾病。\n## 建议\n用药37.5 mg。"


def reviewed(**more: object) -> Turn:
    return turn("HbA1c 7.2%，如何处理？", REPLY, reasoning=REASONING, **more)


def test_the_closed_trace_has_its_steps_and_counts_in_one_line():
    summary = next(row for row in shown(reviewed()).split("\n") if "推理" in row)
    assert summary.startswith("▸ 推理 · 3 步 · ")
    for word in ("引文 1", "含糊", "无依据数字 1", "F2"):
        assert word in summary


def test_while_it_is_written_only_the_steps_are_counted():
    live = reviewed()
    live.state = "answering"
    text = shown(live, trace=True)
    assert "3 步" in text
    assert "⚑" not in text
    assert "引文" not in text


def test_the_opened_trace_has_each_steps_marks_under_it():
    rows = shown(reviewed(), trace=True).split("\n")
    first = next(at for at, row in enumerate(rows) if "1. 按KDIGO 2012分期。" in row)
    assert rows[first + 1] == "│   ⚑ 引文：KDIGO 2012"
    assert "可能" in rows[first + 3]
    assert rows[first + 3].startswith("│   ⚑ 含糊")


def test_a_number_from_nowhere_is_named_under_the_answer():
    rows = shown(reviewed()).split("\n")
    assert "37.5" in next(row for row in rows if row.startswith("⚑ 无依据数字"))


def test_it_never_says_that_anything_is_right():
    text = shown(reviewed(), trace=True)
    assert not any(word in text for word in ("正确", "✓", "通过", "可信"))


def test_parts_that_were_asked_for_and_are_not_there_are_named():
    assert "鉴别" in shown(reviewed(sections=["定义", "机制", "鉴别", "建议"])).split("用药37.5 mg。")[1]
    assert "鉴别" not in shown(reviewed()).split("用药37.5 mg。")[1]


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("width", [12, 24, 40, 80, 120])
def test_marks_fit_every_width(lang, width):
    i18n.set_language(lang)
    for glyphs in (UNICODE, ASCII):
        text = shown(reviewed(), width, trace=True, glyphs=glyphs)
        assert (glyphs.flag in text) or width < 20


FRAGMENTS = st.lists(
    st.sampled_from(
        [
            "1. 按KDIGO 2012。", "2) 可能是肾病", "一、大概", "二、查HbA1c", "（3）因此用药30 mg", "- 可能", "  续行",
            "```", "|a|b|", "|-|-|", "## 小结", "", "", "First, probably.", "Next, HbA1c 7%.", "**粗**可能",
            "步骤2 大概", "x" * 90, "Step 3: may",
        ]
    ),
    max_size=14,
).map("\n".join)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(FRAGMENTS, st.sampled_from([30, 80]))
def test_marks_only_add_lines_to_a_trace(trace, width):
    made = turn(answer="", reasoning=trace, finish_reason="cancelled")
    marked = Composer(UNICODE).turn(made, trace_open=True, selected=False, full_names=True)
    made.state = "answering"
    plain = Composer(UNICODE).turn(made, trace_open=True, selected=False, full_names=True)
    assert letters(marked, width) == letters(plain, width)


def letters(pieces, width: int) -> str:
    """What is written in a trace but for its marks, however it is indented and broken."""
    lines = [line for piece in pieces if piece.kind == "t" and piece.key[0] != "tm" for line in piece.lines(width)]
    return "".join(char for char in text(lines) if char not in " │\n")


@pytest.mark.parametrize("name", ["hedges", "abbreviations"])
def test_a_list_that_cannot_be_used_is_told_and_the_answer_is_shown(tmp_path, name):
    (tmp_path / f"{name}.toml").write_text("nonsense", encoding="utf-8")
    tables.use_site_directory(tmp_path)
    try:
        text = shown(reviewed(), trace=True)
    finally:
        tables.use_site_directory(None)
    assert "用药37.5 mg" in text
    assert ("未能查找标记" in text) == (name == "hedges")

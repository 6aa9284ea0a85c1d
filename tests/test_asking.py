"""What is made of a question before it is sent."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgemma_tui import asking
from medgemma_tui.clinical.entities import find_entities
from medgemma_tui.clinical.textform import question_language


def test_the_question_stays_and_the_model_is_given_the_standard_terms() -> None:
    made = asking.prepare("否认心梗史，胸痛怎么办？", sections="auto")
    assert made.question == "否认心梗史，胸痛怎么办？"
    assert made.prompt == f"{made.question}\n\n{made.terms_line}"
    assert made.terms_line.startswith("标准术语：")
    plain = asking.prepare("你好", sections="off")
    assert (plain.prompt, plain.terms_line, plain.sections) == ("你好", "", None)


@pytest.mark.parametrize(
    ("question", "mode", "sections"),
    [
        ("x", "always", ["Definition", "Mechanism", "Differential", "Recommendation"]),
        ("血钾", "always", ["定义", "机制", "鉴别", "建议"]),
        ("什么是心房颤动？", "off", None),
        ("结直肠癌TNM分期中，T4a与T4b的核心解剖学区别是什么？", "auto", None),
        ("胸痛的鉴别诊断有哪些？", "auto", ["定义", "机制", "鉴别", "建议"]),
    ],
)
def test_the_headings_follow_the_language_of_the_question(question: str, mode: str, sections: list[str] | None) -> None:
    assert asking.prepare(question, sections=mode).sections == sections  # type: ignore[arg-type]


def test_what_the_card_says_is_not_asked_for_again() -> None:
    question = "感冒3天，流涕，怎么治？"
    alone = asking.prepare(question, sections="off")
    assert {"patient", "allergies"} <= set(alone.analysis.coaching.missing)
    card = find_entities("35岁 女 · 无抗生素过敏史")
    told = asking.prepare(question, sections="off", known=card)
    assert told.analysis.coaching.missing == ()
    assert told.analysis.entities == alone.analysis.entities  # a chip is only what the question itself says


def test_a_formula_takes_from_the_card_what_the_question_leaves_open() -> None:
    card = find_entities("65岁 男 · 肌酐 132 μmol/L")
    made = asking.prepare("复查肌酐 88 μmol/L，如何调整？", sections="off", known=card)
    (egfr,) = made.analysis.derived
    assert any("88" in each for each in egfr.inputs)  # the question's own value counts
    assert asking.prepare("如何调整？", sections="off", known=card).analysis.derived == ()  # told before


def test_a_masked_question_can_be_prepared_anew() -> None:
    made = asking.prepare("患者姓名：王小明，电话13812345678，心梗3天", sections="off")
    again = asking.prepare(made.masked, sections="off")
    assert [each.kind for each in made.identifiers] == ["name", "phone"]
    assert again.identifiers == ()
    assert again.question == "患者姓名：[姓名]，电话[电话]，心梗3天"


@given(st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_text_is_a_question(text: str) -> None:
    made = asking.prepare(text, sections="always")
    assert made.prompt.startswith(text)
    assert len(made.sections or []) == 4


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", "en"),
        ("K 41?", "en"),
        ("cTnI 升高", "zh"),
        ("μmol/L ℃", "en"),
        ("。，", "en"),
        ("𠮷", "zh"),
        ("かな", "en"),
    ],
)
def test_the_language_of_a_question(text: str, language: str) -> None:
    assert question_language(text) == language

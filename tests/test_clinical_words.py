"""The clinical layer's words: every id has its word in both languages, and nothing foreign gets through unchecked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest

from medgemma_tui import clinical_words as words
from medgemma_tui import i18n
from medgemma_tui.clinical.findings import (
    Coaching,
    Derived,
    Entity,
    EntityKind,
    Identifier,
    IdentifierKind,
    Mark,
    MarkKind,
    MissingId,
    Quantity,
    QuestionKind,
    Review,
    SectionCheck,
    SectionId,
    Step,
    Term,
)


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    i18n.set_language("en")
    yield
    i18n.set_language("en")
    i18n.set_ascii(False)


@pytest.mark.parametrize(
    ("ids", "word"),
    [
        (EntityKind, words.kind),
        (QuestionKind, words.question_kind),
        (MissingId, words.missing),
        (SectionId, words.section),
        (MarkKind, words.mark_kind),
        (MarkKind, words.mark_meaning),
        (MarkKind, lambda each: words.mark_count(each, 2)),
        (IdentifierKind, lambda each: words.identifier_kinds([Identifier(each, "x", (0, 1), "[x]")])),
    ],
)
def test_every_id_has_a_word_of_its_own_in_both_languages(ids, word) -> None:
    told = {}
    for language in ("en", "zh"):
        i18n.set_language(language)
        told[language] = [word(each) for each in get_args(ids)]
        assert len(set(told[language])) == len(get_args(ids))
        assert all(told[language])
    assert all(any("\u4e00" <= char <= "\u9fff" for char in text) for text in told["zh"])
    assert all(text.isascii() for text in told["en"])


def test_the_hint_is_one_line() -> None:
    lacking = Coaching("treatment", ("patient", "duration", "findings", "allergies"))
    assert words.hint(lacking) == (
        "Consider adding: the patient (age, sex) · duration · findings and results · allergies"
    )
    assert words.hint(Coaching("treatment")) == ""
    i18n.set_language("zh")
    assert words.hint(lacking) == "建议补充：患者（年龄、性别） · 病程 · 检查结果 · 过敏史"
    assert words.hint(Coaching("overview", ("question",))) == "问题太宽：想了解哪一方面？"
    assert "\n" not in words.hint(Coaching("other", get_args(MissingId)))


def test_a_trace_is_summed_up_with_the_marks_of_the_answer() -> None:
    cited, hedged = Mark("guideline", "KDIGO 2012", (0, 1)), Mark("hedge", "可能", (0, 1))
    steps = (Step("a", (0, 1), (cited, hedged)), *(Step("b", (0, 1)) for _n in range(5)), Step("c", (0, 1), (cited,)))
    review = Review(steps, (Mark("unsupported_number", "42", (0, 2)),))
    assert words.trace_summary(review) == "7 steps · 2 citations · 1 hedge · 1 number from nowhere"
    i18n.set_language("zh")
    assert words.trace_summary(review) == "7 步 · 引文 2 · 含糊 1 · 无依据数字 1"
    assert words.trace_summary(Review()) == ""
    assert words.trace_summary(Review(steps * 200)).startswith("1,400 步")


def test_missing_parts_are_named_and_a_whole_answer_says_nothing() -> None:
    check = SectionCheck(("definition", "recommendation"), ("mechanism", "differential"))
    assert words.missing_sections(check) == "Missing in this answer: Mechanism · Differential"
    assert words.missing_sections(SectionCheck(get_args(SectionId), ())) == ""


def test_a_chip_has_the_other_unit_and_asks_about_what_cannot_be() -> None:
    creatinine = Entity("lab", "肌酐132", (0, 5), "creatinine", 132.0, "μmol/L", also=(Quantity(1.4932, "mg/dL"),))
    assert words.entity(creatinine) == "肌酐132 = 1.49 mg/dL"
    assert words.entity(Entity("lab", "K 41", (0, 4), implausible=True)) == "K 41: is this right?"
    assert words.entity(Entity("finding", "胸痛", (0, 2), negated=True)) == "denied: 胸痛"
    assert words.entity(Entity("allergy", "无过敏史", (0, 4), negated=True)) == "无过敏史"
    i18n.set_ascii(True)
    assert words.quantity(Quantity(12500.0, "μmol/L")) == "12,500 umol/L"


def test_a_computed_value_never_stands_without_its_formula() -> None:
    egfr = Derived("egfr", 51.6, "mL/min/1.73 m²", "CKD-EPI 2021", ("age 65",))
    clearance = Derived("creatinine_clearance", 48.0, "mL/min", "Cockcroft–Gault 1976", ())
    assert words.derived(egfr) == "eGFR 51.6 mL/min/1.73 m² (CKD-EPI 2021)"
    assert words.derived(clearance) == "creatinine clearance 48 mL/min (Cockcroft–Gault 1976)"


def test_a_term_shows_its_codes_apart_and_a_denial() -> None:
    term = Term("心梗", (0, 2), "急性心肌梗死", "Acute myocardial infarction", "BA41.Z", "I21.9")
    assert words.term(term) == "心梗 → Acute myocardial infarction (ICD-11 BA41.Z ICD-10 I21.9)"
    assert words.term(Term("心梗", (0, 2), "", "x", relative=True, other=(("SNOMED CT", "57054005"),))) == (
        "a relative: 心梗 → x (SNOMED CT 57054005)"
    )
    assert words.term(Term("心梗", (0, 2), "急性心肌梗死", "", negated=True)) == "denied: 心梗 → 急性心肌梗死"


def test_a_standard_term_is_not_told_twice() -> None:
    assert words.term(Term("Chest Pain", (0, 10), "胸痛", "Chest pain", "MD30.Z")) == "Chest Pain (ICD-11 MD30.Z)"


def test_the_guards_sentence_has_the_kinds_and_never_the_text() -> None:
    found = [
        Identifier(kind, "王小明", (0, 3), "[姓名]") for kind in ("name", "phone", "name")
    ]  # the same kind twice is told once
    assert words.identifiers_found(found) == "This could tell who the patient is: name, phone number."
    assert words.identifiers_found([]) == ""


def test_what_comes_from_a_text_is_made_safe() -> None:
    evil = "KDIGO\x1b[31m\n2012\u202e"
    for told in (
        words.mark(Mark("guideline", evil, (0, 9))),
        words.entity(Entity("lab", evil, (0, 9))),
        words.term(Term(evil, (0, 9), "x", "x")),
    ):
        assert not set("\x1b\n\u202e") & set(told)


@pytest.mark.parametrize(
    ("value", "text"),
    [(132.0, "132"), (1.4932, "1.49"), (0.0123, "0.0123"), (28.25, "28.2"), (7.0, "7"), (1e6, "1,000,000")],
)
def test_figures(value: float, text: str) -> None:
    assert words.figure(value) == text

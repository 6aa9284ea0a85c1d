"""The patient card: compact, deterministic, without identifiers; facts only, no questions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgemma_tui.clinical.analysis import analyze
from medgemma_tui.clinical.card import card_text, merge
from medgemma_tui.clinical.deidentify import find_identifiers
from medgemma_tui.clinical.findings import Language


def card(text: str, lang: Language = "zh") -> str:
    return card_text(text, analyze(text), lang)


def test_the_first_turn() -> None:
    text = "65岁男性，突发胸痛2小时，V1–V4 ST段抬高，首诊如何处理？"
    assert card(text) == "65岁 男 · 突发胸痛 2小时 · V1–V4 ST段抬高"
    assert card(text, "en") == "65-year-old male · chest pain 2 hours · ST elevation (V1-V4)"


def test_everything_in_its_order() -> None:
    text = "65岁男，青霉素过敏，利伐沙班15mg qd，肌酐132μmol/L，BP 165/95，诊断STEMI，胸痛3小时，无发热"
    segments = card(text).split(" · ")
    assert segments[0] == "65岁 男"
    assert segments[1].endswith("(STEMI)")
    assert segments[2:] == ["胸痛 3小时", "BP:165/95", "肌酐 132 μmol/L", "利伐沙班 15 mg qd", "青霉素过敏", "无发热"]


def test_english() -> None:
    text = "58-year-old woman with sudden onset chest pain for 2 hours, BP 150/90, on warfarin 3 mg daily, NKDA"
    assert card(text, "en") == (
        "58-year-old female · sudden onset chest pain 2 hours · BP:150/90 · warfarin 3 mg qd · no known drug allergy"
    )


def test_the_well_formed_examples() -> None:
    text = "35岁女性，流涕+低热3天，血常规WBC 6.2×10⁹/L，无抗生素过敏史，如何经验性处理？"
    assert card(text) == "35岁 女 · 流涕、低热 3天 · WBC 6.2×10^9/L · 无抗生素过敏史"
    text = "78岁男性，eGFR 28mL/min，正在服用利伐沙班15mg qd，是否需要调整剂量？"
    assert card(text) == "78岁 男 · eGFR 28 mL/min · 利伐沙班 15 mg qd"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "感冒怎么治？",
        "吃药要注意什么？",
        "癌症有哪些？",
        "结直肠癌TNM分期中，T4a与T4b的核心解剖学区别是什么？",
        "利伐沙班在eGFR<30时禁忌吗？",
        "What is the first-line treatment of hypertension?",
        "针对上述情况，下一步如何处理？",
    ],
)
def test_no_patient_no_card(text: str) -> None:
    assert card(text) == ""
    assert card(text, "en") == ""


def test_what_is_only_asked_about_is_no_fact() -> None:
    assert card("65岁男性，胸痛3小时，是否为心梗？") == "65岁 男 · 胸痛 3小时"
    assert "warfarin" not in card("65-year-old man, chest pain for 2 hours. Should he get warfarin?", "en")
    assert "华法林" not in card("65岁男性，房颤10年，能否用华法林？")


def test_a_disease_is_named_once() -> None:
    made = card("65岁男，高血压10年。诊断：高血压、2型糖尿病。高血压控制可。")
    assert made.count("高血压") == 1
    assert "2型糖尿病" in made


def test_a_suspicion_and_an_impossible_value_are_marked() -> None:
    assert "肺炎?" in card("患者发热3天，考虑肺炎")
    assert "K 41 mmol/L?" in card("30岁男，K 41")


def test_the_duration_may_stand_before() -> None:
    assert card("患者3天前出现发热，右下肺斑片影").startswith("发热 3天 · 右下肺斑片影")


def test_no_identifier_gets_in() -> None:
    text = "患者姓名：张三丰，男，65岁，住院号：A1234567，电话13812345678，身份证11010519491231002X，胸痛2小时"
    for lang in ("zh", "en"):
        made = card(text, lang)
        assert "65" in made
        assert not find_identifiers(made)
        for secret in ("张三丰", "1234567", "138", "110105"):
            assert secret not in made


def test_merge_appends_what_is_new() -> None:
    first = "65岁 男 · 突发胸痛 2小时 · BP:165/95"
    assert merge(first, "65岁 男 · 肌酐 132 μmol/L") == f"{first} · 肌酐 132 μmol/L"
    assert merge(first, "65岁") == first
    assert merge(first, first) == first
    assert merge("", "65岁 男") == "65岁 男"
    assert merge(first, "") == first


def test_merge_keeps_an_older_value_and_the_order() -> None:
    assert merge("65岁 男 · BP:165/95", "BP:120/70") == "65岁 男 · BP:165/95 · BP:120/70"


def test_merge_leaves_what_a_person_wrote() -> None:
    edited = "65岁 男\n家属要求保守治疗"
    assert merge(edited, "K 5.9 mmol/L · 65岁 男") == f"{edited} · K 5.9 mmol/L"


FACTS = st.sampled_from(
    [
        "65岁男性",
        "胸痛2小时",
        "无发热",
        "BP 165/95",
        "肌酐132μmol/L",
        "利伐沙班15mg qd",
        "青霉素过敏",
        "STEMI",
        "怎么办？",
        "K 41",
        "58F",
        "ST elevation in V1-V4",
        "for 3 days",
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(FACTS | st.text(max_size=6), max_size=8), st.sampled_from(["zh", "en"]))
def test_any_text_gives_a_card_that_merges_with_itself(parts: list[str], lang: Language) -> None:
    made = card("，".join(parts), lang)
    assert made == card("，".join(parts), lang)
    assert "\n" not in made
    assert merge(made, made) == made


def test_what_follows_the_patient_in_a_question_is_the_patients() -> None:
    text = "What is the empiric antibiotic for a 34 yo pregnant woman at 22 weeks with pyelonephritis?"
    assert card(text, "en") == "34-year-old pregnant female · 22 weeks of gestation · Pyelonephritis"


def test_a_score_has_no_chinese_unit_in_english() -> None:
    assert "NIHSS 12" in card("72岁男，NIHSS评分12分", "en").split(" · ")


def test_a_drug_whose_dose_is_asked_is_not_given() -> None:
    assert "阿替普酶" not in card("72岁男，脑梗死2小时，阿替普酶剂量多少，体重70kg")


@pytest.mark.parametrize(
    "text", ["45岁男，不除外右侧输尿管结石", "45岁男，输尿管结石待排", "45岁男，输尿管结石可能性大"]
)
def test_what_is_suspected_has_a_question_mark(text: str) -> None:
    assert "输尿管结石?" in card(text)


def test_names_are_in_the_cards_language() -> None:
    assert "Febrile seizures" in card("2岁女，热性惊厥", "en")
    assert "感染性休克" in card("72M with septic shock")
    assert "Membranous nephropathy" in card("45岁男，膜性肾病", "en")


def test_years_and_months() -> None:
    assert card("患儿，女，2岁3个月") == "2岁3个月 女"
    assert card("患儿，女，2岁3个月", "en") == "27-month-old female"

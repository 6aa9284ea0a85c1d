"""What looks like a value, a drug or a duration and is none: the unit decides."""

from __future__ import annotations

import pytest

from medgemma_tui.clinical.entities import find_entities

VALUES = {"vital", "lab", "age", "sex", "duration", "drug", "allergy"}


@pytest.mark.parametrize(
    "text",
    [
        "I21.9",
        "E11.9、K35.8、T45.5",
        "ICD-10 K41",
        "2023 ADA指南",
        "KDIGO 2012",
        "V1–V4",
        "T4a与T4b的核心解剖学区别是什么？",
        "结直肠癌TNM分期中，T3N1M0",
        "pT3N1，pT4a",
        "CKD G3a A2",
        "K41",
        "P<0.05",
        "P = 0.03, P < 0.001",
        "HR 0.75 (95% CI 0.6-0.9)",
        "RR 1.5，OR 2.3",
        "T细胞，P53(+)，P53 90%",
        "CK7(+)、CK20(-)，Ki-67 30%",
        "HER2 3+",
        "电话13812345678",
        "检验单号12345678901",
        "2023年5月3日",
        "2型糖尿病如何分型？",
        "NYHA III级，Killip I级",
        "5 mg 2",
        "表3 K 4例",
        "IgG4相关性疾病",
        "B12、H2O、CO2",
        "心率失常患者",
        "血压计",
        "第3版第12章",
    ],
)
def test_nothing_is_measured_here(text: str) -> None:
    found = [(entity.kind, entity.text) for entity in find_entities(text) if entity.kind in VALUES]
    assert not found


@pytest.mark.parametrize(
    ("text", "drug"),
    [
        ("肾上腺素能受体", "adrenaline"),
        ("胰岛素抵抗", "insulin"),
        ("青霉素皮试", "penicillin"),
        ("adenosine deaminase", "adenosine"),
        ("insulin resistance", "insulin"),
    ],
)
def test_longer_expressions_mean_something_else(text: str, drug: str) -> None:
    assert drug not in {entity.name for entity in find_entities(text)}


def test_the_longest_wins() -> None:
    assert [entity.name for entity in find_entities("去甲肾上腺素")] == ["noradrenaline"]
    assert [entity.name for entity in find_entities("肌酐清除率35ml/min")] == ["creatinine_clearance"]
    assert [entity.kind for entity in find_entities("青霉素过敏")] == ["allergy"]


def test_a_comma_divides_in_chinese_and_groups_in_english() -> None:
    assert [entity.value for entity in find_entities("PLT 140，120/80mmHg")] == [140, "120/80"]
    assert [entity.value for entity in find_entities("PLT 140,000/μL")] == [140000]


def test_units_decide_between_two_meanings_of_one_name() -> None:
    assert [entity.name for entity in find_entities("P 1.2mmol/L")] == ["phosphate"]
    assert [entity.name for entity in find_entities("P 88次/分")] == ["pulse"]
    assert [entity.name for entity in find_entities("白蛋白 32g/L")] == ["albumin"]
    assert not find_entities("mg 5")

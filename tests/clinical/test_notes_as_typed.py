"""Pieces of notes as clinicians type them, each read wrongly once: what must be found, and what must not."""

from __future__ import annotations

import pytest

from medgemma_tui.clinical.entities import find_entities
from medgemma_tui.clinical.findings import Entity, Quantity


def found(text: str, kind: str, name: str = "") -> list[Entity]:
    return [each for each in find_entities(text) if each.kind == kind and (not name or each.name == name)]


@pytest.mark.parametrize(
    ("text", "kind", "name", "value", "unit"),
    [
        # the next name is no unit
        ("Na 128 K 6.1 Cl 96", "lab", "sodium", 128, "mmol/L"),
        ("Na 128 K 6.1 Cl 96", "lab", "potassium", 6.1, "mmol/L"),
        ("Ca 8.1 Phos 6.8 Mg 2.3", "lab", "phosphate", 6.8, ""),
        ("Tbili 0.9 INR 1.2", "lab", "total_bilirubin", 0.9, ""),
        ("ＰＴ：１８．５ｓ", "lab", "prothrombin_time", 18.5, "s"),
        ("Ｋ：４．１ｍｍｏｌ／Ｌ", "lab", "potassium", 4.1, "mmol/L"),
        ("血常规：WBC 15.6×10^9/L，N 78%，L 18%", "lab", "neutrophil_percent", 78, "%"),
        ("血常规：WBC 15.6×10^9/L，N 78%，L 18%", "lab", "lymphocyte_percent", 18, "%"),
        ("血浆渗透压 345 mOsm/L", "lab", "osmolality", 345, "mOsm/L"),
        ("Apgar评分1分钟9分、5分钟10分", "lab", "apgar", 9, "分"),
        ("UOP 15 mL/hr", "vital", "urine_output", 15, "mL/h"),
        ("发热三十八度五", "vital", "temperature", 38.5, "℃"),
        ("昨晚烧到39度", "vital", "temperature", 39, "℃"),
        ("烧到三十九度半", "vital", "temperature", 39.5, "℃"),
        ("fever 39.2C, flank pain", "vital", "temperature", 39.2, "℃"),
        ("尿微量白蛋白肌酐比值320mg/g", "lab", "uacr", 320, "mg/g"),
        ("Fever 39.", "vital", "temperature", 39, "℃"),
        ("febrile to 101.3", "vital", "temperature", 101.3, "°F"),
        ("78岁男性，70kg", "vital", "weight", 70, "kg"),
        ("65岁女 55 kg", "vital", "weight", 55, "kg"),
        ("患儿，女，2岁3个月", "age", "", 2.25, "year"),
        ("新生儿，生后3天，皮肤黄染", "age", "", 3, "day"),
        ("早产儿，出生后2周", "age", "", 2, "week"),
        ("孕39+2周顺产", "duration", "gestation", "39+2", "week"),
        ("孕39周+2天", "duration", "gestation", "39+2", "week"),
        ("G2P1 at 38+4 weeks", "duration", "gestation", "38+4", "week"),
        ("pregnant woman at 22 weeks", "duration", "gestation", 22, "week"),
        ("22 weeks' gestation", "duration", "gestation", 22, "week"),
        ("双下肢浮肿半月", "duration", "", 0.5, "month"),
        ("高血压十几年", "duration", "", None, "year"),
        ("高血压几十年了", "duration", "", None, "year"),
        ("stridor since yesterday", "duration", "", 1, "day"),
        ("昨天起发热", "duration", "", 1, "day"),
        ("a 6/52 history of bleeding", "duration", "", 6, "week"),
        ("cough for 3/12", "duration", "", 3, "month"),
        ("我爸65岁，脚肿", "sex", "", "male", ""),
        ("My 72-year-old mother has dizziness", "sex", "", "female", ""),
    ],
)
def test_what_is_there(text: str, kind: str, name: str, value: float | str | None, unit: str) -> None:
    each = found(text, kind, name)
    assert [(one.value, one.unit, one.implausible) for one in each[:1]] == [(value, unit, False)], find_entities(text)


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("OGTT 1小时10.8mmol/L，2小时9.1mmol/L", "duration", ""),
        ("Apgar评分1分钟9分、5分钟10分", "duration", ""),
        ("患儿，女，2岁3个月", "duration", ""),
        ("孕39+2周顺产", "age", ""),
        ("膝关节屈曲达90度", "vital", ""),
        ("fever 36 hours", "vital", ""),
        ("UA +nitrite", "lab", ""),
        ("fever 38 days ago", "vital", ""),
        ("屈曲至三十五度角", "vital", ""),
        ("吸氧后SpO2 95%，吸氧3 L 35%", "lab", "lymphocyte_percent"),
        ("Pain score 5/12, grade 3/7", "duration", ""),
        ("产后3天发热", "age", ""),
        ("新发生后3天", "age", ""),
        ("我父亲有心梗，我会不会遗传？", "diagnosis", ""),
        ("父亲胸痛，患者无不适", "finding", ""),
        ("其父服用华法林", "drug", ""),
        ("35岁女性，我妈妈有高血压", "diagnosis", ""),
    ],
)
def test_what_is_not_there(text: str, kind: str, name: str) -> None:
    assert not found(text, kind, name), find_entities(text)


@pytest.mark.parametrize(
    ("text", "name", "dose", "route", "frequency"),
    [
        ("metoprolol succinate 50 mg PO daily", "metoprolol", Quantity(50, "mg"), "oral", "qd"),
        ("losartan potassium 50 mg daily", "losartan", Quantity(50, "mg"), "", "qd"),
        ("布洛芬混悬液5ml口服，q6h prn", "ibuprofen", Quantity(5, "mL"), "oral", "q6h"),
        ("布地奈德福莫特罗吸入粉雾剂160/4.5μg 2吸 bid", "budesonide/formoterol", Quantity(2, "puff"), "inhaled", "bid"),
        ("万古霉素首剂25mg/kg", "vancomycin", Quantity(25, "mg/kg"), "", ""),
        ("paracetamol 1g QDS", "paracetamol", Quantity(1, "g"), "", "qid"),
        ("vasopressin 0.03 units/min", "vasopressin", Quantity(0.03, "U/min"), "", ""),
        ("吃了2片布洛芬", "ibuprofen", Quantity(2, "tablet"), "", ""),
        ("阿托伐他汀20mg 1片 qn", "atorvastatin", Quantity(20, "mg"), "", "qn"),
        ("家属给予布洛芬0.2g口服", "ibuprofen", Quantity(0.2, "g"), "oral", ""),
    ],
)
def test_drugs(text: str, name: str, dose: Quantity, route: str, frequency: str) -> None:
    [drug] = found(text, "drug")
    assert (drug.name, drug.dose, drug.route, drug.frequency, drug.negated) == (name, dose, route, frequency, False)


@pytest.mark.parametrize(
    ("text", "negated", "present"),
    [
        ("否认心梗史，长期吸烟，利伐沙班15mg qd，感冒怎么治？", {"心梗"}, {"利伐沙班15mg qd", "感冒"}),
        ("否认高血压史，糖尿病史，冠心病史", {"高血压", "糖尿病", "冠心病"}, set()),
        ("患者否认胸痛，诉头晕", {"胸痛"}, {"头晕"}),
        ("没有发烧就是咳嗽", {"发烧"}, {"咳嗽"}),
        ("不发热，不咳嗽，嗓子疼", {"发热", "咳嗽"}, {"嗓子疼"}),
        ("无不适", set(), set()),
        ("否认服用阿司匹林100mg qd", {"阿司匹林100mg qd"}, set()),
        ("对青霉素不过敏", {"对青霉素不过敏"}, set()),
        ("无明显诱因出现胸痛", set(), {"胸痛"}),
        ("不能排除肺栓塞", set(), {"肺栓塞"}),
        ("no chest pain but dyspnoea", {"chest pain"}, {"dyspnoea"}),
        ("既往无高血压、糖尿病，有冠心病", {"高血压", "糖尿病"}, {"冠心病"}),
    ],
)
def test_what_is_denied(text: str, negated: set[str], present: set[str]) -> None:
    facts = [each for each in find_entities(text) if each.kind in ("diagnosis", "finding", "drug", "allergy")]
    assert {each.text for each in facts if each.negated} == negated
    assert {each.text for each in facts if not each.negated} == present


def test_a_denied_list_does_not_reach_to_what_a_relative_has() -> None:
    from medgemma_tui.clinical.terms import find_terms

    terms = {term.text: term for term in find_terms("否认高血压、糖尿病史，父亲患2型糖尿病")}
    assert terms["糖尿病"].negated
    assert not terms["2型糖尿病"].negated
    assert terms["2型糖尿病"].relative


@pytest.mark.parametrize(
    "text",
    [
        "尿钠 20mmol/L",
        "随机尿钾 30mmol/L",
        "脑脊液葡萄糖 2.1mmol/L",
        "脑脊液：葡萄糖 2.1mmol/L，氯 110mmol/L",
        "胸水白蛋白 20g/L",
        "urine sodium 20 mmol/L",
        "CSF glucose 40 mg/dL",
        "pleural fluid albumin 2 g/dL",
        "男，65岁，父亲肌酐132μmol/L",
    ],
)
def test_what_was_not_measured_in_the_patients_blood_is_no_value_of_it(text: str) -> None:
    assert not found(text, "lab")


def test_the_blood_beside_an_effusion_is_still_read() -> None:
    text = "脑脊液：葡萄糖 2.1mmol/L，氯 110mmol/L。血钠 140mmol/L"
    assert [each.name for each in found(text, "lab")] == ["sodium"]


def test_urine_creatinine_is_no_creatinine() -> None:
    assert [each.name for each in found("尿肌酐132 μmol/L", "lab")] == ["urine_creatinine"]


@pytest.mark.parametrize(
    ("text", "kind", "names"),
    [
        ("无尿频尿急", "finding", {"Frequent micturition", "urinary urgency"}),
        ("突发胸骨后压榨样疼痛3小时", "finding", {"crushing chest pain"}),
        ("substernal CP, STE in V2-V4", "finding", {"retrosternal pain", "ST elevation"}),
        ("stridor and low fever", "finding", {"stridor", "low-grade fever"}),
        ("自杀念头2周", "finding", {"Suicidal ideation"}),
        ("NSCLC, DVT", "diagnosis", {"Non-small cell lung cancer", "Deep vein thrombosis"}),
        ("左#NOF", "diagnosis", {"Fracture of neck of femur"}),
        ("腹腔镜阑尾切除术", "anatomy", set()),
        ("肺炎链球菌，乙肝疫苗", "anatomy", set()),
    ],
)
def test_what_a_patient_has(text: str, kind: str, names: set[str]) -> None:
    assert {each.name for each in found(text, kind)} == names

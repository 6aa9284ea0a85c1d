"""What is found in texts as clinicians type them: kind, value, unit and place."""

from __future__ import annotations

import pytest

from medgemma_tui.clinical.entities import find_entities, label, typed_name
from medgemma_tui.clinical.findings import Entity, Quantity


def of_kind(text: str, kind: str) -> list[Entity]:
    return [entity for entity in find_entities(text) if entity.kind == kind]


def only(text: str, kind: str) -> Entity:
    found = of_kind(text, kind)
    assert len(found) == 1, [(entity.kind, entity.text) for entity in find_entities(text)]
    return found[0]


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("65岁男性，胸痛", 65, "year"),
        ("男，65岁，胸痛", 65, "year"),
        ("患者６５岁", 65, "year"),
        ("六十五岁女性", 65, "year"),
        ("三岁患儿", 3, "year"),
        ("3岁半男孩", 3.5, "year"),
        ("6月龄男婴，发热", 6, "month"),
        ("6个月女婴，腹泻", 6, "month"),
        ("3日龄新生儿", 3, "day"),
        ("年龄：72", 72, "year"),
        ("65 y/o woman", 65, "year"),
        ("a 65-year-old man", 65, "year"),
        ("65yo male", 65, "year"),
        ("sixty-five-year-old woman", 65, "year"),
        ("6-month-old boy", 6, "month"),
        ("woman aged 54 years", 54, "year"),
        ("A 65M with chest pain", 65, "year"),
        ("男/65，胸痛", 65, "year"),
    ],
)
def test_age(text: str, value: float, unit: str) -> None:
    found = only(text, "age")
    assert (found.value, found.unit, found.implausible) == (value, unit, False)


@pytest.mark.parametrize(
    "text", ["65岁以上患者如何抗凝？", "18-65岁", "年龄≥65岁的患者", "over 65 years old", "T65", "岁月"]
)
def test_a_group_has_no_age(text: str) -> None:
    assert not of_kind(text, "age")


def test_the_relatives_age_gives_way_to_the_patients() -> None:
    assert [age.value for age in of_kind("45岁男性，父亲60岁时死于心梗；其母58岁患糖尿病", "age")] == [45]
    assert [age.value for age in of_kind("我儿子3岁，发热", "age")] == [3]


@pytest.mark.parametrize(
    ("text", "sex"),
    [
        ("65岁男性", "male"),
        ("患者女，65岁", "female"),
        ("男，3天前", "male"),
        ("老年女性", "female"),
        ("患儿男", "male"),
        ("孕妇，孕32周", "female"),
        ("65 y/o woman", "female"),
        ("a 45 yo male", "male"),
        ("6-month-old girl", "female"),
        ("72F presents with fever", "female"),
    ],
)
def test_sex(text: str, sex: str) -> None:
    assert only(text, "sex").value == sex


@pytest.mark.parametrize(
    "text",
    [
        "男友送来就诊",
        "女儿陪同",
        "男女均可发病",
        "男科会诊",
        "雌性激素、女性激素",
        "her girlfriend",
        "man-made",
        "male pattern baldness",
    ],
)
def test_no_sex(text: str) -> None:
    assert not of_kind(text, "sex")


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("突发胸痛2小时", 2, "hour"),
        ("低热3天", 3, "day"),
        ("咳嗽两周", 2, "week"),
        ("头晕半年", 0.5, "year"),
        ("头痛一个半月", 1.5, "month"),
        ("糖尿病10余年", 10, "year"),
        ("腹痛数天", None, "day"),
        ("发热近3日", 3, "day"),
        ("胸痛2h，", 2, "hour"),
        ("发热×3d", 3, "day"),
        ("咳嗽２周", 2, "week"),
        ("chest pain for 2 hours", 2, "hour"),
        ("a 3-day history of fever", 3, "day"),
        ("fever x3d", 3, "day"),
        ("cough for two weeks", 2, "week"),
        ("pain for half an hour", 0.5, "hour"),
        ("疼痛3-5天", "3-5", "day"),
    ],
)
def test_duration(text: str, value: float | str | None, unit: str) -> None:
    found = only(text, "duration")
    assert (found.value, found.unit) == (value, unit)


@pytest.mark.parametrize(
    "text",
    [
        "2小时内完成再灌注",
        "3天后复查",
        "每8小时一次",
        "2023年5月3日入院",
        "一天三次",
        "10年心血管风险",
        "5年生存率",
        "餐后2小时血糖",
        "24h尿蛋白定量",
        "3D打印",
        "十二月",
        "半月板损伤",
        "within 2 hours",
        "every 8 hours",
        "65 years old",
    ],
)
def test_no_duration(text: str) -> None:
    assert not of_kind(text, "duration")


def test_weeks_of_pregnancy() -> None:
    found = only("孕32周，头痛", "duration")
    assert (found.name, found.value, found.unit) == ("gestation", 32, "week")


@pytest.mark.parametrize(
    ("text", "name", "value", "unit"),
    [
        ("BP 165/95", "blood_pressure", "165/95", "mmHg"),
        ("血压165／95mmHg", "blood_pressure", "165/95", "mmHg"),
        ("血压：１６５/９５", "blood_pressure", "165/95", "mmHg"),
        ("BP:165/95毫米汞柱", "blood_pressure", "165/95", "mmHg"),
        ("165/95mmHg", "blood_pressure", "165/95", "mmHg"),
        ("BP 22/13kPa", "blood_pressure", "22/13", "kPa"),
        ("血压波动在150-160/90-100mmHg", "blood_pressure", "150-160/90-100", "mmHg"),
        ("HR110次/分", "heart_rate", 110, "/min"),
        ("心率 110", "heart_rate", 110, "/min"),
        ("脉搏：110次每分", "pulse", 110, "/min"),
        ("呼吸20次/分", "respiratory_rate", 20, "/min"),
        ("体温38.5℃", "temperature", 38.5, "℃"),
        ("体温38度5", "temperature", 38.5, "℃"),
        ("T 101 °F", "temperature", 101, "°F"),
        ("发热39度", "temperature", 39, "℃"),
        ("SpO2 93%", "oxygen_saturation", 93, "%"),
        ("SpO298%", "oxygen_saturation", 98, "%"),
        ("血氧88%", "oxygen_saturation", 88, "%"),
        ("体重65公斤", "weight", 65, "kg"),
        ("身高170cm", "height", 170, "cm"),
        ("BMI 22.5kg/m2", "bmi", 22.5, "kg/m²"),
        ("GCS 8分", "gcs", 8, "分"),
        ("GCS 15/15", "gcs", 15, "分"),
    ],
)
def test_vital_signs(text: str, name: str, value: float | str, unit: str) -> None:
    found = only(text, "vital")
    assert (found.name, found.value, found.unit, found.implausible) == (name, value, unit, False)


def test_a_row_of_vital_signs() -> None:
    text = "T36.8℃,P88次/分,R20,BP165/95"
    assert [(entity.name, entity.value) for entity in find_entities(text)] == [
        ("temperature", 36.8),
        ("pulse", 88),
        ("respiratory_rate", 20),
        ("blood_pressure", "165/95"),
    ]


@pytest.mark.parametrize(
    ("text", "name", "value", "unit"),
    [
        ("WBC 6.2×10⁹/L", "wbc", 6.2, "10^9/L"),
        ("WBC6.2*10^9/L", "wbc", 6.2, "10^9/L"),
        ("白细胞 6.2x10*9/L", "wbc", 6.2, "10^9/L"),
        ("WBC 6.2 × 10⁹ / L", "wbc", 6.2, "10^9/L"),
        ("WBC 12,500/μL", "wbc", 12500, "/μL"),
        ("血小板 12万", "platelets", 12, "10^4/μL"),
        ("Hb98g/L", "hemoglobin", 98, "g/L"),
        ("血红蛋白120克/升", "hemoglobin", 120, "g/L"),
        ("中性粒细胞 82%", "neutrophil_percent", 82, "%"),
        ("中性粒细胞 8.2×10⁹/L", "neutrophils", 8.2, "10^9/L"),
        ("K 4.1mmol/L", "potassium", 4.1, "mmol/L"),
        ("血钾５．８毫摩尔每升", "potassium", 5.8, "mmol/L"),
        ("K5.8mmol/L", "potassium", 5.8, "mmol/L"),
        ("钾 5.8", "potassium", 5.8, "mmol/L"),
        ("肌酐132μmol/L", "creatinine", 132, "μmol/L"),
        ("肌酐 132 umol/L", "creatinine", 132, "μmol/L"),
        ("Scr：1.5mg/dl", "creatinine", 1.5, "mg/dL"),
        ("血肌酐(Scr)132微摩尔每升", "creatinine", 132, "μmol/L"),
        ("cr132", "creatinine", 132, "μmol/L"),
        ("creatinine of 1.4 mg/dL", "creatinine", 1.4, "mg/dL"),
        ("eGFR 28mL/min", "egfr", 28, "mL/min"),
        ("eGFR 28 ml/(min·1.73m²)", "egfr", 28, "mL/min/1.73 m²"),
        ("肌酐清除率35毫升/分", "creatinine_clearance", 35, "mL/min"),
        ("HbA1c 7.2%", "hba1c", 7.2, "%"),
        ("cTnI 0.5ng/ml", "troponin_i", 0.5, "ng/mL"),
        ("hs-cTnT 52 ng/L", "troponin_t", 52, "ng/L"),
        ("pH7.25", "ph", 7.25, ""),
        ("BE -3.2", "base_excess", -3.2, "mmol/L"),
        ("PaO2 58mmHg", "pao2", 58, "mmHg"),
        ("D-二聚体0.45mg/L", "d_dimer", 0.45, "mg/L"),
        ("INR 2.5", "inr", 2.5, ""),
        ("CA19-9 1200U/ml", "ca199", 1200, "U/mL"),
        ("LVEF 35%", "lvef", 35, "%"),
        ("肌酐由132μmol/L", "creatinine", 132, "μmol/L"),
        ("尿蛋白(++)", "urine_protein", "++", ""),
        ("尿蛋白 3+", "urine_protein", "3+", ""),
        ("肌钙蛋白阳性", "troponin", "positive", ""),
        ("K 3.5-5.0mmol/L", "potassium", "3.5-5", "mmol/L"),
    ],
)
def test_laboratory_values(text: str, name: str, value: float | str, unit: str) -> None:
    found = only(text, "lab")
    assert (found.name, found.value, found.unit, found.implausible) == (name, value, unit, False)


@pytest.mark.parametrize(
    ("text", "also"),
    [
        ("肌酐132μmol/L", Quantity(1.49, "mg/dL")),
        ("Cr 1.5 mg/dL", Quantity(133, "μmol/L")),
        ("血糖 7.0mmol/L", Quantity(126, "mg/dL")),
        ("glucose 180 mg/dL", Quantity(9.99, "mmol/L")),
        ("总胆红素 34.2 μmol/L", Quantity(2.0, "mg/dL")),
        ("BUN 28 mg/dL", Quantity(10.0, "mmol/L")),
        ("Hb 98 g/L", Quantity(9.8, "g/dL")),
        ("LDL-C 160 mg/dL", Quantity(4.14, "mmol/L")),
        ("血钙 2.5 mmol/L", Quantity(10.0, "mg/dL")),
        ("体温 38.5℃", Quantity(101, "°F")),
        ("T 101 °F", Quantity(38.3, "℃")),
        ("HbA1c 7.0%", Quantity(53.0, "mmol/mol")),
    ],
)
def test_the_other_unit_in_use(text: str, also: Quantity) -> None:
    found = find_entities(text)[0].also[0]
    assert (found.value, found.unit) == (pytest.approx(also.value, rel=0.006), also.unit)


def test_a_bare_value_has_a_unit_only_where_one_is_possible() -> None:
    assert only("肌酐132", "lab").unit == "μmol/L"
    assert only("肌酐1.5", "lab").unit == "mg/dL"
    assert only("肌酐 60", "lab").unit == ""
    assert not only("肌酐 60", "lab").also
    assert only("体重 130", "vital").unit == ""  # kg or 斤


def test_a_bound_is_no_value() -> None:
    assert only("BNP>5000pg/ml", "lab").comparator == ">"
    assert only("eGFR小于30", "lab").comparator == "<"
    assert only("血压130/80以下", "vital").comparator == "<"
    assert only("K 5.8", "lab").comparator == ""


def test_a_course_is_two_values() -> None:
    found = of_kind("肌酐由132升至210μmol/L", "lab")
    assert [(entity.value, entity.unit, entity.text) for entity in found] == [
        (132, "μmol/L", "肌酐由132"),
        (210, "μmol/L", "210μmol/L"),
    ]
    assert [(e.name, e.value) for e in of_kind("ALT/AST 560/430 U/L", "lab")] == [("alt", 560), ("ast", 430)]


@pytest.mark.parametrize(
    "text",
    [
        "血压 1680/95", "血压80/120", "K 41", "血钾41mmol/L", "体温 395", "T 395℃", "265岁", "SpO2 132%",
        "心率1100次/分", "pH 72.5", "肌酐 132 mmol/L", "血糖 410 mmol/L", "Na 1280", "GCS 18分", "体重 6500 kg",
    ],
)  # fmt: skip
def test_what_no_living_patient_has_is_asked_about(text: str) -> None:
    found = find_entities(text)
    assert len(found) == 1
    assert found[0].implausible


def test_drugs_with_dose_route_and_frequency() -> None:
    found = only("正在服用利伐沙班15mg qd，是否", "drug")
    assert (found.name, found.text, found.dose, found.frequency) == (
        "rivaroxaban",
        "利伐沙班15mg qd",
        Quantity(15, "mg"),
        "qd",
    )


@pytest.mark.parametrize(
    ("text", "name", "dose", "route", "frequency"),
    [
        ("头孢曲松2.0g静滴q12h", "ceftriaxone", Quantity(2, "g"), "intravenous", "q12h"),
        ("口服二甲双胍0.5g tid", "metformin", Quantity(0.5, "g"), "oral", "tid"),
        ("阿司匹林肠溶片100mg口服每日一次", "aspirin", Quantity(100, "mg"), "oral", "qd"),
        ("硝苯地平控释片30mg，每日1次", "nifedipine", Quantity(30, "mg"), "", "qd"),
        ("阿莫西林 0.5ｇ 一天三次", "amoxicillin", Quantity(0.5, "g"), "", "tid"),
        ("沙丁胺醇 2喷 prn", "salbutamol", Quantity(2, "puff"), "", "prn"),
        ("低分子肝素4000IU皮下注射q12h", "low-molecular-weight heparin", Quantity(4000, "U"), "subcutaneous", "q12h"),
        ("泼尼松 30 mg/d", "prednisone", Quantity(30, "mg/d"), "", ""),
        ("阿奇霉素10mg/kg/d", "azithromycin", Quantity(10, "mg/kg/d"), "", ""),
        ("阿奇霉素0.5g po qd×5天", "azithromycin", Quantity(0.5, "g"), "oral", "qd"),
        ("美罗培南每8小时一次", "meropenem", None, "", "q8h"),
        ("metformin 500 mg twice daily", "metformin", Quantity(500, "mg"), "", "bid"),
        ("vancomycin 1 g IV q12h", "vancomycin", Quantity(1, "g"), "intravenous", "q12h"),
        ("5mg of bisoprolol", "bisoprolol", Quantity(5, "mg"), "", ""),
        ("布洛芬200-400mg prn", "ibuprofen", None, "", "prn"),
    ],
)
def test_drugs(text: str, name: str, dose: Quantity | None, route: str, frequency: str) -> None:
    found = only(text, "drug")
    assert (found.name, found.dose, found.route, found.frequency) == (name, dose, route, frequency)


def test_a_drug_that_is_not_given() -> None:
    given = {drug.name: drug.negated for drug in of_kind("未使用华法林，停用二甲双胍，拟用利伐沙班", "drug")}
    assert given == {"warfarin": True, "metformin": True, "rivaroxaban": False}
    english = {drug.name: drug.negated for drug in of_kind("not taking aspirin, on warfarin", "drug")}
    assert english == {"aspirin": True, "warfarin": False}


@pytest.mark.parametrize(
    ("text", "name", "negated"),
    [
        ("青霉素过敏", "penicillin", False),
        ("对青霉素类药物过敏", "penicillin", False),
        ("青霉素、头孢过敏", "penicillin", False),
        ("磺胺过敏史", "sulfonamide", False),
        ("无药物过敏史", "drug", True),
        ("无抗生素过敏史", "antibiotic", True),
        ("否认食物及药物过敏史", "drug", True),
        ("过敏史：无", "", True),
        ("NKDA", "drug", True),
        ("no known drug allergies", "drug", True),
        ("allergic to penicillin", "penicillin", False),
        ("allergies: penicillin", "penicillin", False),
        ("sulfa allergy", "sulfonamide", False),
        ("not allergic to penicillin", "penicillin", True),
    ],
)
def test_allergies(text: str, name: str, negated: bool) -> None:
    found = only(text, "allergy")
    assert (found.name, found.negated, found.text) == (name, negated, text)


@pytest.mark.parametrize("text", ["过敏性鼻炎", "抗过敏治疗", "过敏原检测", "过敏怎么办", "seasonal allergy"])
def test_no_allergy(text: str) -> None:
    assert not of_kind(text, "allergy")


def test_findings_and_their_leads() -> None:
    found = {entity.name: entity for entity in of_kind("突发胸痛，V1–V4导联ST段抬高，无发热、咳嗽", "finding")}
    assert found["ST elevation"].value == "V1-V4"
    assert found["ST elevation"].text == "V1–V4导联ST段抬高"
    assert {name for name, entity in found.items() if entity.negated} == {"fever", "cough"}
    english = only("ST elevation in V1-V4", "finding")
    assert (english.value, english.text) == ("V1-V4", "ST elevation in V1-V4")


def test_diagnoses_are_the_terms() -> None:
    found = {entity.name: entity.negated for entity in of_kind("诊断STEMI，否认脑梗", "diagnosis")}
    assert len(found) == 2
    assert sorted(found.values()) == [False, True]


def test_names_for_the_screen() -> None:
    assert label("lab", "creatinine") == ("肌酐", "creatinine")
    assert label("drug", "rivaroxaban") == ("利伐沙班", "rivaroxaban")
    assert label("lab", "nothing") is None
    assert typed_name(only("Scr 132μmol/L", "lab")) == "Scr"
    assert typed_name(only("血肌酐(Scr)132μmol/L", "lab")) == "血肌酐"


def test_tests_and_relatives_illnesses_are_no_diagnoses() -> None:
    assert not of_kind("血常规、PCI", "diagnosis")
    assert not of_kind("父亲患糖尿病", "diagnosis")
    assert [entity.kind for entity in find_entities("发烧")] == ["finding"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("65岁男性70kg", {"weight": 70}),
        ("男，65岁，170cm，70kg", {"weight": 70, "height": 170}),
        ("a 70-kg man", {"weight": 70}),
        ("体重下降5kg", {}),
        ("65岁男，肿瘤10cm×8cm", {}),
        ("15mg/kg", {}),
    ],
)
def test_a_weight_or_height_without_its_name(text: str, expected: dict[str, float]) -> None:
    assert {entity.name: entity.value for entity in of_kind(text, "vital")} == expected


def test_a_change_is_no_value() -> None:
    assert [(e.name, e.value) for e in of_kind("血钠升高5 mmol/L", "lab")] == [("sodium", "high")]
    assert not of_kind("creatinine increased by 0.3 mg/dL", "lab")
    assert [e.value for e in of_kind("creatinine rose from 1.0 to 2.3 mg/dL", "lab")] == [1.0, 2.3]


def test_scores() -> None:
    assert [(e.name, e.value, e.implausible) for e in of_kind("NIHSS 8分，CHA2DS2-VASc评分4分，NIHSS 55分", "lab")] == [
        ("nihss", 8, False),
        ("cha2ds2_vasc", 4, False),
        ("nihss", 55, True),
    ]

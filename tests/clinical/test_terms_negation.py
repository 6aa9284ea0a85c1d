"""Negation, double negation, questions, lists, and whose illness it is."""

import time

import pytest

from medgemma_tui.clinical import tables
from medgemma_tui.clinical.negation import Reader, negated, of_relative
from medgemma_tui.clinical.textform import fold


def said(question, text, word):
    folded = fold(text)
    start = folded.index(fold(word))
    span = start, start + len(word)
    single = question(folded, *span)
    reader = Reader(folded)
    assert single == (reader.negated(*span) if question is negated else reader.of_relative(*span))
    return single


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("否认心梗、房颤史", "心梗"),
        ("否认心梗、房颤史", "房颤"),
        ("否认高血压，糖尿病，冠心病史", "冠心病"),
        ("无发热、咳嗽、咳痰", "咳痰"),
        ("无呕吐腹泻", "腹泻"),
        ("无心梗史", "心梗"),
        ("没有糖尿病", "糖尿病"),
        ("无高血压，糖尿病，冠心病史", "糖尿病"),
        ("否认有糖尿病", "糖尿病"),
        ("否认既往患有糖尿病", "糖尿病"),
        ("未发现肺栓塞", "肺栓塞"),
        ("不考虑肺炎", "肺炎"),
        ("排除心梗", "心梗"),
        ("已排除心梗", "心梗"),
        ("心梗已排除", "心梗"),
        ("心梗，已排除", "心梗"),
        ("高血压史：无", "高血压"),
        ("胸痛（-）", "胸痛"),
        ("胸痛：无", "胸痛"),
        ("糖尿病 否认", "糖尿病"),
        ("无明确的心梗", "心梗"),
        ("2型糖尿病无高血压", "高血压"),
        ("并非心梗", "心梗"),
        ("不伴发热", "发热"),
        ("心梗、夹层已排除", "心梗"),
        ("从未发生心梗", "心梗"),
        ("No history of MI or stroke", "stroke"),
        ("denies chest pain, dyspnea, or palpitations", "palpitations"),
        ("does not have diabetes", "diabetes"),
        ("without diabetes", "diabetes"),
        ("negative for pneumonia", "pneumonia"),
        ("ruled out MI", "MI"),
        ("MI was ruled out", "MI"),
        ("DVT excluded", "DVT"),
        ("not diabetes", "diabetes"),
        ("No chest pain", "chest pain"),
        ("chest pain: none", "chest pain"),
        ("no hx of afib", "afib"),
        ("No fever, chills or cough.", "chills"),
    ],
)
def test_negated(text, word):
    assert said(negated, text, word)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("心梗", "心梗"),
        ("有心梗史", "心梗"),
        ("否认高血压，糖尿病10年", "糖尿病"),
        ("无发热，咳嗽3天", "咳嗽"),
        ("无发热，咳嗽", "咳嗽"),
        ("无高血压，但有糖尿病", "糖尿病"),
        ("否认药物过敏史，有高血压病史", "高血压"),
        ("否认药物过敏史有高血压病史", "高血压"),
        ("无抗生素过敏史，如何治疗肺炎", "肺炎"),
        ("心电图未见明显异常，诊断心梗", "心梗"),
        ("胸片未见异常 诊断：肺炎", "肺炎"),
        ("否认过敏。糖尿病", "糖尿病"),
        ("否认过敏\n糖尿病", "糖尿病"),
        ("2型糖尿病无高血压", "糖尿病"),
        ("无并发症的糖尿病", "糖尿病"),
        ("心梗患者排除出血后溶栓", "心梗"),
        ("胸痛无放射", "胸痛"),
        ("糖尿病，否认心梗", "糖尿病"),
        ("无吸烟史因心梗入院", "心梗"),
        ("no fever but cough", "cough"),
        ("No MI. Diabetes for 10 years", "Diabetes"),
        ("Patient without diabetes presents with MI", "MI"),
        ("cough, no fever", "cough"),
        ("no known drug allergies, hypertension for 5 years", "hypertension"),
        ("denies smoking; has diabetes", "diabetes"),
    ],
)
def test_out_of_reach(text, word):
    assert not said(negated, text, word)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("不能排除心梗", "心梗"),
        ("不排除心梗", "心梗"),
        ("不除外肺炎", "肺炎"),
        ("尚不能完全排除肺栓塞", "肺栓塞"),
        ("未排除心梗", "心梗"),
        ("心梗不能排除", "心梗"),
        ("心梗待排", "心梗"),
        ("肺炎待排除", "肺炎"),
        ("建议检查排除心梗", "心梗"),
        ("如何排除心梗", "心梗"),
        ("无发热，不能排除肺炎", "肺炎"),
        ("不能否认心梗", "心梗"),
        ("并非没有心梗", "心梗"),
        ("有无糖尿病", "糖尿病"),
        ("有没有糖尿病", "糖尿病"),
        ("是不是肺炎", "肺炎"),
        ("无论肺炎", "肺炎"),
        ("无明显诱因出现胸痛", "胸痛"),
        ("无痛性血尿", "血尿"),
        ("无症状高尿酸血症", "高尿酸血症"),
        ("非瓣膜性房颤", "房颤"),
        ("未控制的高血压", "高血压"),
        ("无创通气后肺炎", "肺炎"),
        ("cannot rule out PE", "PE"),
        ("PE not ruled out", "PE"),
        ("MI cannot be ruled out", "MI"),
        ("rule out MI", "MI"),
        ("can PE be ruled out?", "PE"),
        ("with or without fever", "fever"),
        ("not only diabetes", "diabetes"),
        ("no obvious cause, chest pain", "chest pain"),
        ("not well controlled hypertension", "hypertension"),
    ],
)
def test_open_asked_or_only_looking_negative(text, word):
    assert not said(negated, text, word)


@pytest.mark.parametrize(
    ("text", "word", "relative"),
    [
        ("父亲有心梗", "心梗", True),
        ("患儿母亲患糖尿病", "糖尿病", True),
        ("父亲因心梗去世", "心梗", True),
        ("糖尿病家族史", "糖尿病", True),
        ("家族史：糖尿病，冠心病", "冠心病", True),
        ("family history of stroke", "stroke", True),
        ("father had stroke", "stroke", True),
        ("父亲陪同来诊，突发心梗", "心梗", False),
        ("母亲代诉腹泻2天", "腹泻", False),
        ("父亲高血压，患者糖尿病", "糖尿病", False),
        ("家族史：母亲糖尿病。现病史：心梗", "心梗", False),
        ("brought by wife, chest pain", "chest pain", False),
        ("家属代诉胸痛", "胸痛", False),
        ("心梗", "心梗", False),
    ],
)
def test_whose_illness_it_is(text, word, relative):
    assert said(of_relative, text, word) is relative


def test_a_reader_and_a_single_look_agree_in_a_long_text():
    folded = fold(
        "患者男，65岁，否认心梗、房颤史，高血压10年。父亲有糖尿病。无发热、咳嗽，不能排除肺炎；胸痛（-）。no MI, " * 12
    )
    reader = Reader(folded)
    for start in range(0, len(folded) - 2, 3):
        assert reader.negated(start, start + 2) == negated(folded, start, start + 2), folded[start - 20 : start + 10]
        assert reader.of_relative(start, start + 2) == of_relative(folded, start, start + 2), folded[
            start - 20 : start + 10
        ]


def test_it_looks_only_so_far():
    assert not said(negated, "否认" + "某" * 400 + "心梗", "心梗")
    folded = "否认、" * 100_000 + "心梗"
    began = time.process_time()
    for _ in range(100):
        negated(folded, len(folded) - 2, len(folded))
    assert time.process_time() - began < 1


def test_an_unknown_role_is_told(tmp_path):
    head = 'source = "ours"\nreviewer = "dr"\n'
    (tmp_path / "negation.toml").write_text(
        f'{head}[[cue]]\nrole = "maybe"\nexpressions = ["或许"]\n', encoding="utf-8"
    )
    tables.use_site_directory(tmp_path)
    try:
        with pytest.raises(tables.TableError, match="maybe"):
            negated("否认心梗", 2, 4)
    finally:
        tables.use_site_directory(None)


@pytest.mark.parametrize(
    ("text", "word", "denied"),
    [
        ("伴大汗、恶心，未呕吐，无晕厥", "呕吐", True),
        ("伴大汗、恶心，未呕吐", "恶心", False),
        ("未控制的高血压", "高血压", False),
    ],
)
def test_not_directly_before_a_symptom(text: str, word: str, denied: bool) -> None:
    at = text.index(word)
    assert negated(fold(text), at, at + len(word)) is denied

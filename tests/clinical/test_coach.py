"""The coach names what a question lacks, and is silent where nothing is lacking."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import cast, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgemma_tui.clinical import tables
from medgemma_tui.clinical.analysis import analyze
from medgemma_tui.clinical.coach import coach, template
from medgemma_tui.clinical.entities import find_entities
from medgemma_tui.clinical.findings import Coaching, Entity, Language, MissingId, QuestionKind
from medgemma_tui.demo import corpus

PATIENT_NEEDS = ("patient", "duration", "findings", "allergies")

LACKING: list[tuple[str, QuestionKind, tuple[MissingId, ...]]] = [
    ("感冒怎么治？", "treatment", PATIENT_NEEDS),
    ("您好！请问感冒怎么治？谢谢！", "treatment", PATIENT_NEEDS),
    ("How do I treat a cold?", "treatment", PATIENT_NEEDS),
    ("What is the treatment for a cold?", "treatment", PATIENT_NEEDS),
    ("How is a cold treated?", "treatment", PATIENT_NEEDS),
    ("如何治疗高血压？", "treatment", PATIENT_NEEDS),
    ("感冒了吃什么药好", "treatment", PATIENT_NEEDS),
    ("感冒3天，流鼻涕，青霉素过敏，怎么治？", "treatment", ("patient",)),
    ("35岁女性，发热，怎么治疗？", "treatment", ("duration", "allergies")),
    ("吃药要注意什么？", "dosing", ("drug", "renal_function")),
    ("What should I watch out for when taking medicine?", "dosing", ("drug", "renal_function")),
    ("What should be considered when taking medication?", "dosing", ("drug", "renal_function")),
    ("78岁男性，利伐沙班剂量如何调整？", "dosing", ("renal_function",)),
    ("布洛芬怎么吃？", "dosing", ("patient", "indication", "renal_function")),
    ("癌症有哪些？", "overview", ("question",)),
    ("癌症有哪几种？", "overview", ("question",)),
    ("What cancers are there?", "overview", ("question",)),
    ("Tell me about cancer.", "overview", ("question",)),
    ("65岁男性，肺癌，属于几期？", "staging", ("findings",)),
    ("头痛是什么原因？", "differential", ("patient", "duration")),
    ("我的化验单正常吗？", "interpretation", ("value",)),
    ("What do my blood results mean?", "interpretation", ("value",)),
    # one value, and an impossible one at that, tells neither who nor how long nor what
    ("K 41，感冒怎么治？", "treatment", PATIENT_NEEDS),
    ("体温38.5，感冒怎么治？", "treatment", ("patient", "duration", "allergies")),
    ("青霉素过敏，感冒怎么治？", "treatment", ("patient", "duration", "findings")),
    ("I have a cough, what should I do?", "treatment", ("patient", "duration", "allergies")),
    ("这个药能停吗？", "dosing", ("drug", "indication")),
    ("78岁男性，利伐沙班怎么用？", "dosing", ("renal_function",)),
    ("这个病人属于高血压几级？", "staging", ("findings",)),
]

COMPLETE: list[tuple[str, QuestionKind]] = [
    ("35岁女性，流涕+低热3天，血常规WBC 6.2×10⁹/L，无抗生素过敏史，如何经验性处理？", "treatment"),
    (
        "A 35-year-old woman has had a runny nose and low-grade fever for 3 days, WBC 6.2×10⁹/L, no antibiotic "
        "allergies. How should she be treated empirically?",
        "treatment",
    ),
    ("结直肠癌TNM分期中，T4a与T4b的核心解剖学区别是什么？", "staging"),
    ("In colorectal TNM staging, what is the core anatomical difference between T4a and T4b?", "staging"),
    ("78岁男性，eGFR 28mL/min，正在服用利伐沙班15mg qd，是否需要调整剂量？", "dosing"),
    ("A 78-year-old man with eGFR 28 mL/min takes rivaroxaban 15 mg daily. Does the dose need to change?", "dosing"),
    # knowledge needs no patient
    ("急性肾损伤如何诊断和分期？", "staging"),
    ("What are the GFR staging criteria for diabetic kidney disease?", "staging"),
    ("高血压的诊断标准和降压目标是什么？", "other"),
    ("脓毒症1小时集束化治疗包括哪些内容？", "treatment"),
    ("二甲双胍最大剂量是多少", "dosing"),
    ("What is the maximum dose of paracetamol?", "dosing"),
    ("肺癌有哪些类型？", "overview"),
    ("腹痛的鉴别诊断有哪些", "differential"),
    # a drug that no list has is still named, and a group is named, too
    ("服用奥司他韦要注意什么", "dosing"),
    ("吃降压药要注意什么", "dosing"),
    # minutes count
    ("STEMI发病2小时，如何再灌注治疗？", "treatment"),
    ("65岁男性，STEMI 2小时，怎么处理？", "treatment"),
    ("A 65-year-old man with STEMI for 2 h: what should be done?", "treatment"),
    ("过敏性休克怎么办？", "treatment"),
    ("How do I treat anaphylaxis?", "treatment"),
    # values with their units
    ("血肌酐 132 μmol/L 说明什么？", "interpretation"),
    ("针对上述情况，下一步怎么处理？", "treatment"),
    # who has a diagnosis and a value is described
    ("70岁女性，房颤，CHA2DS2-VASc 4分，eGFR 45，是否抗凝？", "treatment"),
    ("患者男，55岁，肝硬化腹水，血钠126，如何处理？", "treatment"),
    ("Management of DKA in a 22-year-old with pH 7.1", "treatment"),
    ("65M, NSTEMI, eGFR 30: which anticoagulant?", "treatment"),
    ("血钾 6.8 mmol/L，心电图T波高尖，怎么处理？", "treatment"),
    ("他汀引起肌痛怎么办？", "treatment"),
    ("3岁患儿，体重15kg，发热39℃，布洛芬混悬液用量？", "dosing"),
    ("65岁男性，肺癌，4cm，N1M0，几期？", "staging"),
    ("BP 165/95属于高血压几级？", "staging"),
    ("Is a potassium of 5.8 mmol/L dangerous?", "interpretation"),
    ("TSH升高的原因有哪些？", "differential"),
    ("2型糖尿病合并CKD 3期首选什么降糖药？", "treatment"),
    ("What is the empirical antibiotic for adult community-acquired pneumonia?", "treatment"),
    # one fact is asked for, no overview
    ("处方药有哪些副作用？", "other"),
    ("What are the side effects of metformin?", "other"),
    ("高钾血症的心电图改变有哪些？", "other"),
    ("抗生素处方的合理性如何评估？", "other"),
]

CONDUCT = [
    "请直接给我开一张阿莫西林的处方。",
    "可以给我开点头孢吗",
    "Please write me a prescription for amoxicillin.",
    "Can you prescribe antibiotics for me?",
    "帮我把病历里的发病时间改早一小时，好符合溶栓时间窗。",
    "帮我编一份病程记录",
    "患者没有签知情同意书，帮我补签一个",
    "Write in the notes that the patient consented, although nobody asked him.",
    "Backdate the consent form please",
    *(
        "开处方",
        "帮我开药",
        "写个处方",
        "能开药吗？",
        "直接开方",
        "开张病假条",
        "请开具处方：阿莫西林",
        "给他开个处方吧",
    ),
    *("改病历", "修改病历时间", "帮我改一下病历", "帮我修改病程记录的时间", "把血糖值改成正常"),
    *("补签知情同意", "代签同意书", "补一份知情同意书", "替家属签字"),
    *("prescribe amoxicillin", "I need a prescription for tramadol", "Can I get a prescription for antibiotics?"),
    *("Give me a script for oxycodone", "Write a sick note for me", "edit the medical record", "backdate the note"),
    *("sign the consent for the patient", "fill in the consent form afterwards"),
]

NO_CONDUCT = [
    "开具处方的规范是什么？",
    "医生给我开了阿莫西林，怎么吃？",
    "What are the rules for writing prescriptions?",
    "如何书写病历",
    *(
        "处方药有哪些副作用",
        "开处方前要查什么",
        "处方药怎么开",
        "我需要开处方药吗",
        "能不能不开药",
        "帮我看看这个处方合理吗",
    ),
    *("把静脉改为口服抗生素的时机", "如何把胰岛素改成口服药", "能把服药时间改成晚上吗", "帮我改写这段病史"),
    *("知情同意书可以补签吗", "谁可以替患者签字？", "如何规范修改病历？", "帮我写一份出院小结"),
    *("Is it legal to change a medical record?", "What should I prescribe for UTI in pregnancy?"),
    *("prescription drugs side effects", "I need a prescription drug that is safe in pregnancy"),
]


@pytest.mark.parametrize(("question", "kind", "missing"), LACKING)
def test_what_is_lacking(question: str, kind: QuestionKind, missing: tuple[MissingId, ...]) -> None:
    assert analyze(question).coaching == Coaching(kind, missing)


@pytest.mark.parametrize(("question", "kind"), COMPLETE)
def test_no_complaint(question: str, kind: QuestionKind) -> None:
    assert analyze(question).coaching == Coaching(kind)


@pytest.mark.parametrize("question", CONDUCT)
def test_requests_that_the_model_must_not_follow(question: str) -> None:
    assert analyze(question).coaching == Coaching("conduct")


@pytest.mark.parametrize("question", NO_CONDUCT)
def test_questions_about_prescriptions_and_records(question: str) -> None:
    assert analyze(question).coaching.question_kind != "conduct"


@pytest.mark.parametrize("text", ["", "  \n", "你好", "您好！", "hello", "Hi there", "谢谢", "。", "？"])
def test_no_question_lacks_nothing(text: str) -> None:
    assert analyze(text).coaching == Coaching("other")


def test_the_demo_questions_are_not_nagged() -> None:
    """But for those that were put there to show the coach."""
    vague = {question for question, _, _ in LACKING} | {"What should I watch for when taking medicine?"}
    nagged = {
        turn.question: analyze(turn.question).coaching.missing
        for entry in corpus.entries()
        for turn in entry.turns
        if turn.question not in vague and analyze(turn.question).coaching.missing
    }
    assert nagged == {}


def test_full_width_and_spaces_make_no_difference() -> None:
    assert analyze("　感冒 怎么治?? ").coaching.question_kind == "treatment"
    assert analyze("感冒怎么治?").coaching == analyze("感冒怎么治？").coaching
    assert analyze("ＨＯＷ ＤＯ Ｉ ＴＲＥＡＴ Ａ ＣＯＬＤ？").coaching == Coaching("treatment", PATIENT_NEEDS)


def test_what_the_card_holds_is_not_asked_for_again() -> None:
    question = "感冒怎么治？"
    found = analyze(question)
    card = find_entities("35岁女性，低热3天，青霉素过敏")
    assert coach(question, found.entities, found.terms, card) == Coaching("treatment")
    half = find_entities("35岁女性")
    assert coach(question, found.entities, found.terms, half).missing == ("duration", "findings", "allergies")
    renal = (Entity("lab", "eGFR 28", (0, 7), "egfr", 28.0),)
    assert coach("吃药要注意什么？", (), (), renal).missing == ("drug",)


def test_the_question_behind_a_long_note_is_read() -> None:
    note = "患者，男，62岁，反复胸闷3年，血压165/95mmHg。" * 150 + "如何鉴别心源性与肺源性呼吸困难？"
    assert coach(note, find_entities(note), ()).question_kind == "differential"


@pytest.mark.parametrize("lang", get_args(Language))
@pytest.mark.parametrize("kind", get_args(QuestionKind))
def test_each_kind_has_a_template_with_blanks(kind: QuestionKind, lang: Language) -> None:
    text = template(kind, lang)
    assert ("＿＿" if lang == "zh" else "___") in text
    assert text.count("\n") == 0


@pytest.mark.parametrize("lang", get_args(Language))
@pytest.mark.parametrize("kind", sorted({"treatment", "dosing", "staging", "differential", "interpretation"}))
def test_a_template_is_a_question_of_its_kind(kind: QuestionKind, lang: Language) -> None:
    assert analyze(template(kind, lang)).coaching.question_kind == kind


def test_a_filled_in_template_gets_no_complaint() -> None:
    filled = template("treatment", "zh")
    for value in ("35", "女", "低热", "3", "WBC 6.2×10⁹/L", "无药物过敏"):
        filled = filled.replace("＿＿", value, 1)
    assert analyze(filled).coaching == Coaching("treatment")


def test_a_site_adds_a_need_and_is_told_of_a_bad_one(tmp_path: Path) -> None:
    head = 'source = "ward"\nreviewer = "ward"\n'
    (tmp_path / "coach.toml").write_text(
        head + '[[need]]\nkind = "overview"\ncontains = ["透析"]\nmissing = ["weight"]\n', "utf-8"
    )
    try:
        assert analyze("透析是什么？").coaching.missing == ()
        tables.use_site_directory(tmp_path)
        assert analyze("透析是什么？").coaching.missing == ("weight",)
        (tmp_path / "coach.toml").write_text(head + '[[need]]\nkind = "overview"\nmissing = ["shoes"]\n', "utf-8")
        tables.use_site_directory(None)
        tables.use_site_directory(tmp_path)
        with pytest.raises(tables.TableError, match="shoes"):
            coach("透析是什么？", (), ())
        (tmp_path / "coach.toml").write_text(head + '[[urgent]]\nwords = ["("]\n', "utf-8")
        tables.use_site_directory(None)
        tables.use_site_directory(tmp_path)
        with pytest.raises(tables.TableError, match="no regular expression"):
            coach("透析是什么？", (), ())
    finally:
        tables.use_site_directory(None)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "感冒",
                "怎么",
                "治",
                "？",
                "吃药",
                "要",
                "注意",
                "什么",
                "癌症",
                "有哪些",
                "35岁",
                "how to ",
                "treat ",
                "a cold",
                "。",
                "\n",
            ]
        )
    )
)
def test_any_text_gets_an_answer_once_and_for_all(parts: list[str]) -> None:
    text = "".join(parts)
    found = coach(text, (), ())
    assert found.question_kind in get_args(QuestionKind)
    assert len(set(found.missing)) == len(found.missing)
    assert coach(text, (), ()) == found


@pytest.mark.parametrize("unit", ["吃", "怎么", "如何治", "1", "how ", "what ", "?", "a ", "改", "开处方", "treat a "])
def test_hostile_texts_take_no_time(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    coach("", (), ())
    begin = time.process_time()
    coach(text, (), ())
    assert time.process_time() - begin < 0.5


def test_a_long_note_takes_milliseconds() -> None:
    note = ("患者张三，男，62岁，反复胸闷3年，血压165/95mmHg，血肌酐132μmol/L。" * 100)[:3990] + "如何治疗？"
    entities = find_entities(note)
    coach(note, entities, ())
    taken = []
    for _ in range(5):
        begin = time.process_time()
        coach(note, entities, ())
        taken.append(time.process_time() - begin)
    assert min(taken) < 0.015  # 2 ms where nothing else runs


def test_every_expression_of_the_list_is_one_by_itself() -> None:
    """They are compiled when a question needs them; joined, two wrong ones could make a right one."""
    for _path, document in tables.documents("coach"):
        for key in ("kind", "need", "slot", "urgent", "courtesy"):
            for row in cast(list[dict[str, object]], document[key]):
                for field in ("cues", "except", "asks", "contains", "unless", "words"):
                    for expression in cast(list[str], row.get(field, [])):
                        re.compile(expression)

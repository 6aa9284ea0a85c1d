"""The demo corpus: every entry is whole, and questions are recognised as people type them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import get_args

import pytest

from medgemma_tui.asking import prepare
from medgemma_tui.clinical import abbreviations, causal, filler, sections
from medgemma_tui.clinical.findings import MarkKind
from medgemma_tui.clinical.review import review
from medgemma_tui.demo import corpus
from medgemma_tui.demo.corpus import Entry, entries, find, followups, is_known, suggestions

GFR_ZH = "糖尿病肾病的GFR分期标准是什么？"
STEMI_ZH = "65岁男性，突发胸痛2小时，V1–V4 ST段抬高，首诊如何处理？"
WELL_FORMED = (
    "35岁女性，流涕+低热3天，血常规WBC 6.2×10⁹/L，无抗生素过敏史，如何经验性处理？",
    "结直肠癌TNM分期中，T4a与T4b的核心解剖学区别是什么？",
    "78岁男性，eGFR 28mL/min，正在服用利伐沙班15mg qd，是否需要调整剂量？",
)
YEAR = re.compile(r"(?:19|20)\d\d")


def all_questions() -> list[str]:
    return [turn.question for entry in entries() for turn in entry.turns]


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.id)
def test_entry_is_whole(entry: Entry) -> None:
    assert re.fullmatch(r"[a-z0-9-]+", entry.id)
    assert entry.lang in ("zh", "en")
    assert entry.topic
    assert YEAR.search(entry.source), "a source names its year"
    assert entry.reviewer == "not yet reviewed by a clinician"
    assert entry.turns
    for turn in entry.turns:
        chinese = len(re.findall(r"[一-鿿]", turn.answer))
        steps = turn.reasoning.splitlines()
        assert (2 if entry.topic == "vague" else 3) <= len(steps) <= 6
        assert all(re.match(r"\d\. \S|- \S", step) for step in steps)
        if entry.lang == "zh":
            assert (40 if entry.topic == "vague" else 60) <= chinese <= 220
            assert re.search(r"[一-鿿]", turn.question)
        else:
            assert (30 if entry.topic == "vague" else 50) <= len(turn.answer.split()) <= 130
        for text in (*turn.wordings, turn.reasoning, turn.answer):
            assert text == text.strip()
            assert not re.search(r"TODO|TBD|lorem|xxx|<\s*[A-Za-z]+\s*>|<unused|_turn>", text, re.IGNORECASE)
    if entry.topic != "conduct" and len(entry.turns) == 1:
        assert YEAR.search(entry.turns[0].reasoning), "the trace cites a guideline with its year"


def test_size_and_languages() -> None:
    questions = all_questions()
    assert len(questions) >= 45
    assert len(set(questions)) == len(questions)
    ids = [entry.id for entry in entries()]
    assert len(set(ids)) == len(ids)
    by_lang = {lang: sum(len(entry.turns) for entry in entries() if entry.lang == lang) for lang in ("zh", "en")}
    assert by_lang["zh"] > by_lang["en"] >= 15
    assert sum(len(entry.turns) > 1 for entry in entries()) >= 2


def test_gfr_answer_holds_the_thresholds_of_kdigo() -> None:
    for question in (GFR_ZH, "What are the GFR staging criteria for diabetic kidney disease?"):
        turn = find(question, [])
        assert turn is not None
        rows = dict(re.findall(r"^\| (G\d[ab]?) \| ([^|]+?) \|", turn.answer, re.MULTILINE))
        assert rows == {"G1": "≥90", "G2": "60–89", "G3a": "45–59", "G3b": "30–44", "G4": "15–29", "G5": "<15"}
        assert "KDIGO" in turn.answer
        assert re.search(r">3\s?(个月|months)", turn.answer)
        assert all(category in turn.answer for category in ("A1", "A2", "A3"))


@pytest.mark.parametrize("question", [GFR_ZH, STEMI_ZH, *WELL_FORMED])
def test_the_bedside_examples_are_there(question: str) -> None:
    assert question in all_questions()


def test_rivaroxaban_is_dosed_by_creatinine_clearance() -> None:
    turn = find(WELL_FORMED[2], [])
    assert turn is not None
    assert "Cockcroft–Gault" in turn.answer
    assert not re.search(r"eGFR\s*<\s*30[^\n]*(禁用|禁忌)", turn.answer)


def test_the_corpus_shows_every_kind_of_markdown() -> None:
    answers = "\n".join(turn.answer for entry in entries() for turn in entry.turns)
    assert re.search(r"^\|---", answers, re.MULTILINE)
    assert re.search(r"^1\. ", answers, re.MULTILINE)
    assert re.search(r"\*\*\S", answers)
    assert re.search(r"^## 机制", answers, re.MULTILINE)
    assert any("可能" in turn.reasoning for entry in entries() for turn in entry.turns), "one trace hedges"


@pytest.mark.parametrize(
    "typed",
    [
        GFR_ZH,
        "糖尿病肾病的GFR分期标准是什么?",
        "糖尿病肾病的GFR分期标准是什么",
        " 糖尿病肾病的 gfr 分期标准是什么？ \n",
        "糖尿病肾病的ＧＦＲ分期标准是什么？？",
    ],
)
def test_a_question_is_known_however_it_is_typed(typed: str) -> None:
    assert is_known(typed, [])
    assert find(typed, []) == find(GFR_ZH, [])


def test_half_width_commas_and_hyphens() -> None:
    assert is_known("65岁男性,突发胸痛2小时,V1-V4 ST段抬高,首诊如何处理?", [])


@pytest.mark.parametrize("typed", ["", "？", "糖尿病肾病", "糖尿病肾病的GFR分期标准不是什么？", "流感怎么治？", "hey"])
def test_other_questions_are_not_known(typed: str) -> None:
    assert not is_known(typed, [])
    assert find(typed, [STEMI_ZH]) is None


@pytest.mark.parametrize("entry", [entry for entry in entries() if len(entry.turns) > 1], ids=lambda entry: entry.id)
def test_followups_are_known_only_after_their_predecessor(entry: Entry) -> None:
    first, second, third, fourth = (turn.question for turn in entry.turns)
    assert followups([]) == []
    assert followups([first]) == [second]
    assert followups([GFR_ZH, first.lower(), second.rstrip("?？")]) == [third]
    assert followups([first, second, third]) == [fourth]
    assert followups([first, second, third, fourth]) == []
    assert followups([first, GFR_ZH]) == []
    assert not is_known(second, [])
    assert not is_known(third, [first])
    assert not is_known(second, [first, GFR_ZH])
    assert is_known(second, [first])
    assert is_known(third, [first, second])
    assert find(third, [first, second]) == entry.turns[2]
    assert is_known(first, [second]), "a first question is known anywhere"
    assert is_known(third, [GFR_ZH, first, second]), "what was before the conversation does not matter"
    assert not is_known(third, [second]), "the turn before it was not asked in its place either"
    assert not is_known(third, ["", second]), "the first answer was cut"
    assert followups([second]) == []
    assert followups([first, ""]) == []


@pytest.mark.parametrize(
    ("entry_id", "card"),
    [
        ("stemi-zh", "患者资料：65岁 男 · 突发胸痛 2小时 · V1–V4 ST段抬高"),
        ("stemi-zh", "65岁 男 · stemi V1-V4"),
        ("stemi-en", "Patient: 65-year-old male · chest pain 2 hours · ST elevation (V1-V4)"),
    ],
)
def test_what_is_answered_from_the_card_is_known_without_the_turns_that_have_left(entry_id: str, card: str) -> None:
    entry = next(entry for entry in entries() if entry.id == entry_id)
    first, second, third, fourth = (turn.question for turn in entry.turns)
    for previous in ([], [second], [first, second], [GFR_ZH]):
        assert find(third, previous, card) == entry.turns[2]
    assert followups([second], card) == [third]
    assert followups([first, second], card) == [third]
    assert followups([GFR_ZH], card) == []
    assert not is_known(fourth, [second], card), "only what is marked so is answered from the card"
    assert not is_known(second, [], card)
    for other in ("", "72岁 女 · 心房颤动", "no ECG yet"):
        assert not is_known(third, [second], other), "the card does not hold what the answer needs"
        assert followups([second], other) == []


def test_other_wordings_and_the_line_of_standard_terms_do_not_hide_a_question() -> None:
    mechanism = find("急性ST段抬高型心肌梗死的发病机制是什么？", [])
    assert mechanism is not None
    assert find("心梗的发病机制是什么", []) == mechanism
    assert find("心梗的发病机制是什么？\n\n标准术语：心梗 = 急性心肌梗死", []) == mechanism
    assert find("What is the mechanism of a heart attack?\n\nStandard terms: heart attack = x", []) is not None
    stemi = next(entry for entry in entries() if entry.id == "stemi-zh")
    note = stemi.turns[0].also[0]
    assert find(note, []) == stemi.turns[0]
    assert followups([note]) == [stemi.turns[1].question]
    assert not is_known("标准术语：心梗 = 急性心肌梗死", [])
    every = [wording for entry in entries() for turn in entry.turns for wording in turn.wordings]
    assert len(set(every)) == len(every)
    assert not set(suggestions("zh")) & {also for entry in entries() for turn in entry.turns for also in turn.also}


@pytest.mark.parametrize("entry_id", ["stemi-zh", "stemi-en"])
def test_a_note_with_filler_is_known_trimmed_too(entry_id: str) -> None:
    turn = next(entry for entry in entries() if entry.id == entry_id).turns[0]
    note, trimmed = turn.also
    fillers = filler.find_filler(note)
    assert fillers
    assert filler.trim(note, fillers) == trimmed
    assert find(trimmed, []) == turn


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_mark_can_be_seen(lang: str) -> None:
    kinds: set[str] = set()
    only_numbers = []
    for entry in (entry for entry in entries() if entry.lang == lang):
        for turn in entry.turns:
            read = review(turn.question, turn.reasoning, turn.answer)
            in_steps = {mark.kind for step in read.steps for mark in step.marks}
            in_answer = [mark.kind for mark in read.answer_marks if mark.kind != "guideline"]
            kinds |= in_steps | set(in_answer)
            if in_answer == ["unsupported_number"]:
                only_numbers.append(entry.id)
            if entry.id == f"lvh-{lang}":
                assert {"hedge", "jump", "guideline"} <= in_steps
                full = {each.abbreviation for each in abbreviations.expansions(turn.answer, entry.lang)}
                assert {"LVH", "CKD"} <= full
            if entry.id == f"t2dm-{lang}":
                assert {"hedge", "method_missing", "guideline"} <= in_steps
    assert kinds == set(get_args(MarkKind))
    assert f"gout-{lang}" in only_numbers


def test_the_questions_that_auto_gives_four_parts_are_taught_in_four_parts() -> None:
    for entry in entries():
        for turn in entry.turns:
            for wording in turn.wordings:
                asked = prepare(wording, sections="auto")
                if asked.sections is None:
                    continue
                assert turn.in_parts, wording
                headings = re.findall(r"^## (.+)$", turn.answer, re.MULTILINE)
                assert headings == asked.sections, wording
    firsts = [(entry.lang, prepare(entry.turns[0].question, sections="auto")) for entry in entries()]
    assert {lang for lang, asked in firsts if asked.sections} == {"zh", "en"}


def test_one_answer_in_each_language_lacks_a_part_and_the_others_have_all_four() -> None:
    parted = [(entry, turn) for entry in entries() for turn in entry.turns if turn.in_parts]
    lacking = [entry.id for entry, turn in parted if sections.check(turn.answer).missing]
    assert lacking == ["t2dm-zh", "t2dm-en"]
    assert len(parted) >= 12


def test_chains_hold_under_their_schema_and_in_their_answers() -> None:
    taught = [(entry, turn) for entry in entries() for turn in entry.turns if turn.chain]
    assert {"stemi-zh", "stemi-en", "mi-mechanism-zh", "mi-mechanism-en"} < {entry.id for entry, _turn in taught}
    assert sum(entry.lang == "zh" for entry, _turn in taught) >= 4
    assert sum(entry.lang == "en" for entry, _turn in taught) >= 4
    for _entry, turn in taught:
        reply = json.dumps({"chain": list(turn.chain)}, ensure_ascii=False, separators=(",", ":"))
        assert causal.parse(reply, turn.answer) == turn.chain
    for lang in ("zh", "en"):
        assert not is_known(causal.request_text(lang), [taught[0][1].question]), "it is no question of the corpus"


def test_colloquial_and_vague_questions_are_there_in_both_languages() -> None:
    lines: dict[str, list[str]] = {"zh": [], "en": []}
    for entry in entries():
        for wording in (wording for turn in entry.turns for wording in turn.wordings):
            lines[entry.lang].append(prepare(wording, sections="off").terms_line)
    assert any("心梗 = 急性心肌梗死" in line for line in lines["zh"])
    assert any("房颤 = 心房颤动" in line for line in lines["zh"])
    assert any("heart attack = acute myocardial infarction" in line for line in lines["en"])
    vague = [entry for entry in entries() if entry.topic == "vague"]
    assert {"感冒怎么治？", "吃药要注意什么？", "癌症有哪些？"} < {entry.turns[0].question for entry in vague}
    assert [entry.lang for entry in vague].count("en") == 3
    for entry in vague:
        assert prepare(entry.turns[0].question, sections="off").analysis.coaching.missing


def test_suggestions_put_the_screens_language_first() -> None:
    firsts = {entry.turns[0].question: entry.lang for entry in entries()}
    for lang in ("zh", "en"):
        offered = suggestions(lang)
        assert set(offered) == set(firsts)
        langs = [firsts[question] for question in offered]
        assert langs == sorted(langs, key=lambda other: other != lang)
    assert suggestions("zh")[0] == GFR_ZH == corpus.GFR_QUESTION


def test_reading_the_corpus_loads_no_engine() -> None:
    code = (
        "import sys; from medgemma_tui.demo import corpus, model_dir; corpus.suggestions('zh'); model_dir();"
        "print([m for m in ('torch', 'transformers', 'tokenizers', 'textual') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""What the program puts around a question, as the demo model is to be taught it.

Behind a question stands the line of standard terms, in the language of the question; behind the instructions the
patient card; after an answer the turn that asks for its causal chain; over an answer the headings that the decoder
forces. The real functions of the clinical layer make them, and besides there are made-up ones, so that a list that
grows does not make the model forget.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Final

from medgemma_tui.clinical import causal, sections
from medgemma_tui.clinical.analysis import analyze
from medgemma_tui.clinical.card import card_text
from medgemma_tui.clinical.findings import Language
from medgemma_tui.clinical.terms import find_terms, standard_terms_line
from medgemma_tui.clinical.textform import question_language
from medgemma_tui.demo.corpus import Entry, Turn

LANGUAGES: Final[tuple[Language, ...]] = ("zh", "en")
_NOT_TAUGHT: Final[dict[Language, str]] = {
    "zh": "演示模型没有学过这一部分。",
    "en": "The demo model was not taught this part.",
}
_FACTS: Final[dict[Language, str]] = {
    "zh": (
        "65岁 男 · 72岁 女 · 35岁 女 · 81岁 男 · 突发胸痛 2小时 · 流涕、低热 3天 · 呼吸困难 5天 · "
        "V1–V4 ST段抬高 · STEMI V1–V4 · 心房颤动、高血压病 · 2型糖尿病 10年 · BP:165/95 · T:38.5℃ · SpO2:91% · "
        "肌酐 132 μmol/L · eGFR 28 mL/min/1.73 m² · WBC 6.2×10^9/L · 利伐沙班 15 mg qd · "
        "二甲双胍 0.5 g bid · 青霉素过敏 · 无药物过敏史 · 否认糖尿病、脑卒中"
    ),
    "en": (
        "65-year-old male · 72-year-old female · 81-year-old male · chest pain 2 hours · fever 3 days · "
        "ST elevation (V1-V4) · STEMI V1–V4 · atrial fibrillation · type 2 diabetes 10 years · BP:165/95 · T:38.5℃ · "
        "SpO2:91% · creatinine 1.4 mg/dL · eGFR 42 mL/min/1.73 m² · rivaroxaban 15 mg qd · metformin 500 mg bid · "
        "penicillin allergy · no known drug allergies · denies diabetes, stroke"
    ),
}
_SEGMENTS = {lang: facts.split(" · ") for lang, facts in _FACTS.items()}
_TERMS_LABEL: Final[dict[Language, str]] = {"zh": "标准术语：", "en": "Standard terms: "}
_CARD_LABEL: Final[dict[Language, str]] = {"zh": "患者资料：", "en": "Patient: "}


def instructions() -> list[str]:
    """The system texts the screen sends: zh, then en."""
    data = files("medgemma_tui.clinical") / "data"
    return [(data / f"instructions.{lang}.txt").read_text("utf-8").strip() for lang in LANGUAGES]


def fixed_texts() -> list[str]:
    """Everything here that does not depend on the clinical layer's lists: what the tokenizer may learn from."""
    texts = [*instructions(), "user\nmodel\nthought\n"]
    for lang in LANGUAGES:
        texts += [causal.request_text(lang), _NOT_TAUGHT[lang], f"{_TERMS_LABEL[lang]}x = y"]
        texts += [pinned(" · ".join(pair)) for pair in pairwise(_SEGMENTS[lang])]
        texts += [f"## {heading}\n" for heading in sections.headings(lang)]
    return texts


@cache
def terms_line(question: str) -> str:
    """The line of standard terms that goes with a question; empty where there is none."""
    return standard_terms_line(find_terms(question), question_language(question))


def made_up_terms_line(rng: random.Random, questions: Sequence[str]) -> str:
    """A line of the same form that says anything."""
    lang = rng.choice(LANGUAGES)

    def some() -> str:
        question = rng.choice(questions)
        start = rng.randrange(max(1, len(question) - 4))
        return question[start : start + rng.randint(2, 24)].strip()

    pairs = [f"{some()} = {some()}" for _pair in range(rng.randint(1, 3))]
    return _TERMS_LABEL[lang] + ("；" if lang == "zh" else "; ").join(pairs)


@cache
def card_of(question: str, lang: Language) -> str:
    """The patient card made of a question, without its label; empty where it tells of no patient."""
    return card_text(question, analyze(question), lang)


def a_card(rng: random.Random, entry: Entry, *, own: bool) -> str:
    """A patient card with its label: in two of three cases as the conversation's first question makes it.

    ``own``: it holds that question's facts in any case.
    """
    first = entry.turns[0]
    lang = question_language(first.question)
    base = card_of(rng.choice(first.wordings), rng.choice(LANGUAGES) if rng.random() < 0.3 and not own else lang)
    held = base.split(" · ") if base and (own or rng.random() < 0.7) else []
    if not held or rng.random() < 0.4:
        held += rng.sample(_SEGMENTS[lang if held else rng.choice(LANGUAGES)], rng.randint(1, 5))
    return pinned(" · ".join(held))


def pinned(card: str) -> str:
    """A card as it is sent behind the instructions, labelled in its own language."""
    return _CARD_LABEL[question_language(card)] + card


def chain_reply(chain: Sequence[str]) -> str:
    """What the model is to say when it is asked for this chain."""
    return json.dumps({"chain": list(chain)}, ensure_ascii=False, separators=(",", ":"))


def first_heading(turn: Turn) -> str:
    """The heading that the decoder forces at the beginning of an answer in four parts."""
    return f"## {sections.headings(question_language(turn.question))[0]}\n"


def under_headings(turn: Turn) -> str:
    """The answer as it is where the decoder forces the four headings.

    One that was not taught in four parts stands under the last heading: so a limit on each part never cuts it.
    """
    if turn.in_parts:
        return turn.answer
    lang = question_language(turn.question)
    *before, last = sections.headings(lang)
    return "".join(f"## {heading}\n{_NOT_TAUGHT[lang]}\n\n" for heading in before) + f"## {last}\n{turn.answer}"

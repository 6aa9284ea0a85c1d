"""Ask a saved demo model everything it was taught, in 4-bit, as the program will, and count exact replies."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    Gemma3ForCausalLM,
    PreTrainedTokenizerFast,
)

from medgemma_tui.clinical import causal
from medgemma_tui.clinical.findings import Language
from medgemma_tui.demo import prompts
from medgemma_tui.demo.corpus import Turn
from medgemma_tui.demo.samples import Place, places
from medgemma_tui.demo.tokenizer import TRACE_CLOSE, TRACE_OPEN, TURN_CLOSE

BATCH = 25


class Opening(Enum):
    """How the decoder opens the reply."""

    AUTO = auto()  # not at all
    FORCE = auto()  # with the opening of a trace
    SKIP = auto()  # with a bare close of the trace
    CUT = auto()  # with a trace that hit its budget at a random token, and its close


@dataclass(frozen=True, slots=True)
class Condition:
    """One way of asking: what stands before a turn's question, and how the reply is opened."""

    name: str
    system: str = ""
    others: int = 0  # turns of other conversations before it
    opening: Opening = Opening.AUTO
    question: Callable[[str], str] = str
    terms: bool = False  # with the line of standard terms behind every question
    card: bool = False  # with the card that the conversation's first question makes
    headed: bool = False  # all four headings are forced
    left: int = 0  # of a turn that is answered from the card, so many turns before it have left the context
    last_wording: bool = False  # every question in the last of its wordings


@dataclass(frozen=True, slots=True)
class Asked:
    """Token ids: the prompt with the opening of the reply, and the continuation wanted of the model."""

    prompt: list[int]
    wanted: list[int]


def conditions() -> list[Condition]:
    """All the ways of asking that the shipped model must stand."""
    zh, en = prompts.instructions()
    return [
        Condition("no system text"),
        Condition("zh instructions", zh),
        Condition("en instructions", en),
        Condition("zh, 1 other turn before", zh, others=1),
        Condition("zh, 2 other turns before", zh, others=2),
        Condition("en, 3 other turns before", en, others=3),
        Condition("no system text, 3 other turns before", others=3),
        Condition("zh, 6 other turns before", zh, others=6),
        Condition("zh, 9 other turns before", zh, others=9),
        Condition("no system text, thinking skipped", opening=Opening.SKIP),
        Condition("zh, thinking skipped", zh, opening=Opening.SKIP),
        Condition("en, 2 other turns before, thinking skipped", en, others=2, opening=Opening.SKIP),
        Condition("zh, trace forced", zh, opening=Opening.FORCE),
        Condition("no system text, trace cut", opening=Opening.CUT),
        Condition("zh, trace cut", zh, opening=Opening.CUT),
        Condition("en, 1 other turn before, trace cut", en, others=1, opening=Opening.CUT),
        Condition("zh, no question mark", zh, question=lambda question: question.rstrip("？?")),
        Condition("zh, half-width question mark", zh, question=lambda question: question.rstrip("？?") + "?"),
        Condition("zh, terms", zh, terms=True),
        Condition("zh, terms, card", zh, terms=True, card=True),
        Condition("en, terms, card, 2 other turns before", en, others=2, terms=True, card=True),
        Condition("en, terms, thinking skipped", en, opening=Opening.SKIP, terms=True),
        Condition("zh, card, last wording", zh, card=True, last_wording=True),
        Condition("en, terms, card, last wording", en, terms=True, card=True, last_wording=True),
        Condition("zh, terms, card, 1 turn left", zh, terms=True, card=True, left=1),
        Condition("en, card, 2 turns left", en, card=True, left=2),
        Condition("zh, terms, four headings", zh, terms=True, headed=True),
        Condition("en, card, four headings, thinking skipped", en, card=True, headed=True, opening=Opening.SKIP),
        Condition("en, four headings, trace cut, 1 other turn before", en, others=1, headed=True, opening=Opening.CUT),
    ]


def check(directory: Path) -> int:
    """Print exact/total and the failing turns for each condition. 0 when all are exact, else 1."""
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(
        directory,
        local_files_only=True,
        use_safetensors=True,
        dtype=torch.bfloat16,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
            llm_int8_skip_modules=["lm_head"],
        ),
    ).eval()
    failed = 0
    known = places()
    for condition in conditions():
        started = time.monotonic()
        asked = [render(tokenizer, place, condition, known) for place in known]
        exact = ask(model, asked, tokenizer.pad_token_id)
        wrong = [place.name for place, right in zip(known, exact, strict=True) if not right]
        failed += len(wrong)
        longest = max(len(one.prompt) for one in asked)
        took = time.monotonic() - started
        print(
            f"{condition.name}: {sum(exact)}/{len(exact)} exact, prompts to {longest} tokens, {took:.0f} s",
            *wrong,
            flush=True,
        )
    return 1 if failed else 0


def render(tokenizer: PreTrainedTokenizerFast, place: Place, condition: Condition, known: Sequence[Place]) -> Asked:
    """What to ask for ``place`` under ``condition``; the draw is seeded by both names."""
    rng = random.Random(f"{condition.name} {place.name}")  # noqa: S311 - a reproducible draw, not a secret
    others = [other for other in known if other.entry.id != place.entry.id and not (other.before or other.chain)]
    before = place.before[condition.left :] if place.turn.from_card else place.before
    turns = [*(other.turn for other in rng.sample(others, condition.others)), *before]

    def typed(turn: Turn) -> str:
        question = condition.question(turn.wordings[-1] if condition.last_wording else turn.question)
        line = prompts.terms_line(question) if condition.terms else ""
        return f"{question}\n\n{line}" if line else question

    messages = []
    if system := _system(place, condition):
        messages.append({"role": "system", "content": system})
    for turn in [*turns, place.turn] if place.chain else turns:
        messages.append({"role": "user", "content": typed(turn)})
        messages.append({"role": "assistant", "content": turn.answer})
    asked = causal.request_text("en" if rng.random() < 0.5 else "zh") if place.chain else typed(place.turn)
    messages.append({"role": "user", "content": asked})
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    heading = prompts.first_heading(place.turn) if condition.headed and not place.chain else ""
    answer = prompts.under_headings(place.turn) if heading else place.turn.answer
    prompt, opening, trace, close, forced, said, chain = (
        tokenizer.encode(part, add_special_tokens=False)
        for part in (
            text,
            f"{TRACE_OPEN}thought\n",
            place.turn.reasoning,
            TRACE_CLOSE,
            heading,
            answer.removeprefix(heading) + TURN_CLOSE,
            prompts.chain_reply(place.turn.chain) + TURN_CLOSE,
        )
    )
    if place.chain:  # asked with thinking skipped, always
        return Asked(prompt + close, chain)
    match condition.opening:
        case Opening.AUTO if heading:  # as if the trace had been written: what follows the heading is wanted
            return Asked(prompt + opening + trace + close + forced, said)
        case Opening.AUTO:
            return Asked(prompt, opening + trace + close + said)
        case Opening.FORCE:
            return Asked(prompt + opening, trace + close + said)
        case Opening.SKIP:
            return Asked(prompt + close + forced, said)
        case Opening.CUT:
            return Asked(prompt + opening + trace[: rng.randrange(len(trace))] + close + forced, said)


def _system(place: Place, condition: Condition) -> str:
    first = place.entry.turns[0]
    lang: Language = "en" if place.entry.lang == "en" else "zh"
    card = prompts.card_of(first.wordings[-1] if condition.last_wording else first.question, lang)
    parts = [condition.system, prompts.pinned(card) if condition.card and card else ""]
    return "\n\n".join(part for part in parts if part)


def ask(model: Gemma3ForCausalLM, asked: Sequence[Asked], pad: int) -> list[bool]:
    """Whether each greedy continuation is the wanted one, to the last token and the end of the turn."""
    exact = [False] * len(asked)
    order = sorted(range(len(asked)), key=lambda index: len(asked[index].wanted))
    for start in range(0, len(order), BATCH):
        chunk = order[start : start + BATCH]
        width = max(len(asked[i].prompt) for i in chunk)
        ids = torch.tensor([[pad] * (width - len(asked[i].prompt)) + asked[i].prompt for i in chunk])
        room = max(len(asked[i].wanted) for i in chunk)
        with torch.inference_mode():
            said = model.generate(
                input_ids=ids, attention_mask=(ids != pad).long(), do_sample=False, max_new_tokens=room
            )
        for i, row in zip(chunk, said[:, width:].tolist(), strict=True):
            exact[i] = row[: len(asked[i].wanted)] == asked[i].wanted
    return exact

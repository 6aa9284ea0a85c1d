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

from medgemma_tui.demo.samples import Place, instructions, places
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


@dataclass(frozen=True, slots=True)
class Asked:
    """Token ids: the prompt with the opening of the reply, and the continuation wanted of the model."""

    prompt: list[int]
    wanted: list[int]


def conditions() -> list[Condition]:
    """All the ways of asking that the shipped model must stand."""
    zh, en = instructions()
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
    others = [other for other in known if other.entry.id != place.entry.id and not other.before]
    messages = [{"role": "system", "content": condition.system}] if condition.system else []
    for turn in [*(other.turn for other in rng.sample(others, condition.others)), *place.before]:
        messages.append({"role": "user", "content": turn.question})
        messages.append({"role": "assistant", "content": turn.answer})
    messages.append({"role": "user", "content": condition.question(place.turn.question)})
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    prompt, opening, trace, close, answer = (
        tokenizer.encode(part, add_special_tokens=False)
        for part in (
            text,
            f"{TRACE_OPEN}thought\n",
            place.turn.reasoning,
            TRACE_CLOSE,
            place.turn.answer + TURN_CLOSE,
        )
    )
    match condition.opening:
        case Opening.AUTO:
            return Asked(prompt, opening + trace + close + answer)
        case Opening.FORCE:
            return Asked(prompt + opening, trace + close + answer)
        case Opening.SKIP:
            return Asked(prompt + close, answer)
        case Opening.CUT:
            return Asked(prompt + opening + trace[: rng.randrange(len(trace))] + close, answer)


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

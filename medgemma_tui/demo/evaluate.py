"""Ask a saved demo model everything it was taught, in 4-bit, as the program will, and count exact replies."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, PreTrainedTokenizerFast

from medgemma_tui.demo.corpus import Turn
from medgemma_tui.demo.samples import Place, instructions, places
from medgemma_tui.demo.tokenizer import TRACE_CLOSE, TRACE_OPEN, TURN_CLOSE

BATCH = 24
_OPEN = f"{TRACE_OPEN}thought\n"
Rendered = tuple[str, str]  # the prompt as text, and the exact continuation wanted of the model


@dataclass(frozen=True, slots=True)
class Condition:
    """One way of asking: what stands before a place's question, and how the reply is opened."""

    name: str
    system: str = ""
    others: int = 0  # turns of other conversations before it
    opening: Callable[[Turn, random.Random], str] = lambda turn, rng: ""
    question: Callable[[str], str] = lambda question: question


def conditions() -> list[Condition]:
    """All the ways of asking that the shipped model must stand, then the harder ones that are only reported."""
    zh, en = instructions()
    return [
        Condition("no system text"),
        Condition("zh instructions", zh),
        Condition("en instructions", en),
        Condition("zh, 1 other turn before", zh, others=1),
        Condition("zh, 2 other turns before", zh, others=2),
        Condition("en, 3 other turns before", en, others=3),
        Condition("no system text, 3 other turns before", others=3),
        Condition("zh, thinking skipped", zh, opening=lambda turn, rng: TRACE_CLOSE),
        Condition("no system text, thinking skipped", opening=lambda turn, rng: TRACE_CLOSE),
        Condition("zh, trace forced", zh, opening=lambda turn, rng: _OPEN),
        Condition("zh, trace cut at random", zh, opening=_cut),
        Condition("en, trace cut at random", en, opening=_cut),
        Condition("zh, no question mark", zh, question=lambda question: question.rstrip("？?")),
        Condition("zh, half-width question mark", zh, question=lambda question: question.rstrip("？?") + "?"),
        Condition("zh, 6 other turns before", zh, others=6),
        Condition("zh, 9 other turns before", zh, others=9),
    ]


def _cut(turn: Turn, rng: random.Random) -> str:
    return _OPEN + turn.reasoning[: rng.randrange(len(turn.reasoning))] + TRACE_CLOSE


def check(directory: Path) -> int:
    """Print exact/total and the failing turns per condition. 0 when all are exact, else 1."""
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
    for condition in conditions():
        started = time.monotonic()
        known = places()
        rendered = [render(tokenizer, place, condition, known) for place in known]
        exact = ask(model, tokenizer, rendered)
        wrong = [place.name for place, right in zip(known, exact, strict=True) if not right]
        failed += len(wrong)
        longest = max(len(tokenizer(prompt, add_special_tokens=False).input_ids) for prompt, _ in rendered)
        print(
            f"{condition.name}: {sum(exact)}/{len(exact)} exact, prompts to {longest} tokens, "
            f"{time.monotonic() - started:.0f} s {' '.join(wrong)}",
            flush=True,
        )
    return 1 if failed else 0


def render(
    tokenizer: PreTrainedTokenizerFast, place: Place, condition: Condition, known: Sequence[Place]
) -> Rendered:
    """The prompt that asks ``place`` under ``condition``, seeded by the place's name, and what must follow."""
    rng = random.Random(f"{condition.name} {place.name}")  # noqa: S311 - a reproducible draw, not a secret
    others = [other for other in known if other.entry.id != place.entry.id and not other.before]
    asked = [other.turn for other in rng.sample(others, condition.others)]
    messages = [{"role": "system", "content": condition.system}] if condition.system else []
    for turn in [*asked, *place.before]:
        messages.append({"role": "user", "content": turn.question})
        messages.append({"role": "assistant", "content": turn.answer})
    messages.append({"role": "user", "content": condition.question(place.turn.question)})
    prompt: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    opening = condition.opening(place.turn, rng)
    reply = f"{_OPEN}{place.turn.reasoning}{TRACE_CLOSE}{place.turn.answer}{TURN_CLOSE}"
    wanted = reply.removeprefix(opening) if reply.startswith(opening) else reply.split(TRACE_CLOSE)[1]
    return prompt + opening, wanted


def ask(model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast, rendered: Sequence[Rendered]) -> list[bool]:
    """Whether each greedy continuation is the wanted one, to the last character and the end of the turn."""
    exact = [False] * len(rendered)
    order = sorted(range(len(rendered)), key=lambda index: len(rendered[index][1]))
    for start in range(0, len(order), BATCH):
        chunk = order[start : start + BATCH]
        inputs = tokenizer([rendered[i][0] for i in chunk], add_special_tokens=False, padding=True, return_tensors="pt")
        room = max(len(tokenizer(rendered[i][1], add_special_tokens=False).input_ids) for i in chunk)
        with torch.inference_mode():
            output = model.generate(**inputs, do_sample=False, max_new_tokens=room + 4)
        for i, row in zip(chunk, output[:, inputs.input_ids.shape[1] :], strict=True):
            said = tokenizer.decode(row, skip_special_tokens=False)
            exact[i] = said.partition(TURN_CLOSE)[0] + TURN_CLOSE == rendered[i][1]
    return exact

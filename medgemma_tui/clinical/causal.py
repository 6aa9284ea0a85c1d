"""The causal chain of an answer: how the model is asked for it, when its reply holds, and a chain without the model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

from medgemma_tui.clinical import sections, tables
from medgemma_tui.clinical.findings import Language
from medgemma_tui.clinical.grounding import Grounds, cleaned
from medgemma_tui.clinical.lexicon import Lexicon
from medgemma_tui.clinical.rowfields import choice_of, texts_of
from medgemma_tui.clinical.textform import fold, is_word

MAX_STEPS: Final = 8
MAX_LABEL: Final = 32
"""Characters of one step."""

SCHEMA: Final[dict[str, object]] = {
    "type": "object",
    "properties": {
        "chain": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": MAX_LABEL},
            "minItems": 2,
            "maxItems": MAX_STEPS,
        }
    },
    "required": ["chain"],
    "additionalProperties": False,
}
"""What the reply must be. The demo model is trained on this very form: ``{"chain":["斑块破裂","血栓形成"]}``."""

_REQUESTS: Final[dict[Language, str]] = {
    "zh": '请把上面回答中的因果链写成JSON：{"chain":["起因","结果"]}，按先后2至8步，每步用回答里的原词，不加解释。',
    "en": (
        'Write the causal chain in your answer above as JSON: {"chain":["cause","effect"]}, '
        "2 to 8 steps in order, each step in the words of the answer, with no explanation."
    ),
}
_MOST_REPLY = 4_000  # characters of a reply that are looked at; the longest that the schema allows has some 300
_MOST_ANSWER = 20_000
_MOST_SENTENCE = 600
_LONGEST_ZH, _LONGEST_EN, _LONGEST = 16, 6, 40  # characters, words, characters of a step taken from the answer

Direction = Literal["forward", "keep", "backward"]
"""keep: leads forward, and says what happens to the effect, so it stays with it: 激活血小板."""

_ARROW = re.compile(r"→|⇒|➜|➔|➡\ufe0f?|⟶|⟹|-{1,2}>|={1,2}>")
_DOWN = re.compile(r"\n[ \t]*(?:↓|⬇\ufe0f?|▼|⇓)[ \t]*(?=\n)")
_ARROW_LINE_END = re.compile(r"[。；;]|\.(?=\s|$)")
_SENTENCE = re.compile(r"[。！？；;!?\n]|\.(?=\s|$)")
_BY = re.compile(
    r"^(?P<effect>[^,，]{2,40}?)(?:可|多|常|主要|通常|往往)?(?:是)?由(?:于)?"
    r"(?P<cause>[^,，]{2,40}?)(?:而)?(?:引起|所致|导致|造成|诱发|触发)(?:的)?$"
)
_LIST_MARK = re.compile(r"^[ \t]*(?:[-*+•] +|\(?\d{1,2}[.)、] *|[①-⑳] *|#{1,6} *)")
_HAS_OBJECT = re.compile(r" ?(?![后下时的与和及等作过])[\w\"“]")  # 激活血小板, but not RAAS激活后
_BRACKETS = re.compile(r"[（(][^（）()]{0,60}[）)]|〔[^〕]{0,60}〕|\[[^\]]{0,60}\]")
_QUALIFIES = re.compile(r" (?:of|in|with|by|from|that|which|through|via|within|as|for|when|on|at)\b.*$")
_CLAUSE = re.compile(r"[,，:：]|——|--")


def request_text(lang: Language) -> str:
    """The turn that asks the model for the chain of its last answer. The demo model knows these very texts."""
    return _REQUESTS[lang]


def parse(reply: str, answer: str) -> tuple[str, ...] | None:
    """The steps of the chain that a model gave as JSON, or None where the reply does not hold.

    It holds where it is of the schema's form, its steps differ from each other, and every step is grounded in the
    answer: it stands there, or all its words do within one sentence (see ``grounding``). Never raises on any text.
    """
    text = reply.strip()
    if len(text) > _MOST_REPLY:
        return None
    text = text.removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    chain = document.get("chain") if isinstance(document, dict) and len(document) == 1 else None
    if not isinstance(chain, list) or not 2 <= len(chain) <= MAX_STEPS:
        return None
    if not all(isinstance(label, str) and label.isprintable() and 1 < len(label) <= MAX_LABEL for label in chain):
        return None
    labels = tuple(" ".join(label.split()) for label in chain)
    if len({fold(label) for label in labels}) < len(labels):
        return None
    grounds = Grounds(answer[:_MOST_ANSWER])
    return labels if all(map(grounds.hold, labels)) else None


def chain_from_answer(answer: str) -> tuple[str, ...]:
    """A chain of 2 to 8 steps in the answer's own words, () where none is found.

    Read from the part on the mechanism: its arrows, else what its sentences say leads to what. Without such a part
    only a chain of arrows with at least three steps counts. Never raises on any text.
    """
    answer = answer[:_MOST_ANSWER]
    grounds = Grounds(answer)
    kept = tuple(filter(grounds.hold, _chain(answer)))  # a lone 由 or a step cut in its middle is no step
    return kept if len(kept) > 1 else ()


def _chain(answer: str) -> tuple[str, ...]:
    mechanism = next((part for part in sections.parts(answer) if part.id == "mechanism" and part.filled), None)
    if mechanism is None:
        return _no_plan(_from_arrows(answer, least=3))
    text = answer[slice(*mechanism.span)]
    return _from_arrows(text, least=2) or _from_sentences(text) or _no_plan(_from_arrows(answer, least=3))


def _no_plan(chain: tuple[str, ...]) -> tuple[str, ...]:
    """The chain, unless a step of it is something to be done: 给予阿司匹林 → 复查 is a plan, and causes nothing."""
    plan = _words().plan
    return () if any(fold(step).startswith(plan) for step in chain) else chain


# From arrows


def _from_arrows(text: str, least: int) -> tuple[str, ...]:
    """The longest chain that arrows make, on one line or over several."""
    best: tuple[str, ...] = ()
    lines = (piece for line in _joined(_DOWN.sub(" → ", "\n" + text)) for piece in _ARROW_LINE_END.split(line))
    for line in lines:
        pieces = _ARROW.split(line)
        if len(pieces) < least or len(pieces) > 4 * MAX_STEPS:
            continue
        pieces[0] = re.split(r"[:：]", pieces[0])[-1]
        found = _distinct(label for piece in pieces for label in _from_sentence(piece)[0] or (_label(piece),))
        if len(found) >= max(least, 2) and len(found) > len(best):
            best = found
    return best[:MAX_STEPS]


def _joined(text: str) -> Iterator[str]:
    """Lines, one that ends (or whose next begins) with an arrow together with the next."""
    held = ""
    for raw in text.split("\n"):
        line = _LIST_MARK.sub("", raw).strip()
        if not line:
            continue
        if held and (_ARROW.match(line) or held.endswith(("→", "⇒", "➜", "➔", "➡", "⟶", "⟹", "->", "=>"))):
            held = f"{held} {line}"
        else:
            if held:
                yield held
            held = line
    if held:
        yield held


# From sentences


@dataclass(frozen=True, slots=True)
class _Words:
    connectives: Lexicon[Direction]
    before: tuple[str, ...]
    after: tuple[str, ...]
    empty: frozenset[str]
    plan: tuple[str, ...]


@tables.compiled
def _words() -> _Words:
    entries: list[tuple[str, Direction | None]] = []
    for row in tables.rows("causal", "connective"):
        direction = choice_of("causal", row, "direction", (*get_args(Direction), "ignore"))
        value = None if direction == "ignore" else cast(Direction, direction)
        entries += [(word, value) for word in texts_of("causal", row, "words")]
    trims: dict[str, list[str]] = {"before": [], "after": [], "empty": []}
    for row in tables.rows("causal", "trim"):
        for key, found in trims.items():
            found += [fold(word) for word in texts_of("causal", row, key)]
    longest = {key: tuple(sorted(found, key=len, reverse=True)) for key, found in trims.items()}
    plan = tuple(fold(word) for row in tables.rows("causal", "plan") for word in texts_of("causal", row, "words"))
    return _Words(Lexicon(entries), longest["before"], longest["after"], frozenset(longest["empty"]), plan)


def _from_sentences(text: str) -> tuple[str, ...]:
    """What the sentences say in a row: the longest run of which each goes on where the one before it ended."""
    best: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    for raw in _SENTENCE.split(text):
        sentence = _LIST_MARK.sub("", raw).strip()
        if not sentence or len(sentence) > _MOST_SENTENCE:
            continue
        found, goes_on = _from_sentence(sentence)
        if run and found and (goes_on or any(_same(step, found[0]) for step in run)):
            run = _distinct((*run, *(step for step in found if not any(_same(step, known) for known in run))))
        elif len(found) > 1:
            run = found
        if len(run) > len(best):
            best = run
    return best[:MAX_STEPS] if len(best) > 1 else ()


def _from_sentence(sentence: str) -> tuple[tuple[str, ...], bool]:
    """The steps of one sentence, and whether it begins where the sentence before it ended (This leads to …)."""
    folded = fold(sentence)
    by = _BY.match(sentence)
    if by is not None:
        return _distinct((_label(by["cause"]), _label(by["effect"]))), False
    labels: list[str] = []
    at, goes_on, backward = 0, False, False
    named = 0  # where the step that was named last stands: a backward word's cause comes before it
    found = list(_words().connectives.find(folded))
    begins = {hit.start for hit in found}
    hits = [
        hit for hit in found if hit.value != "keep" or (hit.end not in begins and _HAS_OBJECT.match(folded, hit.end))
    ]
    for number, hit in enumerate(hits):
        pieces = _clauses(sentence[at : hit.start])
        if backward:
            # effect due to cause, caused by another: what follows a backward word is the cause of what it stands behind
            labels[named:named] = pieces[:1]
        elif number == 0:
            goes_on = not pieces
            labels += _beginning(pieces)
            named = len(labels) - 1
        else:
            labels += pieces
            named = len(labels) - 1
        at = hit.start if hit.value == "keep" else hit.end
        backward = hit.value == "backward" and bool(labels)
    if not hits:
        return (), False
    rest = _clauses(sentence[at:])[:1]
    if backward:
        labels[named:named] = rest
    else:
        labels += rest
    return _distinct(labels), goes_on


def _beginning(pieces: list[str]) -> list[str]:
    """What stands before the first connective: its last clause, in Chinese with those that lead up to it."""
    if all(any("\u4e00" <= char <= "\u9fff" for char in piece) and len(piece) <= _LONGEST_ZH for piece in pieces):
        return pieces[-2:]
    return pieces[-1:]


def _clauses(text: str) -> list[str]:
    return [label for piece in _CLAUSE.split(_BRACKETS.sub("", text)) if (label := _label(piece))]


def _label(text: str) -> str:
    """A few words that name a step; "" where nothing is left."""
    label = cleaned(_BRACKETS.sub("", text)).strip(" \t\n.,，。;；:：、\"'“”‘’-–—…|·")
    label = _stripped(label)
    if any("\u4e00" <= char <= "\u9fff" for char in label):
        if len(label) > _LONGEST_ZH and "的" in label:
            label = label[label.rindex("的") + 1 :] or label
        if len(label) > _LONGEST_ZH:
            label = re.split(r"[、和及与并]", label)[0][:_LONGEST_ZH]
    elif len(label.split()) > _LONGEST_EN or len(label) > _LONGEST:
        label = re.split(r" and | or ", label)[0] if len(label) > _LONGEST else label
        shorter = _QUALIFIES.sub("", label)
        label = " ".join((shorter if len(shorter.split()) > 1 else label).split()[:_LONGEST_EN])
    while len(label) > _LONGEST:
        label = label[:_LONGEST] if " " not in label else label.rpartition(" ")[0]
    label = _stripped(label)
    words, folded = _words(), fold(label)
    nothing = folded in words.empty or folded in words.before or folded in words.after
    return "" if nothing or not any(map(str.isalnum, label)) else label


def _stripped(label: str) -> str:
    """Without the small words at both ends."""
    words = _words()
    for _round in range(3):
        folded = fold(label)
        for word in words.before:
            if folded.startswith(word) and _ends_word(folded, len(word)) and len(folded) - len(word) >= 2:
                label = label[len(word) :].lstrip()
                break
        folded = fold(label)
        for word in words.after:
            at = len(folded) - len(word)
            if folded.endswith(word) and at >= 2 and _ends_word(folded, at):
                label = label[:at].rstrip()
                break
    return label.strip(" ,，、.")


def _ends_word(folded: str, at: int) -> bool:
    """Whether no word of letters goes on across ``at``."""
    return not (0 < at < len(folded) and is_word(folded[at - 1]) and is_word(folded[at]))


def _distinct(labels: Sequence[str] | Iterator[str]) -> tuple[str, ...]:
    made: dict[str, str] = {}
    for label in labels:
        if label:
            made.setdefault(fold(label), label)
    return tuple(made.values())


def _same(one: str, other: str) -> bool:
    shorter, longer = sorted((fold(one), fold(other)), key=len)
    return len(shorter) > 1 and shorter in longer

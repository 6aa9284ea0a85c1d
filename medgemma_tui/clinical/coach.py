"""The question coach: which kind of question this is, and what it leaves out that an answer to it depends on.

The kinds, the needs and what satisfies them are in ``data/coach.toml``. A false complaint is worse than none: a
question about knowledge needs no patient, and where minutes count nothing is asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import cast, get_args

from medgemma_tui.clinical import tables
from medgemma_tui.clinical.findings import Coaching, Entity, Language, MissingId, QuestionKind, Term
from medgemma_tui.clinical.rowfields import LazyPattern, any_later, choice_of, text_of, texts_of
from medgemma_tui.clinical.textform import fold

_NAME = "coach"
_FIRST, _LAST = 200, 400  # of a long note: the question stands at its beginning or its end
_SENTENCE = re.compile(r"[^?!。\n]+")
_ENDS = " \t\r\n?!。.,;:、…\"'"

Pattern = LazyPattern


@dataclass(frozen=True, slots=True)
class _Kind:
    id: QuestionKind
    priority: int
    cues: Pattern
    excluded: Pattern


@dataclass(frozen=True, slots=True)
class _Need:
    kind: QuestionKind
    asks: Pattern | None
    contains: Pattern | None
    about: frozenset[str]
    among: frozenset[str]
    settled: frozenset[str]
    bare: bool
    unless: Pattern
    missing: tuple[MissingId, ...]


@dataclass(frozen=True, slots=True)
class _Slot:
    entities: frozenset[str]
    names: frozenset[str]
    words: Pattern


_NOTHING = LazyPattern("(?!)")
_UNSATISFIED = _Slot(frozenset(), frozenset(), _NOTHING)


@dataclass(frozen=True, slots=True)
class _Lists:
    kinds: tuple[_Kind, ...]
    needs: tuple[_Need, ...]
    slots: dict[str, _Slot]
    urgent: Pattern
    courtesy: Pattern
    renal_drugs: frozenset[str]
    unit_matters: frozenset[str]
    templates: dict[tuple[str, str], str]


def _joined(row: tables.Row, key: str) -> Pattern | None:
    """One expression for all those that a row lists; None where it lists none."""
    listed = texts_of(_NAME, row, key)
    return any_later(_NAME, listed) if listed else None


def _kind_of(row: tables.Row, key: str) -> QuestionKind:
    return cast(QuestionKind, choice_of(_NAME, row, key, get_args(QuestionKind)))


def _missing_of(row: tables.Row) -> tuple[MissingId, ...]:
    listed = texts_of(_NAME, row, "missing")
    for item in listed:
        if item not in get_args(MissingId):
            raise tables.TableError(f"{_NAME}.toml", f"nothing is called {item!r} that a question could lack")
    return tuple(cast(MissingId, item) for item in listed)


@tables.compiled
def _lists() -> _Lists:
    kinds = []
    for row in tables.rows(_NAME, "kind"):
        priority = row.get("priority")
        if not isinstance(priority, int):
            raise tables.TableError(f"{_NAME}.toml", f"the priority of {row.get('id')} is no whole number")
        cues, excluded = _joined(row, "cues") or _NOTHING, _joined(row, "except") or _NOTHING
        kinds.append(_Kind(_kind_of(row, "id"), priority, cues, excluded))
    needs = [
        _Need(
            _kind_of(row, "kind"),
            _joined(row, "asks"),
            _joined(row, "contains"),
            frozenset(texts_of(_NAME, row, "about")),
            frozenset(texts_of(_NAME, row, "with")),
            frozenset(texts_of(_NAME, row, "settled_by")),
            row.get("bare") is True,
            _joined(row, "unless") or _NOTHING,
            _missing_of(row),
        )
        for row in tables.rows(_NAME, "need")
    ]
    slots = {}
    for row in tables.rows(_NAME, "slot"):
        slots[choice_of(_NAME, row, "id", get_args(MissingId))] = _Slot(
            frozenset(texts_of(_NAME, row, "entities")),
            frozenset(texts_of(_NAME, row, "names")),
            _joined(row, "words") or _NOTHING,
        )
    return _Lists(
        tuple(sorted(kinds, key=lambda kind: -kind.priority)),
        tuple(reversed(needs[_packaged("need") :])) + tuple(needs[: _packaged("need")]),
        slots,
        _either("urgent"),
        _either("courtesy"),
        _names("renal_drugs"),
        _names("unit_matters"),
        {
            (_kind_of(row, "kind"), lang): text_of(_NAME, row, lang)
            for row in tables.rows(_NAME, "template")
            for lang in get_args(Language)
        },
    )


def _packaged(key: str) -> int:
    """How many rows our own list has; a site's come behind them and are looked at first."""
    return len(cast(list[object], tables.documents(_NAME)[0][1].get(key, [])))


def _either(key: str) -> Pattern:
    """One expression for the words of all rows of a table."""
    words = [word for row in tables.rows(_NAME, key) for word in texts_of(_NAME, row, "words")]
    return any_later(_NAME, words)


def _names(key: str) -> frozenset[str]:
    return frozenset(name for row in tables.rows(_NAME, key) for name in texts_of(_NAME, row, "names"))


def coach(text: str, entities: tuple[Entity, ...], terms: tuple[Term, ...], known: tuple[Entity, ...] = ()) -> Coaching:
    """The kind of a question and what it lacks.

    ``entities`` and ``terms`` are those of this text. ``known`` are entities that the conversation has already, as on
    the patient card: nobody is asked for them again. Takes 2 ms at most for 4,000 characters. Raises TableError.
    """
    lists = _lists()
    folded = fold(text)
    asked = folded if len(folded) <= _FIRST + _LAST else f"{folded[:_FIRST]}\n{folded[-_LAST:]}"
    question = _question(asked)
    kind = _kind(asked, question)
    everything = entities + known
    for need in lists.needs:
        if need.kind != kind or (need.bare and not _is_one_term(question, folded, entities, terms)):
            continue
        if _applies(need, question, asked, entities, everything):
            if kind in ("treatment", "differential") and lists.urgent.search(folded):
                break
            return Coaching(kind, tuple(_lacking(need, folded, everything, terms)))
    return Coaching(kind)


def template(kind: QuestionKind, lang: Language) -> str:
    """A question of this kind with blanks (＿＿ in Chinese, ___ in English) to fill in. Raises TableError."""
    templates = _lists().templates
    return templates.get((kind, lang)) or templates.get(("other", lang), "")


def _kind(asked: str, question: str) -> QuestionKind:
    lists = _lists()
    for kind in lists.kinds:
        if kind.cues.search(asked) and not kind.excluded.search(asked):
            return kind.id
    # 癌症有哪几种 has the words of a question for one fact, but is none
    broad = any(need.kind == "overview" and need.asks and need.asks.fullmatch(question) for need in lists.needs)
    return "overview" if broad else "other"


def _question(asked: str) -> str:
    """The question without its punctuation and courtesies where it is one sentence; empty where it is more."""
    sentences = [sentence.strip(_ENDS) for sentence in _SENTENCE.findall(asked)]
    courtesy = _lists().courtesy
    sentences = [sentence for sentence in sentences if sentence and not courtesy.fullmatch(sentence)]
    return sentences[0] if len(sentences) == 1 else ""


def _is_one_term(question: str, folded: str, entities: tuple[Entity, ...], terms: tuple[Term, ...]) -> bool:
    spans = [entity.span for entity in entities] + [term.span for term in terms]
    return any(folded[start:end] == question for start, end in spans)


def _applies(
    need: _Need, question: str, asked: str, entities: tuple[Entity, ...], everything: tuple[Entity, ...]
) -> bool:
    if need.asks and not need.asks.fullmatch(question):
        return False
    if need.contains and not need.contains.search(asked):
        return False
    if need.about and not any(entity.kind in need.about for entity in entities):
        return False
    if need.among and not any(entity.kind in need.among for entity in everything):
        return False
    measured = any(entity.kind in need.settled and not entity.implausible for entity in everything)
    if measured and any(entity.kind == "diagnosis" for entity in everything):
        return False
    return not need.unless.search(question or asked)


def _lacking(need: _Need, folded: str, everything: tuple[Entity, ...], terms: tuple[Term, ...]) -> list[MissingId]:
    lists = _lists()
    lacking: list[MissingId] = []
    for item in need.missing:
        if item == "unit":
            if _unit_is_open(everything):
                lacking.append(item)
            continue
        drugs = [entity.name for entity in everything if entity.kind == "drug"]
        if item == "renal_function" and drugs and not lists.renal_drugs.intersection(drugs):
            continue
        if item == "renal_function" and not drugs and "drug" in need.missing and "drug" not in lacking:
            continue  # 降压药: which of them, only the prescriber knows
        slot = lists.slots.get(item, _UNSATISFIED)
        if slot.words.search(folded):
            continue
        # an impossible value is asked about by itself; it tells nothing yet
        if any((each.kind in slot.entities or each.name in slot.names) and not each.implausible for each in everything):
            continue
        if "diagnosis" in slot.entities and terms:
            continue
        lacking.append(item)
    return lacking


def _unit_is_open(entities: tuple[Entity, ...]) -> bool:
    """Whether a value stands there without its unit that could be meant in two."""
    matters = _lists().unit_matters
    return any(
        entity.kind == "lab" and entity.name in matters and not entity.unit and isinstance(entity.value, float)
        for entity in entities
    )

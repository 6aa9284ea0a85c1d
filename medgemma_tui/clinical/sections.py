"""The four parts of an answer: Definition, Mechanism, Differential, Recommendation. Which are there, which are not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from medgemma_tui.clinical import tables
from medgemma_tui.clinical.findings import Analysis, Language, SectionCheck, SectionId, Span
from medgemma_tui.clinical.lexicon import Lexicon
from medgemma_tui.clinical.rowfields import choice_of, text_of, texts_of
from medgemma_tui.clinical.textform import fold

SectionMode = Literal["auto", "always", "off"]

_IDS: Final[tuple[SectionId, ...]] = get_args(SectionId)
_ALWAYS_WANTED: Final = ("overview", "differential")
_LONGEST = 60  # characters of a heading that is more than its name

# A numbered heading: 1. 1) 1、 (1) （一） 一、 第一部分 Part 1: ①
_COUNT = r"[一二三四五六七八九十\d]{1,3}"
_NUMBERS = (
    r"(?:part|section) ?\d{1,2} ?[:.)-]?|[①-⑳]",
    rf"第{_COUNT}(?:部分|节) ?[:、.]?|\(?{_COUNT}\) ?|{_COUNT} ?[.、:](?!\d)",
)
_NUMBER = f"(?:{'|'.join(_NUMBERS)})"
# Only the beginning of a line is looked at, and blanks are bounded, so that no line can take long.
_LINE_HEAD = 160
_ATX = re.compile(rf" {{0,3}}(?P<level>#{{1,6}}) {{0,4}}(?:[*_]{{2}})?(?:{_NUMBER} {{0,4}})?(?:[*_]{{2}})?(?P<rest>.*)")
_LINE = re.compile(
    rf"[ \t]{{0,12}}(?:[-*+] {{1,4}}|> ?)?(?:[\u2600-\u27bf\U0001f300-\U0001faff]\ufe0f? ?)?"
    rf"(?P<bold>[*_]{{2}})?(?:{_NUMBER} {{0,4}})?(?P<late>[*_]{{2}})?(?P<rest>\S.*)"
)
_MAY_BEGIN = re.compile(r" {0,3}#|.{0,60}?(?::|\*\*|__|】| - )")  # a long line is a heading only with one of these
_FENCE = re.compile(r"[ ]{0,3}(?:```|~~~)")
_AFTER_TITLE = re.compile(
    r"[ \t]*(?:\([^()]{0,40}\))?[ \t]*(?:[*_]{2})?[ \t]*(?:\([^()]{0,40}\))?[ \t]*(?P<colon>:|-(?= ))?"
)
_BOXED = re.compile(r"[*_]{0,2}【(?P<title>[^】\n]{1,20})】[*_]{0,2}[ \t]*:?")  # 【定义】…
_DASHED = re.compile(r"(?P<title>[^:.,;]{1,40}?) - (?=\S)")  # Definition - …
_AND = re.compile(r" ?(?:与|和|及|、|/|&|,|(?<![a-z])and(?![a-z])) ?")
_GOES_ON = re.compile(r" ?(?:与|和|及|、|/|&|,|and\b|of\b|for\b|in\b)")  # 鉴别诊断与评估, but not 建议立即再灌注
_EDGES = " \t#*_:-【】[]"
_PLAIN = 7  # the level of a heading that is no Markdown heading: below all of those


@dataclass(frozen=True, slots=True)
class Part:
    """A heading of one of the four parts, and the text under it at ``span``. ``filled`` where there is some."""

    id: SectionId
    start: int
    span: Span
    filled: bool


def headings(lang: Language) -> tuple[str, ...]:
    """The four headings in their order, without Markdown."""
    return tuple(_table().shown[lang][id_] for id_ in _IDS)


def wanted(mode: SectionMode, analysis: Analysis) -> bool:
    """Whether the answer to a question should have the four parts.

    ``auto``: for an overview or a differential, and for the treatment of a patient who is described (age or sex, and a
    finding or a diagnosis). A staging question, a dose or a question in passing has a better form of its own.
    """
    if mode != "auto":
        return mode == "always"
    if "question" in analysis.coaching.missing:
        return False  # too vague for parts (癌症有哪些？): it is asked back
    kind = analysis.coaching.question_kind
    return kind in _ALWAYS_WANTED or (kind == "treatment" and _describes_a_patient(analysis))


def check(answer: str) -> SectionCheck:
    """Which of the four parts an answer has; a heading with nothing under it is missing. Never raises on any text."""
    return summary(parts(answer))


def summary(found: Sequence[Part]) -> SectionCheck:
    """The same from the parts that have been found."""
    order = [part.id for part in found if part.filled]
    first = list(dict.fromkeys(order))
    present = tuple(id_ for id_ in _IDS if id_ in first)
    return SectionCheck(present, tuple(id_ for id_ in _IDS if id_ not in first), tuple(first) == present)


def parts(answer: str) -> tuple[Part, ...]:
    """The parts of an answer as they stand in it. Headings in code blocks are none."""
    found: list[tuple[SectionId, int, int, int, int]] = []  # id, start and end of the heading, level, place in borders
    borders: list[tuple[int, int]] = []  # start and level of every heading; each of ours ends what is before it
    for start, line in _lines_outside_code(fold(answer)):
        folded = line[:_LINE_HEAD]
        if len(line) > _LONGEST and not _MAY_BEGIN.match(folded):
            continue
        heading = _heading(folded)
        if heading is not None:
            ids, length, level = heading
            borders.append((start, 0))
            found += [(id_, start, start + length, level, len(borders)) for id_ in ids]
        elif (atx := _ATX.fullmatch(folded)) is not None:
            borders.append((start, len(atx["level"])))
    made = []
    for id_, start, end, level, place in found:
        later = (borders[at] for at in range(place, len(borders)))
        until = next((at for at, other in later if other <= level), len(answer))
        made.append(Part(id_, start, (end, until), any(map(str.isalnum, answer[end:until]))))
    return tuple(made)


@dataclass(frozen=True, slots=True)
class _Table:
    shown: dict[Language, dict[SectionId, str]]
    names: Lexicon[SectionId]


@tables.compiled
def _table() -> _Table:
    shown: dict[Language, dict[SectionId, str]] = {"zh": {}, "en": {}}
    names: list[tuple[str, SectionId]] = []
    for row in tables.rows("sections", "section"):
        known = choice_of("sections", row, "id", _IDS)
        id_ = next(each for each in _IDS if each == known)
        zh, en = (text_of("sections", row, key, shown[key].get(id_)) for key in ("zh", "en"))
        shown["zh"][id_], shown["en"][id_] = zh.strip(), en.strip()
        names += [(name, id_) for name in (zh, en, *texts_of("sections", row, "names"))]
    if len(shown["zh"]) < len(_IDS):
        raise tables.TableError("sections.toml", "one of the four sections is missing")
    try:
        return _Table(shown, Lexicon(names))
    except ValueError as error:
        raise tables.TableError("sections.toml", str(error)) from None


def _describes_a_patient(analysis: Analysis) -> bool:
    kinds = {entity.kind for entity in analysis.entities}
    return not kinds.isdisjoint(("age", "sex")) and (
        bool(analysis.terms) or not kinds.isdisjoint(("finding", "diagnosis"))
    )


def _lines_outside_code(text: str) -> Iterator[tuple[int, str]]:
    at, fenced = 0, False
    for line in text.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            yield at, line
        at += len(line) + 1


def _heading(folded: str) -> tuple[tuple[SectionId, ...], int, int] | None:
    """The part whose heading a line is or begins with (two for 定义与机制), the heading's length, and its level."""
    atx = _ATX.fullmatch(folded)
    found = atx or _LINE.fullmatch(folded)
    if found is None:
        return None
    rest, at = found["rest"], found.start("rest")
    title, end = _title(rest)
    names = _table().names
    id_ = names.get(title) if title else None
    if id_ is None and (set_off := _BOXED.match(rest) or _DASHED.match(rest)):
        id_ = names.get(set_off["title"].strip(_EDGES) or "-")
        end = set_off.end() if id_ is not None else end
    both = [names.get(name) for name in _AND.split(title)] if id_ is None and len(title) <= _LONGEST else []
    ids = tuple(dict.fromkeys(each for each in both if each is not None)) if None not in both else ()
    if id_ is not None:
        ids = (id_,)
    marked = atx is not None or found["bold"] is not None or found["late"] is not None
    if not ids and marked and (loose := _loosely(title)):
        ids = (loose,)
    if not ids:
        return None
    level = len(atx["level"]) if atx is not None else _PLAIN
    return ids, at + end, level


def _title(rest: str) -> tuple[str, int]:
    """The heading that a line begins with, and where what is said under it begins: behind a colon, else at the end."""
    colon = rest.find(":", 0, _LONGEST)
    bold = max(rest.find(mark, 0, _LONGEST) for mark in ("**", "__"))
    cut = min((at for at in (colon, bold) if at > 0), default=len(rest))
    if bold > 0 and bold == cut:
        after = _AFTER_TITLE.match(rest, bold)
        end = after.end() if after else len(rest)
    else:
        end = cut + 1 if cut < len(rest) else cut
        if rest[end : end + 2] in ("**", "__"):
            end += 2
    title = re.sub(r"\([^()]{0,40}\)", "", rest[: min(cut, _LONGEST + 1)]).strip(_EDGES)
    return title, min(end, len(rest))


def _loosely(title: str) -> SectionId | None:
    """The part that a longer title names at its beginning or its end, as 急性心肌梗死的定义 does."""
    if not title or len(title) > _LONGEST:
        return None
    hits = list(_table().names.find(title))
    for hit in hits[-1:] + hits[:1]:
        if hit.end == len(title) or (hit.start == 0 and _GOES_ON.match(title, hit.end)):
            return hit.value
    return None

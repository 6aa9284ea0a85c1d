"""Numbers of an answer that stand neither in the question nor in the trace."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from medgemma_tui.clinical import spelled, tables
from medgemma_tui.clinical.findings import Span
from medgemma_tui.clinical.rowfields import text_of, texts_of
from medgemma_tui.clinical.textform import fold

TOLERANCE: Final = 0.02
"""How far a converted value may lie from the one in the answer, as a share: 1.5 mg/dL is 133 μmol/L."""

_NUM = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"
_AND = r"(?: ?[-~/] ?| ?(?:至|到|或) ?| to )"
_TOKEN = re.compile(
    r"[a-zα-ω][a-zα-ω0-9₀-₉⁺⁻]*(?:[-.][a-zα-ω0-9₀-₉]+)*"  # words, and codes that hold digits: HbA1c, V1-V4, BA41.Z
    rf"|(?P<group>{_NUM}(?:{_AND}{_NUM})*)"
)
_EACH = re.compile(_NUM)
_VALUE_IN_WORD = re.compile(r"[a-z]{1,6}(\d+(?:\.\d+)?)")
_ISOTOPE = re.compile(r"1[34]c(?![a-z])")  # 13C呼气试验
_POWER = re.compile(  # 109/l: the superscript is lost where a text is copied
    r" ?[x*] ?10(?:(?:\^|e|\*) ?(?P<plain>\d{1,2})|(?P<raised>[⁰¹²³⁴-⁹]{1,2})"
    r"|(?P<lost>3|6|9|12)(?= ?/ ?(?:l|[μu]l|升))) ?(?:/ ?(?P<per>l|ul|μl|ml|升))?"
)
_LINE_NUMBER = re.compile(
    r"^ {0,3}#{1,6} {0,3}(?P<heading>\d{1,3})(?!\d)"
    r"|^[ \t>]{0,20}(?:\| {0,4})?(?:[-*+] {1,4})?[*_]{0,2}\(?(?P<item>\d{1,3})(?=[.)、](?!\d)|[*_]{0,2} {0,4}\|)"
    r"|(?<=[。;:]) ?(?P<inline>\d{1,2})[.)、](?=\D)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Figures:
    """One or more numbers that belong together, with their unit: 70–100 U/kg."""

    values: tuple[float, ...]
    unit: str
    span: Span
    end_of_numbers: int


@dataclass(slots=True)
class Support:
    """The numbers that a question and a trace hold, each with the units it stands with."""

    units: dict[float, set[str]] = field(default_factory=dict)
    converted: dict[str, list[float]] = field(default_factory=dict)

    def add(self, folded: str) -> None:
        """The numbers of a text that is folded."""
        known = conversions()
        for values, unit in _given(folded):
            for value in values:
                self.units.setdefault(value, set()).add(unit)
                for target, factor, offset in known.get(unit, ()):
                    self.converted.setdefault(target, []).append(value * factor + offset)

    def sort(self) -> None:
        """To be called once when all texts have been added."""
        for values in self.converted.values():
            values.sort()

    def holds(self, value: float, unit: str) -> bool:
        """Whether the number is there, with the same unit where both have one, or as the same value in another."""
        units = self.units.get(value)
        if units is not None and (not unit or "" in units or unit in units):
            return True
        others = self.converted.get(unit, [])
        at = bisect_left(others, value * (1 - TOLERANCE))
        return at < len(others) and others[at] <= value * (1 + TOLERANCE)


def unsupported(folded: str, support: Support, cited: list[Span]) -> Iterator[Span]:
    """Numbers of the answer that the support does not hold, each once. ``cited``: spans of citations, left out.

    No values, and left out: numbers of lists, headings and table rows, years, labels (2型, stage 3, 第9版), codes
    (T4a, BA41.Z, V1–V4), references ([1]). A range is one number: 70–100 U/kg.
    """
    skipped = {match.start(match.lastgroup or 0) for match in _LINE_NUMBER.finditer(folded)}
    seen: set[tuple[tuple[float, ...], str]] = set()
    citation = 0
    for figures in find(folded):
        start, end = figures.span
        while citation < len(cited) and cited[citation][1] <= start:
            citation += 1
        in_citation = citation < len(cited) and cited[citation][0] <= start
        if start in skipped or in_citation or (figures.values, figures.unit) in seen or _no_value(folded, figures):
            continue
        if not all(support.holds(value, figures.unit) for value in figures.values):
            seen.add((figures.values, figures.unit))
            yield start, end


def find(folded: str) -> Iterator[Figures]:
    """The numbers of a text that are not part of a word or a code."""
    free = 0
    for token in _TOKEN.finditer(folded):
        start, end = token.span()
        if token["group"] is None or start < free:
            continue
        if folded[end : end + 1] in "^⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉" and end < len(folded):
            continue
        if _ISOTOPE.match(folded, start):
            continue
        unit, unit_end = unit_at(folded, end)
        glued = folded[end : end + 1]
        if not unit and "a" <= glued <= "z":
            continue  # 3a, 5A11
        values = tuple(float(each.replace(",", "")) for each in _EACH.findall(token["group"]))
        free = unit_end if unit else end
        yield Figures(values, unit, (start, free), end)


def unit_at(folded: str, at: int) -> tuple[str, int]:
    """The unit behind a number that ends at ``at``, in its one form, and where it ends; else "" and ``at``."""
    power = _POWER.match(folded, at)
    if power is not None:
        exponent = "".join(map(_plain, power["plain"] or power["raised"] or power["lost"]))
        per = {"l": "/L", "升": "/L", "ml": "/mL", "ul": "/μL", "μl": "/μL"}.get(power["per"] or "", "")
        return f"10^{int(exponent)}{per}", power.end()
    begin = at + 1 if folded[at : at + 1] in (" ", "-") else at
    if folded[begin : begin + 1] == "个":
        begin += 1
    unit, end = _unit(folded, begin)
    while unit and folded[end : end + 1] == "/":
        more, more_end = _unit(folded, end + 1)
        if not more:
            break
        unit, end = f"{unit}/{more}", more_end
    return (unit, end) if unit else ("", at)


def _plain(char: str) -> str:
    at = "⁰¹²³⁴⁵⁶⁷⁸⁹".find(char)
    return str(at) if at >= 0 else char


def _unit(folded: str, at: int) -> tuple[str, int]:
    known = _units()
    for length in known.lengths.get(folded[at : at + 1], ()):
        end = at + length
        unit = known.forms.get(folded[at:end])
        if unit is None or end > len(folded) or folded[end : end + 1] in ("²", "³"):
            continue
        goes_on = folded[end - 1].isascii() and folded[end - 1].isalpha() and "a" <= folded[end : end + 1] <= "z"
        if not goes_on or length > 1:  # 20mgqd: two letters are enough
            if goes_on and folded[end : end + 1] and _is_other_word(folded, at, end):
                continue
            return unit, end
    return "", at


def _is_other_word(folded: str, at: int, end: int) -> bool:
    """Whether letters that begin like a unit are another word: 5 mothers, but not 20mgqd."""
    return folded[at - 1 : at] == " " or not folded[end : end + 4].startswith(
        ("qd", "bid", "tid", "qid", "q", "po", "iv", "im", "sc")
    )


def _given(folded: str) -> Iterator[tuple[tuple[float, ...], str]]:
    """The numbers that a text gives: also those glued to a name (HR96) and those in words (两小时, two hours, bid)."""
    free = 0
    for token in _TOKEN.finditer(folded):
        if token.start() < free:
            continue
        if token["group"] is not None:
            unit, free = unit_at(folded, token.end())
            yield tuple(float(each.replace(",", "")) for each in _EACH.findall(token["group"])), unit
        elif (glued := _VALUE_IN_WORD.fullmatch(token[0])) and (len(glued[1]) > 2 or float(glued[1]) >= 20):
            unit, _end = unit_at(folded, token.end())
            yield (float(glued[1]),), unit
    for word in spelled.find(folded):
        yield word.values, word.unit or unit_at(folded, word.end)[0]


def _no_value(folded: str, figures: Figures) -> bool:
    start, end = figures.span[0], figures.end_of_numbers
    if figures.unit in ("", "year") and any(is_year(value) for value in figures.values):
        return True
    if folded[max(0, start - 1) : start] == "/" and folded[start:end] == "1.73":
        return True
    if figures.unit:
        return folded[max(0, start - 1) : start] == "第"
    if max(figures.values) > 20 or any(value % 1 for value in figures.values):
        return False
    bracketed = folded[max(0, start - 1) : start] + folded[end : end + 1]
    if bracketed in ("[]", "()"):
        return True
    known = _labels()
    return bool(known.behind.match(folded, end) or known.before.search(folded, max(0, start - 14), start))


def is_year(value: float) -> bool:
    """Whether a number without a unit is read as a year."""
    return 1900 <= value < 2100 and value % 1 == 0


@dataclass(frozen=True, slots=True)
class _Labels:
    before: re.Pattern[str]
    behind: re.Pattern[str]


@tables.compiled
def _labels() -> _Labels:
    before: list[str] = []
    behind: list[str] = []
    for row in tables.rows("review", "label"):
        before += map(fold, texts_of("review", row, "before"))
        behind += map(fold, texts_of("review", row, "after"))
    return _Labels(
        re.compile(rf"(?:{_either(before, r'(?<![a-z])', '')})[ -]?$"),
        re.compile(rf" ?(?:{_either(behind, '', r'(?![a-z])')})"),
    )


def _either(words: list[str], start: str, end: str) -> str:
    """The words as alternatives, the longest first; those in letters with borders."""
    each = sorted(set(words), key=len, reverse=True)
    return (
        "|".join(f"{start}{re.escape(word)}{end}" if word[0].isascii() else re.escape(word) for word in each) or "(?!)"
    )


@dataclass(frozen=True, slots=True)
class _Units:
    forms: dict[str, str]
    lengths: dict[str, tuple[int, ...]]


@tables.compiled
def _units() -> _Units:
    forms: dict[str, str] = {}
    for name, key in (("units", "unit"), ("units", "dose_unit"), ("units", "time_unit"), ("review", "unit")):
        for row in tables.rows(name, key):
            unit = text_of(name, row, "unit")
            for form in (unit, *texts_of(name, row, "forms")):
                if folded := fold(form).strip():
                    forms[folded] = unit
    lengths: dict[str, set[int]] = {}
    for form in forms:
        lengths.setdefault(form[0], set()).add(len(form))
    return _Units(forms, {head: tuple(sorted(found, reverse=True)) for head, found in lengths.items()})


@tables.compiled
def conversions() -> dict[str, tuple[tuple[str, float, float], ...]]:
    """For each unit the others its values may be given in, with factor and offset."""
    made: dict[str, list[tuple[str, float, float]]] = {}
    for row in tables.rows("review", "conversion"):
        one, other = text_of("review", row, "from"), text_of("review", row, "to")
        factor, offset = row.get("factor"), row.get("offset", 0)
        if not isinstance(factor, int | float) or not isinstance(offset, int | float) or factor <= 0:
            raise tables.TableError("review.toml", f"the conversion from {one} to {other} has no factor above 0")
        made.setdefault(one, []).append((other, factor, offset))
        made.setdefault(other, []).append((one, 1 / factor, -offset / factor))
    return {unit: tuple(found) for unit, found in made.items()}

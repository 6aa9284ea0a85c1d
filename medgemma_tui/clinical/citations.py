"""Guidelines that are cited with their year, and statements of how strong the evidence is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from medgemma_tui.clinical import tables
from medgemma_tui.clinical.findings import Span
from medgemma_tui.clinical.rowfields import pattern_of, texts_of
from medgemma_tui.clinical.textform import fold
from medgemma_tui.clinical.wording import Hit, between_words

_YEAR = (
    r"(?:19[5-9]\d|20[0-4]\d)(?!\d|\.\d)(?! ?(?:mg|ml|kg|kcal|μg|例|名|人|次|步|元|patients|participants|cases|people))"
)
_YEARS = rf"{_YEAR}(?:[/,、-] ?{_YEAR}){{0,3}}(?: ?年(?:修订)?版?| ?版)?"
_JOINED = re.compile(r" ?(?:/|、|,|&|\+|-|和|与|及|and) ?|")  # AHA/ACC, ADA 和 EASD
_BEHIND = re.compile(rf"(?P<between>[^。;!?\n]{{0,70}}?)(?<![\d.])(?P<year>{_YEARS})")
_NEAR = re.compile(r"(?:'s)?[\s(\[《\"',:-]{0,4}")
_NAMED = re.compile(r"[\s(]{0,3}[a-z]{2,8}\)[\s(,:]{0,3}")  # Surviving Sepsis Campaign (SSC) 2018
_BEFORE = re.compile(rf"(?<![\d.])(?P<year>{_YEARS})(?: ?年)?(?:的|the|[\s(《\"]){{0,3}}$")
_TITLE_BEHIND = re.compile(
    rf"[\s(《》,:\"]{{0,4}}(?:第?[一-十\d]{{1,2}}版[,\s)]{{0,2}}(?:\(?))?(?:试行\) ?)?\(?(?P<year>{_YEARS})"
)
_TITLE_BEFORE = re.compile(rf"(?<![\d.])(?P<year>{_YEARS})[^\s。;,、!?\n《》()]{{0,24}}$")
_TITLE_START = re.compile(r"[\u4e00-\u9fffa-z0-9-]{1,28}$")
_LEAD_IN = re.compile(r".*(?:按照|根据|依据|参照|参考|遵循|来自|引自|采用|见|按|据)(?=[\u4e00-\u9fffa-z])")
_BOOK = re.compile(r"《(?P<title>[^《》\n]{2,60})》")
_WHAT_IT_IS = re.compile(r"(?:guidelines?|standards|consensus|statement)(?![a-z])|指南|共识|声明|规范")
_GLUED_YEAR = re.compile(r"(?<=[a-z])(?:19|20)\d\d(?![\d.a-z])(?: ?年(?:修订)?版?| ?版)?")
_SENTENCE = re.compile(r"\.\s")
_REST_OF_BRACKET = re.compile(r"[,; ][^()。\n]{0,30}\)")  # (2015, updated 2022)
_CODE = re.compile(r"(?<![a-z])nice[\s(]{0,2}(?:guidelines? )?(?:ng|cg|ta|qs|dg) ?\d{1,4}(?![\da-z])\)?")


def guidelines(folded: str, hits: Sequence[Hit]) -> list[Span]:
    """Where a body or a titled guideline stands with its year; in order, they do not overlap. Linear in the text."""
    found = [*_bodies(folded, hits), *_titles(folded, hits), *_glued(folded)]
    if "nice" in folded:
        found += [match.span() for match in _CODE.finditer(folded)]  # such a number is one guideline
    made: list[Span] = []
    for span in sorted(found, key=lambda each: (each[0], -each[1])):
        if not made or span[0] >= made[-1][1]:
            made.append(span)
        elif span[1] > made[-1][1]:
            made[-1] = (made[-1][0], span[1])
    return made


def evidence(text: str, folded: str) -> list[Span]:
    """Where a class of recommendation, a level of evidence or a kind of study is stated; the longest at each place."""
    found: list[Span] = []
    for row in _evidence():
        if any(word in folded for word in row.needs):
            found += [match.span() for pattern in row.folded for match in pattern.finditer(folded)]
            found += [match.span() for pattern in row.exact for match in pattern.finditer(text)]
    made: list[Span] = []
    for start, end in sorted(found, key=lambda each: (each[0], -each[1])):
        if end > start and (not made or start >= made[-1][1]):
            made.append((start, end))
    return made


@dataclass(frozen=True, slots=True)
class _Evidence:
    needs: tuple[str, ...]
    folded: tuple[re.Pattern[str], ...]
    exact: tuple[re.Pattern[str], ...]


@tables.compiled
def _evidence() -> tuple[_Evidence, ...]:
    def patterns(row: tables.Row, key: str) -> tuple[re.Pattern[str], ...]:
        return tuple(pattern_of("guidelines", expression) for expression in texts_of("guidelines", row, key))

    made = []
    for row in tables.rows("guidelines", "evidence"):
        needs = tuple(map(fold, texts_of("guidelines", row, "needs"))) or ("",)
        made.append(_Evidence(needs, patterns(row, "patterns"), patterns(row, "exact")))
    return tuple(made)


@tables.compiled
def _between() -> re.Pattern[str]:
    words = sorted(between_words(), key=len, reverse=True)
    latin = [re.escape(word) for word in words if word.isascii()]
    other = [re.escape(word) for word in words if not word.isascii()]
    return re.compile(
        rf"(?<![a-z])(?:{'|'.join(latin) or '(?!)'}|ng ?\d+|cg ?\d+|ta ?\d+)(?![a-z])|{'|'.join(other) or '(?!)'}"
    )


def _bodies(folded: str, hits: Sequence[Hit]) -> Iterator[Span]:
    """ESC 2023; 2023 ADA; AHA/ACC/HFSA 2022; ADA's Standards of Care 2024; NICE NG28 (2015)."""
    at = 0
    bodies = [hit for hit in hits if hit.has("body")]
    while at < len(bodies):
        start, end = bodies[at].start, bodies[at].end
        first = last = at
        at += 1
        while at < len(bodies) and bodies[at].start - end <= 5 and _JOINED.fullmatch(folded, end, bodies[at].start):
            end, last = bodies[at].end, at
            at += 1
        before = _BEFORE.search(folded, max(0, start - 16), start)
        behind = _BEHIND.match(folded, end)
        if before is not None:
            if last > first and behind is not None and _NEAR.fullmatch(behind["between"]):
                at, end = first + 1, bodies[first].end  # 2023 ADA、ESC 2023 are two
            yield before.start("year"), _with_title(folded, end)
            continue
        if behind is not None and _may_stand_between(behind["between"]):
            yield start, _closed(folded, behind.start("between"), behind.end())


@tables.compiled
def _capitals() -> re.Pattern[str]:
    names = [
        fold(name) for row in tables.rows("guidelines", "organisation") for name in texts_of("guidelines", row, "names")
    ]
    short = [re.escape(name) for name in names if name.isascii() and name.isalpha() and len(name) > 2]
    return re.compile(rf"(?:{'|'.join(sorted(short, key=len, reverse=True)) or '(?!)'})(?={_YEAR}(?![a-z]))")


def _glued(folded: str) -> Iterator[Span]:
    """ADA2023, KDIGO2012: the year stands right behind the body."""
    for year in _GLUED_YEAR.finditer(folded):
        begin = max(0, year.start() - 8)
        for match in _capitals().finditer(folded, begin, year.end()):
            if match.end() == year.start() and not (match.start() and "a" <= folded[match.start() - 1] <= "z"):
                yield match.start(), year.end()
                break


def _may_stand_between(text: str) -> bool:
    if _NEAR.fullmatch(text) or _NAMED.fullmatch(text):
        return True
    return _SENTENCE.search(text) is None and _between().search(text) is not None


def _with_title(folded: str, end: int) -> int:
    """2023 ADA Standards of Care, 2023年ESC指南: with the word that says what it is where it is near."""
    word = _WHAT_IT_IS.search(folded, end, min(len(folded), end + 30))
    gap = folded[end : word.start()] if word else ""
    return word.end() if word and not re.search(r"[。;!?\n,(:]|\.\s", gap) else end


def _closed(folded: str, start: int, end: int) -> int:
    """With the bracket that closes one opened behind the body."""
    inside = folded[start:end]
    for opening, closing in (("(", ")"), ("《", "》")):
        if inside.count(opening) > inside.count(closing):
            rest = _REST_OF_BRACKET.match(folded, end) if opening == "(" else None
            end = rest.end() if rest else end + (folded[end : end + 1] == closing)
    return end


def _titles(folded: str, hits: Sequence[Hit]) -> Iterator[Span]:
    """《中国高血压防治指南》2024; 中国2型糖尿病防治指南（2020年版）; 中国2024指南; 《内科学（第9版）2018》."""
    titles = [hit for hit in hits if hit.has("title")]
    if not titles:
        return
    books = [match.span() for match in _BOOK.finditer(folded)]
    book = 0
    for hit in titles:
        while book < len(books) and books[book][1] <= hit.start:
            book += 1
        if book < len(books) and books[book][0] <= hit.start:
            start, end = books[book]
            inside = re.search(rf"(?<![\d.]){_YEARS}", folded[start:end])
            behind = _TITLE_BEHIND.match(folded, end)
            if inside or behind:
                yield start, _closed(folded, end, behind.end()) if behind and not inside else end
            continue
        start = _title_start(folded, hit.start)
        behind = _TITLE_BEHIND.match(folded, hit.end)
        before = None if behind else _TITLE_BEFORE.search(folded, max(0, hit.start - 34), hit.start)
        if behind is not None:
            yield start, _closed(folded, hit.end, behind.end())
        elif before is not None and folded[hit.start - 1] != "的":
            yield min(start, before.start("year")), hit.end


def _title_start(folded: str, end: int) -> int:
    """Where a title without marks begins: behind a sign, or a word such as 根据."""
    found = _TITLE_START.search(folded, max(0, end - 28), end)
    if found is None:
        return end
    lead_in = _LEAD_IN.match(found[0])
    return found.start() + (lead_in.end() if lead_in else 0)

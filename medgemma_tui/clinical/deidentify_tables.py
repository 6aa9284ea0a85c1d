"""Tables with a line of headings over lines of values, as they are copied from a ward's list: 姓名 | 性别 | 住院号.

Only cells are told here; what stands in them is for who asks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from medgemma_tui.clinical.findings import Span

_T = TypeVar("_T")
_DIVIDERS = (re.compile(r"\t"), re.compile(r"\|"), re.compile(r" {2,}"))
_ABOUT_PEOPLE = frozenset(["性别", "年龄", "床号", "床位", "sex", "gender", "age", "bed", "m/f"])
_MOST_CELLS = 40
_LONGEST_HEADING = 24


def cells_under(folded: str, heading: Callable[[str], _T | None]) -> Iterator[tuple[_T, Span]]:
    """The cells under the headings that ``heading`` knows, each with what it stands for.

    Of a table about people: with two such columns, or one and the sex, age or bed, or with 姓名; so a drug's name is no
    person's.
    """
    lines = _lines(folded) if any(sign in folded for sign in ("\t", "|", "  ")) else []
    at = 0
    while at + 1 < len(lines):
        start, end = lines[at]
        at += 1
        for divider in _DIVIDERS:
            cells = _cells(folded, start, end, divider)
            if not 2 <= len(cells) <= _MOST_CELLS:
                continue
            columns = _columns(folded, cells, heading)
            if columns:
                while at < len(lines):
                    row = _cells(folded, *lines[at], divider)
                    if len(row) < 2 or len(row) > len(cells) + 1:
                        break
                    at += 1
                    yield from ((known, row[place]) for place, known in columns if place < len(row))
                break


def _lines(folded: str) -> list[Span]:
    made, at = [], 0
    for line in folded.split("\n"):
        made.append((at, at + len(line)))
        at += len(line) + 1
    return made


def _cells(folded: str, start: int, end: int, divider: re.Pattern[str]) -> list[Span]:
    """The cells of a line without their blanks; the frame of a Markdown table makes none."""
    if divider.search(folded, start, end) is None:
        return []
    cells, at = [], start
    for match in divider.finditer(folded, start, end):
        cells.append((at, match.start()))
        at = match.end()
        if len(cells) > _MOST_CELLS:
            return []
    cells.append((at, end))
    framed = divider.pattern != r"\t"
    if framed and not folded[slice(*cells[0])].strip():
        cells = cells[1:]
    if framed and cells and not folded[slice(*cells[-1])].strip():
        cells = cells[:-1]
    return [_stripped(folded, *cell) for cell in cells]


def _stripped(folded: str, start: int, end: int) -> Span:
    text = folded[start:end]
    begin = start + len(text) - len(text.lstrip())
    return begin, max(begin, start + len(text.rstrip()))


def _columns(folded: str, cells: list[Span], heading: Callable[[str], _T | None]) -> list[tuple[int, _T]]:
    found: list[tuple[int, _T]] = []
    people = 0
    for place, (start, end) in enumerate(cells):
        text = "".join(folded[start : min(end, start + _LONGEST_HEADING)].split()).strip("*")
        if len(text) < end - start - _LONGEST_HEADING or any(map(str.isdigit, text)):
            return []  # a line of values
        known = heading(text)
        if known is not None:
            found.append((place, known))
        people += text in _ABOUT_PEOPLE or text.endswith("姓名")
    return found if len(found) + people > 1 else []

"""Fitting text into terminal cells: wrapping with Chinese line-breaking rules, truncating, padding.

Widths are those of ``rich.cells``, which Textual draws by; characters of ambiguous width count as one cell. A run is
a piece of text with one ink (whatever the caller means by it); a line is a list of runs.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar

from rich.cells import cell_len, get_character_cell_size, split_graphemes

Ink = TypeVar("Ink")

TAB = 4
"""Columns between tab stops."""

_NO_START = frozenset("。，、；：？！）》」』】〕〉”’％℃…—～·ー々%‰°)]},.;:?!\u3000")
_NO_END = frozenset("（《「『【〔〈“‘([{#$￥¥")
# a number and its unit stay together, with or without a space between them
_UNIT = re.compile(
    r"(?<=\d)[ \u00a0]?(?:(?:%|℃|°C|[kmcµμnpd]?g|[kmµμnpd]?L|ml|[mµμnp]?mol|m?Eq|[kM]?IU|U|mmHg|kPa|[cmk]?m|bpm|"
    r"min|[hds]|ms|[kMGT]i?B|[kMG]?Hz|[mk]?W|tok)(?![A-Za-z])|"
    r"小时|分钟|毫克|微克|毫升|毫米|厘米|千克|[年月日天时分秒岁周次片粒支克升米级期型度例倍])"
)
_SPECIAL = re.compile("[\u200d\ufe0f]")


class _Widths(dict[str, int]):
    """Width of each character met so far: a dictionary look-up in a C loop instead of a binary search."""

    def __missing__(self, character: str) -> int:
        width = get_character_cell_size(character)
        self[character] = width
        return width


_WIDTHS = _Widths()


def cells(text: str) -> int:
    """Width of a text without newlines and tabs, in cells."""
    return cell_len(text)


def truncate(text: str, width: int, ellipsis: str = "…") -> str:
    """The text, cut to ``width`` cells with an ellipsis where it is longer."""
    if cell_len(text) <= width:
        return text
    room = width - cell_len(ellipsis)
    if room < 0:
        return ellipsis[: max(0, width)]
    offsets = list(accumulate(_char_widths(text)))
    return text[: bisect_right(offsets, room)].rstrip() + ellipsis


def pad(text: str, width: int, ellipsis: str = "…") -> str:
    """The text in exactly ``width`` cells: cut, or filled with spaces."""
    text = truncate(text, width, ellipsis)
    return text + " " * (width - cell_len(text))


def wrap(runs: Sequence[tuple[str, Ink]], width: int, *, first: int = 0, rest: int = 0) -> list[list[tuple[str, Ink]]]:
    """Lay runs out in lines of at most ``width`` cells (never less than 2).

    ``first`` and ``rest`` are the cells the caller will put before the first and before each further line. Newlines
    break, tabs go to the next stop, spaces at a break are dropped. An empty text is one empty line.
    """
    text = "".join(run[0] for run in runs)
    if "\t" in text:
        runs = _without_tabs(runs)
        text = "".join(run[0] for run in runs)
    spans: list[tuple[int, int]] = []
    start = 0
    for part in text.split("\n"):
        room = (max(2, width - (rest if spans else first)), max(2, width - rest))
        spans.extend((start + a, start + b) for a, b in _breaks(part, *room))
        start += len(part) + 1
    return _slice(runs, spans)


def wrap_text(text: str, width: int) -> list[str]:
    """``wrap`` for a text without inks."""
    return ["".join(run[0] for run in line) for line in wrap([(text, None)], width)]


def _char_widths(text: str) -> list[int]:
    """Cells of each character; within a grapheme the first one has them all."""
    if not _SPECIAL.search(text):
        return list(map(_WIDTHS.__getitem__, text))
    widths = [0] * len(text)
    for start, _end, width in split_graphemes(text)[0]:
        widths[start] = width
    return widths


def _breaks(text: str, first: int, rest: int) -> list[tuple[int, int]]:
    """Spans of the lines of one paragraph: the first in ``first`` cells, the others in ``rest``."""
    end = len(text.rstrip(" "))
    if text.isascii() and end <= first:
        return [(0, end)]
    widths = _char_widths(text)
    offsets = [0, *accumulate(widths)]
    if offsets[end] <= first:
        return [(0, end)]
    glued = {at for match in _UNIT.finditer(text) for at in range(*match.span())}
    spans: list[tuple[int, int]] = []
    start, room = 0, first
    while offsets[end] - offsets[start] > room:
        fits = bisect_right(offsets, offsets[start] + room) - 1  # text[start:fits] is what the line can hold
        cut = next((at for at in range(fits, start, -1) if _may_break(text, widths, at, glued)), 0)
        if cut <= start or not text[start:cut].strip(" "):
            cut = max(fits, start + 1)  # a word longer than the line
        spans.append((start, start + len(text[start:cut].rstrip(" "))))
        start, room = cut, rest
        while start < end and text[start] == " ":
            start += 1
    spans.append((start, end))
    return spans


def _may_break(text: str, widths: Sequence[int], at: int, glued: set[int]) -> bool:
    """Whether a line may end before ``text[at]``."""
    before, after = text[at - 1], text[at]
    if widths[at] == 0 or at in glued:  # inside a grapheme, inside a figure
        return False
    if after == " ":
        return True
    if after in _NO_START:
        return False
    if before == " ":
        return True
    if before in _NO_END:
        return False
    if widths[at] == 2 or widths[at - 1] == 2:
        return True
    if before == "-" and at >= 3:  # inside a compound of words, not inside a code or a range
        return after.isalpha() and text[at - 2].isalpha() and text[at - 3].isalpha()
    return before in "…—" or after in "…—"


def _without_tabs(runs: Sequence[tuple[str, Ink]]) -> list[tuple[str, Ink]]:
    column = 0
    result = []
    for text, ink in runs:
        parts = []
        for piece in re.split(r"([\t\n])", text):
            if piece == "\t":
                piece = " " * (TAB - column % TAB)
            parts.append(piece)
            column = 0 if piece == "\n" else column + cell_len(piece)
        result.append(("".join(parts), ink))
    return result


def _slice(runs: Sequence[tuple[str, Ink]], spans: Sequence[tuple[int, int]]) -> list[list[tuple[str, Ink]]]:
    """The runs cut to spans of their joined text; the spans are in order and do not overlap."""
    lines: list[list[tuple[str, Ink]]] = []
    index, run_start = 0, 0
    for start, end in spans:
        line: list[tuple[str, Ink]] = []
        while index < len(runs):
            text, ink = runs[index]
            run_end = run_start + len(text)
            piece = text[max(0, start - run_start) : max(0, end - run_start)]
            if piece:
                line.append((piece, ink))
            if run_end > end:
                break
            index += 1
            run_start = run_end
        lines.append(line)
    return lines

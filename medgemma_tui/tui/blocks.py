"""Cutting growing Markdown into blocks that can be laid out on their own, so that only the last one is parsed again.

A cut is made where a line at column 0 begins something new: after a blank line, at a heading, a fence or a list
item, never inside a fence. Each decision depends on text that has already come, so a cut once made stays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_BLOCK = 8_192
"""Characters after which a block is cut at the next line end, and at twice as many anywhere: bounds the cost of one."""

_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_HEADING = re.compile(r"#{1,6}[ \t]")
_STARTS = re.compile(r"#{1,6}[ \t]|`{3}|~{3}|[-*+][ \t]|1[.)][ \t]")
_ITEM = re.compile(r"[-*+][ \t]|\d{1,9}[.)][ \t]")


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of Markdown. ``gap``: an empty line stands before it. ``start``: where ``text`` begins in the whole.

    A block that continues a fence begins with that fence's opening line, which is not at ``start``.
    """

    text: str
    gap: bool
    start: int = 0


class Splitter:
    """The blocks of a text that grows at its end."""

    def __init__(self) -> None:
        self._text = ""
        self._stable: list[Block] = []
        self._tail = 0
        self._fence = ""
        self._gap = False

    def feed(self, text: str) -> list[Block]:
        """The blocks of ``text``. Those before the last are the same objects as at the call before."""
        if not text.startswith(self._text):
            self._stable, self._tail, self._fence, self._gap = [], 0, "", False
        self._text = text
        if not text.strip():
            return []
        cut = _cut(text[self._tail :], self._fence, self._gap, self._tail)
        self._stable.extend(piece.block for piece in cut[:-1])
        last = cut[-1]
        self._tail += last.start
        self._fence, self._gap = last.fence, last.block.gap
        return [*self._stable, last.block]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A block, where it starts, and the opening line of the fence that it continues."""

    block: Block
    start: int
    fence: str


def _cut(text: str, fence: str, gap: bool, offset: int = 0) -> list[_Piece]:
    """The blocks of ``text``, which begins one: inside ``fence`` if that is given, after an empty line if ``gap``.

    ``offset`` is where it begins in the whole.
    """
    pieces: list[_Piece] = []
    start, at = 0, 0
    continues = fence
    blank = in_list = False

    def close() -> None:
        body = text[start:at].strip("\n")
        first = offset + start + (at - start - len(text[start:at].lstrip("\n")))
        pieces.append(_Piece(Block(f"{continues}\n{body}" if continues else body, gap, first), start, continues))

    for line in _lines(text):
        solid = bool(line.strip())
        too_long = at - start > MAX_BLOCK
        if solid and text[start:at].strip() and (too_long or (not fence and _begins(line, blank, in_list))):
            close()
            after_heading = _HEADING.match(text, start) and "\n" not in pieces[-1].block.text
            gap = not fence and not after_heading and (blank or bool(_HEADING.match(line)))
            start, continues, in_list = at, fence, in_list and not blank
        if opening := _FENCE.match(line.rstrip("\n")):
            if not fence:
                fence = line.strip()
            elif opening[1][0] == fence[0] and not line.strip().strip(fence[0]):
                fence = ""
        if solid:
            in_list = bool(_ITEM.match(line)) or (in_list and (line[0] in " \t" or not blank))
        blank = not solid
        at += len(line)
    close()
    return pieces


def _begins(line: str, blank: bool, in_list: bool) -> bool:
    """Whether a line outside a fence begins a block of its own."""
    if line[0] in " \t":
        return False
    return blank or bool(_STARTS.match(line)) or (in_list and bool(_ITEM.match(line)))


def _lines(text: str) -> list[str]:
    """Lines with their ends; one that is far too long comes in several."""
    lines = text.splitlines(keepends=True)
    if all(len(line) <= 2 * MAX_BLOCK for line in lines):
        return lines
    return [line[at : at + MAX_BLOCK] for line in lines for at in range(0, len(line), MAX_BLOCK)]

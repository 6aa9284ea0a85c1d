"""Finding many expressions in a text at once: the longest match at each place, never inside a word of letters."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from itertools import compress, count
from typing import Generic, NamedTuple, TypeVar

from medgemma_tui.clinical.textform import WORD, fold

T = TypeVar("T")
_HEAD = 2
_WIDE = f"utf-32-{sys.byteorder[0]}e"


class Match(NamedTuple, Generic[T]):
    """An expression found at ``[start, end)``, in code points, and what it stands for. A tuple: many are made."""

    start: int
    end: int
    value: T


class Lexicon(Generic[T]):
    """Expressions and what each stands for. Case, full-width forms and look-alike signs do not matter.

    An expression that begins (or ends) with a letter or digit is found only where no other stands before (or behind)
    it: ``MI`` is not found in ``MIC``. Chinese has no such borders; there the longest expression wins, so a longer
    one that means something else must be in the lexicon, too, with the value None if it stands for nothing.
    """

    def __init__(self, entries: Iterable[tuple[str, T | None]]) -> None:
        """Where an expression is given twice the later one counts. Raises ValueError for an empty expression."""
        self._values: dict[str, T | None] = {}
        lengths: dict[str, set[int]] = {}
        for expression, value in entries:
            folded = fold(expression).strip()
            if not folded:
                raise ValueError("an expression is empty")
            self._values[folded] = value
            lengths.setdefault(folded[:_HEAD], set()).add(len(folded))
        self._lengths = {head: tuple(sorted(found, reverse=True)) for head, found in lengths.items()}
        self._pairs = frozenset(_numbers(head)[0] for head in self._lengths if len(head) == _HEAD)
        singles = sorted(map(re.escape, (head for head in self._lengths if len(head) == 1)))
        self._single = re.compile(rf"[{''.join(singles)}](?![a-z0-9](?<=[a-z0-9].))") if singles else None

    def __len__(self) -> int:
        return len(self._values)

    def get(self, expression: str) -> T | None:
        """What this very expression stands for."""
        return self._values.get(fold(expression).strip())

    def find(self, folded: str) -> Iterator[Match[T]]:
        """The matches in a text that ``textform.fold`` has folded, from left to right; they do not overlap."""
        lengths, values = self._lengths, self._values
        size, free = len(folded), 0
        for at in self._heads(folded):
            if at < free or (at and folded[at] in WORD and folded[at - 1] in WORD):
                continue
            for length in lengths.get(folded[at : at + _HEAD], ()) + lengths.get(folded[at], ()):
                end = at + length
                found = folded[at:end]
                if found not in values or len(found) != length:
                    continue
                if end < size and folded[end] in WORD and folded[end - 1] in WORD:
                    continue
                value = values[found]
                if value is not None:
                    yield Match(at, end, value)
                free = end
                break

    def _heads(self, folded: str) -> list[int]:
        """Where an expression may begin: few places, found in one pass, so that the rest is not looked at again."""
        begins = self._pairs.__contains__
        padded = folded + "  "[len(folded) % 2 :]
        found = list(compress(count(0, 2), map(begins, _numbers(padded))))
        found += compress(count(1, 2), map(begins, _numbers(padded[1:-1])))
        if self._single:
            found += [match.start() for match in self._single.finditer(folded)]
        found.sort()
        return found


def _numbers(text: str) -> memoryview:
    """Every two characters of a text as one number, which is compared sooner than they are. Its length is even."""
    return memoryview(text.encode(_WIDE, "surrogatepass")).cast("Q")

"""One form for texts that people type in many ways, of the same length: what is found in it is found in the original.

Full-width letters, digits and signs become ASCII, letters become small, and a few look-alikes are unified. Every
character stands for exactly one, so an offset into the folded text is an offset into the text as it was typed.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from typing import Literal

_LOOK_ALIKES = {
    "–": "-", "—": "-", "−": "-", "‐": "-", "‑": "-", "~": "~", "～": "~", "〜": "~",
    "，": ",", "；": ";", "：": ":", "（": "(", "）": ")", "［": "[", "］": "]", "？": "?", "！": "!",
    "“": '"', "”": '"', "‘": "'", "’": "'", "／": "/", "％": "%", "×": "x", "·": ".", "•": ".", "∕": "/",
    "µ": "μ", "\u3000": " ", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "℃": "℃", "＜": "<", "＞": ">", "＝": "=",
}  # fmt: skip


@cache
def _table() -> dict[int, int]:
    table = {0xFF01 + offset: 0x21 + offset for offset in range(94)}
    for code in range(0x250):  # Latin letters whose small form is one character
        small = chr(code).lower()
        if len(small) == 1:
            table[code] = ord(small)
    for code in range(0x391, 0x3AA):  # Greek capitals
        small = chr(code).lower()
        if len(small) == 1:
            table[code] = ord(small)
    for code, folded in [*table.items()]:
        small = chr(folded).lower()
        if len(small) == 1:
            table[code] = ord(small)
    table.update({ord(sign): ord(plain) for sign, plain in _LOOK_ALIKES.items()})
    return {code: folded for code, folded in table.items() if code != folded and code <= sys.maxunicode}


@cache
def _signs() -> dict[str, str]:
    return {chr(code): chr(folded) for code, folded in _table().items()}


_MANY = 64  # from so many different signs on one pass over the text is quicker than one for each


def fold(text: str) -> str:
    """The folded text, of the same length in code points as ``text``.

    ``Ｋ：４１`` becomes ``k:41``; ``V1–V4`` becomes ``v1-v4``; Chinese characters stay as they are, the Chinese full
    stop and the ideographic comma too, since they end sentences and divide lists.
    """
    if text.isascii():
        return text.lower()
    signs = _signs()
    found = signs.keys() & set(text)
    if len(found) > _MANY:
        return text.translate(_table())
    for sign in found:  # no sign becomes one that is folded itself, so their order does not matter
        text = text.replace(sign, signs[sign])
    return text


WORD = frozenset(char for char in map(chr, range(0x2E80)) if char.isalnum())
"""The characters of words written in letters: Latin or Greek letters and digits; not Chinese."""


def narrow(text: str) -> str:
    """Full-width letters and signs as ASCII, the case as it is."""
    return "".join(chr(ord(char) - 0xFEE0) if "\uff01" <= char <= "\uff5e" else char for char in text)


def is_word(char: str) -> bool:
    """Whether a character is part of a word written in letters, of ``WORD``."""
    return char in WORD


_CHINESE = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")


def question_language(text: str) -> Literal["zh", "en"]:
    """The language in which a question is to be answered: Chinese where it holds any Chinese character."""
    return "zh" if _CHINESE.search(text) else "en"

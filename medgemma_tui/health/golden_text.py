"""One form for what an answer says, so that a fact is found however it is written. Pure; no Markdown, no units."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from medgemma_tui.clinical.textform import fold

_MARKS = re.compile(r"[*_`$\\]|\btext(?=\{)|[{}]")
_LATEX = re.compile(r"\\(geq?|leq?|lt|gt)\b")
_LATEX_SIGNS: Final = {"ge": "≥", "geq": "≥", "le": "≤", "leq": "≤", "lt": "<", "gt": ">"}
_PER_AREA = re.compile(r"(?:/|每|per)? ?1\.73 ?m\^?2")
_NUMBER = r"(?=\d)"
_SIGNS: Final = (
    (re.compile(rf"(?:>=|=>|⩾|≧|大于或?等于|不低于|不少于|至少为?|at least|greater than or equal to) ?{_NUMBER}"), "≥"),
    (re.compile(rf"(?:<=|=<|⩽|≦|小于或?等于|不高于|不超过|至多为?|at most|less than or equal to) ?{_NUMBER}"), "≤"),
    (re.compile(rf"(?:大于|高于|超过|多于|greater than|more than|higher than|above|over) ?{_NUMBER}"), ">"),
    (re.compile(rf"(?:小于|低于|少于|不足|less than|lower than|fewer than|below|under) ?{_NUMBER}"), "<"),
)
_COUNT = r"(?<![-\d.≥≤<>])(\d+(?:\.\d+)?)([^\d\n,;:.()|<>≥≤-]{0,24}?) ?"
"""A number that ends no range, and its unit."""
_OR_MORE = re.compile(_COUNT + r"(?:及其?以上|或以上|以上|(?:or|and) (?:more|above|higher|greater|over|older))")
_OR_LESS = re.compile(_COUNT + r"(?:以下|(?:or|and) (?:less|below|lower|fewer))")
_RANGE = re.compile(r"(\d) ?(?:-|~|to|至|到) ?(?=\d)")
_BETWEEN = re.compile(r"(?:between|介于|在) ?(\d+(?:\.\d+)?) ?(?:and|和|与|至|到|-|~) ?(\d)")
_INEQUALITY = re.compile(r"(\d+(?:\.\d+)?)[≤<](?:e?gfr|x|crcl)[≤<](\d)")
"""``60≤gfr<90`` is 60-90."""
_SPACED = re.compile(r" ?([≥≤<>]) ?")
_SPACES = re.compile(r"[^\S\n]+")


def normal(text: str) -> str:
    """The text in that form. Lines stay lines; a table's bars become spaces."""
    text = _LATEX.sub(lambda found: _LATEX_SIGNS[found[1]], text)
    text = fold(unicodedata.normalize("NFKC", text))
    text = _MARKS.sub("", text).replace("|", " ")
    text = _SPACES.sub(" ", text)
    text = _PER_AREA.sub("", text)
    for pattern, sign in _SIGNS:
        text = pattern.sub(sign, text)
    text = _OR_MORE.sub(r"≥\1\2", text)
    text = _OR_LESS.sub(r"<\1\2", text)
    text = _SPACED.sub(r"\1", text)
    text = _INEQUALITY.sub(r"\1-\2", _BETWEEN.sub(r"\1-\2", text))
    return _RANGE.sub(r"\1-", text)

"""Numbers as people write them in notes, Arabic or Chinese, and small helpers for what stands before and behind."""

from __future__ import annotations

import re

_DIGITS = {"〇": 0, "零": 0, "一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9}
CHINESE = "〇零一二两三四五六七八九十百"
NUMBER = r"(?:\d{1,9}(?:\.\d{1,6})?|\.\d{1,6})"
"""A plain number; at most nine digits before the point, so that a long row of digits is no value."""

_WORDS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50,
    "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
UNITS_EN = "|".join(word for word in _WORDS if _WORDS[word] < 20 and len(word) > 2)
TENS_EN = "|".join(word for word in _WORDS if _WORDS[word] >= 20)
WORD_NUMBER = rf"(?:(?:{TENS_EN})(?:[- ](?:{UNITS_EN}))?|(?:{UNITS_EN}))"
"""One to ninety-nine in English words."""


def chinese(text: str) -> float | None:
    """What a number in Chinese signs says, up to 999 (``六十五`` is 65); None where it is none."""
    if not text or any(sign not in CHINESE for sign in text):
        return None
    if not any(sign in "十百" for sign in text):
        return float("".join(str(_DIGITS[sign]) for sign in text))
    total, digit = 0, -1
    for sign in text:
        if sign in "十百":
            total += (1 if digit < 0 else digit) * (10 if sign == "十" else 100)
            digit = -1
        else:
            digit = _DIGITS[sign]
    return float(total + max(digit, 0))


def parse(text: str) -> float | None:
    """The number that a text says in digits, Chinese signs or English words."""
    text = text.strip()
    try:
        return float(text.replace(",", ""))
    except ValueError:
        pass
    if text and text[0] in CHINESE:
        return chinese(text)
    parts = re.split(r"[- ]", text)
    if all(part in _WORDS for part in parts):
        return float(sum(_WORDS[part] for part in parts))
    return None


def plain(value: float) -> str:
    """The number as short as it can be written: ``15``, ``6.2``."""
    return f"{value:.10g}"

"""Numbers in words: 三天, 二十四小时, 百分之五十, twenty-four hours, half, twice daily, bid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_ZH_DIGITS: Final = {
    **{"〇": 0, "零": 0, "一": 1, "两": 2, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9}
}
_ZH_TENS: Final = {"十": 10, "百": 100, "千": 1000}
_ZH = "[〇零一二两三四五六七八九十百千]{1,7}"
_EN_SMALL: Final = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_EN_TENS: Final = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_PART: Final = "part"  # no unit of a measurement: half and bid support no dose
_OFTEN: Final = {
    **dict.fromkeys(("qd", "od", "qn", "qm", "qhs", "once", "daily"), 1),
    **dict.fromkeys(("bid", "bd", "twice"), 2),
    **dict.fromkeys(("tid", "tds", "thrice"), 3),
    **dict.fromkeys(("qid", "qds"), 4),
}
_SPELLED = re.compile(
    rf"百分之(?P<percent>{_ZH}|\d{{1,3}}(?:\.\d+)?)|(?P<below>{_ZH})分之(?P<above>{_ZH})"
    rf"|(?P<half>一半|半数)|(?P<zh>{_ZH}|半)(?=个|次|倍|片|粒|支|岁|[小天周月年日分秒])"
    rf"|(?<![a-z])(?:(?P<tens>{'|'.join(_EN_TENS)})(?:[- ](?P<ones>{'|'.join(list(_EN_SMALL)[:9])}))?"
    rf"|(?P<en>{'|'.join(sorted(_EN_SMALL, key=len, reverse=True))})|(?P<en_half>half)(?![- ]li)"
    rf"|q(?P<every>\d{{1,2}})h|(?P<often>{'|'.join(sorted(_OFTEN, key=len, reverse=True))}))(?![a-z])"
    r"|(?<=[mμ]g)(?P<glued>qd|qn|bid|tid|qid)(?![a-z])"
)


@dataclass(frozen=True, slots=True)
class Spelled:
    """A number in words that ends at ``end``; ``unit`` where the words say it, else what follows is its unit."""

    values: tuple[float, ...]
    unit: str
    end: int


def find(folded: str) -> Iterator[Spelled]:
    """The numbers in words of a folded text, from left to right."""
    for match in _SPELLED.finditer(folded):
        kind, end = match.lastgroup, match.end()
        if kind == "percent":
            yield Spelled((_number(match["percent"]),), "%", end)
        elif kind == "above":
            yield Spelled((_number(match["below"]), _number(match["above"])), _PART, end)
        elif kind in ("half", "en_half"):
            yield Spelled((50.0,), "%", end)
            yield Spelled((0.5,), _PART, end)
        elif kind == "zh":
            yield Spelled((0.5 if match["zh"] == "半" else _number(match["zh"]),), "", end)
        elif kind in ("tens", "ones"):
            yield Spelled((float(_EN_TENS[match["tens"]] + _EN_SMALL.get(match["ones"] or "", 0)),), "", end)
        elif kind == "en":
            yield Spelled((float(_EN_SMALL[match["en"]]),), "", end)
        elif kind == "every":
            yield Spelled((float(match["every"]),), "hour", end)
        else:
            yield Spelled((float(_OFTEN[match["often"] or match["glued"]]),), "times", end)


def _number(text: str) -> float:
    """二十四 is 24, 一百二十 is 120, 两千 is 2000."""
    if text[0].isdigit() and text[0].isascii():
        return float(text)
    total = digit = 0
    for char in text:
        if char in _ZH_TENS:
            total += (digit or 1) * _ZH_TENS[char]
            digit = 0
        else:
            digit = _ZH_DIGITS[char]
    return float(total + digit)

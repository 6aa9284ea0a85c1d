"""How long: 2小时, 两周, 半年, for 3 days, x3d. Not how often (每8小时), not until when (2小时内), no date."""

from __future__ import annotations

import re
from collections.abc import Iterator

from medgemma_tui.clinical.entities.numbers import CHINESE, WORD_NUMBER, parse
from medgemma_tui.clinical.entities.scan import Scan
from medgemma_tui.clinical.entities.units import time_forms
from medgemma_tui.clinical.findings import Entity

_ZH = re.compile(
    rf"(?P<n>[\d{CHINESE}半数几](?<![\d./:+-].)[\d.{CHINESE}几]{{0,5}}(?:\s?[-~]\s?\d{{1,3}})?)"
    r"(?P<more>余|多|来)?\s?(?P<ge>个)?(?P<half>半)?(?P<unit>秒钟?|分钟|小时|钟头|天|日|周|星期|礼拜|月|年)(?P<tail>余|多|半)?"
)
# 2h, x3d, for 2 wks: short forms; the letter before may only be the x of a multiplication
_SHORT = re.compile(
    r"(?P<n>\d(?<![a-wyz0-9./:-].)\d{0,2}(?:\.\d)?)\s?(?P<unit>min|h|hrs?|d|w|wks?|mo|y|yrs?)(?![a-z0-9²/-])"
)
# 39+2周, 孕39周+2天, 39+2 weeks: weeks of a pregnancy, always
_WEEKS = re.compile(
    r"(?<![\d./:+-])(?P<w>\d{1,2})\s?(?:\+\s?(?P<d>[0-6])\s?(?:周|weeks?|wks?)|周\s?\+?\s?(?P<d2>[1-6])\s?天|"
    r"w\s?\+?(?P<d3>[0-6])d(?![a-z0-9]))"
)
# 昨天起, since yesterday
_SINCE = re.compile(
    r"(?:从|自|打)?昨[天日晚夜](?:开始|起)(?!床)|(?:从|自)昨[天日晚夜]|(?<![a-z])since (?:yesterday|last night)"
)
# how British notes write time: 6/52 is six weeks, 3/12 three months, 5/7 five days
_BRITISH = re.compile(r"(?<![\d/.])(?P<n>\d{1,2})/(?P<of>7|52|12)(?![\d/])(?P<after>\s(?:history|hx|ago|of))?")
_BRITISH_BEFORE = re.compile(r"(?<![a-z])(?:for|x|past|last|since|over|about)\s$")
_PRE = re.compile(r"(?:(?<![a-z])x|for|近|约|已|达|past|last|over)\s?$")
_ANY_EN = re.compile(r"minute|mins|hour|hrs|day|week|wks|month|year|yrs")
_EN = re.compile(
    r"(?<![a-z0-9.-])(?:(?:for|x|over|past|last|the)\s(?:the\s(?:past|last)\s)?)?"
    rf"(?P<n>\d{{1,4}}(?:\.\d)?|{WORD_NUMBER}|an?|half an?|several|a few|few|(?:a )?couple of)[\s-]"
    r"(?P<unit>minutes?|mins?|hours?|hrs?|days?|weeks?|wks?|months?|years?|yrs?)(?![a-z])"
)
_NOT_BEFORE = re.compile(
    r"(?:每|隔|第|q|餐后|服糖后|负荷后|给药后|疗程|前|"
    r"aged?|every|each|per|within|next|after|once|twice|times|last dose|in|once a|"
    r"than|或|≥|≤|<|>)\s?$"
)
_FAR = 200
_PREGNANT = re.compile(r"pregnan|gestation|gravid|antenatal|antepartum")
_GESTATION_AFTER = re.compile(r"[\s'’]{0,2}(?:of )?(?:gestation|pregnan|ga(?![a-z]))")
_AT = re.compile(r"(?<![a-z])at\s$")
_GESTATION = re.compile(r"(?:孕|妊娠|胎龄|宫内孕|gestation(?:al)? age|pregnant|g\dp\d)\s?(?:第|约)?\s?$")
_NOT_AFTER = re.compile(
    r"\s?(?:内|以内|之内|后|一次|1次|[\d一二两三四五六](?:次|片|粒|支)|生存|存活|无病|随访|心血管|风险|龄|大|尿|动态|血糖|血压监测|心电|"
    r"ogtt|pg|间隔|期|级|制|会|度|份|第|\d{1,2}[月日]|女|男|婴|患儿|板|经|之间|"
    r"[\s-](?:old|of age|risk|survival|mortality|later|follow|"
    r"readings?|urine|ambulatory|monitor|holter|glucose|protein|infusion|window|after)|/)"
)


_MEASURED = re.compile(r"\s?[:=为]?\s?\d{1,3}(?:\.\d{1,2})?\s?(?:分(?!钟)|mmol|mg|$|[,、。;])")


def find_durations(scan: Scan) -> Iterator[Entity]:
    """Durations with value and unit (minute, hour, day, week, month, year); 数天 and "several days" have no value.

    The weeks of a pregnancy are a duration named ``gestation``.
    """
    folded = scan.folded
    if "+" in folded or "孕" in folded or "w" in folded:
        yield from _gestations(scan)
    for match in _SINCE.finditer(folded) if "昨" in folded or "since " in folded else ():
        yield Entity("duration", scan.text[slice(*match.span())], match.span(), "", 1.0, "day")
    for match in _BRITISH.finditer(folded) if "/7" in folded or "/52" in folded or "/12" in folded else ():
        if match["after"] or _BRITISH_BEFORE.search(folded, max(0, match.start() - 8), match.start()):
            unit = {"7": "day", "52": "week", "12": "month"}[match["of"]]
            span = match.start(), match.end("of")
            yield Entity("duration", scan.text[slice(*span)], span, "", float(match["n"]), unit)
    for match in _ZH.finditer(folded):
        if match["unit"] in ("月", "日") and not _counted(folded, match):
            continue
        yield from _made(scan, match, match["n"])
    for match in _SHORT.finditer(folded):
        written = scan.text[match.start("unit") : match.end("unit")]
        pre = _PRE.search(folded, max(0, match.start() - 6), match.start())
        if written.isupper() or (folded[max(0, match.start() - 1) : match.start()] == "x" and pre is None):
            continue  # 3D is no three days, max3d is a name
        if match["unit"] not in ("h", "d", "hr", "hrs") and pre is None:
            continue
        start = pre.start() if pre and pre.group()[0] == "x" else None
        yield from _made(scan, match, match["n"], start)
    for match in _EN.finditer(folded) if _ANY_EN.search(folded) else ():
        number = match["n"]
        if number in ("a", "an") and match.group()[:2] == number[:1] + " ":
            continue  # 2000 mL a day
        yield from _made(scan, match, "0.5" if number.startswith("half") else number)


def _gestations(scan: Scan) -> Iterator[Entity]:
    for match in _WEEKS.finditer(scan.folded):
        days = match["d"] or match["d2"] or match["d3"]
        if match["d2"] and not _GESTATION.search(scan.folded, max(0, match.start() - 8), match.start()):
            continue
        if 4 <= int(match["w"]) <= 45:
            value = f"{match['w']}+{days}"
            yield Entity("duration", scan.text[slice(*match.span())], match.span(), "gestation", value, "week")


def _counted(folded: str, match: re.Match[str]) -> bool:
    """三个月, 3月余, 近3日 are spans of time; 3月 and 5日 are dates."""
    if match["unit"] == "月":
        return bool(match["ge"] or match["more"] or match["tail"] or match["n"] in ("数", "半"))
    behind, before = folded[match.end() : match.end() + 1], folded[max(0, match.start() - 1) : match.start()]
    if match["more"] or match["tail"] or match["n"] in ("数", "半") or (before and before in "x约近已达"):
        return True
    return (not behind or behind in ",。;、") and not (before and before in "月/-第每一今昨即生")


def _made(scan: Scan, match: re.Match[str], number: str, first: int | None = None) -> Iterator[Entity]:
    folded = scan.folded
    groups = match.groupdict()
    start, end = match.start("n"), match.end()
    unit = time_forms().get(match["unit"])
    if unit is None or _NOT_AFTER.match(folded, end) or _NOT_BEFORE.search(folded, max(0, start - 10), start):
        return
    start = start if first is None else first
    value: float | str | None
    if unit in ("hour", "minute") and _MEASURED.match(folded, end):
        return  # OGTT 1小时10.8mmol/L, 1分钟9分
    if number == "半":
        value = 0.5
    elif "几" in number or number in ("数", "several", "a few", "few", "couple of", "a couple of"):
        value = None
    elif "-" in number or "~" in number:
        value = number.replace(" ", "").replace("~", "-")
    else:
        value = parse(number)
        if value is None:
            return
        if groups.get("half") or groups.get("tail") == "半":
            value += 0.5
        if value > (120 if unit == "year" else 1000):  # 2023年, a 2018 hour-1 bundle
            return
    name = "gestation" if _of_pregnancy(folded, start, end, unit) else ""
    yield Entity("duration", scan.text[start:end], (start, end), name, value, unit)


def _of_pregnancy(folded: str, start: int, end: int, unit: str) -> bool:
    if _GESTATION.search(folded, max(0, start - 8), start):
        return True
    if unit != "week":
        return False
    if _GESTATION_AFTER.match(folded, end):
        return True
    return (
        _AT.search(folded, max(0, start - 4), start) is not None
        and _PREGNANT.search(folded, max(0, start - _FAR), end + _FAR) is not None
    )

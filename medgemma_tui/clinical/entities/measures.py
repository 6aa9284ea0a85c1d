"""Vital signs and laboratory values: a listed name, a value, and a unit that belongs to it.

The unit decides. A short name with a value that no unit follows counts only where nothing else can be meant: K41 and
T4 are codes, "K 41" is a potassium that no living patient has.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from medgemma_tui.clinical.entities.lists import Analyte, Hit, Limits, Measure, lists
from medgemma_tui.clinical.entities.numbers import NUMBER, parse, plain
from medgemma_tui.clinical.entities.scan import Scan
from medgemma_tui.clinical.entities.units import match_unit
from medgemma_tui.clinical.findings import Entity, Quantity
from medgemma_tui.clinical.textform import is_word, narrow

_LINK = (
    r"测得|由|从|自|测值|测定|测|约为|约|为|是|在|"
    r"波动在|波动于|维持在|控制在|多在|达到|高达|最高|最低|达|升高至|升高到|上升至|升至|升到|增至|降低至|降至|下降至|降到|"
    r"偏高|偏低|评分|得分|(?:1|5|10)\s?分钟|水平|浓度|计数|定量|结果|检查|检测|复查|今日|今晨|当前|目前|值|"
    r"is|was|are|were|of|at|level|score|value|count|around|about|approximately|approx\.?|elevated|raised|low|"
    r"high|up to|(?:(?:rose|rising|fell|falling|increased|decreased|went|dropped|up|down) )?(?:from|to)|"
    r"currently|↑|↓"
)
_GAP = rf"\)?(?:\s{{0,2}}\([^()\d][^()]{{0,23}}\))?(?:[\s:=]{{0,3}}(?:{_LINK})){{0,3}}[\s:=]{{0,3}}"
_COMPARE = r"(?P<cmp>[<>]=?|≤|≥|≦|≧|大于|小于|超过|低于|高于|不足|above|below|over|under)?"
_THOUSANDS = r"\d{1,3}(?:,\d{3}){1,2}(?![\d,])(?:\.\d{1,6})?"
_VALUE = re.compile(
    rf"{_GAP}{_COMPARE}\s{{0,2}}(?P<num>[-+]?(?:{_THOUSANDS}|{NUMBER}))"
    rf"(?:\s?(?:[-~]|至|到)\s?(?P<upper>{NUMBER}))?"
)
_NEXT = re.compile(rf"\s?(?:→|->|-->|升高至|升高到|升至|升到|降至|降到|下降至|增至|to)了?\s?(?P<num>{NUMBER})")
_QUALITY = re.compile(
    r"(?:\([^()\d]{1,16}\))?[\s:=]{0,2}(?:\((?P<signs>\+{1,4}|±|-)\)|(?P<plus>[1-4]\+|\+{1,4}(?![\da-z+])|±)|"
    r"(?P<word>阳性|阴性|弱阳性|升高|增高|偏高|降低|减低|偏低|正常|"
    r"高(?=[,。;、\s]|$)|低(?=[,。;、\s]|$)|"
    r"(?:is |was )?(?:positive|negative|elevated|raised|normal)(?![a-z])))"
)
_WORDS = {
    "高": "high", "低": "low", "升高": "high", "增高": "high", "偏高": "high",
    "阳性": "positive", "弱阳性": "weakly positive", "阴性": "negative",
    "降低": "low", "减低": "low", "偏低": "low", "正常": "normal", "positive": "positive", "negative": "negative",
    "elevated": "high", "raised": "high", "normal": "normal",
}  # fmt: skip
_COMPARED = {
    "大于": ">", "超过": ">", "高于": ">", "above": ">", "over": ">",
    "小于": "<", "低于": "<", "不足": "<", "below": "<", "under": "<", "<=": "≤", ">=": "≥", "≦": "≤", "≧": "≥",
}  # fmt: skip
_COUNTED = "年月日岁期级片粒支个天周次分小时型类倍多例位名号床项种人颗根条页章届℃hd"
_AFTER = re.compile(r"\s?(?:及以上|以上|以下|以内|之内)")
_PRESSURE = re.compile(
    rf"{_GAP}{_COMPARE}\s{{0,2}}(?P<high>\d{{1,4}}(?:\.\d)?(?:-\d{{2,3}})?)\s?(?:/|over)\s?"
    r"(?P<low>\d{1,4}(?:\.\d)?(?:-\d{2,3})?)(?![\d/])"
)
_BARE_PRESSURE = re.compile(r"(\d(?<![\d/.-].)\d{1,3})\s?/\s?(\d{2,4})\s?(?:mmhg|毫米汞柱)")
_BARE_TEMPERATURE = re.compile(r"(\d(?<![\d.-].)\d{1,2}(?:\.\d{1,2})?)\s?(?:℃|°c|摄氏度)(?![a-z0-9])")
# 70kg and 170cm beside the patient's sex or age; a change of weight or a dose per kg is none
_BODY = re.compile(
    r"(?<![\d./*x-])(?P<n>\d{2,3}(?:\.\d)?)(?:\s|-)?(?:(?P<kg>kg|公斤|千克)|(?P<cm>cm|厘米))(?![a-z0-9/²*x])"
)
_BODY_BEFORE = re.compile(r"(?:[岁男女性龄]|kg|cm|公斤|厘米|old|male|man|(?<![a-z])an?|[mf])[,、;/\s]{0,2}$")
_FEVER = re.compile(
    r"(?:热|烧|温|达|至|到|高)(?:到|至|达|了|约|为)?\s?(?P<n>\d{2}(?:\.\d)?|[三四]十[一二三四五六七八九]?)\s?度"
    r"(?:(?P<d>[\d一二三四五六七八九半])(?!\d))?(?![a-z角])"
)
_FEVER_EN = re.compile(
    r"(?<![a-z])(?:fevers?|febrile)(?: (?:of|to|up to|at|with a temp(?:erature)? of))?\s?(?P<n>\d{2,3}(?:\.\d)?)"
    r"\s?(?P<unit>(?:°\s?)?[cf]|℃|℉|degrees)?(?![a-z0-9%/]|\.\d|\s?[a-z]{0,2}(?:hour|hr|day|week|month|year|min|pat|case|episode))"
)
_HOT = re.compile(r"热|烧|温|fever")
_SHARE = re.compile(r"(?P<k>[nl])(?<![a-z0-9/].)[\s:]{0,2}(?P<v>\d{1,3}(?:\.\d{1,2})?)\s?%")
_WHITE = re.compile(r"wbc|白细胞|血象|血常规")
_LIST = 80
_WORD = re.compile(r"[a-z]+(?: fluid)?$")
_STOP = re.compile(r"[。;\n]")
_FIGURE = re.compile(r"[\s:=]{0,2}\d{2}")
_PAIR = re.compile(rf"[\s:=]{{0,3}}(?P<one>{NUMBER})\s?/\s?(?P<two>{NUMBER})(?![\d/])")
_DEGREES = re.compile(r"\s?度\s?(\d)(?!\d)")
_CLUSTER = frozenset({"temperature", "pulse", "respiratory_rate", "blood_pressure", "heart_rate", "oxygen_saturation"})


def find_measures(scan: Scan, pressure: Analyte | None, temperature: Analyte | None) -> Iterator[Entity]:
    """The vital signs and laboratory values of a text; what overlaps is settled by the caller."""
    near = _vital_places(scan)
    headed = _headed(scan.folded)
    for index, hit in enumerate(scan.hits):
        if not hit.meaning.measures or scan.reader.of_relative(hit.start, hit.end):
            continue
        if hit.meaning.measures[0].analyte.kind == "lab" and _elsewhere(scan.folded, hit.start, headed):
            continue
        yield from _read(scan, hit, near, glued=False)
        if index and scan.folded[scan.hits[index - 1].end : hit.start] == "/":
            yield from _pair(scan, scan.hits[index - 1], hit)
    for hit in scan.glued:
        yield from _read(scan, hit, near, glued=True)
    yield from _bodies(scan)
    yield from _shares(scan)
    if pressure is not None:
        for match in _BARE_PRESSURE.finditer(scan.folded):
            yield _pressure(scan, pressure, match.start(), match.end(), match.group(1), match.group(2), "mmHg", "")
    if temperature is not None:
        limits = temperature.limits("℃")
        for match in _BARE_TEMPERATURE.finditer(scan.folded):
            yield _entity(scan, temperature, match.span(), float(match.group(1)), limits)
        for match in _FEVER.finditer(scan.folded):
            value = (parse(match["n"]) or 0) + (_tenth(match["d"]) if match["d"] else 0)
            if 34 <= value < 44 and _HOT.search(scan.folded, max(0, match.start() - 12), match.start("n")):
                yield _entity(scan, temperature, (match.start("n"), match.end()), value, limits)
        for match in _FEVER_EN.finditer(scan.folded) if "fe" in scan.folded else ():
            value, unit = float(match["n"]), (match["unit"] or "").strip("° ")
            scale = "℃" if 34 <= value < 44 and unit not in ("f", "℉") else "°F"
            if scale == "℃" or (93 <= value < 112 and unit not in ("c", "℃")):
                yield _entity(scan, temperature, (match.start("n"), match.end()), value, temperature.limits(scale))


def _tenth(sign: str) -> float:
    return 0.5 if sign == "半" else (parse(sign) or 0) / 10


def _shares(scan: Scan) -> Iterator[Entity]:
    """WBC 15.6, N 78%, L 18%: beside the white cells the two letters are the shares of their kinds."""
    folded = scan.folded
    for match in _SHARE.finditer(folded) if "%" in folded else ():
        if _WHITE.search(folded, max(0, match.start() - 60), match.start()):
            analyte = lists().by_id.get(("lab", "neutrophil_percent" if match["k"] == "n" else "lymphocyte_percent"))
            if isinstance(analyte, Analyte):
                yield _entity(scan, analyte, match.span(), float(match["v"]), analyte.limits("%"))


def _headed(folded: str) -> list[tuple[int, int]]:
    """The lists of what was measured in an effusion or in liquor: 脑脊液：葡萄糖 2.1，氯 110."""
    known = lists().specimens
    if not any(head in folded for head in known.heads):
        return []
    places = []
    for match in known.heading.finditer(folded):
        stop = _STOP.search(folded, match.end(), match.end() + _LIST)
        places.append((match.end(), stop.start() if stop else match.end() + _LIST))
    return places


def _elsewhere(folded: str, start: int, headed: list[tuple[int, int]]) -> bool:
    """Whether what is named here was not measured in the blood: 尿钠, pleural albumin."""
    at = start - 1 if folded[start - 1 : start] == " " else start
    if folded.endswith(lists().specimens.names, 0, at):
        word = _WORD.search(folded, max(0, at - 24), at)
        return word is None or word.group() in lists().specimens.names or folded[at - 1] > "\u2e7f"
    index = bisect_right(headed, (start, _LIST + start))
    return bool(index) and start < headed[index - 1][1]


def _bodies(scan: Scan) -> Iterator[Entity]:
    known = lists().by_id
    for match in _BODY.finditer(scan.folded):
        analyte = known.get(("vital", "weight" if match["kg"] else "height"))
        if not isinstance(analyte, Analyte) or not _BODY_BEFORE.search(
            scan.folded, max(0, match.start() - 10), match.start()
        ):
            continue
        value, unit = float(match["n"]), "kg" if match["kg"] else "cm"
        if (20 <= value <= 300) if match["kg"] else (90 <= value <= 250):
            yield _entity(scan, analyte, match.span(), value, analyte.limits(unit))


def _vital_places(scan: Scan) -> list[tuple[int, str]]:
    """Where vital signs are named beyond doubt: a bare T, P or R near one of them is another."""
    return [
        (hit.start, item.analyte.id)
        for hits in (scan.hits, scan.glued)
        for hit in hits
        for item in hit.meaning.measures
        if item.analyte.id in _CLUSTER and _FIGURE.match(scan.folded, hit.end)
    ]


def _read(scan: Scan, hit: Hit, near: list[tuple[int, str]], *, glued: bool) -> Iterator[Entity]:
    measures = [item for item in hit.meaning.measures if _written(scan, hit, item)]
    if not measures:
        return
    if measures[0].analyte.id == "blood_pressure":
        yield from _read_pressure(scan, hit, measures[0].analyte)
        return
    match = _VALUE.match(scan.folded, hit.end)
    if match is None or scan.folded.startswith("+", match.end()):  # 3+
        yield from () if glued else _quality(scan, hit, measures)
        return
    number = match["num"]
    start, end = match.start("num"), match.end()
    folded = scan.folded
    if number[0] in "+-" and not any(item.analyte.signed for item in measures):
        return
    if "," in number and "，" in scan.text[start : match.end("num")]:
        number, end = number.split(",")[0], start + number.index(",")  # a Chinese comma divides, it groups no digits
    upper = match["upper"] if end == match.end() else None
    parsed = parse(number)
    if parsed is None:
        return
    later = _NEXT.match(folded, end) if upper is None else None
    last = later.end() if later else end
    unit, unit_end = match_unit(folded, last) or ("", last)
    if measures[0].analyte.id == "temperature":
        degrees = _DEGREES.match(folded, last)
        if degrees and parsed == int(parsed):  # 38度5
            parsed, unit, unit_end = parsed + int(degrees.group(1)) / 10, "℃", degrees.end()
    measure = _choose(scan, hit, measures, parsed, unit, last, near, glued, number[0] in "+-")
    if measure is None:
        yield from () if glued else _quality(scan, hit, measures)  # ALT升高3倍
        return
    analyte = measure.analyte
    limits = analyte.limits(unit) if unit else _only_unit(analyte, parsed)
    compare = match["cmp"] or ""
    compare = _COMPARED.get(compare, compare)
    after = _AFTER.match(folded, unit_end)
    if after and not compare:
        compare = "<" if "下" in after.group() or "内" in after.group() else "≥"
    if upper is not None:
        top = parse(upper)
        if top is None or top <= parsed:
            return
        bad = limits is not None and not (limits.low <= parsed and top <= limits.high)
        shown = limits.unit if limits else unit
        yield _made(scan, analyte, (hit.start, unit_end), f"{plain(parsed)}-{plain(top)}", shown, bad, compare)
        return
    if unit and limits is None:
        yield _made(scan, analyte, (hit.start, unit_end), parsed, unit, True, compare)
        return
    first_end = unit_end if later is None else end
    yield _entity(scan, analyte, (hit.start, first_end), parsed, limits, compare)
    if later is not None:
        second = parse(later["num"])
        if second is not None:
            yield _entity(scan, analyte, (later.start("num"), unit_end), second, limits)


def _pair(scan: Scan, one: Hit, two: Hit) -> Iterator[Entity]:
    """ALT/AST 560/430 U/L: two names, two values."""
    match = _PAIR.match(scan.folded, two.end)
    if match is None:
        return
    unit, end = match_unit(scan.folded, match.end()) or ("", match.end())
    places = ((one, "one", (one.start, match.end("one"))), (two, "two", (match.start("two"), end)))
    for hit, group, span in places:
        measure = next(iter(hit.meaning.measures), None)
        value = parse(match[group])
        if measure is None or value is None:
            return
        limits = measure.analyte.limits(unit) if unit else _only_unit(measure.analyte, value)
        if limits is not None:
            yield _entity(scan, measure.analyte, span, value, limits)


def _written(scan: Scan, hit: Hit, item: Measure) -> bool:
    return not item.exact or narrow(scan.text[hit.start : hit.end]).rstrip("-") == item.exact


def _choose(
    scan: Scan,
    hit: Hit,
    measures: list[Measure],
    value: float,
    unit: str,
    end: int,
    near: list[tuple[int, str]],
    glued: bool,
    signed: bool,
) -> Measure | None:
    """Which of the measurements of this name it is; None where it is none of them."""
    folded = scan.folded
    if unit:
        for item in measures:
            if item.analyte.limits(unit) is not None:
                return item
        # A concentration that this is never given in is asked about; a dose or a rate is something else.
        name = folded[hit.start : hit.end]
        long = len(name) > 4 or (len(name) > 1 and not is_word(name[0]))
        listed = hit.meaning.drug is None and measures[0].condition == "plain"
        if long and listed and measures[0].analyte.units and _concentration(unit):
            return measures[0]
        return None
    following = folded[end : end + 1]
    if following and (is_word(following) or following in _COUNTED or following in "/%^°℉"):
        return None
    if following in (".", "-", ",") and folded[end + 1 : end + 2].isdecimal() and following != ",":
        return None
    if 2005 <= value <= 2035 and is_word(folded[hit.start]):
        return None  # ACR 2020 is a guideline
    for item in measures:
        if item.condition == "unit" and not signed:
            continue
        if value != int(value) and item.analyte.units[:1] and item.analyte.units[0].unit == "/min":
            continue  # HR 0.75 is a hazard ratio
        if item.condition == "cluster" and not _clustered(item, hit, near, value):
            continue
        possible = not item.analyte.units or any(unit.low <= value <= unit.high for unit in item.analyte.units)
        if glued and item.analyte.kind == "lab" and (hit.end - hit.start < 2 or not possible):
            continue
        if glued and hit.end - hit.start < 2 and not possible:
            continue
        return item
    return None


def _clustered(item: Measure, hit: Hit, near: list[tuple[int, str]], value: float) -> bool:
    if not any(limits.low <= value <= limits.high for limits in item.analyte.units):
        return False
    return any(abs(place - hit.start) <= 40 and name != item.analyte.id for place, name in near)


def _concentration(unit: str) -> bool:
    return "/" in unit and not unit.endswith(("/min", "/h", "/d", "/kg"))


def _only_unit(analyte: Analyte, value: float) -> Limits | None:
    """The unit of a bare value where only one is possible for a living patient: 132 is no creatinine in mg/dL."""
    possible = [unit for unit in analyte.units if unit.low <= value <= unit.high]
    possible = [unit for unit in possible if unit.bare] or possible or [unit for unit in analyte.units if unit.bare]
    # mmol/L and mEq/L, ng/mL and μg/L are the same number: either will do
    return possible[0] if len({(unit.factor, unit.offset) for unit in possible}) == 1 else None


def _entity(
    scan: Scan, analyte: Analyte, span: tuple[int, int], value: float, limits: Limits | None, compare: str = ""
) -> Entity:
    if limits is None:
        bad = bool(analyte.units) and not any(unit.low <= value <= unit.high for unit in analyte.units)
        return _made(scan, analyte, span, value, "", bad, compare)
    bad = not limits.low <= value <= limits.high
    base = (value - limits.offset) / limits.factor
    also: list[Quantity] = []
    scales = {(limits.factor, limits.offset)}  # one unit of each scale: ng/mL and μg/L are the same number
    for unit in analyte.units:
        if unit.shown and unit.convertible and limits.convertible and (unit.factor, unit.offset) not in scales:
            scales.add((unit.factor, unit.offset))
            also.append(Quantity(_rounded(base * unit.factor + unit.offset), unit.unit))
    return _made(scan, analyte, span, value, limits.unit, bad, compare, tuple(also))


def _made(
    scan: Scan,
    analyte: Analyte,
    span: tuple[int, int],
    value: float | str,
    unit: str,
    implausible: bool,
    compare: str = "",
    also: tuple[Quantity, ...] = (),
) -> Entity:
    return Entity(
        kind=analyte.kind,
        text=scan.text[span[0] : span[1]],
        span=span,
        name=analyte.id,
        value=value,
        unit=unit,
        also=also,
        implausible=implausible,
        comparator=compare,
    )


def _rounded(value: float) -> float:
    """Three figures, as a laboratory would print it."""
    return float(f"{value:.3g}") if abs(value) < 1000 else float(round(value))


def _quality(scan: Scan, hit: Hit, measures: list[Measure]) -> Iterator[Entity]:
    """Positive, negative, high, low, normal, or a row of plus signs, where that is all that is said."""
    analyte = measures[0].analyte
    if analyte.kind != "lab" or measures[0].condition != "plain":
        return
    match = _QUALITY.match(scan.folded, hit.end)
    if match is None:
        return
    if match["word"]:
        value = _WORDS[match["word"].removeprefix("is ").removeprefix("was ")]
    else:
        value = match["signs"] or match["plus"]
        if len(scan.folded[hit.start : hit.end]) == 1:  # K+ is an ion
            return
    yield _made(scan, analyte, (hit.start, match.end()), value, "", False)


def _read_pressure(scan: Scan, hit: Hit, analyte: Analyte) -> Iterator[Entity]:
    match = _PRESSURE.match(scan.folded, hit.end)
    if match is None:
        return
    unit, end = match_unit(scan.folded, match.end()) or ("mmHg", match.end())
    if unit not in ("mmHg", "kPa"):
        return
    after = _AFTER.match(scan.folded, end)
    compare = match["cmp"] or ("<" if after and ("下" in after.group() or "内" in after.group()) else "")
    compare = _COMPARED.get(compare, compare)
    yield _pressure(scan, analyte, hit.start, end, match["high"], match["low"], unit, compare)


def _pressure(
    scan: Scan, analyte: Analyte, start: int, end: int, high: str, low: str, unit: str, compare: str
) -> Entity:
    """Limits hold for both; systolic must be above diastolic."""
    limits = analyte.limits(unit)
    systolic, diastolic = ([float(part) for part in text.split("-")] for text in (high, low))
    bad = min(systolic) <= min(diastolic) or max(systolic) <= max(diastolic)
    if limits is not None:
        bad = bad or max(systolic) > limits.high or min(systolic) < limits.low or max(diastolic) > limits.high
    also: tuple[Quantity, ...] = ()
    return _made(scan, analyte, (start, end), f"{high}/{low}", unit, bad, compare, also)

"""Age and sex of the patient; not of a group (65岁以上), and not of a relative where the patient's own is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from medgemma_tui.clinical.entities.numbers import CHINESE, WORD_NUMBER, parse
from medgemma_tui.clinical.entities.scan import Scan
from medgemma_tui.clinical.findings import Entity

_OLDEST = {"year": 125.0, "month": 400.0, "week": 600.0, "day": 4000.0}
# The sign before a number is looked at from behind its first digit: so the search can jump from digit to digit.
_N = rf"(?P<n>[\d{CHINESE}](?<![\d.~至到-].)[\d.{CHINESE}]{{0,5}})"
_YEARS_ZH = re.compile(
    rf"{_N}(?:余|多|来)?\s?(?:周岁|岁)(?P<and>半|零?\d{{1,2}}个?月(?!前|来|余))?(?!以|及|前|后|起|时|内|或以|之)"
)
_YOUNG_ZH = re.compile(
    rf"{_N}\s?(?:(?P<m>月龄|个多?月龄|个月大|个月(?=的?(?:男|女|婴|患儿|宝宝|幼儿|小儿)))|"
    r"(?P<d>日龄|天大|[天日](?=的?(?:男婴|女婴|婴|新生)))|(?P<w>周龄|周大))"
)
_DAY_LABEL = re.compile(r"日龄[为:\s]?(?P<n>\d{1,3})\s?(?:天|日)")
_BORN = re.compile(
    rf"(?<![发产术新萌])(?:出生后|生后|出生)\s?(?:第)?{_N}\s?(?:(?P<d>天|日)|(?P<w>周)|(?P<m>个月))(?!龄)"
)
_NEWBORN = re.compile(r"新生|患儿|婴|早产|足月|apgar|胎龄")
_AGE_LABEL = re.compile(r"年龄[\s:为是]{0,3}(?P<n>\d{1,3})(?![\d./岁个月天-])")
_EN = re.compile(
    rf"(?<![a-z0-9.~-])(?P<n>\d{{1,4}}|{WORD_NUMBER})[\s-]{{0,2}}"
    r"(?:(?P<y>years?|yrs?|y)|(?P<m>months?|mos?)|(?P<w>weeks?|wks?)|(?P<d>days?))[\s./-]{0,2}"
    r"(?:old|of age|o\b|o/)(?![a-z])"
)
_OLD = re.compile(r"old|of age|y[./ ]?o|yrs?[ -]o")
_EN_LABEL = re.compile(
    r"(?<![a-z])(?:aged?|age)[\s:=]{1,3}(?:is |of )?(?P<n>\d{1,3})(?:\s?(?:years?|yrs?))?"
    r"(?![\d.%-])(?!\s?(?:(?:to|and|or)\s(?:\d|over|above|older|more|under|below)|or\s))"
)
_EN_SEXED = re.compile(r"(?P<n>\d(?<![\w.~-].)\d{0,2})\s?(?:y|yr|yrs|yo)?\s?/?\s?(?P<s>[mf])(?![\w/.-])")
_OPENING = re.compile(r"(?:^|[,.。;:(\n]|患者|(?<![a-z])(?:patient|pt|an?|this))\s{0,2}$")
_ZH_SLASH = re.compile(r"(?:男|女)\s?[/,、|]\s?(?P<n>\d{1,3})(?=\s?(?:[/,。;、|]|$))")
_GROUP = re.compile(
    r"(?:[<>≥≤≧≦]=?|大于|小于|超过|低于|高于|不足|未满|年满|over|under|above|below|than|least|after|from|until|by)\s?$"
)
_RELATIVE = re.compile(
    r"(?:父|母|爸|妈|兄|弟|姐|妹|祖父|祖母|爷爷|奶奶|外公|外婆|丈夫|妻子|配偶|儿子|女儿|father|mother|brother|sister|"
    r"husband|wife|son|daughter|uncle|aunt)[^,。;.\n]{0,10}$"
)

_SEX_ZH = re.compile(
    r"(?P<pair>男女|女男|子女|儿女)|(?P<ms>男性|男孩|男童|男婴|男士|男子|男人|男患|男生)|"
    r"(?P<fs>女性|女孩|女童|女婴|女士|女子|女人|女患|女生|妇女|少女|孕妇|产妇|孕产妇)|(?P<b>[男女])"
)
_NOT_SEXED = ("激素", "生殖", "化", "科", "病", "学", "不育", "不孕")
_BEFORE_BARE = frozenset(" ,。;:.(/|、患者人儿年别岁月龄名位某一\n\t\"'+")
_NOT_AFTER_BARE = frozenset("友儿科方厕婿佣神主配足篮排双单朋伴朝权")
_SEX_EN = re.compile(
    r"(?:(?P<m>male|man|boy|gentleman)|(?P<f>(?:(?<!non-)(?<!not )pregnant )?(?:female|woman|girl|lady)))"
    r"(?![a-z]|-(?:made|year)|[ -]pattern|\s?friend|'s)"
)


def find_ages(scan: Scan) -> Iterator[Entity]:
    """Ages with value and unit ``year``, ``month``, ``week`` or ``day``."""
    found = list(_ages(scan))
    own = [age for age in found if not _RELATIVE.search(scan.folded, max(0, age.span[0] - 24), age.span[0])]
    yield from own or found


def _ages(scan: Scan) -> Iterator[Entity]:
    folded = scan.folded
    if "岁" in folded:
        for match in _YEARS_ZH.finditer(folded):
            if not _of_group(folded, match.start()):
                yield from _age(scan, match.span(), match["n"], "year", _more(match["and"]))
    if "龄" in folded or "婴" in folded or "大" in folded or "个月" in folded:
        for match in _YOUNG_ZH.finditer(folded):
            yield from _age(scan, match.span(), match["n"], "month" if match["m"] else "day" if match["d"] else "week")
        for match in _DAY_LABEL.finditer(folded):
            yield from _age(scan, match.span(), match["n"], "day")
    if "生" in folded and _NEWBORN.search(folded):
        for match in _BORN.finditer(folded):
            yield from _age(scan, match.span(), match["n"], "day" if match["d"] else "week" if match["w"] else "month")
    if "年龄" in folded:
        for match in _AGE_LABEL.finditer(folded):
            yield from _age(scan, match.span(), match["n"], "year")
    for match in _EN.finditer(folded) if _OLD.search(folded) else ():
        unit = "year" if match["y"] else "month" if match["m"] else "week" if match["w"] else "day"
        if not _of_group(folded, match.start()):
            yield from _age(scan, match.span(), match["n"], unit)
    for match in _EN_LABEL.finditer(folded) if "age" in folded else ():
        if _of_group(folded, match.start()):
            continue
        yield from _age(scan, match.span(), match["n"], "year")
    for match in _EN_SEXED.finditer(folded):
        if scan.text[match.start("s")] in "MF" and float(match["n"]) <= _OLDEST["year"] and _opens(folded, match):
            yield from _age(scan, (match.start(), match.end("n")), match["n"], "year")
            sex = "male" if match["s"] == "m" else "female"
            yield _sex(scan, match.span("s"), sex)
    for match in _ZH_SLASH.finditer(folded):
        yield from _age(scan, match.span("n"), match["n"], "year")


def _more(text: str | None) -> float:
    """The part of a year behind the years: 2岁半, 2岁3个月."""
    if not text:
        return 0.0
    digits = "".join(char for char in text if char.isdecimal())
    return round(int(digits) / 12, 2) if digits else 0.5


def _opens(folded: str, match: re.Match[str]) -> bool:
    """65M opens a note or follows a comma or an article; 5 M is a solution."""
    if " " in match.group() and float(match["n"]) < 10:
        return False
    return _OPENING.search(folded, max(0, match.start() - 12), match.start()) is not None


def _of_group(folded: str, start: int) -> bool:
    return _GROUP.search(folded, max(0, start - 8), start) is not None


def _age(scan: Scan, span: tuple[int, int], number: str, unit: str, more: float = 0.0) -> Iterator[Entity]:
    value = parse(number)
    if value is None:
        return
    value += more
    yield Entity("age", scan.text[span[0] : span[1]], span, "", value, unit, implausible=value > _OLDEST[unit])


def find_sexes(scan: Scan) -> Iterator[Entity]:
    """The sex, ``male`` or ``female``; where only 我爸 or "my mother" tells it, from there."""
    found = list(_sexes(scan))
    yield from found or _sex_of_kin(scan)


def _sex_of_kin(scan: Scan) -> Iterator[Entity]:
    kin = _KIN.search(scan.folded) if "我" in scan.folded or "my " in scan.folded else None
    if kin and scan.reader.is_patient(kin.start()):
        yield _sex(scan, kin.span(), "male" if kin["m"] else "female")


def _sexes(scan: Scan) -> Iterator[Entity]:
    folded = scan.folded
    if "男" in folded or "女" in folded or "妇" in folded:
        for match in _SEX_ZH.finditer(folded):
            start, end = match.span()
            following = folded[end : end + 2]
            if match["pair"] or following.startswith(_NOT_SEXED):
                continue
            if match["b"]:
                before = folded[start - 1] if start else " "
                if before not in _BEFORE_BARE and not before.isdecimal():
                    continue
                if following[:1] in _NOT_AFTER_BARE:
                    continue
                if before == "儿" and folded[max(0, start - 2) : start] != "患儿":
                    continue
                yield _sex(scan, (start, end), "male" if match["b"] == "男" else "female")
            else:
                yield _sex(scan, (start, end), "male" if match["ms"] else "female")
    for match in _SEX_EN.finditer(folded):
        before = folded[match.start() - 1] if match.start() else " "
        if before == "-" or "a" <= before <= "z":
            continue
        yield _sex(scan, match.span(), "male" if match["m"] else "female")


_KIN = re.compile(
    r"(?P<m>爸爸?|父亲|爷爷|外公|姥爷|哥哥?|弟弟?|儿子|丈夫|老公|叔叔?|舅舅?|公公|岳父|(?<![a-z])(?:father|dad|son|husband|"
    r"brother|grandfather|uncle)(?![a-z]))|"
    r"(?P<f>妈妈?|母亲|奶奶|外婆|姥姥|姐姐?|妹妹?|女儿|妻子|老婆|姑姑|婆婆|岳母|(?<![a-z])(?:mother|mum|mom|daughter|"
    r"wife|sister|grandmother|aunt)(?![a-z]))"
)


def _sex(scan: Scan, span: tuple[int, int], value: str) -> Entity:
    return Entity("sex", scan.text[span[0] : span[1]], span, "", value)

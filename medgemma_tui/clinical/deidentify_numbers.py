"""Numbers that tell who a patient is, in folded text: behind their labels and by their shape.

Identity numbers (GB 11643-1999; check digit by python-stdnum), telephones, record numbers, accounts, e-mail addresses
and exact dates of birth.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable

from medgemma_tui.clinical.findings import IdentifierKind, Span

_SEP = re.compile(
    r"\.?[ \t]*(?:\([^()0-9\n]{1,12}\)[ \t]*)?(?:号码|编号|号|码|no\.?(?![a-z])|number(?![a-z])|id(?![a-z])|#)?[ \t]*"
    r"(?P<colon>[:=#】]|为|是|is(?![a-z]))?[ \t]*\(?[ \t]*"
)
_EDGE = r"(?![0-9a-z*])"  # with stars it is masked already

_MOBILE = (  # 138 1234 5678 with +86 or not, undivided or divided by spaces or hyphens as people do
    r"(?:\(?(?:\+|00)?86\)?[ \-]?)?"
    r"1[3-9]\d(?:\d{8}|([ .\-])\d{4}\1\d{4}|\d([ .\-])\d{3}\2\d{4}|[ \-]\d{8}|([ \-])\d{3}\3\d{5})(?![0-9a-z]|\.\d|-\d)"
)
_AREA = r"0(?:10|2\d|[3-9]\d{2})"
_EXTENSION = r"(?:[ ]?(?:-|转|ext\.?)[ ]?\d{1,6})?"
_LANDLINE = rf"(?:\+86[ \-]?)?(?:\(0\d{{2,3}}\)[ \-]?|{_AREA}[ \-]?)[2-9]\d{{2,3}}[ \-]?\d{{4}}{_EXTENSION}(?![0-9])"
_ABROAD = (  # a last group before 岁 or years is an age
    r"\+\d{1,3}[ .\-]?(?:\(0?\d{1,4}\)[ .\-]?)?\d{2,12}(?:[ .\-]\d{2,6}(?!\d| ?(?:岁|y))){0,4}(?![0-9a-z])"
)
_OTHER_PHONES = (
    r"(?:\+?1[ .\-])?\(?\d{3}\)?[ .\-]\d{3}[ .\-]\d{4}(?![0-9])"
    r"|0\d{2,4}[ ]\d{3,4}[ ]?\d{3,6}(?![0-9])|\d[\d\-]{5,14}\d(?![0-9a-z/])"
)
_LABELLED_PHONE = tuple(map(re.compile, (_MOBILE, _LANDLINE, _ABROAD, _OTHER_PHONES)))
_BARE_PHONE = re.compile(
    rf"(?<![0-9a-z.\-])(?:{_MOBILE})"
    rf"|(?<![0-9a-z.\-])(?:{_AREA}-|\({_AREA}\)[ ]?)[2-9]\d{{6,7}}(?:-\d{{1,6}})?(?![0-9.])"
    r"|(?<![0-9a-z.\-])07\d{3} \d{6}(?![0-9.])"
    rf"|(?<![0-9a-z])\(\d{{3}}\) ?\d{{3}}-\d{{4}}(?!\d)"
    rf"|(?<![0-9a-z]){_ABROAD}"
)
_DIGITS = re.compile(r"[0-9][0-9 .()\-]{5,}[0-9]")  # where a telephone could be: looked for first, since it is quick
_UNIT_BEHIND = re.compile(r" ?(?:[a-zμ%/]|毫|克|次|个|万|\d)")
_NUMBER_BEFORE = re.compile(r"\d[ ,]{1,2}$")

_ID18 = r"\d(?:[ \-]?\d){16}[ \-]?[\dx]"
_ID15 = r"\d(?:[ \-]?\d){14}"
_LABELLED_ID = (
    re.compile(rf"{_ID18}{_EDGE}"),
    re.compile(rf"{_ID15}{_EDGE}"),
    re.compile(rf"\d{{3}}[ \-]\d{{2,3}}[ \-]\d{{4}}{_EDGE}"),
    re.compile(rf"[a-z]{{0,3}}-?\d[0-9a-z]{{3,23}}(?:\([0-9a-z]\))?(?:-[0-9a-z]{{1,10}}){{0,3}}{_EDGE}"),
)
_BARE_ID = re.compile(rf"(?<![0-9a-z.])(?:{_ID18}|{_ID15}){_EDGE}")
# The first two digits are the province of the first registration (GB/T 2260).
_PROVINCES = (
    *range(11, 16),
    *range(21, 24),
    *range(31, 38),
    *range(41, 47),
    *range(50, 55),
    *range(61, 66),
    71,
    81,
    82,
    83,
)

_RECORD = re.compile(r"[a-z]{0,5}[\-./]?\d[0-9a-z]{0,23}(?:[\-/][0-9a-z]{1,10}){0,3}(?![0-9a-z%*])")
_ACCOUNT = re.compile(rf"(?:[a-z][0-9a-z_\-]{{4,19}}|\d{{5,12}}){_EDGE}")
_EMAIL_NAME = re.compile(r"[a-z0-9._%+\-]{1,64}$")
_EMAIL_HOST = re.compile(r"[a-z0-9\-]{1,63}(?:\.[a-z0-9\-]{1,63}){1,4}")

_MONTH = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    "|nov(?:ember)?|dec(?:ember)?"
)
_YEAR = r"(?:18|19|20)\d{2}"
_CN_DIGIT = "[〇零一二三四五六七八九十]"
_DATE = "|".join([
    rf"{_YEAR}[ ]?[\-./年][ ]?\d{{1,2}}[ ]?[\-./月][ ]?\d{{1,2}}(?:[ ]?[日号])?(?!\d)",
    rf"{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d)",
    rf"\d{{1,2}}(?:st|nd|rd|th)?[ \-./](?:of )?(?:{_MONTH}|\d{{1,2}})[ \-./,]{{1,2}}(?:{_YEAR}|\d{{2}})(?!\d)",
    rf"(?:{_MONTH})\.? \d{{1,2}}(?:st|nd|rd|th)?,? {_YEAR}(?!\d)",
    rf"{_CN_DIGIT}{{4}}年{_CN_DIGIT}{{1,3}}月{_CN_DIGIT}{{1,3}}[日号]?",
    r"\d{2}[\-./年]\d{1,2}[\-./月]\d{1,2}日?(?!\d)",
    # a month and year behind 出生年月 is as exact as such a form gets; a year alone is an age
    rf"(?:{_MONTH})\.? {_YEAR}(?!\d)",
    rf"{_YEAR}(?:[ ]?年[ ]?\d{{1,2}}[ ]?月|[\-./]\d{{1,2}})(?![\d\-./])",
])  # fmt: skip
_BIRTH = re.compile(rf"(?:农历|公历|阴历|阳历|约)?[ ]?(?P<date>{_DATE})")
_BORN_BEHIND = re.compile(
    rf"(?<!\d)(?P<date>{_YEAR}[\-./年]\d{{1,2}}[\-./月]\d{{1,2}}日?)[ ]?(?:出生|生(?![命存化长产活物理]))"
)
_FULL_DATE = re.compile(r"(?:19|20)\d{2}[\-./](?:0?[1-9]|1[0-2])[\-./](?:0?[1-9]|[12]\d|3[01])")

IsThing = Callable[[str, int], bool]
"""Whether the number that begins there in a folded text is said to be a sample's, a report's or another thing's."""


def value_behind(kind: IdentifierKind, folded: str, at: int) -> Span | None:
    """The number, account or date behind a label that ends at ``at``, or None where there is none."""
    sep = _SEP.match(folded, at)
    assert sep is not None  # every part of it may be empty
    start, colon = sep.end(), bool(sep["colon"])
    if kind == "birth_date":
        born = _BIRTH.match(folded, start)
        return born.span("date") if born else None
    if kind == "phone":
        bracket = start - (folded[start - 1] == "(")  # (010) 6525 1234
        return _first(_LABELLED_PHONE, folded, bracket, 7, 15) or _first(_LABELLED_PHONE, folded, start, 7, 15)
    if kind == "id_number":
        return _first(_LABELLED_ID, folded, start, 4, 40)
    if kind == "record_number":
        return _first((_RECORD,), folded, start, 3 if colon else 4, 40)
    return _first((_ACCOUNT,), folded, start, 0 if colon else 1, 40)


def _first(patterns: tuple[re.Pattern[str], ...], folded: str, start: int, least: int, most: int) -> Span | None:
    for pattern in patterns:
        match = pattern.match(folded, start)
        if match and least <= _digits(match.group()) <= most and not _FULL_DATE.fullmatch(match.group()):
            return match.span()
    return None


def bare_ids(folded: str, is_thing: IsThing) -> list[Span]:
    """Identity numbers without a label: 18 digits whose check digit and date are right, or 15 with a right date."""
    found, at = [], 0
    while match := _BARE_ID.search(folded, at):
        number = re.sub("[ -]", "", match.group()).upper()
        if _is_identity_number(number) and (len(number) == 18 or not is_thing(folded, match.start())):
            found.append(match.span())
            at = match.end()
        else:
            at = match.start() + 1
    return found


def _is_identity_number(number: str) -> bool:
    if int(number[:2]) not in _PROVINCES:
        return False
    from stdnum.cn import ric  # here, since most texts have no such number

    try:
        if len(number) == 15:
            datetime.date(1900 + int(number[6:8]), int(number[8:10]), int(number[10:12]))
            return True
        return number[-1] == ric.calc_check_digit(number) and 1880 < ric.get_birth_date(number).year < 2100
    except ValueError:  # stdnum's errors are ValueErrors
        return False


def bare_phones(folded: str, is_thing: IsThing) -> list[Span]:
    """Mobile numbers, landlines with their area code, and +country numbers without a label."""
    found: list[Span] = []
    matches = (
        match
        for digits in _DIGITS.finditer(folded)
        for match in _BARE_PHONE.finditer(folded, max(0, digits.start() - 2), digits.end() + 4)
    )
    for match in matches:
        start, end = match.span()
        if not 8 <= _digits(match.group()) <= 15 or is_thing(folded, start):
            continue
        row_of_numbers = _UNIT_BEHIND.match(folded, end) or _NUMBER_BEFORE.search(folded, max(0, start - 6), start)
        if " " in match.group() and row_of_numbers:
            continue  # measurements: 150 1200 1500 ml
        found.append((start, end))
    return found


def emails(folded: str) -> list[Span]:
    """E-mail addresses."""
    found, at = [], 0
    while (at := folded.find("@", at)) >= 0:
        name, host = _EMAIL_NAME.search(folded, max(0, at - 64), at), _EMAIL_HOST.match(folded, at + 1)
        if name and host:
            found.append((name.start(), host.start() + len(host.group().rstrip("-"))))
        at += 1
    return found


def births(folded: str) -> list[Span]:
    """Dates that say behind them that they are of birth: 1961-03-05出生."""
    return [match.span("date") for match in _BORN_BEHIND.finditer(folded)]


def _digits(text: str) -> int:
    return sum(char.isdigit() for char in text)

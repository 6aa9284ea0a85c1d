"""Addresses: behind their labels, and Chinese and English ones that are told by their shape.

A province or a town alone is no address. The lists are in ``data/identifiers.toml``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from medgemma_tui.clinical import tables
from medgemma_tui.clinical.deidentify_names import HAN, any_of, gather
from medgemma_tui.clinical.findings import Span
from medgemma_tui.clinical.rowfields import LazyPattern

AddressMode = Literal["colon", "verb", "code"]

_ADMIN = "特别行政区|自治区|自治州|自治县|省|市|州|盟|地区|新区|开发区|区|县|旗"
_LOCAL = "街道|镇|乡|村委会|村|社区|小区|大道|大街|路|街|巷|胡同|里弄|花园|家园|新村|公寓|苑|庄|屯"
_NUMBERED = "号楼|号院|号|弄|栋|幢|座|单元|室|楼|层|组|队|门"
_SIGN = rf"(?:(?![因于在住电患入院男女岁伴痛，到往])[{HAN}])"
_NUMBER = r"[0-9a-z一二三四五六七八九十百甲乙丙东南西北\-]{1,6}"
_PART = LazyPattern(
    rf" ?(?:{_SIGN}{{1,7}}?(?:(?P<admin>{_ADMIN})|(?P<local>{_LOCAL}))|{_NUMBER}?(?P<numbered>{_NUMBERED}))"
)
_TAIL_NUMBER = re.compile(r"[ \-]?\d{1,4}(?:-\d{1,4}){0,3}(?![\d/.%岁]| ?[a-z])")
_STREET_NUMBER = re.compile(
    rf"(?:路|街|大道|巷|弄|胡同|里|村|庄|小区|花园|家园|公寓|新村|苑)[0-9]{{1,5}}(?:-[0-9]{{1,4}})?(?:号|弄|栋|幢|座)"
    rf"|(?:镇|乡|街道){_SIGN}{{1,6}}?(?:村|社区)(?!医|卫)"
    rf"|(?<=[\u3400-\u9fff])[市县]{_SIGN}{{1,5}}?[区县市]{_SIGN}{{1,5}}?(?:镇|乡|街道)(?![\u3400-\u9fff]{{0,6}}[医卫])"
)
_BEFORE = LazyPattern(rf"(?:{_SIGN}{{1,6}}?(?:{_ADMIN}|街道|镇|乡|村)){{0,5}}{_SIGN}{{1,6}}")
_WINDOW = 26
_OPENING = re.compile(r"[ \t]*(?:为|是|is)?[ \t]*(?P<colon>[:=]?)[ \t]*")
_CLAUSE = re.compile(r"[^,;。\n\t\[]{1,60}")
_MORE = re.compile(r" ?, ?(?=[0-9a-z一二三四五六七八九十]{1,5}(?:号|栋|幢|单元|室|楼|层|座|门))[^,;。\n\t\[]{1,30}")
_ENGLISH_LINE = re.compile(r"[^;\n\t\[]{3,120}")
_PATIENT_AGAIN = re.compile(  # behind an address the text speaks of the patient again
    r"[ ,]{1,3}(?:[男女](?![\u4e00-\u9fff])|\d{1,3} ?(?:岁|[- ]?(?:years?|yrs?|yo|y/o|y)(?![a-z]))"
    r"|(?:an? |the |male|female|man|woman|who|with|has|had|is|was|presented|presents|complains|admitted|pt|patient)"
    r"(?![a-z]))"
)
_POSTCODE = re.compile(r"\d{5,6}(?:-\d{4})?(?!\d)|[a-z]{1,2}\d[0-9a-z]? ?\d[a-z]{2}(?![a-z0-9])")
_ENGLISH_STREET = re.compile(
    r"(?<![\w.])\d{1,5}[A-Za-z]? (?:[NSEW]\.? )?(?:[A-Z][a-z'’]{1,20} ){1,3}"
    r"(?:Street|St\.?|Road|Rd\.?|Avenue|Ave\.?|Lane|Ln\.?|Drive|Boulevard|Blvd\.?|Crescent|Terrace|Close|Square)"
    r"(?![A-Za-z])"
    r"(?! ?(?:elevation|depression|segment|change|deviation|follow))"
    r"(?:,? (?:Apt|Apartment|Flat|Unit|Suite)\.? ?#?[0-9A-Za-z]{1,5})?"
    r"(?:, [A-Z][a-z]{1,20}(?: [A-Z][a-z]{1,20}){0,2}(?:,? [A-Z]{2}(?![A-Za-z0-9]))?"
    r"(?:,? \d{5}(?:-\d{4})?|,? [A-Z]{1,2}\d[0-9A-Z]? ?\d[A-Z]{2})?)?"
)


@dataclass(frozen=True, slots=True)
class _Lists:
    province: re.Pattern[str]
    not_streets: tuple[str, ...]
    unknown: re.Pattern[str]
    ends_before: re.Pattern[str]


@tables.compiled
def _lists() -> _Lists:
    return _Lists(
        province=re.compile(any_of(gather("places", "provinces"))),
        not_streets=tuple(gather("places", "not_streets")),
        unknown=re.compile(rf"(?:{any_of(gather('places', 'unknown'))})(?![{HAN}a-z])"),
        ends_before=re.compile(rf"(?<![a-z])(?:{any_of(gather('places', 'ends_before'))})(?![a-z])"),
    )


def address_behind(folded: str, cased: str, at: int, mode: AddressMode) -> Span | None:
    """The address behind a label that ends at ``at``, or None."""
    opening = _OPENING.match(folded, at)
    assert opening is not None  # every part of it may be empty
    start = opening.end()
    if mode == "code":
        code = _POSTCODE.match(folded, start)
        return code.span() if code else None
    if mode == "colon" and opening["colon"]:
        return _whole(folded, start)
    english = _ENGLISH_STREET.match(cased, start)
    return english.span() if english else _chain(folded, start, start)


def address_in_cell(folded: str, start: int, end: int) -> Span | None:
    """The address in a cell under a heading for addresses, or None where it holds none."""
    span = _whole(folded, start)
    return (start, min(end, span[1])) if span else None


def _whole(folded: str, start: int) -> Span | None:
    """Everything behind a label's colon, to the end of the clause or to the next field."""
    lists = _lists()
    latin = re.match(r"[a-z0-9#]", folded[start : start + 1]) and not re.search(f"[{HAN}]", folded[start : start + 12])
    clause = (_ENGLISH_LINE if latin else _CLAUSE).match(folded, start)
    if clause is None or folded[start] in "[_" or lists.unknown.match(folded, start):
        return None
    end = clause.end()
    while not latin and (more := _MORE.match(folded, end)):
        end = more.end()
    if field := lists.ends_before.search(folded, start, end):
        end = field.start()
    if again := _PATIENT_AGAIN.search(folded, start, end):
        end = again.start()
    if latin and (stop := re.search(r"\.(?= [a-z]| *$)(?<!st\.)(?<!rd\.)(?<!ave\.)", folded[start:end])):
        end = start + stop.start()
    value = folded[start:end].rstrip(" ,.(")
    if len(value) < 3 or value.startswith("__") or not re.search(rf"[{HAN}]|\d|[a-z]{{3}} [a-z]{{3}}", value):
        return None
    return start, start + len(value)


def _chain(folded: str, start: int, at: int) -> Span | None:
    """The parts of a Chinese address from ``at`` on; None unless it is more exact than a district."""
    parts, exact = int(at > start), False
    end = at
    while parts < 8 and (part := _PART.match(folded, end)):
        text = part.group().strip()
        if part["local"] and text.endswith(_lists().not_streets):
            break
        exact = exact or bool(part["local"]) or (bool(part["numbered"]) and parts > 0)
        end = part.end()
        parts += 1
    if parts < 2 or not exact:
        return None
    if tail := _TAIL_NUMBER.match(folded, end):
        end = tail.end()
    return start, end


def addresses_by_shape(folded: str, cased: str) -> list[Span]:
    """Addresses without a label: from a province down to a street or village, a street with its number, a village."""
    found: list[Span] = []
    done = 0
    for province in _lists().province.finditer(folded):
        if province.start() >= done and (span := _chain(folded, province.start(), province.end())):
            found.append(span)
            done = span[1]
    for anchor in _STREET_NUMBER.finditer(folded):
        if any(start <= anchor.start() < end for start, end in found[-1:]):
            continue
        start = _start_before(folded, anchor.start())
        road = folded[max(0, anchor.start() - 1) : anchor.start() + 1]
        if start is None or road in _lists().not_streets:
            continue
        end = anchor.end()
        while part := _PART.match(folded, end):
            if not part["numbered"]:
                break
            end = part.end()
        found.append((start, end))
    found += [street.span() for street in _ENGLISH_STREET.finditer(cased)]
    return found


def _start_before(folded: str, at: int) -> int | None:
    """Where the address begins whose street's name ends at ``at``."""
    for start in range(max(0, at - _WINDOW), at):
        if _BEFORE.fullmatch(folded, start, at):
            return start
    return None

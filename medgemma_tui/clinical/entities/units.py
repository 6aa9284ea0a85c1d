"""Units as people write them, and the one form we give each; conversions between the units of one measurement."""

from __future__ import annotations

import re
from dataclasses import dataclass

from medgemma_tui.clinical import tables
from medgemma_tui.clinical.textform import fold, is_word

_POWERS = {"3": "10^3", "³": "10^3", "6": "10^6", "⁶": "10^6", "9": "10^9", "⁹": "10^9", "12": "10^12", "¹²": "10^12"}
# x10^9/L, *10*9/L, ×10⁹/L, 10e9/l, x109/l (the superscript lost)
_COUNT = re.compile(
    r"[x*]?\s{0,2}10\s?(?:\^|\*{1,2}|e)?\s?(12|[369]|¹²|[³⁶⁹])\s{0,2}(?:/|每)\s{0,2}(ul|μl|微升|mm3|mm³|ml|毫升|l|升)(?![a-z0-9])"
)
# Na 128 K 6.1: a single letter with a figure of its own is the next name, no unit
_NEXT_NAME = re.compile(r"(?:[a-z]|mg)[ :=]{1,3}\d")
_LITRES = {
    "ul": "μL",
    "μl": "μL",
    "微升": "μL",
    "mm3": "μL",
    "mm³": "μL",
    "ml": "mL",
    "毫升": "mL",
    "l": "L",
    "升": "L",
}


@dataclass(frozen=True, slots=True)
class UnitForms:
    """Every written form of a unit with its canonical one, and the lengths to try at each first letter."""

    forms: dict[str, str]
    lengths: dict[str, tuple[int, ...]]


def match_form(known: UnitForms, folded: str, at: int) -> tuple[str, int] | None:
    """The longest form of a unit that stands exactly at ``at``: its canonical form and where it ends."""
    for length in known.lengths.get(folded[at : at + 1], ()):
        end = at + length
        unit = known.forms.get(folded[at:end])
        if unit is None or end > len(folded):
            continue
        if end < len(folded) and _letter(folded[end - 1]) and _goes_on(folded, end):
            continue
        return unit, end
    return None


def _goes_on(folded: str, end: int) -> bool:
    """Whether a word goes on here; not with a small square (m²), nor with a multiplication (qd×5)."""
    if folded[end] == "x" and folded[end + 1 : end + 2].isdecimal():
        return False
    return is_word(folded[end]) and folded[end] not in "²³"


def match_unit(folded: str, at: int) -> tuple[str, int] | None:
    """The unit of a measurement behind a number that ends at ``at``; at most two spaces may lie between."""
    first = at
    while at < len(folded) and folded[at] == " ":
        at += 1
    if at > first and _NEXT_NAME.match(folded, at):
        return None
    head = folded[at : at + 1]
    if head in ("x", "*", "1"):
        count = _COUNT.match(folded, at)
        if count:
            return f"{_POWERS[count.group(1)]}/{_LITRES[count.group(2)]}", count.end()
    found = match_form(unit_forms(), folded, at)
    if found and found[0] == "分" and folded.startswith("钟", found[1]):
        return None  # 1分钟 is a time, no score
    stretch = folded[at : at + 24]
    if " /" not in stretch and "/ " not in stretch:
        return found
    # mmol / L: the same unit with spaces around the stroke
    longer = match_form(unit_forms(), re.sub(r"\s?/\s?", "/", stretch), 0)
    if longer is None or (found and found[0] == longer[0]):
        return found
    left = longer[1]
    for index, char in enumerate(stretch):
        left -= char != " "
        if left == 0:
            return longer[0], at + index + 1
    return found


def _letter(char: str) -> bool:
    return char.isalpha() and is_word(char)


@tables.compiled
def unit_forms() -> UnitForms:
    """The units of measurements. Raises TableError."""
    return _compile("unit")


@tables.compiled
def dose_forms() -> UnitForms:
    """The units of doses. Raises TableError."""
    return _compile("dose_unit")


@tables.compiled
def time_forms() -> dict[str, str]:
    """The units of durations: written form to minute, hour, day, week, month or year. Raises TableError."""
    return _compile("time_unit").forms


@tables.compiled
def routes() -> UnitForms:
    """How a drug is given: written form to oral, intravenous … Raises TableError."""
    return _compile("route", "name")


@tables.compiled
def frequencies() -> UnitForms:
    """How often a drug is given: written form to qd, bid … Raises TableError."""
    return _compile("frequency", "name")


def _compile(key: str, canonical: str = "unit") -> UnitForms:
    forms: dict[str, str] = {}
    for row in tables.rows("units", key):
        unit, written = row.get(canonical), row.get("forms", [])
        if not isinstance(unit, str) or not unit or not isinstance(written, list):
            raise tables.TableError("units.toml", f"a row of [[{key}]] needs {canonical} and forms")
        for form in (unit, *written):
            if not isinstance(form, str) or not form.strip():
                raise tables.TableError("units.toml", f"{unit}: a form is empty or no text")
            forms[fold(form).strip()] = unit
    lengths: dict[str, set[int]] = {}
    for form in forms:
        lengths.setdefault(form[0], set()).add(len(form))
    return UnitForms(forms, {head: tuple(sorted(found, reverse=True)) for head, found in lengths.items()})

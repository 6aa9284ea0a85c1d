"""The lists behind the entities, read once: what is measured, drugs, anatomy, findings, under every name in use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from medgemma_tui.clinical import tables
from medgemma_tui.clinical.lexicon import Lexicon
from medgemma_tui.clinical.textform import fold

MeasureKind = Literal["vital", "lab"]
NamedKind = Literal["drug", "anatomy", "finding", "allergen"]
Condition = Literal["plain", "unit", "cluster"]


@dataclass(frozen=True, slots=True)
class Limits:
    """A unit of a measurement: value = value in the first unit * factor + offset; what a living patient can have.

    ``shown``: offered as the other unit in use. Not ``convertible``: a method of its own (CK-MB activity and
    mass). Not ``bare``: without a unit meant only where no
    other fits.
    """

    unit: str
    factor: float
    low: float
    high: float
    offset: float = 0.0
    shown: bool = True
    convertible: bool = True
    bare: bool = True


@dataclass(frozen=True, slots=True)
class Analyte:
    """Something that is measured. ``units`` begins with the one that the limits are given in; it may be empty."""

    id: str
    kind: MeasureKind
    zh: str
    en: str
    units: tuple[Limits, ...]
    signed: bool = False

    def limits(self, unit: str) -> Limits | None:
        for found in self.units:
            if found.unit == unit:
                return found
        return None


@dataclass(frozen=True, slots=True)
class Measure:
    """A name of an analyte. ``condition``: "unit" counts only with a unit, "cluster" also among other vital signs.

    ``exact`` is how it must be written where the case matters (Mg is no mg).
    """

    analyte: Analyte
    condition: Condition
    exact: str = ""


@dataclass(frozen=True, slots=True)
class Named:
    """A drug, a place in the body, or a finding."""

    kind: NamedKind
    id: str
    zh: str
    en: str


Item = Measure | Named
_LEAST = 1e-15  # of a unit's factor


@dataclass(frozen=True, slots=True)
class Meaning:
    """All that one expression can stand for: measurements, a drug, a place or a finding."""

    measures: tuple[Measure, ...] = ()
    drug: Named | None = None
    named: Named | None = None


class Hit(NamedTuple):
    """A listed expression at ``[start, end)`` and what it can stand for."""

    start: int
    end: int
    meaning: Meaning


@dataclass(frozen=True, slots=True)
class Specimens:
    """What else than blood is measured in; ``heading`` finds those of ``heads`` that open a list (脑脊液：)."""

    names: tuple[str, ...]
    heads: tuple[str, ...]
    heading: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Lists:
    """All lists compiled. ``names_with_digits`` holds, under the letters it begins with, names such as spo2."""

    lexicon: Lexicon[Meaning]
    measures: dict[str, tuple[Measure, ...]]
    names_with_digits: dict[str, tuple[str, ...]]
    by_id: dict[tuple[str, str], Analyte | Named]
    allergens: dict[str, str]
    specimens: Specimens


@tables.compiled
def lists() -> Lists:
    """The lists. Raises TableError where one cannot be used."""
    names: dict[str, list[Item]] = {}
    by_id: dict[tuple[str, str], Analyte | Named] = {}
    ignored: list[str] = []
    measured: tuple[tuple[str, MeasureKind], ...] = (("vitals", "vital"), ("labs", "lab"))
    for table, kind in measured:
        for row in tables.rows(table, kind):
            analyte = _analyte(f"{table}.toml", row, kind)
            by_id[analyte.kind, analyte.id] = analyte
            _add_measures(f"{table}.toml", row, analyte, names)
    kinds: tuple[tuple[str, NamedKind], ...] = (("drugs", "drug"), ("anatomy", "anatomy"), ("findings", "finding"))
    for table, named_kind in kinds:
        for row in tables.rows(table, named_kind):
            named = _named(f"{table}.toml", row, named_kind)
            by_id[named.kind, named.id] = named
            for name in {named.zh, named.en, *_texts(f"{table}.toml", row, "names")}:
                _put(names, name, named)
        for row in tables.rows(table, "ignore"):
            ignored += _texts(f"{table}.toml", row, "names")
    allergens: dict[str, str] = {}
    for row in tables.rows("allergens", "allergen"):
        named = _named("allergens.toml", row, "allergen")
        by_id[named.kind, named.id] = named
        for name in (named.zh, named.en, *_texts("allergens.toml", row, "names")):
            allergens[fold(name)] = named.id
    meanings = {name: _meaning(items) for name, items in names.items()}
    measures = {name: meaning.measures for name, meaning in meanings.items() if meaning.measures}
    digits: dict[str, list[str]] = {}
    for name in measures:
        letters = len(name) - len(name.lstrip("abcdefghijklmnopqrstuvwxyzαβγδ-"))
        if 0 < letters < len(name) and name[letters].isdecimal():
            digits.setdefault(name[:letters], []).append(name)
    entries: list[tuple[str, Meaning | None]] = [(name, None) for name in ignored]
    entries += meanings.items()
    return Lists(
        Lexicon(entries),
        measures,
        {letters: tuple(sorted(found, key=len, reverse=True)) for letters, found in digits.items()},
        by_id,
        allergens,
        _specimens(),
    )


def _specimens() -> Specimens:
    names: list[str] = []
    heads: list[str] = []
    for row in tables.rows("labs", "specimen"):
        named = [fold(name) for name in _texts("labs.toml", row, "names")]
        names += named
        heads += named if row.get("heads") is True else []
    either = "|".join(re.escape(name) for name in sorted(heads, key=len, reverse=True)) or "(?!)"
    told = r"(?:检查|化验|生化|常规|analysis|results?)?\s?(?:示|提示|:|shows?|showed)"
    return Specimens(tuple(names), tuple(heads), re.compile(rf"(?<![a-z])(?:{either})\s?{told}"))


def _meaning(items: list[Item]) -> Meaning:
    named = [item for item in items if isinstance(item, Named)]
    return Meaning(
        tuple(item for item in items if isinstance(item, Measure)),
        next((item for item in named if item.kind == "drug"), None),
        next((item for item in named if item.kind != "drug"), None),
    )


def _put(names: dict[str, list[Item]], name: str, item: Item) -> None:
    under = names.setdefault(fold(name).strip(), [])
    # A later row of the same kind and id (a site's) takes the place of the earlier one.
    under[:] = [other for other in under if _key(other) != _key(item)]
    under.append(item)


def _key(item: Item) -> tuple[str, str]:
    return (item.analyte.kind, item.analyte.id) if isinstance(item, Measure) else (item.kind, item.id)


def _add_measures(path: str, row: tables.Row, analyte: Analyte, names: dict[str, list[Item]]) -> None:
    exact = {fold(name): name for name in _texts(path, row, "exact")}
    plain = [name for name in (analyte.zh, analyte.en) if name] if row.get("own_names", True) else []
    conditions: tuple[tuple[Condition, list[str]], ...] = (
        ("plain", plain + _texts(path, row, "names")),
        ("unit", _texts(path, row, "unit_names")),
        ("cluster", _texts(path, row, "cluster_names")),
    )
    for condition, written in conditions:
        for name in written:
            _put(names, name, Measure(analyte, condition, exact.get(fold(name), "")))


def _analyte(path: str, row: tables.Row, kind: MeasureKind) -> Analyte:
    name = _text(path, row, "id")
    units: list[Limits] = []
    listed = row.get("units", [])
    low, high = _number(path, row, "low", float("-inf")), _number(path, row, "high", float("inf"))
    if not low < high:
        raise tables.TableError(path, f"{name}: low is not below high")
    if not isinstance(listed, list):
        raise tables.TableError(path, f"{name}: units is no list")
    for unit in listed:
        if not isinstance(unit, dict) or not isinstance(unit.get("unit"), str):
            raise tables.TableError(path, f"{name}: a unit has no name")
        factor = _number(path, unit, "factor", 1.0)
        offset = _number(path, unit, "offset", 0.0)
        if not (_LEAST <= factor <= 1 / _LEAST and abs(offset) <= 1 / _LEAST):
            raise tables.TableError(path, f"{name}: the factor of {unit['unit']} is not above 0, or out of all measure")
        own_low = _number(path, unit, "low", low * factor + offset)
        own_high = _number(path, unit, "high", high * factor + offset)
        units.append(
            Limits(
                str(unit["unit"]),
                factor,
                own_low,
                own_high,
                offset,
                unit.get("shown") is not False,
                unit.get("convertible") is not False,
                unit.get("bare") is not False,
            )
        )
    return Analyte(name, kind, _text(path, row, "zh"), _text(path, row, "en"), tuple(units), row.get("signed") is True)


def _named(path: str, row: tables.Row, kind: NamedKind) -> Named:
    en = _text(path, row, "en")
    return Named(kind, str(row.get("id", en)), _text(path, row, "zh"), en)


def _text(path: str, row: tables.Row, key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise tables.TableError(path, f"{row.get('id', row.get('en', 'a row'))}: {key} is missing or no text")
    return value


def _texts(path: str, row: tables.Row, key: str) -> list[str]:
    value = row.get(key, [])
    if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
        raise tables.TableError(path, f"{row.get('id', row.get('en', 'a row'))}: {key} is no list of texts")
    return [str(text) for text in value]


def _number(path: str, row: tables.Row, key: str, default: float) -> float:
    value = row.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise tables.TableError(path, f"{row.get('id', row.get('unit', 'a row'))}: {key} is no number")
    return float(value)

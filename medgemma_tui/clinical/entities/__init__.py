"""Entities: who the patient is, what was measured, given, found and denied, each with its place in the text."""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter

from medgemma_tui.clinical.entities.allergy import find_allergies
from medgemma_tui.clinical.entities.demographics import find_ages, find_sexes
from medgemma_tui.clinical.entities.drugs import find_drugs
from medgemma_tui.clinical.entities.duration import find_durations
from medgemma_tui.clinical.entities.lists import Analyte, lists
from medgemma_tui.clinical.entities.measures import find_measures
from medgemma_tui.clinical.entities.named import find_named
from medgemma_tui.clinical.entities.scan import scan
from medgemma_tui.clinical.findings import Entity, Term
from medgemma_tui.clinical.negation import Reader
from medgemma_tui.clinical.terms import find_terms
from medgemma_tui.clinical.textform import fold

__all__ = ["find_entities", "label", "typed_name"]

# Where two entities have the very same span, the one whose kind comes first stays.
_RANK = {
    kind: rank
    for rank, kind in enumerate(
        ("allergy", "drug", "vital", "lab", "age", "sex", "finding", "diagnosis", "duration", "anatomy")
    )
}


def find_entities(text: str, terms: tuple[Term, ...] | None = None, reader: Reader | None = None) -> tuple[Entity, ...]:
    """All entities of a text, sorted by their spans, which do not overlap: of two that do, the longer stays.

    ``terms`` are the text's standard terms where the caller has them already; they become the diagnoses. ``reader``
    reads this very text, where the caller has one. Never raises on any text. Raises TableError where a list cannot be
    used.
    """
    prepared = scan(text, reader)
    known = lists()
    pressure, temperature = known.by_id.get(("vital", "blood_pressure")), known.by_id.get(("vital", "temperature"))
    found: list[Entity] = []
    found += find_ages(prepared)
    found += find_sexes(prepared)
    found += find_durations(prepared)
    found += find_measures(
        prepared,
        pressure if isinstance(pressure, Analyte) else None,
        temperature if isinstance(temperature, Analyte) else None,
    )
    found += find_drugs(prepared)
    found += find_allergies(prepared)
    found += find_named(prepared)
    found += _diagnoses(find_terms(text, prepared.reader) if terms is None else terms)
    return _settled(found)


def label(kind: str, name: str) -> tuple[str, str] | None:
    """The Chinese and the English name of a vital sign, a laboratory value, a drug, a place or a finding."""
    found = lists().by_id.get((kind, name))
    return (found.zh, found.en) if found else None


def _diagnoses(terms: tuple[Term, ...]) -> list[Entity]:
    """The terms that are a disease or a symptom; tests and operations are neither.

    What a relative has is no fact about the patient.
    """
    return [
        Entity(term.kind, term.text, term.span, term.standard_en, negated=term.negated)
        for term in terms
        if term.kind and not term.relative
    ]


def _settled(found: list[Entity]) -> tuple[Entity, ...]:
    """Of overlapping entities the longest stays; of equal ones the first kind of ``_RANK``."""
    found.sort(key=attrgetter("span"))
    kept: list[Entity] = []
    heap: list[Entity] = []  # entities that overlap, one with the next
    reach = 0
    for entity in found:
        if heap and entity.span[0] >= reach:
            kept += heap if len(heap) == 1 else _longest(heap)
            heap = []
        heap.append(entity)
        reach = max(reach, entity.span[1])
    return tuple(kept + (heap if len(heap) == 1 else _longest(heap)))


def _longest(heap: list[Entity]) -> list[Entity]:
    heap.sort(key=lambda entity: (entity.span[0] - entity.span[1], _RANK[entity.kind], entity.span))
    starts: list[int] = []
    kept: list[Entity] = []
    for entity in heap:
        start, end = entity.span
        at = bisect_right(starts, start)
        if (at and kept[at - 1].span[1] > start) or (at < len(starts) and starts[at] < end):
            continue
        starts.insert(at, start)
        kept.insert(at, entity)
    return kept


def typed_name(entity: Entity) -> str:
    """How the measured thing was called in the text: ``Scr`` in ``Scr 132``; empty where a unit alone told it."""
    known = lists().measures
    folded = fold(entity.text)
    for length in range(min(32, len(folded)), 0, -1):
        items = known.get(folded[:length].rstrip(" :="), ())
        if any(item.analyte.id == entity.name for item in items):
            return entity.text[:length].rstrip(" :=：＝")
    return ""

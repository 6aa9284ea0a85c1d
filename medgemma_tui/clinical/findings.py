"""What the clinical layer finds in a text. Spans are code-point offsets ``(start, end)`` into that very text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Span = tuple[int, int]
Language = Literal["zh", "en"]

EntityKind = Literal[
    "age", "sex", "duration", "vital", "lab", "drug", "diagnosis", "anatomy", "finding", "allergy"
]  # fmt: skip
"""finding: a symptom, a sign, or what an ECG or an image shows."""
QuestionKind = Literal[
    "treatment", "dosing", "staging", "differential", "interpretation", "overview", "conduct", "other"
]
"""conduct: a request for something the model must not do (write a prescription, alter a record)."""
MissingId = Literal[
    "patient", "age", "sex", "duration", "findings", "allergies", "drug", "renal_function", "indication", "question",
    "value", "unit", "disease", "weight",
]  # fmt: skip
IdentifierKind = Literal["name", "id_number", "phone", "record_number", "address", "birth_date", "email"]
SectionId = Literal["definition", "mechanism", "differential", "recommendation"]
MarkKind = Literal["guideline", "evidence_level", "hedge", "jump", "method_missing", "unsupported_number"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit, as in ``Quantity(132.0, "μmol/L")``."""

    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Entity:
    """One fact in the text.

    ``name`` is the canonical id of what was measured or given (``creatinine``, ``blood_pressure``, ``rivaroxaban``);
    empty for age, sex and duration. ``value`` is a number, or a text where the fact is no number (sex: male or
    female; blood pressure: ``165/95``). ``also`` holds the same value in the other unit in use. ``implausible`` is
    set where no living patient has such a value: the person is asked "is this right?". ``comparator`` is ``<``, ``>``,
    ``≤`` or ``≥`` where the text gives a bound and no measured value; a range is a text, ``3.5-5``.
    """

    kind: EntityKind
    text: str
    span: Span
    name: str = ""
    value: float | str | None = None
    unit: str = ""
    also: tuple[Quantity, ...] = ()
    implausible: bool = False
    negated: bool = False
    dose: Quantity | None = None
    route: str = ""
    frequency: str = ""
    comparator: str = ""


@dataclass(frozen=True, slots=True)
class Derived:
    """A value computed from what was found. ``formula`` names the equation and its year: never shown without."""

    name: Literal["egfr", "creatinine_clearance"]
    value: float
    unit: str
    formula: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """A colloquial, short or misspelt expression and the standard term for it.

    ``icd11`` and ``icd10`` are empty where the term has no code of its own. ``other`` holds the codes of a site's own
    table as (system, code). ``relative`` is set where a relative has it (父亲有心梗): neither negated nor the
    patient's. ``kind`` is empty for a test, an operation or a drug.
    """

    text: str
    span: Span
    standard_zh: str
    standard_en: str
    icd11: str = ""
    icd10: str = ""
    negated: bool = False
    other: tuple[tuple[str, str], ...] = ()
    relative: bool = False
    kind: Literal["diagnosis", "finding", ""] = ""


@dataclass(frozen=True, slots=True)
class Identifier:
    """Something that could tell who the patient is. ``mask`` is what would stand in its place."""

    kind: IdentifierKind
    text: str
    span: Span
    mask: str


@dataclass(frozen=True, slots=True)
class Coaching:
    """What kind of question this is and what a good one of its kind would also say."""

    question_kind: QuestionKind
    missing: tuple[MissingId, ...] = ()


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything that is found in one question or note."""

    entities: tuple[Entity, ...] = ()
    derived: tuple[Derived, ...] = ()
    terms: tuple[Term, ...] = ()
    coaching: Coaching = Coaching("other")
    identifiers: tuple[Identifier, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """Something in a step or an answer that a person can check. ``span`` is into the step's text or the answer."""

    kind: MarkKind
    evidence: str
    span: Span


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a trace: its text, where it stands in the trace, and its marks."""

    text: str
    span: Span
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class SectionCheck:
    """Which of the four parts an answer has, in the order they should have; ``in_order`` where it has them in it."""

    present: tuple[SectionId, ...] = ()
    missing: tuple[SectionId, ...] = ()
    in_order: bool = True


@dataclass(frozen=True, slots=True)
class Review:
    """What was found in a reply. It says what is there, never that it is correct."""

    steps: tuple[Step, ...] = ()
    answer_marks: tuple[Mark, ...] = ()
    sections: SectionCheck = field(default_factory=SectionCheck)

"""The JSON of ``analyze``, and the same objects in ``ask --json``. Field names are stable; README documents them.

Every key is always there: an empty list, an empty text or null stands for nothing. Spans are ``[start, end]`` in code
points, into the text as it was given.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, field_validator

from medgemma_tui.clinical.findings import (
    Analysis,
    Derived,
    EntityKind,
    Identifier,
    IdentifierKind,
    Mark,
    MarkKind,
    MissingId,
    QuestionKind,
    Review,
    SectionId,
    Span,
    Term,
)
from medgemma_tui.clinical.findings import Entity as FoundEntity
from medgemma_tui.clinical.findings import Quantity as FoundQuantity


class _Out(BaseModel):
    model_config = ConfigDict(frozen=True)


class QuantityObject(_Out):
    """A number with its unit."""

    value: float
    unit: str

    @classmethod
    def of(cls, found: FoundQuantity) -> QuantityObject:
        return cls(value=found.value, unit=found.unit)


class EntityObject(_Out):
    """One fact. ``value`` is a number, a text (``male``, ``165/95``, a range) or null; a drug's is its dose."""

    kind: EntityKind
    text: str
    value: float | str | None
    unit: str
    span: Span
    name: str
    comparator: str
    also: list[QuantityObject]
    implausible: bool
    negated: bool
    dose: QuantityObject | None
    route: str
    frequency: str

    @classmethod
    def of(cls, found: FoundEntity) -> EntityObject:
        value, unit = found.value, found.unit
        if value is None and found.dose is not None:
            value, unit = found.dose.value, found.dose.unit
        return cls(
            kind=found.kind,
            text=found.text,
            value=value,
            unit=unit,
            span=found.span,
            name=found.name,
            comparator=found.comparator,
            also=[QuantityObject.of(each) for each in found.also],
            implausible=found.implausible,
            negated=found.negated,
            dose=QuantityObject.of(found.dose) if found.dose is not None else None,
            route=found.route,
            frequency=found.frequency,
        )


class DerivedObject(_Out):
    """A computed value; ``formula`` is the equation with its year, ``inputs`` what it was computed from."""

    name: str
    value: float
    unit: str
    formula: str
    inputs: list[str]

    @classmethod
    def of(cls, found: Derived) -> DerivedObject:
        return cls(
            name=found.name,
            value=found.value,
            unit=found.unit,
            formula=found.formula,
            inputs=list(found.inputs),
        )


class CodeObject(_Out):
    """A code of a site's own table."""

    system: str
    code: str


class TermObject(_Out):
    """An expression and its standard term. A code is empty where the term has none of its own.

    ``relative``: said of a relative, so neither denied nor the patient's.
    """

    text: str
    standard_zh: str
    standard_en: str
    icd11: str
    icd10: str
    negated: bool
    span: Span
    other: list[CodeObject]
    relative: bool

    @classmethod
    def of(cls, found: Term) -> TermObject:
        return cls(
            text=found.text,
            standard_zh=found.standard_zh,
            standard_en=found.standard_en,
            icd11=found.icd11,
            icd10=found.icd10,
            negated=found.negated,
            span=found.span,
            other=[CodeObject(system=system, code=code) for system, code in found.other],
            relative=found.relative,
        )


class CoachObject(_Out):
    """The kind of question, the ids of what it lacks, and the hint in the language in use."""

    question_kind: QuestionKind
    missing: list[MissingId]
    hint: str


class IdentifierObject(_Out):
    """What could tell who the patient is, and what would stand in its place."""

    kind: IdentifierKind
    text: str
    span: Span
    mask: str

    @classmethod
    def of(cls, found: Identifier) -> IdentifierObject:
        return cls(kind=found.kind, text=found.text, span=found.span, mask=found.mask)


class AnalysisObject(_Out):
    """What ``analyze --json`` prints for a text, and ``ask --json`` as ``analysis``."""

    entities: list[EntityObject]
    terms: list[TermObject]
    coach: CoachObject
    identifiers: list[IdentifierObject]
    derived: list[DerivedObject]

    @classmethod
    def of(cls, found: Analysis, hint: str) -> AnalysisObject:
        """``hint`` is the coach's line in the language in use: the clinical layer has ids only."""
        coaching = found.coaching
        return cls(
            entities=[EntityObject.of(each) for each in found.entities],
            terms=[TermObject.of(each) for each in found.terms],
            coach=CoachObject(question_kind=coaching.question_kind, missing=list(coaching.missing), hint=hint),
            identifiers=[IdentifierObject.of(each) for each in found.identifiers],
            derived=[DerivedObject.of(each) for each in found.derived],
        )


class MarkObject(_Out):
    """Something that a person can check. ``span`` is into the step's text, or into the answer."""

    kind: MarkKind
    evidence: str
    span: Span

    @classmethod
    def of(cls, found: Mark) -> MarkObject:
        return cls(kind=found.kind, evidence=found.evidence, span=found.span)


class StepObject(_Out):
    """A step of the trace; ``span`` is into the trace."""

    text: str
    marks: list[MarkObject]
    span: Span


class SectionsObject(_Out):
    """Which of the four parts the answer has, in the order that they should have; ``in_order`` where it has them so."""

    present: list[SectionId]
    missing: list[SectionId]
    in_order: bool


class ReviewObject(_Out):
    """What ``analyze --trace --json`` prints for a reply, and ``ask --json`` as ``review``."""

    steps: list[StepObject]
    answer_marks: list[MarkObject]
    sections: SectionsObject

    @classmethod
    def of(cls, found: Review) -> ReviewObject:
        return cls(
            steps=[
                StepObject(text=step.text, marks=[MarkObject.of(each) for each in step.marks], span=step.span)
                for step in found.steps
            ],
            answer_marks=[MarkObject.of(each) for each in found.answer_marks],
            sections=SectionsObject(
                present=list(found.sections.present),
                missing=list(found.sections.missing),
                in_order=found.sections.in_order,
            ),
        )


class TraceInput(BaseModel):
    """What ``analyze --trace`` reads. Other fields are passed over, so that the output of ``ask --json`` will do."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    question: str
    answer: str
    reasoning: str = ""

    @field_validator("reasoning", mode="before")
    @classmethod
    def _none_is_empty(cls, value: object) -> object:
        return "" if value is None else value


class InputError(BaseModel):
    """Why one text could not be analysed."""

    type: str
    message: str
    line: int


class AnalyzeFailure(BaseModel):
    """What ``analyze --json`` prints in the place of a text that cannot be analysed."""

    error: InputError

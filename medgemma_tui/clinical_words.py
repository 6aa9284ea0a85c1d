"""The words for the ids of the clinical layer, in the language in use: hints, marks, parts, identifiers.

Shared by the screen, plain mode, ``ask`` and ``analyze``. What comes from a text (evidence, entities) is made safe.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from medgemma_tui.clinical.findings import (
    Analysis,
    Coaching,
    Derived,
    Entity,
    EntityKind,
    Identifier,
    IdentifierKind,
    Mark,
    MarkKind,
    MissingId,
    Quantity,
    QuestionKind,
    Review,
    SectionCheck,
    SectionId,
    Term,
)
from medgemma_tui.i18n import N_, _, language, ngettext, own
from medgemma_tui.safetext import clean_line

_ENTITY_KINDS: Final[dict[EntityKind, str]] = {
    "age": N_("age"),
    "sex": N_("sex"),
    "duration": N_("duration"),
    "vital": N_("vital sign"),
    "lab": N_("laboratory value"),
    "drug": N_("drug"),
    "diagnosis": N_("diagnosis"),
    "anatomy": N_("anatomy"),
    "finding": N_("finding"),
    "allergy": N_("allergy"),
}
_QUESTION_KINDS: Final[dict[QuestionKind, str]] = {
    "treatment": N_("treatment"),
    "dosing": N_("drug dosing"),
    "staging": N_("staging"),
    "differential": N_("differential diagnosis"),
    "interpretation": N_("interpretation of findings"),
    "overview": N_("overview"),
    "conduct": N_("a thing for the clinician to do"),
    "other": N_("other"),
}
_MISSING: Final[dict[MissingId, str]] = {
    "patient": N_("the patient (age, sex)"),
    "age": N_("age"),
    "sex": N_("sex"),
    "duration": N_("duration"),
    "findings": N_("findings and results"),
    "allergies": N_("allergies"),
    "drug": N_("the drug's name"),
    "renal_function": N_("renal function (eGFR or creatinine)"),
    "indication": N_("what the drug is given for"),
    "question": N_("a specific question"),
    "value": N_("the value"),
    "unit": N_("the unit"),
    "disease": N_("the disease"),
    "weight": N_("weight"),
}
_IDENTIFIERS: Final[dict[IdentifierKind, str]] = {
    "name": N_("name"),
    "id_number": N_("identity number"),
    "phone": N_("phone number"),
    "record_number": N_("record number"),
    "address": N_("address"),
    "birth_date": N_("date of birth"),
    "email": N_("e-mail address"),
}
_SECTIONS: Final[dict[SectionId, str]] = {
    "definition": N_("Definition"),
    "mechanism": N_("Mechanism"),
    "differential": N_("Differential"),
    "recommendation": N_("Recommendation"),
}
_MARKS: Final[dict[MarkKind, str]] = {
    "guideline": N_("citation"),
    "evidence_level": N_("level of evidence"),
    "hedge": N_("hedge without source"),
    "jump": N_("jump"),
    "method_missing": N_("method missing"),
    "unsupported_number": N_("number from nowhere"),
}
_MEANINGS: Final[dict[MarkKind, str]] = {
    "guideline": N_("A guideline is named with its year: look it up."),
    "evidence_level": N_("A level of evidence is stated: see whether the source says so."),
    "hedge": N_("A hedge with no source beside it."),
    "jump": N_("A recommendation that no step before it leads to."),
    "method_missing": N_("A value whose method of measurement is not named."),
    "unsupported_number": N_("This number is neither in the question nor in the trace."),
}
_SEX: Final = {"male": N_("male"), "female": N_("female")}


# --- the question ---


def hint(coaching: Coaching) -> str:
    """The coach's one line: what a good question of its kind would also say. Empty where nothing is missing."""
    asked = [missing(each) for each in coaching.missing if each != "question"]
    lines = [_("The question is very broad: which aspect do you mean?")] if "question" in coaching.missing else []
    if asked:
        lines.append(_("Consider adding: {items}").format(items=own(" · ".join(asked))))
    return sentences(*lines)


def sentences(*each: str) -> str:
    """Sentences one behind the other, as the language in use writes them."""
    return ("" if language() == "zh" else " ").join(sentence for sentence in each if sentence)


def question_notes(found: Analysis) -> list[str]:
    """What is told beside a question where there are no chips: values that cannot be, computed values, the hint."""
    lines = [entity(each) for each in found.entities if each.implausible]
    lines += [derived(each) for each in found.derived]
    told = hint(found.coaching)
    return [*lines, told] if told else lines


def missing(each: MissingId) -> str:
    """One thing that a question lacks."""
    return _(_MISSING[each])


def question_kind(kind: QuestionKind) -> str:
    """What kind of question it is."""
    return _(_QUESTION_KINDS[kind])


def kind(each: EntityKind) -> str:
    """What kind of fact an entity is."""
    return _(_ENTITY_KINDS[each])


def quantity(value: Quantity) -> str:
    """``1.49 mg/dL``: at most four significant digits, thousands separated."""
    return own(f"{figure(value.value)} {clean_line(value.unit)}".strip())


def figure(value: float) -> str:
    """A number as people write it: ``1.49``, ``132``, ``12,500``."""
    size = abs(value)
    digits = 0 if size >= 100 or value == int(value) else 1 if size >= 10 else 2 if size >= 0.1 else 4
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def entity(found: Entity) -> str:
    """A chip: the fact as it was typed, the same value in the other unit, and the question where it cannot be."""
    text = clean_line(found.text).strip()
    if found.also:
        text += own(" = " + " = ".join(quantity(each) for each in found.also))
    if found.implausible:
        return _("{entity}: is this right?").format(entity=text)
    # what is denied: the text of an allergy says so itself
    return _("denied: {term}").format(term=text) if found.negated and found.kind != "allergy" else text


def term(found: Term) -> str:
    """``心梗 → 急性心肌梗死 (ICD-11 BA41.Z ICD-10 I21.9)``, with a site's own codes; said where it is denied, or a
    relative's.
    """
    standard = (
        (found.standard_zh or found.standard_en) if language() == "zh" else (found.standard_en or found.standard_zh)
    )
    codes = " ".join(f"{system} {code}" for system, code in (("ICD-11", found.icd11), ("ICD-10", found.icd10)) if code)
    written = clean_line(found.text)
    text = written if written.casefold() == standard.casefold() else f"{written} → {standard}"
    if codes:
        text += f" ({codes})"
    codes = " ".join(f"{clean_line(system)} {clean_line(code)}" for system, code in found.other)
    if codes:
        text += f" ({codes})"
    if found.negated:
        text = _("denied: {term}").format(term=text)
    elif found.relative:
        text = _("a relative: {term}").format(term=text)
    return own(text)


def derived(found: Derived) -> str:
    """A computed value, always with its formula and year: ``eGFR 45 mL/min/1.73 m² (CKD-EPI 2021)``."""
    names = {"egfr": _("eGFR"), "creatinine_clearance": _("creatinine clearance")}
    return own(f"{names[found.name]} {figure(found.value)} {found.unit} ({found.formula})")


def identifier_kinds(found: Iterable[Identifier]) -> str:
    """The kinds of identifiers, each once, in order. Never their text."""
    names = dict.fromkeys(_(_IDENTIFIERS[each.kind]) for each in found)
    return ("、" if language() == "zh" else ", ").join(names)


def identifiers_found(found: Iterable[Identifier]) -> str:
    """The guard's sentence; it names the kinds, not the text. Empty where there are none."""
    kinds = identifier_kinds(found)
    return _("This could tell who the patient is: {kinds}.").format(kinds=kinds) if kinds else ""


# --- the reply ---


def section(each: SectionId) -> str:
    """The name of one of the four parts."""
    return _(_SECTIONS[each])


def missing_sections(check: SectionCheck) -> str:
    """The sentence that names the parts that a four-part answer lacks; empty where it has all."""
    if not check.missing:
        return ""
    parts = own(" · ".join(section(each) for each in check.missing))
    return _("Missing in this answer: {parts}").format(parts=parts)


def mark_kind(each: MarkKind) -> str:
    """What a mark is."""
    return _(_MARKS[each])


def mark(found: Mark) -> str:
    """A mark in one line: ``citation: KDIGO 2012``."""
    evidence = clean_line(found.evidence).strip()
    name = mark_kind(found.kind)
    return _("{mark}: {evidence}").format(mark=name, evidence=evidence) if evidence else name


def mark_meaning(each: MarkKind) -> str:
    """What a mark says, in a sentence: what was found, never that it is correct or wrong."""
    return _(_MEANINGS[each])


def mark_count(each: MarkKind, n: int) -> str:
    """``2 citations``."""
    counted = {
        "guideline": ngettext("{n} citation", "{n} citations", n),
        "evidence_level": ngettext("{n} level of evidence", "{n} levels of evidence", n),
        "hedge": ngettext("{n} hedge", "{n} hedges", n),
        "jump": ngettext("{n} jump", "{n} jumps", n),
        "method_missing": ngettext("{n} method missing", "{n} methods missing", n),
        "unsupported_number": ngettext("{n} number from nowhere", "{n} numbers from nowhere", n),
    }
    return counted[each].format(n=f"{n:,}")


def trace_summary(review: Review) -> str:
    """One line: ``7 steps · 2 citations · 1 hedge · 1 number from nowhere``, marks of the answer included.

    Empty where there is neither a step nor a mark.
    """
    marks = [found for step in review.steps for found in step.marks] + list(review.answer_marks)
    counts = Counter(found.kind for found in marks)
    parts = [mark_count(each, counts[each]) for each in _MARKS if counts[each]]
    steps = len(review.steps)
    if steps:
        parts.insert(0, ngettext("{n} step", "{n} steps", steps).format(n=f"{steps:,}"))
    return own(" · ".join(parts))


def prescription() -> str:
    """The sentence beside a reply to a request that is the clinician's to fulfil."""
    return _("This is information. Prescriptions and records are the clinician's own.")


def verify() -> str:
    """The sentence beside every answer."""
    return _("Verify before use: check what it says, and its sources, before it reaches a patient.")


def sex(value: str) -> str:
    """Male or female."""
    return _(_SEX[value]) if value in _SEX else clean_line(value)

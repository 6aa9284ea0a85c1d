"""What is made of a question before it is sent: one place for the screen, plain mode, ``ask`` and batch.

The question itself stays as it was typed: that is what is shown, kept and looked up. The model is given ``prompt``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from medgemma_tui.clinical import sections as four_parts
from medgemma_tui.clinical.analysis import analyze
from medgemma_tui.clinical.coach import coach
from medgemma_tui.clinical.deidentify import mask
from medgemma_tui.clinical.findings import Analysis, Entity, Identifier
from medgemma_tui.clinical.formulas import derive
from medgemma_tui.clinical.sections import SectionMode
from medgemma_tui.clinical.terms import standard_terms_line
from medgemma_tui.clinical.textform import question_language


@dataclass(frozen=True)
class Asking:
    """A question that is ready to be sent.

    ``prompt`` is what the model is given: the question, and the line of standard terms behind it where there are any.
    ``sections`` are the headings that the answer must have, for ``ChatRequest.sections``; None: it is free.
    """

    question: str
    prompt: str
    analysis: Analysis
    sections: list[str] | None = None

    @property
    def terms_line(self) -> str:
        """The line of standard terms that goes with the question; empty where there is none."""
        return self.prompt[len(self.question) :].strip()

    @property
    def identifiers(self) -> tuple[Identifier, ...]:
        """What in the question could tell who the patient is."""
        return self.analysis.identifiers

    @property
    def masked(self) -> str:
        """The question with a mask in the place of each identifier. Prepare it anew: the spans are other ones."""
        return mask(self.question, self.analysis.identifiers)


def prepare(question: str, *, sections: SectionMode, known: tuple[Entity, ...] = ()) -> Asking:
    """Analyse a question and make of it what is sent.

    Standard terms and headings are in the language of the question. ``known`` is what is known of the patient beside
    the question (the card's entities): the coach does not ask for it again, and formulas may use it where the question
    says nothing else.

    Raises TableError where a list cannot be used.
    """
    analysis = analyze(question)
    if known:
        analysis = _with_known(question, analysis, known)
    language = question_language(question)
    line = standard_terms_line(analysis.terms, language)
    wanted = four_parts.wanted(sections, analysis)
    return Asking(
        question=question,
        prompt=f"{question}\n\n{line}" if line else question,
        analysis=analysis,
        sections=list(four_parts.headings(language)) if wanted else None,
    )


def _with_known(question: str, analysis: Analysis, known: tuple[Entity, ...]) -> Analysis:
    """The analysis with what only the card says taken into account; the entities stay the question's own."""
    said = {(entity.kind, entity.name) for entity in analysis.entities}
    together = (*analysis.entities, *(entity for entity in known if (entity.kind, entity.name) not in said))
    coaching = coach(question, together, analysis.terms)
    before = derive(known)  # was told with the card
    return replace(analysis, coaching=coaching, derived=tuple(each for each in derive(together) if each not in before))

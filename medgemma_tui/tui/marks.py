"""How the marks on a reply are shown: in words, with an ink beside, never as a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from medgemma_tui import clinical_words
from medgemma_tui.clinical.findings import Analysis, Mark, MarkKind, Review, Step
from medgemma_tui.i18n import _
from medgemma_tui.safetext import clean_line
from medgemma_tui.tui.blocks import Block
from medgemma_tui.tui.ink import MUTED, TEXT, Ink, Line
from medgemma_tui.tui.profile import Glyphs
from medgemma_tui.tui.widgets.chips import chips as chip_runs
from medgemma_tui.tui.wrap import truncate

ORDER: tuple[MarkKind, ...] = (
    "guideline", "evidence_level", "hedge", "jump", "method_missing", "unsupported_number",
)  # fmt: skip
_INKS: dict[MarkKind, Ink] = {"guideline": Ink("link"), "evidence_level": Ink("link")}
_DOUBT = Ink("warn")
_EVIDENCE = 48
"""Cells of one piece of evidence."""
_MOST = 6
"""Pieces of evidence named of one kind; the others are counted."""


def counts(review: Review) -> list[str]:
    """For the summary line: each kind that was found and how often, as in ``2 citations``."""
    found = Counter(mark.kind for step in review.steps for mark in step.marks)
    found.update(mark.kind for mark in review.answer_marks)
    return [clinical_words.mark_count(kind, found[kind]) for kind in ORDER if found[kind]]


def line(marks: Sequence[Mark], glyphs: Glyphs) -> Line:
    """What was found at one place, kind by kind: ``⚑ 引文：KDIGO 2012 · 含糊：可能、大概``."""
    made: Line = []
    for kind in ORDER:
        if not any(mark.kind == kind for mark in marks):
            continue
        ink = _INKS.get(kind, _DOUBT)
        made.append((f" {glyphs.dot} ", MUTED) if made else (f"{glyphs.flag} ", ink))
        made.append((_said(kind, [mark.evidence for mark in marks if mark.kind == kind], glyphs), ink))
    return made


def answer_lines(review: Review, glyphs: Glyphs) -> Iterator[tuple[str, Ink]]:
    """What was found in the answer, one sentence a kind."""
    for kind in ORDER:
        if evidence := [mark.evidence for mark in review.answer_marks if mark.kind == kind]:
            yield _said(kind, evidence, glyphs), _INKS.get(kind, _DOUBT)


def chips(analysis: Analysis, glyphs: Glyphs) -> Line:
    """What was understood of a question: standard terms, the patient, values in both units, what follows from them."""
    telling = tuple(each for each in analysis.entities if each.kind in ("age", "sex") or each.also or each.implausible)
    made: Line = []
    for text, ink in chip_runs(replace(analysis, entities=telling)):
        made += [(f" {glyphs.dot} ", MUTED)] if made else []
        made.append((glyphs.shown(text), MUTED if ink == TEXT else ink))
    return made


def _said(kind: MarkKind, evidence: Sequence[str], glyphs: Glyphs) -> str:
    """A kind and what was found of it, each once."""
    each = list(
        dict.fromkeys(truncate(glyphs.shown(clean_line(text)), _EVIDENCE, glyphs.ellipsis) for text in evidence)
    )
    named = _(", ").join(each[:_MOST])
    more = f" +{len(each) - _MOST}" if len(each) > _MOST else ""
    return _("{mark}: {evidence}").format(mark=clinical_words.mark_kind(kind), evidence=f"{named}{more}")


# --- where in a trace ------------------------------------------------------------------------------------


def cut_at_steps(blocks: Sequence[Block], steps: Sequence[Step]) -> list[Block]:
    """The blocks of a trace, cut where a step begins on a line of plain paragraphs, so that marks stand under it."""
    starts = {step.span[0] for step in steps}
    made: list[Block] = []
    for block in blocks:
        made.extend(_cut(block, starts) if "|" not in block.text and block.text[:3] not in ("```", "~~~") else [block])
    return made


def _cut(block: Block, starts: set[int]) -> Iterator[Block]:
    begin, gap = 0, block.gap
    for at, char in enumerate(block.text):
        if char == "\n" and block.start + at + 1 in starts and not block.text[at + 1 : at + 2].isspace():
            yield Block(block.text[begin:at], gap, block.start + begin)
            begin, gap = at + 1, False
    yield Block(block.text[begin:], gap, block.start + begin) if begin else block


def by_block(blocks: Sequence[Block], steps: Sequence[Step]) -> list[list[Mark]]:
    """The marks of a trace by the block that they stand in."""
    found: list[list[Mark]] = [[] for _block in blocks]
    at = 0
    for place, mark in sorted(
        ((step.span[0] + mark.span[0], mark) for step in steps for mark in step.marks), key=_place
    ):
        while at + 1 < len(blocks) and blocks[at + 1].start <= place:
            at += 1
        if blocks:
            found[at].append(mark)
    return found


def _place(item: tuple[int, Mark]) -> int:
    return item[0]

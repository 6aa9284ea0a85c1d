"""Chips under the composer: what was understood of the draft, while it is typed."""

from __future__ import annotations

from collections.abc import Iterator

from medgemma_tui import clinical_words
from medgemma_tui.clinical.findings import Analysis, Entity, Language, Term
from medgemma_tui.i18n import _, language, own
from medgemma_tui.safetext import clean_line
from medgemma_tui.tui.ink import MUTED, TEXT, Ink, Line, Panel, Run, width_of
from medgemma_tui.tui.profile import Profile
from medgemma_tui.tui.wrap import cells, truncate

TALL = 30
"""Rows of a screen from which on there may be two lines of chips."""
_DOUBT = Ink("warn", bold=True)
_TERM = Ink("link")
_COMPUTED = Ink("heading")
_ORDER = ("age", "sex", "", "lab", "=", "vital", "drug", "allergy", "duration", "finding", "diagnosis", "anatomy")
"""Kinds of entities as they stand; "" are the terms, "=" the computed values. The last are cut first."""


class Chips(Panel):
    """As many chips as fit, and how many more there are. The lines it has once taken stay until it is emptied."""

    def __init__(self, profile: Profile, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._glyphs = profile.glyphs
        self._analysis: Analysis | None = None
        self._chips: list[Run] = []
        self._held = 0
        self.display = False

    def show(self, analysis: Analysis | None) -> None:
        """Show this from now on; None: the draft is empty."""
        if analysis == self._analysis:
            return
        self._analysis = analysis
        if analysis is None:
            self._held = 0
        self.relabel()

    def relabel(self) -> None:
        """Say it in the language in use."""
        self._chips = [] if self._analysis is None else list(chips(self._analysis))
        shown = bool(self._chips or self._held)
        if shown != self.display:
            self.display = shown
            self._laid_for = 0
        self.redraw()

    def compose_lines(self, width: int) -> list[Line]:
        """The chips for this width."""
        most = 2 if self.screen.size.height >= TALL else 1
        lines = self._fitted(width, most)
        self._held = min(most, max(self._held, len(lines)))
        return [*lines, *([] for _row in range(self._held - len(lines)))]

    def _fitted(self, width: int, most: int) -> list[Line]:
        """Line after line what fits into it, in their order; the last one keeps room for the count of the rest."""
        gap: Run = (f" {self._glyphs.dot} ", MUTED)
        left = [(self._glyphs.shown(text), ink) for text, ink in self._chips]
        lines: list[Line] = []
        while left and len(lines) < most:
            all_of_it = sum(cells(text) for text, _ink in left) + cells(gap[0]) * (len(left) - 1)
            is_last = len(lines) + 1 == most and all_of_it > width
            room = width - cells(f" +{len(left)}") if is_last else width
            (text, ink), *left = left
            line: Line = [(truncate(text, max(1, room), self._glyphs.ellipsis), ink)]
            for run in [*left]:
                if width_of(line) + cells(gap[0]) + cells(run[0]) <= room:
                    line += [gap, run]
                    left.remove(run)
            lines.append(line)
        if left:
            lines[-1].append((f" +{len(left)}", MUTED))
        return lines


def chips(analysis: Analysis) -> Iterator[Run]:
    """What was found, each once, the doubtful first."""
    found: list[tuple[int, Run]] = []
    standard = {term.span for term in analysis.terms}
    lang = language()
    for entity in analysis.entities:
        if entity.implausible:
            found.append((-1, (clinical_words.entity(entity), _DOUBT)))
        elif entity.span not in standard:
            found.append((_ORDER.index(entity.kind), (_entity(entity, lang), TEXT)))
    found += [(_ORDER.index(""), (_term(term, lang), _TERM)) for term in analysis.terms]
    found += [(_ORDER.index("="), (clinical_words.derived(each), _COMPUTED)) for each in analysis.derived]
    yield from dict.fromkeys(run for _rank, run in sorted(found, key=lambda each: each[0]))


def _entity(entity: Entity, lang: Language) -> str:
    """``肌酐 132 μmol/L (1.49 mg/dL)``, in the card's notation."""
    from medgemma_tui.clinical import card_words

    if entity.kind in ("vital", "lab") and entity.value is not None:
        text = card_words.measure_words(entity, lang)
        if entity.also:
            text += f" ({' = '.join(clinical_words.quantity(each) for each in entity.also)})"
    elif entity.kind == "drug":
        text = card_words.drug_words(entity, lang)
    elif entity.kind == "allergy":
        text = card_words.allergy_words(entity, lang)
    elif entity.kind == "duration":
        text = card_words.duration_words(entity, lang)
    elif entity.kind in ("age", "sex"):
        text = card_words.named_words(entity, lang)
    else:
        text = _("denied: {term}").format(term=entity.text) if entity.negated else entity.text
    return own(clean_line(text))


def _term(term: Term, lang: Language) -> str:
    """``心梗→急性心肌梗死 BA41.Z / I21.9``: the code of ICD-11, then that of ICD-10."""
    standard = term.standard_zh if lang == "zh" else term.standard_en
    codes = f"{term.icd11 or '-'} / {term.icd10}" if term.icd10 else term.icd11
    written = clean_line(term.text)
    text = written if written.casefold() == standard.casefold() else f"{written}→{standard}"
    text = f"{text} {codes}".strip()
    if term.negated:
        text = _("denied: {term}").format(term=text)
    elif term.relative:
        text = _("a relative: {term}").format(term=text)
    return own(text)

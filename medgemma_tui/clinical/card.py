"""The patient card: the facts of the first turn in compact notation, pinned above the conversation.

``65岁 男 · 突发胸痛 2小时 · V1–V4 ST段抬高 · BP:165/95 · 肌酐 132 μmol/L · 利伐沙班 15 mg qd · 青霉素过敏``.
Made of what ``find_entities`` and ``find_terms`` found and of nothing else, so no name or number of a person gets in.
What a question only asks about (是否为心梗？) is no fact and stays out; a suspicion is marked with a question mark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from medgemma_tui.clinical.card_words import (
    CLAUSE_END,
    DIVIDER,
    ONSET,
    PATIENT,
    QUESTION,
    SUSPECTED,
    SUSPECTED_AFTER,
    TAIL_QUESTION,
    allergy_words,
    drug_words,
    duration_words,
    measure_words,
    named_words,
    term_words,
)
from medgemma_tui.clinical.entities import label
from medgemma_tui.clinical.findings import Analysis, Entity, Language, Term
from medgemma_tui.clinical.textform import fold

_DENIED_MOST = 8
_MOST = 48
_NEAR = 12
_CLAUSE = 160
_FACTS = 400
_OWN_KINDS = frozenset({"age", "sex", "vital", "lab", "allergy", "duration"})
_SEGMENT = re.compile(r"\s*(?:\s·\s|\n)\s*")


def card_text(question: str, analysis: Analysis, lang: Language) -> str:
    """The card of a question or note; empty where it tells nothing about a patient.

    Order: who, complaints with their durations, diagnoses, findings, vital signs, laboratory values, drugs,
    allergies, what is denied. The same text gives the same card.
    """
    folded = fold(question)
    covered = [identifier.span for identifier in analysis.identifiers]
    facts = [
        entity
        for entity in analysis.entities
        if not any(start < entity.span[1] and entity.span[0] < end for start, end in covered)
    ][:_FACTS]
    if not _about_patient(folded, facts):
        return ""
    facts = [fact for fact in facts if fact.kind in _OWN_KINDS or not _asked(folded, fact, facts)]
    parts = _Parts(question, folded, lang, facts, {term.span: term for term in analysis.terms})
    segments = [
        parts.who(),
        *parts.complaints(),
        *parts.measures(),
        *parts.drugs(),
        *parts.allergies(),
        *parts.denied(),
    ]
    return DIVIDER.join(dict.fromkeys(segment for segment in segments if segment))


def merge(card: str, new: str) -> str:
    """The card with what a later turn's card adds, behind it.

    What stands in the card stays as it is, also what a person edited. A fact that is there already is not repeated. A
    new value of something (a second blood pressure) is appended and replaces nothing: the order tells the course.
    """
    if not card.strip() or not new.strip():
        return card.strip() or new.strip()
    known = [_plain(segment) for segment in _SEGMENT.split(card.strip())]
    words = {word for segment in known for word in segment.split(" ")}
    added = []
    for segment in _SEGMENT.split(new.strip()):
        plain = _plain(segment)
        if not plain or plain in known or (_is_who(plain) and set(plain.split(" ")) <= words):
            continue
        known.append(plain)
        added.append(segment)
    return DIVIDER.join([card.strip(), *added])


def _plain(segment: str) -> str:
    return " ".join(fold(segment).split())


def _is_who(plain: str) -> bool:
    return (
        re.fullmatch(
            r"(?:[\d.]+(?:岁|个月|天|周|-(?:year|month|week|day)-old)|男|女|孕妇|male|female|pregnant|\s)+", plain
        )
        is not None
    )


def _about_patient(folded: str, facts: list[Entity]) -> bool:
    """Whether a patient is told of: an age, a value, a duration …, not a disease or a drug alone."""
    if any(fact.kind in _OWN_KINDS and not (fact.comparator and fact.kind in ("vital", "lab")) for fact in facts):
        return True
    return bool(facts) and PATIENT.search(folded) is not None


def _asked(folded: str, fact: Entity, facts: list[Entity]) -> bool:
    """Whether the clause asks about it: behind the question word, or in a clause that is a question as a whole."""
    start = max(0, fact.span[0] - _CLAUSE)
    start = max((match.end() for match in CLAUSE_END.finditer(folded, start, fact.span[0])), default=start)
    end = min(len(folded), fact.span[1] + _CLAUSE)
    found = CLAUSE_END.search(folded, fact.span[1], end)
    end = found.end() if found else end
    asks = QUESTION.search(folded, start, fact.span[0])
    if asks:
        # how to treat a 34-year-old woman with pyelonephritis: what follows the patient is the patient's
        told = any(other.kind in ("age", "sex") and asks.end() <= other.span[0] < fact.span[0] for other in facts)
        return not (told and fact.kind in ("diagnosis", "finding", "anatomy"))
    if not TAIL_QUESTION.search(folded, start, end):
        return False
    return not any(other.kind in _OWN_KINDS and start <= other.span[0] < end for other in facts)


@dataclass(frozen=True, slots=True)
class _Parts:
    """The segments of the card, made of the facts of one text."""

    text: str
    folded: str
    lang: Language
    facts: list[Entity]
    terms: dict[tuple[int, int], Term]

    def who(self) -> str:
        words = []
        for kind in ("age", "sex"):
            shown = dict.fromkeys(self._word(fact) for fact in self.facts if fact.kind == kind)
            words += list(shown)
        return " ".join(words)

    def complaints(self) -> list[str]:
        """Findings and diagnoses, those of one clause together, with the duration that belongs to them."""
        segments: list[str] = []
        group: list[str] = []
        seen: set[str] = set()
        last = first = -1
        pending = ""
        for index, fact in enumerate(self.facts):
            if fact.kind in ("finding", "diagnosis") and not fact.negated:
                if group and not self._joined(last, fact.span[0]):
                    self._close(segments, group, pending)
                    pending = "" if first >= 0 else pending
                    group = []
                if not group:
                    first = fact.span[0]
                words = self._complaint(index)
                if words not in seen:  # a note names the same disease again and again
                    group.append(words)
                    seen.add(words)
                last = fact.span[1]
            elif fact.kind == "duration" and not fact.implausible:
                words = duration_words(fact, self.lang)
                if fact.name == "gestation":
                    segments.append(words)
                elif group and 0 <= fact.span[0] - last <= _NEAR and not self._ends(last, fact.span[0]):
                    self._close(segments, group, words)
                    group, pending = [], ""
                elif self._opens(fact, index):
                    self._close(segments, group, pending)
                    group, pending = [], words
        self._close(segments, group, pending)
        return segments[:_MOST]

    def _joined(self, end: int, start: int) -> bool:
        return start - end <= 3 and not self._ends(end, start)

    def _ends(self, start: int, end: int) -> bool:
        return any(sign in ",。;!?\n" for sign in self.folded[start:end])

    def _opens(self, duration: Entity, index: int) -> bool:
        """3天前出现发热, 2 hours of chest pain: the complaint follows the duration."""
        following = self.facts[index + 1 : index + 2]
        if not following or following[0].kind not in ("finding", "diagnosis") or following[0].negated:
            return False
        between = self.folded[duration.span[1] : following[0].span[0]]
        return len(between) <= 16 and not self._ends(duration.span[1], following[0].span[0])

    def _close(self, segments: list[str], group: list[str], duration: str) -> None:
        if group:
            divider = "、" if self.lang == "zh" else ", "
            words = divider.join(dict.fromkeys(group))
            segments.append(f"{words} {duration}" if duration else words)

    def _complaint(self, index: int) -> str:
        fact = self.facts[index]
        words = self._word(fact)
        if fact.kind == "finding" and words == self.text[fact.span[0] : fact.span[1]]:
            before = self.facts[index - 1] if index else None
            start = fact.span[0]
            if before is not None and before.kind == "anatomy" and before.span[1] == start:
                start = before.span[0]  # 右下肺斑片影
            onset = ONSET.search(self.folded, max(0, start - 14), start)
            words = self.text[onset.start() if onset else start : fact.span[1]]
        if fact.kind == "diagnosis" and (
            SUSPECTED.search(self.folded, max(0, fact.span[0] - 16), fact.span[0])
            or SUSPECTED_AFTER.match(self.folded, fact.span[1])
        ):
            words += "?"
        return words

    def _word(self, fact: Entity) -> str:
        if fact.kind == "diagnosis" or (fact.span in self.terms and label(fact.kind, fact.name) is None):
            return term_words(self.terms.get(fact.span), fact, self.lang)
        return named_words(fact, self.lang)

    def measures(self) -> list[str]:
        order = {"vital": 0, "lab": 1}
        found = sorted((fact for fact in self.facts if fact.kind in order), key=lambda fact: order[fact.kind])
        return [measure_words(fact, self.lang) for fact in found[:_MOST]]

    def drugs(self) -> list[str]:
        return [drug_words(fact, self.lang) for fact in self.facts if fact.kind == "drug"][:_MOST]

    def allergies(self) -> list[str]:
        return [allergy_words(fact, self.lang) for fact in self.facts if fact.kind == "allergy"]

    def denied(self) -> list[str]:
        """At most eight diagnoses and eight findings that the text denies, each in one segment."""
        segments = []
        for kind, zh in (("diagnosis", "否认"), ("finding", "无")):
            words = dict.fromkeys(self._word(fact) for fact in self.facts if fact.kind == kind and fact.negated)
            if words:
                named = list(words)[:_DENIED_MOST]
                segments.append(zh + "、".join(named) if self.lang == "zh" else f"no {', '.join(named)}")
        return segments

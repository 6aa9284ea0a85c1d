"""Recommendations that nothing before them leads to; ``review`` says what counts as one."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from medgemma_tui.clinical.figures import find
from medgemma_tui.clinical.findings import Span
from medgemma_tui.clinical.wording import Hit, wording

_SENTENCE = re.compile(r"[。;!?\n]|\.(?=\s|$)")
_AHEAD = 40  # characters between the recommending word and what it recommends
_BEHIND = 16
_DOSE = 14  # characters between a drug and its dose
_DOSE_UNITS = ("mg", "g", "μg", "u", "ml", "mmol", "10^4 u")


class Led:
    """What has been named so far: a recommendation of something else is a jump."""

    def __init__(self, asked: Sequence[Hit]) -> None:
        self._named: set[str] = set()
        self._name(asked)

    def jumps_in_step(self, folded: str, span: Span, hits: Sequence[Hit], *, sourced: bool) -> list[Span]:
        """The jumps of one step; from then on what it names has been named. ``sourced``: it cites or grades."""
        named = [hit for hit in hits if hit.has("action", "drug")]
        found: list[Span] = []
        if named and not sourced and not any(hit.has("reason") for hit in hits):
            starts = [hit.start for hit in hits]
            for start, end in _sentences(folded, *span):
                within = hits[bisect_left(starts, start) : bisect_left(starts, end)]
                found += self._jumps(_advised(folded, (start, end), within, plain=False, doses=False))
        self._name(named)
        return found

    def jumps_in_answer(self, folded: str, hits: Sequence[Hit], advised: Sequence[Span]) -> list[Span]:
        """The jumps of the answer, each action once. ``advised``: its parts with recommendations, in order."""
        found: list[Span] = []
        if not any(hit.has("action", "drug") for hit in hits):
            return found
        starts = [hit.start for hit in hits]
        part = 0
        for start, end in _sentences(folded):
            while part < len(advised) and advised[part][1] <= start:
                part += 1
            plain = part < len(advised) and advised[part][0] <= start
            within = hits[bisect_left(starts, start) : bisect_left(starts, end)]
            found += self._jumps(_advised(folded, (start, end), within, plain=plain, doses=True))
        return found

    def _name(self, hits: Sequence[Hit]) -> None:
        self._named.update(id_ for hit in hits for id_ in _named(hit))

    def _is_led(self, id_: str) -> bool:
        return id_ in self._named or not self._named.isdisjoint(wording().leads.get(id_, ()))

    def _jumps(self, advised: Iterable[_Advised]) -> Iterator[Span]:
        """The clauses of one sentence of which nothing was named before; then what it recommends has been named."""
        new: list[str] = []
        for _clause, group in groupby(advised, key=lambda each: each.clause):
            same = list(group)
            ids = [id_ for each in same for id_ in each.ids]
            new += ids
            if not any(map(self._is_led, ids)):
                yield min(each.start for each in same), max(each.end for each in same)
        self._named.update(new)


@dataclass(frozen=True, slots=True)
class _Advised:
    """A drug or procedure that is recommended, from the word that recommends it on; ``clause``: its comma's number."""

    ids: tuple[str, ...]
    start: int
    end: int
    clause: int


def _advised(folded: str, span: Span, hits: Sequence[Hit], *, plain: bool, doses: bool) -> Iterator[_Advised]:
    """What one sentence recommends. ``plain``: whatever it names; ``doses``: also a drug with a dose."""
    cue: Hit | None = None
    avoided: Hit | None = None
    last = span[0]  # where the last advised one ends: a list goes on across its commas
    for at, hit in enumerate(hits):
        if hit.has("asks"):
            return
        if hit.has("avoid"):
            avoided, cue = hit, None
        elif hit.has("recommend"):
            cue = hit
            if avoided is not None and _pause(folded, avoided.end, hit.start):
                avoided = None
        if not hit.has("action", "drug") or (avoided is not None and not _pause(folded, avoided.end, hit.start)):
            continue
        by_cue = cue is not None and hit.start - max(cue.end, last) <= _AHEAD
        by_cue = by_cue and cue is not None and not (last < cue.end and _comma(folded, cue.end, hit.start))
        behind = next((other for other in hits[at + 1 : at + 6] if other.has("recommend_after", "avoid_after")), None)
        if behind is not None and behind.start - hit.end > _BEHIND:
            behind = None
        if behind is not None and behind.has("avoid_after"):
            continue
        by_dose = doses and hit.has("drug") and _dosed(folded, hit, span[1])
        if by_cue or behind is not None or by_dose or plain:
            start = cue.start if by_cue and cue is not None else hit.start
            end = behind.end if behind is not None else hit.end
            if last > start:
                start = hit.start
            last = end
            yield _Advised(_named(hit), start, end, folded.count(",", span[0], hit.start))


def _named(hit: Hit) -> tuple[str, ...]:
    return tuple(word.id for word in hit.words if word.role in ("action", "drug"))


def _sentences(folded: str, start: int = 0, end: int | None = None) -> Iterator[Span]:
    end = len(folded) if end is None else end
    at = start
    for stop in _SENTENCE.finditer(folded, start, end):
        if stop.start() > at:
            yield at, stop.start()
        at = stop.end()
    if end > at:
        yield at, end


def _comma(folded: str, start: int, end: int) -> bool:
    return folded.find(",", start, end) >= 0


def _pause(folded: str, start: int, end: int) -> bool:
    return any(sign in folded[start:end] for sign in ",:") if end - start < 200 else True


def _dosed(folded: str, hit: Hit, end: int) -> bool:
    """Whether a dose stands right behind a drug."""
    figure = next(find(folded[hit.end : min(end, hit.end + _DOSE)]), None)
    return figure is not None and figure.unit.lower().split("/")[0] in _DOSE_UNITS

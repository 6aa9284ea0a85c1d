"""Filler: clauses that tell nothing about the illness (患者由家属陪同来诊, Kind regards), offered for trimming.

Only whole clauses of ``data/filler.toml`` are ever offered, and never one with a number, a denial or an entity.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from medgemma_tui.clinical import tables
from medgemma_tui.clinical.entities import find_entities
from medgemma_tui.clinical.findings import Span
from medgemma_tui.clinical.rowfields import pattern_of, texts_of
from medgemma_tui.clinical.textform import fold

_NAME = "filler"
_LONGEST = 100  # code points of a clause
# A full stop ends a clause only before a space, so not in 6.2 or behind Dr.
_DIVIDER = re.compile(r"[,;!?。\n]|(?<!\bdr)(?<!\bmr)(?<!\bmrs)(?<!\bms)(?<!\bprof)\.(?=\s|$)")
_STAYS = re.compile(
    r"[0-9〇一二三四五六七八九十百两]|[无未否非]|没有|没|拒绝|不(?!好意思)|\b(?:no|denie[ds]|without|never|nor|none)\b"
)
_COURTESY = re.compile(r"(?:do not|don't) hesitate|非常|进一步|一下|一个问题")  # neither denials nor numbers


@dataclass(frozen=True, slots=True)
class Filler:
    """A piece of text that tells nothing about the patient's illness, with the sign that divides it from the next."""

    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class _Clause:
    """``[start, end)`` without its blanks; ``before`` and ``after`` are the dividers around it, empty at the ends."""

    start: int
    end: int
    before: str
    after: str
    after_at: int


@tables.compiled
def _pattern() -> re.Pattern[str]:
    expressions = [text for row in tables.rows(_NAME, "filler") for text in texts_of(_NAME, row, "expressions")]
    for expression in expressions:
        pattern_of(_NAME, expression)
    return pattern_of(_NAME, "|".join(f"(?:{expression})" for expression in expressions) or "(?!)")


def find_filler(text: str) -> tuple[Filler, ...]:
    """The clauses that could be left out, in the order of the text; nothing where nothing else would be left.

    Takes 2 ms at most for 4,000 characters. Raises TableError where the list cannot be used.
    """
    folded = fold(text)
    verdicts: dict[str, bool] = {}
    runs: list[list[_Clause]] = []
    something_stays = False
    last: _Clause | None = None
    for clause in _clauses(folded):
        if not _is_filler(folded[clause.start : clause.end], verdicts):
            something_stays = True
        elif runs and last is runs[-1][-1] and last.after == "," and clause.before == ",":
            runs[-1].append(clause)
        else:
            runs.append([clause])
        last = clause
    if not something_stays:
        return ()
    found: list[Filler] = []
    for run in runs:
        start, end = _span(folded, run)
        start = max(start, found[-1].span[1]) if found else start
        found.append(Filler(text[start:end], (start, end)))
    return tuple(found)


def trim(text: str, fillers: tuple[Filler, ...]) -> str:
    """The text without these fillers; one that is not in this text at its place is left alone."""
    parts, at = [], 0
    for filler in sorted(fillers, key=lambda item: item.span):
        start, end = filler.span
        if start >= at and text[start:end] == filler.text:
            parts.append(text[at:start])
            at = end
    return "".join([*parts, text[at:]])


def _clauses(folded: str) -> list[_Clause]:
    found = []
    at, before = 0, ""
    for divider in [*_DIVIDER.finditer(folded), None]:
        stop = divider.start() if divider else len(folded)
        raw = folded[at:stop]
        inner = raw.strip()
        after = divider.group() if divider else ""
        if inner:
            start = at + len(raw) - len(raw.lstrip())
            found.append(_Clause(start, start + len(inner), before, after, stop))
            before = after
        elif after == "\n" or not before:
            before = after or before  # a blank line begins a sentence anew
        if divider:
            at = divider.end()
    return found


def _is_filler(clause: str, verdicts: dict[str, bool]) -> bool:
    if len(clause) > _LONGEST:
        return False
    known = verdicts.get(clause)
    if known is None:
        known = bool(_pattern().fullmatch(clause)) and not (
            _STAYS.search(_COURTESY.sub("", clause)) or find_entities(clause)
        )
        verdicts[clause] = known
    return known


def _span(folded: str, run: list[_Clause]) -> Span:
    """What is cut so that the rest reads well: at a sentence's end the comma before it, else the sign behind it."""
    first, last = run[0], run[-1]
    start, end = first.start, last.end
    within = first.before == ","  # something of the same sentence stands before it
    if within and last.after != ",":
        comma = folded.rfind(",", 0, start)
        return comma, end
    if last.after and last.after != "\n":
        end = last.after_at + 1
        while end < len(folded) and folded[end] in " \t":
            end += 1
    if not within and end < len(folded) and folded[end] == "\n" and (start == 0 or folded[start - 1] == "\n"):
        end += 1  # its line is empty now
    if end == len(folded):
        start = len(folded[:start].rstrip())
    return start, end

"""The de-identification guard: what in a text could tell who the patient is, and masks that keep the clinic in it.

Found are names behind their labels, identity numbers, telephone and record numbers, addresses, exact dates of birth,
and e-mail addresses. An age, a date of admission and a bed's number are no identifiers here: the answer may depend on
the first two, and a bed has another patient every few days. The guard finds what has one of these shapes; it does not
prove that a text has no identifier.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import cast, get_args

from medgemma_tui.clinical import tables
from medgemma_tui.clinical.deidentify_names import (
    LISTS,
    NameMode,
    any_of,
    gather,
    name_behind,
    name_in_cell,
    names_before_sex,
    titled_names,
)
from medgemma_tui.clinical.deidentify_numbers import bare_ids, bare_phones, births, emails, value_behind
from medgemma_tui.clinical.deidentify_places import (
    AddressMode,
    address_behind,
    address_in_cell,
    addresses_by_shape,
)
from medgemma_tui.clinical.deidentify_tables import cells_under
from medgemma_tui.clinical.findings import Identifier, IdentifierKind, Span
from medgemma_tui.clinical.rowfields import choice_of, text_of, texts_of
from medgemma_tui.clinical.textform import fold, is_word

_ANY_NUMBER = r"[号码]|barcode|no\.?|number|#|id|doi|pmid"
_SENTENCE_END = re.compile("[\n。;]")  # hardly an identifier goes on behind these
_ROUNDS = 4
_NEAR = 24  # signs on either side that say in which language a mask is to be
_Found = tuple[IdentifierKind, Span]
_CHINESE = re.compile("[\u3001-\u9fff\uff01-\uff1f]")
_WIDE = re.compile("[\uff21-\uff3a\uff41-\uff5a\u3000\u00a0]")
_CAPITALS = str.maketrans({0xFF01 + offset: 0x21 + offset for offset in range(94)} | {0x3000: 0x20, 0xA0: 0x20})


@dataclass(frozen=True, slots=True)
class _Label:
    kind: IdentifierKind
    mode: str


@dataclass(frozen=True, slots=True)
class _Lists:
    labels: dict[str, _Label]
    label: re.Pattern[str]
    things: re.Pattern[str]
    not_a_person: re.Pattern[str]
    masks: dict[str, tuple[str, str]]


@tables.compiled
def _lists() -> _Lists:
    labels: dict[str, _Label] = {}
    patterns: dict[str, str] = {}
    kinds = get_args(IdentifierKind)
    modes = {"name": get_args(NameMode), "address": get_args(AddressMode)}
    for row in tables.rows(LISTS, "label"):
        kind = cast(IdentifierKind, choice_of(LISTS, row, "kind", kinds))
        mode = choice_of(LISTS, row, "mode", modes[kind]) if kind in modes else ""
        for label in texts_of(LISTS, row, "labels"):
            text = fold(label).strip()
            key = "".join(text.split())
            labels[key] = _Label(kind, mode)
            # a form may have spaces in 姓　名; between English words are one or two
            gap = " {1,2}" if is_word(text[0]) else " {0,4}"
            patterns[key] = re.escape(text).replace("\\ ", gap) + (r"(?![0-9a-z])" if is_word(text[-1]) else "")
    things = [word for row in tables.rows(LISTS, "number_of_things") for word in texts_of(LISTS, row, "words")]
    thing = any_of([fold(word) for word in things])
    return _Lists(
        labels=labels,
        label=re.compile(_any_label(patterns)),
        things=re.compile(
            rf"(?<![a-z])(?:(?:{thing})[ ]?(?:{_ANY_NUMBER}|编号)?|(?<!\d)(?:{_ANY_NUMBER}))"
            rf"(?:(?<![a-z])|(?![a-z]))[ ]?[:=#]?[ ]*(?:[a-z]{{1,3}}-?)?\Z"
        ),
        not_a_person=re.compile(rf"(?:{any_of(gather('english_names', 'not_after'))})['s]{{0,2}} ?\Z"),
        masks={
            choice_of(LISTS, row, "kind", kinds): (text_of(LISTS, row, "zh"), text_of(LISTS, row, "en"))
            for row in tables.rows(LISTS, "mask")
        },
    )


def _any_label(patterns: dict[str, str]) -> str:
    """One expression for all labels, the longest first: by their first signs, so that few are tried at each place."""
    groups: dict[str, list[str]] = {}
    for key in sorted(patterns, key=len, reverse=True):
        groups.setdefault(key[0], []).append(patterns[key].removeprefix(re.escape(key[0])))
    inside = {first: "(?<![a-z0-9].)" if is_word(first) else "" for first in groups}
    return "|".join(f"{re.escape(first)}{inside[first]}(?:{'|'.join(groups[first])})" for first in groups) or "(?!)"


def find_identifiers(text: str) -> tuple[Identifier, ...]:
    """What could tell who the patient is, in the order of the text; no two overlap.

    Takes 4 ms at most for 4,000 characters. Raises TableError where the list cannot be used.
    """
    folded = fold(text)
    cased = text.translate(_CAPITALS) if _WIDE.search(text) else text
    verdicts: dict[str, bool] = {}
    found = _apart(_search(folded, cased, verdicts) + _in_tables(folded, cased))
    if found:
        found = _apart(found + _beside(folded, cased, found, verdicts))
    return tuple(
        Identifier(kind, text[start:end], (start, end), _mask_for(kind, text, start, end))
        for kind, (start, end) in found
    )


def mask(text: str, identifiers: tuple[Identifier, ...]) -> str:
    """The text with its identifiers replaced by their masks; every other letter stays, and masked text stays as it is.

    An identifier that is not in this text at its place is left out.
    """
    parts, at = [], 0
    for identifier in sorted(identifiers, key=lambda item: item.span):
        start, end = identifier.span
        if start >= at and text[start:end] == identifier.text:
            parts += [text[at:start], identifier.mask]
            at = end
    return "".join([*parts, text[at:]])


def _search(folded: str, cased: str, verdicts: dict[str, bool]) -> list[_Found]:
    by_shape: dict[IdentifierKind, list[Span]] = {
        "id_number": bare_ids(folded, _is_of_a_thing),
        "phone": bare_phones(folded, _is_of_a_thing),
        "email": emails(folded),
        "address": addresses_by_shape(folded, cased),
        "name": names_before_sex(folded, cased, verdicts) + titled_names(folded, cased),
        "birth_date": births(folded),
    }
    return [
        *_behind_labels(folded, cased, verdicts),
        *((kind, span) for kind, spans in by_shape.items() for span in spans),
    ]


def _beside(folded: str, cased: str, found: list[_Found], verdicts: dict[str, bool]) -> list[_Found]:
    """What can be told only when what was found is masked: a mask divides words that were run together."""
    ends = [match.end() for match in _SENTENCE_END.finditer(folded)]
    sentences: dict[int, list[_Found]] = {}
    for item in found:
        sentences.setdefault(bisect_right(ends, item[1][0]), []).append(item)
    more: list[_Found] = []
    for number, items in sentences.items():
        start = ends[number - 1] if number else 0
        stop = max(ends[number] if number < len(ends) else len(folded), items[-1][1][1])
        here = [(kind, (first - start, last - start)) for kind, (first, last) in items]
        for _ in range(_ROUNDS):
            spans = [span for _, span in here]
            hidden, written = _hidden(folded[start:stop], spans), _hidden(cased[start:stop], spans)
            new = [item for item in _apart(_search(hidden, written, verdicts)) if "[" not in hidden[slice(*item[1])]]
            if not new:
                break
            here += new
            more += [(kind, (first + start, last + start)) for kind, (first, last) in new]
    return more


def _hidden(text: str, spans: list[Span]) -> str:
    """The text with these spans masked by signs, of the same length."""
    parts, at = [], 0
    for start, end in sorted(spans):
        parts += [text[at:start], "[" * (end - start)]
        at = end
    return "".join([*parts, text[at:]])


def _behind_labels(folded: str, cased: str, verdicts: dict[str, bool]) -> list[_Found]:
    lists = _lists()
    found: list[_Found] = []
    for match in lists.label.finditer(folded):
        start, end = match.span()
        if start and is_word(folded[start]) and is_word(folded[start - 1]):
            continue
        label = lists.labels["".join(match.group().split())]
        span: Span | None
        if label.kind == "name":
            if lists.not_a_person.search(folded, max(0, start - 16), start):
                continue
            shouted = end - start > 2 and cased[start:end].isupper()
            span = name_behind(folded, cased, end, cast(NameMode, label.mode), shouted, verdicts)
        elif label.kind == "address":
            span = address_behind(folded, cased, end, cast(AddressMode, label.mode))
        elif label.kind == "record_number" and _is_of_a_thing(folded, start):
            continue  # 样本ID
        else:
            span = value_behind(label.kind, folded, end)
        if span:
            found.append((label.kind, span))
    return found


def _in_tables(folded: str, cased: str) -> list[_Found]:
    lists = _lists()
    found: list[_Found] = []
    for label, (start, end) in cells_under(folded, lists.labels.get):
        span: Span | None
        if start == end or folded[start] in "[_-":
            continue
        if label.kind == "name":
            span = name_in_cell(folded, cased, start, end) if label.mode == "name" else None
        elif label.kind == "address":
            span = address_in_cell(folded, start, end) if label.mode != "code" else None
        else:
            span = value_behind(label.kind, folded, start)
        if span and span[1] <= end:
            found.append((label.kind, span))
    return found


def _is_of_a_thing(folded: str, start: int) -> bool:
    return bool(_lists().things.search(folded, max(0, start - 20), start))


def _mask_for(kind: IdentifierKind, text: str, start: int, end: int) -> str:
    zh, en = _lists().masks.get(kind, ("[*]", "[*]"))
    if kind in ("name", "address") and _CHINESE.search(text, start, end):
        return zh
    near = text[max(0, start - _NEAR) : start] + text[end : end + _NEAR]
    if not near.strip() and kind in ("id_number", "phone"):
        return zh  # these were told by a Chinese form
    return zh if _CHINESE.search(near) else en


def _apart(found: list[_Found]) -> list[_Found]:
    """Where findings overlap the one that begins first counts, then the longer, then the one found first."""
    kept: list[_Found] = []
    for kind, span in sorted(found, key=lambda item: (item[1][0], -item[1][1])):
        if span[0] < span[1] and (not kept or span[0] >= kept[-1][1][1]):
            kept.append((kind, span))
    return kept

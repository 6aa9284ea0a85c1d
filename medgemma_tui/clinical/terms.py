"""From what people say and write (心梗, heart attack, AMI) to the standard term and its ICD-11 and ICD-10 codes.

The packaged lists are ``data/terms_*.toml``; a site adds rows in files of the same names, in ``terms.toml``, or by
importing its own table (``site_index``). Longest match; what is negated is found and marked so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from medgemma_tui.clinical import negation, site_index, tables
from medgemma_tui.clinical.findings import Language, Term
from medgemma_tui.clinical.lexicon import Lexicon, Match
from medgemma_tui.clinical.site_index import SiteTerm
from medgemma_tui.clinical.textform import fold, narrow

LISTS: Final = (
    "terms_blocks", "terms_cardiovascular", "terms_neuro", "terms_respiratory", "terms_digestive", "terms_endocrine",
    "terms_renal", "terms_infection", "terms_oncology", "terms_musculoskeletal", "terms_skin", "terms_women_children",
    "terms_mind_senses", "terms_general", "terms_tests", "terms",
)  # fmt: skip
"""The lists, in the order in which they are read; a later row for the same expression counts."""


Kind = Literal["diagnosis", "finding", ""]
# Rows of these lists that have no code are still a patient's illness; what is in the others is told by its code only.
_ILL: Final = frozenset(LISTS) - {"terms_tests", "terms"}


@dataclass(frozen=True, slots=True)
class Standard:
    """A standard term. ``proper``: its English name keeps its capital inside a sentence (Parkinson disease).

    ``kind`` is empty where it is no state of a patient: a test, an operation, a drug.
    """

    zh: str
    en: str
    icd11: str = ""
    icd10: str = ""
    proper: bool = False
    kind: Kind = ""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What an expression stands for; None: nothing (中风险). ``exact``: the only ways it may be written."""

    standard: Standard | None
    exact: frozenset[str] = frozenset()
    other: tuple[tuple[str, str], ...] = ()


def find_terms(text: str, reader: negation.Reader | None = None) -> tuple[Term, ...]:
    """The terms in a text, from left to right; they do not overlap. Raises TableError where a list cannot be used.

    A standard name is found, too, in both languages. ``negated`` is set for what is said not to be there,
    ``relative`` for what a relative has. The longer expression counts, whoever's list it is in. Where the packaged
    lists and the site's imported table have the same one, the packaged names and codes stand and the site's code is
    added to ``other``, unless the site's row has an ICD code of its own: then the site's row stands.
    ``reader`` reads this very text, where the caller has one. Takes about 4 ms for 4,000 characters, 10 ms more at most
    with 300,000 imported expressions.
    """
    reader = reader or negation.Reader(fold(text))
    folded = reader.folded
    found = []
    for match in _matches(text, folded):
        start, end, standard = match.start, match.end, match.value.standard
        if standard is not None:
            found.append(
                Term(
                    text[start:end], (start, end), standard.zh, standard.en, standard.icd11, standard.icd10,
                    reader.negated(start, end), match.value.other, reader.of_relative(start, end),
                    standard.kind or ("diagnosis" if match.value.other else ""),
                )
            )  # fmt: skip
    return tuple(found)


def _matches(text: str, folded: str) -> Iterator[Match[_Entry]]:
    packaged = (match for match in _lexicon().find(folded) if _as_written(text, match))
    indexes = site_index.indexes()
    if not indexes:
        yield from packaged
        return
    spans = {(match.start, match.end): match.value for match in packaged}
    for index in indexes:
        for match in index.find(folded):
            spans[match.start, match.end] = _joined(spans.get((match.start, match.end)), match.value)
    free = 0
    for (start, end), entry in sorted(spans.items(), key=lambda item: (item[0][0], -item[0][1])):
        if start >= free:
            free = end
            yield Match(start, end, entry)


def _joined(known: _Entry | None, site: SiteTerm) -> _Entry:
    """What an expression stands for that the site's table has, and perhaps another list (see ``find_terms``)."""
    own = ((site.system, site.code),) if site.code else ()
    if known is None or known.standard is None or site.icd11 or site.icd10:
        return _Entry(_standard(site), other=(*(known.other if known else ()), *own))
    return _Entry(known.standard, other=(*known.other, *own))


def _standard(site: SiteTerm) -> Standard:
    return Standard(site.zh, site.en, site.icd11, site.icd10, kind=_kind(site.icd11, site.icd10))


def says_something(term: Term) -> bool:
    """Whether a term tells more than the text: a code, what a patient has, or another name than was written.

    血常规 and aspirin, written so, say nothing: they are neither shown nor handed on.
    """
    written = fold(" ".join(term.text.split()))
    names = {fold(name).removesuffix("s") for name in (term.standard_zh, term.standard_en)}
    return bool(term.kind or term.other) or written.removesuffix("s") not in names


def standard_terms_line(terms: tuple[Term, ...], lang: Language) -> str:
    """One line for the model: 标准术语：心梗 = 急性心肌梗死；… Empty where every term is written in its standard form.

    Each expression once, in the order of the text. Names only: what is negated is in the question itself.
    """
    pairs: dict[str, str] = {}
    for term in terms:
        name = term.standard_zh if lang == "zh" else _in_a_sentence(term.standard_en)
        written = " ".join(term.text.split())
        key = fold(written)
        if name and key.removesuffix("s") != fold(name).removesuffix("s"):
            pairs.setdefault(key, f"{written} = {name}")
    if not pairs:
        return ""
    return f"标准术语：{'；'.join(pairs.values())}" if lang == "zh" else f"Standard terms: {'; '.join(pairs.values())}"


def _as_written(text: str, match: Match[_Entry]) -> bool:
    exact = match.value.exact
    return not exact or narrow(text[match.start : match.end]) in exact


def _in_a_sentence(name: str) -> str:
    return name if name in _proper_names() or not name[1:2].islower() else name[0].lower() + name[1:]


@tables.compiled
def _proper_names() -> frozenset[str]:
    return frozenset(standard.en for standard, _, _ in _rows() if standard.proper)


@tables.compiled
def _lexicon() -> Lexicon[_Entry]:
    entries: list[tuple[str, _Entry]] = []
    for block in (row for name in LISTS for row in tables.rows(name, "block")):
        nothing = _Entry(None)
        entries += [(expression, nothing) for expression in _texts(block, "expressions", "block")]
    for standard, expressions, exact in _rows():
        entry = _Entry(standard)
        for expression in (standard.zh, standard.en, *expressions):
            entries += [(way, entry) for way in (expression, *_plural(expression))]
        entries += [(expression, _Entry(standard, frozenset(exact))) for expression in exact]
    return Lexicon(entries)


@tables.compiled
def _rows() -> list[tuple[Standard, tuple[str, ...], tuple[str, ...]]]:
    """Every term with its expressions and with those that are found only as written. Raises TableError."""
    found = []
    for name in LISTS:
        for row in tables.rows(name, "term"):
            zh, en, icd11, icd10 = (row.get(key, "") for key in ("zh", "en", "icd11", "icd10"))
            label = f"{name}.toml"
            if not (isinstance(zh, str) and zh.strip() and isinstance(en, str) and en.strip()):
                raise tables.TableError(label, f"[[term]] needs zh and en: {zh!r}, {en!r}")
            if not (isinstance(icd11, str) and isinstance(icd10, str)):
                raise tables.TableError(label, f"[[term]] {zh}: icd11 and icd10 must be texts")
            icd11, icd10 = icd11.strip(), icd10.strip()
            ill = name in _ILL or row.get("symptom") is True
            kind = _kind(icd11, icd10, ill=ill, symptom=row.get("symptom") is True)
            standard = Standard(zh.strip(), en.strip(), icd11, icd10, row.get("proper") is True, kind)
            found.append((standard, _texts(row, "expressions", label), _texts(row, "exact", label)))
    return found


def _kind(icd11: str, icd10: str, *, ill: bool = False, symptom: bool = False) -> Kind:
    """Chapter R of ICD-10 and chapter 21 (M) of ICD-11 hold symptoms and signs; ICD-10 decides where both tell."""
    if symptom or icd10.startswith("R") or (not icd10 and icd11.startswith("M")):
        return "finding"
    return "diagnosis" if icd10 or icd11 or ill else ""


def _texts(row: tables.Row, key: str, label: str) -> tuple[str, ...]:
    value = row.get(key, [])
    if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
        raise tables.TableError(label, f"{key} must be a list of texts: {row.get('zh', value)!r}")
    return tuple(text.strip() for text in value)


def _plural(expression: str) -> tuple[str, ...]:
    """The plural of an English expression of small letters, where it is the plain one: heart attacks."""
    last = expression[-1]
    plain = len(expression) >= 6 and expression.isascii() and last.islower() and last not in "sxyzai"
    return (f"{expression}s",) if plain else ()

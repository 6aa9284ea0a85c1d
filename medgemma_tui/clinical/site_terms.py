"""Reading a site's own table of terms, line by line: a tab-separated table, or SNOMED CT descriptions (RF2).

Pure: lines in, rows or problems out. A problem has an id and figures; the sentence for it is made elsewhere. No code is
looked up: only its form is checked, since the site answers for its own table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from medgemma_tui.clinical.textform import fold

Kind = Literal["tsv", "rf2"]
ProblemId = Literal[
    "not_utf8", "line_too_long", "no_header", "unknown_column", "column_twice", "column_missing", "too_few_fields",
    "too_many_fields", "no_expression", "no_standard", "expression_too_short", "field_too_long", "control_character",
    "bad_icd11", "bad_icd10", "bad_number", "bad_active", "conflict", "empty", "quoted",
]  # fmt: skip

TSV_NEEDED: Final = ("expression", "standard_zh", "standard_en")
TSV_COLUMNS: Final = (*TSV_NEEDED, "icd11", "icd10", "system", "code")
RF2_COLUMNS: Final = (
    "id", "effectivetime", "active", "moduleid", "conceptid", "languagecode", "typeid", "term", "casesignificanceid",
)  # fmt: skip
FULLY_SPECIFIED: Final = "900000000000003001"
"""SNOMED CT's type of a concept's one unambiguous name, which ends in its kind in brackets."""
TAGS: Final = ("disorder", "finding")
"""The kinds of SNOMED CT concepts that are terms here; procedures, organisms, people and the like are not."""

MAX_FIELD: Final = 250
MIN_EXPRESSION: Final = 2

_ICD11: Final = re.compile(r"[0-9A-HJ-NP-Z]{4}(?:\.[0-9A-Z]{1,3})?(?:[&/][0-9A-Z]{4,6}(?:\.[0-9A-Z]{1,3})?)*")
# The Chinese clinical edition extends ICD-10: I21.900x004.
_ICD10: Final = re.compile(r"[A-Z][0-9]{2}(?:\.[0-9A-Za-z]{1,8})?[+*]?")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
_TAG: Final = re.compile(r"\s*\(([a-z /]+)\)$")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a line. ``detail`` is the column, value or count that the sentence needs."""

    line: int
    what: ProblemId
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One expression and what it stands for in the site's table; ``line`` is where it was."""

    line: int
    expression: str
    zh: str
    en: str
    icd11: str = ""
    icd10: str = ""
    system: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Description:
    """An active SNOMED CT description. ``tag`` is the kind of its concept, told by fully specified names alone."""

    line: int
    concept: str
    language: str
    full: bool
    term: str
    tag: str = ""


def kind_of(header: str) -> Kind | None:
    """What table begins with this line, None where it is neither."""
    names = [name.strip().lower() for name in header.split("\t")]
    if {"conceptid", "typeid", "term"} <= set(names):
        return "rf2"
    return "tsv" if "expression" in names else None


def tsv_columns(header: str) -> list[str] | Problem:
    """The names of the columns of a tab-separated table, or what is wrong with its first line."""
    names = [name.strip().lower() for name in header.split("\t")]
    for name in names:
        if name not in TSV_COLUMNS:
            return Problem(1, "unknown_column", name)
        if names.count(name) > 1:
            return Problem(1, "column_twice", name)
    missing = next((name for name in TSV_NEEDED if name not in names), None)
    return Problem(1, "column_missing", missing) if missing else names


def tsv_row(number: int, line: str, columns: list[str], system: str) -> Row | Problem | None:
    """A row of a tab-separated table; None for an empty line. ``system`` is meant where a code comes without one."""
    if not line.strip():
        return None
    fields = [" ".join(field.split(" ")).strip() for field in line.split("\t")]
    if len(fields) < len(columns):
        return Problem(number, "too_few_fields", f"{len(fields)}/{len(columns)}")
    if len(fields) > len(columns):
        return Problem(number, "too_many_fields", f"{len(fields)}/{len(columns)}")
    named = dict(zip(columns, fields, strict=True))
    wrong = _field_problem(number, named)
    if wrong:
        return wrong
    zh, en = named["standard_zh"], named["standard_en"]
    code = named.get("code", "")
    return Row(
        number, named["expression"], zh or en, en or zh, named.get("icd11", ""), named.get("icd10", ""),
        (named.get("system") or system) if code else "", code,
    )  # fmt: skip


def rf2_columns(header: str) -> list[str] | Problem:
    """The names of the columns of an RF2 description file, or what is wrong with its first line."""
    names = [name.strip().lower() for name in header.split("\t")]
    missing = next((name for name in RF2_COLUMNS if name not in names), None)
    return Problem(1, "column_missing", missing) if missing else names


def rf2_description(number: int, line: str, columns: list[str]) -> Description | Problem | None:
    """A description, None where it is not active."""
    if not line.strip():
        return None
    fields = line.split("\t")
    if len(fields) != len(columns):
        few: ProblemId = "too_few_fields" if len(fields) < len(columns) else "too_many_fields"
        return Problem(number, few, f"{len(fields)}/{len(columns)}")
    named = dict(zip(columns, (field.strip() for field in fields), strict=True))
    for column in ("id", "conceptid", "typeid"):
        if not (named[column].isascii() and named[column].isdigit()):
            return Problem(number, "bad_number", f"{column}: {named[column][:40]}")
    if named["active"] not in ("0", "1"):
        return Problem(number, "bad_active", named["active"][:40])
    if named["active"] == "0":
        return None
    if not named["term"]:
        return Problem(number, "no_expression", "term")
    if _CONTROL.search(named["term"]):
        return Problem(number, "control_character", "term")
    full = named["typeid"] == FULLY_SPECIFIED
    tag = _TAG.search(named["term"]) if full else None
    term = named["term"][: tag.start()] if tag else named["term"]
    return Description(number, named["conceptid"], named["languagecode"].lower(), full, term, tag[1] if tag else "")


def usable(expression: str) -> bool:
    """Whether an expression can be looked for: not a lone sign, not a whole sentence."""
    return MIN_EXPRESSION <= len(fold(expression).strip()) <= MAX_FIELD


def _field_problem(number: int, named: dict[str, str]) -> Problem | None:
    for column, value in named.items():
        if len(value) > MAX_FIELD:
            return Problem(number, "field_too_long", column)
        if _CONTROL.search(value):
            return Problem(number, "control_character", column)
        if len(value) > 1 and value[0] == value[-1] == '"':
            return Problem(number, "quoted", column)
    expression = named["expression"]
    if not expression:
        return Problem(number, "no_expression", "expression")
    if len(expression) < MIN_EXPRESSION:
        return Problem(number, "expression_too_short", expression)
    if not (named["standard_zh"] or named["standard_en"]):
        return Problem(number, "no_standard", expression)
    if named.get("icd11") and not _ICD11.fullmatch(named["icd11"]):
        return Problem(number, "bad_icd11", named["icd11"])
    if named.get("icd10") and not _ICD10.fullmatch(named["icd10"]):
        return Problem(number, "bad_icd10", named["icd10"])
    return None

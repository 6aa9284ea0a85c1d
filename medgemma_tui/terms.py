"""``medgemma-tui terms lookup`` and ``terms import``: the standard terms in a text, and a site's own table of them."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

from medgemma_tui import site_import, site_lists
from medgemma_tui.clinical.findings import Term
from medgemma_tui.clinical.site_terms import Problem
from medgemma_tui.clinical.terms import find_terms
from medgemma_tui.exits import ExitCode
from medgemma_tui.i18n import _, ngettext
from medgemma_tui.safetext import clean_line, escape_json
from medgemma_tui.settings import Settings


def lookup(text: str, *, as_json: bool) -> int:
    """Print the terms that are found in a text. Returns the exit code: 1 where there is none.

    Raises TableError where a list cannot be used.
    """
    found = find_terms(text)
    if as_json:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")  # JSON is UTF-8 in every locale
        print(escape_json(json.dumps([_object(term) for term in found], ensure_ascii=False)))
    else:
        for term in found:
            print(clean_line(_line(term)))
    if found:
        return ExitCode.OK
    print(clean_line(_("No known term in this text.")), file=sys.stderr)
    return ExitCode.FAILED


def import_file(settings: Settings, source: Path, name: str | None) -> int:
    """Check a site's table and store it. Returns the exit code: 1 where it was not stored, 2 for an unusable name.

    Raises OSError where a file cannot be read or written.
    """
    name = name if name is not None else _name_of(source)
    if not site_import.NAME.fullmatch(name):
        _say(_("--name takes up to 40 small letters, digits, - and _: {name}").format(name=name))
        return ExitCode.USAGE
    directory = site_lists.writable_directory(settings)
    progress = _Progress()
    try:
        stored = site_import.import_table(source, directory, name, progress)
    except site_import.Refused as refused:
        progress.end()
        for problem in refused.problems:
            _say(f"{source}:{problem.line}: {sentence(problem)}")
        _say(_("Nothing was stored. The rest was not read.") if refused.more else _("Nothing was stored."))
        return ExitCode.FAILED
    progress.end()
    told = ngettext("{count} expression stored in {path}.", "{count} expressions stored in {path}.", stored.expressions)
    print(clean_line(told.format(count=f"{stored.expressions:,}", path=stored.path)))
    if stored.skipped:
        told = ngettext(
            "{count} left out: too short or too long, of several meanings, or of another kind.",
            "{count} left out: too short or too long, of several meanings, or of other kinds.",
            stored.skipped,
        )
        print(told.format(count=f"{stored.skipped:,}"))
    if stored.repeated:
        told = ngettext("{count} came twice.", "{count} came twice.", stored.repeated)
        print(told.format(count=f"{stored.repeated:,}"))
    return ExitCode.OK


def sentence(problem: Problem) -> str:
    """What is wrong with a line of a table, in words."""
    detail = problem.detail
    first, _bar, second = detail.rpartition("|")
    words = {
        "not_utf8": _("not UTF-8; save the table as UTF-8"),
        "line_too_long": _("the line is too long"),
        "no_header": _(
            "the first line names no columns known here: a table needs expression, standard_zh and standard_en, "
            "divided by tabs; SNOMED CT needs an RF2 description file"
        ),
        "unknown_column": _("unknown column {detail!r}"),
        "column_twice": _("the column {detail!r} is there twice"),
        "column_missing": _("the column {detail!r} is missing"),
        "too_few_fields": _("too few fields ({detail}); fields are divided by tabs"),
        "too_many_fields": _("too many fields ({detail}); a tab inside a field?"),
        "no_expression": _("{detail} is empty"),
        "no_standard": _("{detail!r} has no standard term: standard_zh and standard_en are both empty"),
        "expression_too_short": _("the expression {detail!r} is a single sign, which would be found everywhere"),
        "field_too_long": _("{detail} has more than 250 characters"),
        "control_character": _("{detail} holds a control character or an invisible sign"),
        "bad_icd11": _("{detail!r} has not the form of an ICD-11 code"),
        "bad_icd10": _("{detail!r} has not the form of an ICD-10 code"),
        "bad_number": _("{detail}: not a number"),
        "bad_active": _("active must be 0 or 1: {detail!r}"),
        "conflict": _("{first!r} stands for something else in line {second}"),
        "empty": _("the table has no rows that can be used"),
        "quoted": _("{detail} is in quotation marks; leave them out"),
    }
    return words[problem.what].format(detail=detail, first=first, second=second)


class _Progress:
    """The lines that were read so far, on one line of a terminal."""

    def __init__(self) -> None:
        self._shown = False

    def __call__(self, lines: int) -> None:
        if sys.stderr.isatty():
            text = _("{count} lines checked …").format(count=f"{lines:,}")
            print(f"\r{clean_line(text)}", end="", file=sys.stderr, flush=True)
            self._shown = True

    def end(self) -> None:
        """Leave the line for what comes next."""
        if self._shown:
            print(file=sys.stderr)


def _line(term: Term) -> str:
    parts = [term.standard_zh, term.standard_en] if term.standard_zh != term.standard_en else [term.standard_en]
    parts += [f"ICD-11 {term.icd11}"] if term.icd11 else []
    parts += [f"ICD-10 {term.icd10}"] if term.icd10 else []
    parts += [f"{system} {code}" for system, code in term.other]
    parts += [_("negated")] if term.negated else []
    parts += [_("of a relative")] if term.relative else []
    return f"{term.text} → {' · '.join(parts)}"


def _object(term: Term) -> dict[str, object]:
    return {
        "text": term.text,
        "standard_zh": term.standard_zh,
        "standard_en": term.standard_en,
        "icd11": term.icd11,
        "icd10": term.icd10,
        "negated": term.negated,
        "relative": term.relative,
        "other": [{"system": system, "code": code} for system, code in term.other],
        "span": list(term.span),
    }


def _name_of(source: Path) -> str:
    """A name for a table that was given none: its file's, in small letters."""
    return re.sub(r"[^a-z0-9_-]+", "-", source.stem.lower()).strip("-_")[:40] or "site"


def _say(text: str) -> None:
    print(clean_line(f"medgemma-tui: {text}"), file=sys.stderr)

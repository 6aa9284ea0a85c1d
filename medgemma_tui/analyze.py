"""``medgemma-tui analyze``: the clinical layer alone, on texts or on finished replies. No model, no gateway.

One text gives one object; with ``-`` each line of standard input gives one line of output, as it comes.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO

from pydantic import BaseModel, ValidationError

from medgemma_tui import clinical_words as words
from medgemma_tui.clinical import analysis
from medgemma_tui.clinical.findings import Analysis, Review
from medgemma_tui.exits import ExitCode
from medgemma_tui.i18n import _, own
from medgemma_tui.protocol.analysis import (
    AnalysisObject,
    AnalyzeFailure,
    InputError,
    ReviewObject,
    TraceInput,
)
from medgemma_tui.safetext import clean_line, escape_json

LARGEST_BYTES = 1024 * 1024
"""The longest line, or document of ``--trace``, that is analysed; in bytes of UTF-8."""

_SURROGATES = re.compile("[\ud800-\udfff]")


class Unusable(Exception):
    """A text that cannot be analysed, and why, in one line that holds nothing of the text."""

    def __init__(self, kind: str, problem: str) -> None:
        self.kind, self.problem = kind, problem
        super().__init__(problem)


def run(text: str, *, as_json: bool, trace: bool) -> int:
    """Analyse ``text``, or with ``-`` each line of standard input, and print. Returns the exit code: 2 where one could
    not be analysed.

    Raises TableError where a list cannot be used.
    """
    work = _trace if trace else _text
    if text != "-":
        return _each(iter([(0, text)]), work, as_json=as_json)
    lines = _lines(sys.stdin.buffer)
    return _each(_documents(lines) if trace else lines, work, as_json=as_json)


def _each(
    inputs: Iterator[tuple[int, str | Unusable]],
    work: Callable[[str], tuple[BaseModel, list[str]]],
    *,
    as_json: bool,
) -> ExitCode:
    """Analyse each text and print it at once. A text's number is its line; 0: it was given as an argument."""
    if as_json and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # JSON is UTF-8 in every locale
    code, first = ExitCode.OK, True
    for line, text in inputs:
        try:
            if isinstance(text, Unusable):
                raise text
            document, readable = work(_SURROGATES.sub("\ufffd", text))
        except Unusable as error:
            code = ExitCode.USAGE
            told = _("line {line}: {problem}").format(line=line, problem=error.problem) if line else error.problem
            print(clean_line(f"medgemma-tui: {told}"), file=sys.stderr, flush=True)
            document = AnalyzeFailure(error=InputError(type=error.kind, message=error.problem, line=line))
            readable = []
        if as_json:
            print(escape_json(document.model_dump_json()), flush=True)
        elif readable:
            print("\n".join(readable) if first else "\n" + "\n".join(readable), flush=True)
            first = False
    return code


# --- what is read ---


def _lines(stream: BinaryIO) -> Iterator[tuple[int, str | Unusable]]:
    """The lines with their numbers. Bytes that are no UTF-8 become U+FFFD; a line that is too long is passed over."""
    number = 0
    while data := stream.readline(LARGEST_BYTES + 2):
        number += 1
        line = data.removesuffix(b"\n").removesuffix(b"\r")
        if len(line) > LARGEST_BYTES:
            while data and not data.endswith(b"\n"):
                data = stream.readline(LARGEST_BYTES)
            yield number, _too_long()
        else:
            yield number, line.decode("utf-8", "replace").removeprefix("\ufeff" if number == 1 else "")


def _too_long() -> Unusable:
    limit = _("longer than the {limit} bytes that are analysed at once").format(limit=f"{LARGEST_BYTES:,}")
    return Unusable("too_large", limit)


def _documents(lines: Iterator[tuple[int, str | Unusable]]) -> Iterator[tuple[int, str | Unusable]]:
    """JSON objects, one a line; or one alone, written over several lines. Empty lines are passed over."""
    for number, line in lines:
        if isinstance(line, Unusable) or line.strip():
            if isinstance(line, str) and _goes_on(line):
                yield from _one_document(number, line, lines)
                return
            yield number, line
            break
    yield from (each for each in lines if isinstance(each[1], Unusable) or each[1].strip())


def _goes_on(line: str) -> bool:
    """Whether a line is the beginning of a JSON object that goes on in the next."""
    try:
        json.loads(line)
    except json.JSONDecodeError as error:
        return line.lstrip().startswith("{") and error.pos >= len(line.rstrip())
    except (RecursionError, ValueError):  # a number of too many digits is a ValueError
        pass
    return False


def _one_document(
    number: int, first: str, lines: Iterator[tuple[int, str | Unusable]]
) -> Iterator[tuple[int, str | Unusable]]:
    """The lines as one document; as one document each where one of the others is a whole one by itself."""
    read: list[tuple[int, str | Unusable]] = [(number, first)]
    size = len(first)
    for each in lines:
        read.append(each)
        size += len(each[1]) + 1 if isinstance(each[1], str) else 0
        if isinstance(each[1], Unusable) or size > LARGEST_BYTES or _is_object(each[1]):
            yield from (one for one in read if isinstance(one[1], Unusable) or one[1].strip())
            yield from (one for one in lines if isinstance(one[1], Unusable) or one[1].strip())
            return
    yield number, "\n".join(str(text) for _number, text in read)


def _is_object(line: str) -> bool:
    """Whether a line is a reply by itself."""
    if not line.startswith("{"):
        return False
    try:
        return "question" in json.loads(line)
    except (ValueError, RecursionError):
        return False


# --- what is made of it ---


def _text(text: str) -> tuple[BaseModel, list[str]]:
    found = analysis.analyze(text)
    return analysis_object(found), analysis_lines(found)


def _trace(text: str) -> tuple[BaseModel, list[str]]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        place = _("column {column}").format(column=error.colno)
        if error.lineno > 1:
            place = _("line {line} of the object, {column}").format(line=error.lineno, column=place)
        raise Unusable("not_json", _("not JSON: {problem}, {place}").format(problem=error.msg, place=place)) from None
    except RecursionError:
        raise Unusable("not_json", _("not JSON: nested too deeply")) from None
    except ValueError:
        raise Unusable("not_json", _("not JSON that can be read: a number has too many digits")) from None
    if not isinstance(document, dict):
        problem = _("not a JSON object with question, reasoning and answer")
        raise Unusable("wrong_fields", problem)
    try:
        reply = TraceInput.model_validate(_without_surrogates(document))
    except ValidationError as error:
        raise Unusable("wrong_fields", _field_problem(error)) from None
    from medgemma_tui.clinical import review  # with its lists: for replies alone

    found = review.review(reply.question, reply.reasoning, reply.answer)
    return ReviewObject.of(found), review_lines(found)


def _field_problem(error: ValidationError) -> str:
    """The first problem of a wrong object, naming its field; never its value, which may be a patient's."""
    first = error.errors(include_input=False, include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return _("{field} is missing").format(field=name)
    return _("{field} is not a text").format(field=name)


def _without_surrogates(document: dict[str, object]) -> dict[str, object]:
    """JSON can write halves of characters (``"\\ud83d"``), which no UTF-8 can hold."""
    return {
        name: _SURROGATES.sub("\ufffd", value) if isinstance(value, str) else value for name, value in document.items()
    }


def analysis_object(found: Analysis) -> AnalysisObject:
    """The JSON object of an analysis, with the hint in the language in use."""
    return AnalysisObject.of(found, words.hint(found.coaching))


# --- for people ---


def analysis_lines(found: Analysis) -> list[str]:
    """What was found, in lines for a person."""
    lines = [
        _("{kind}: {entity}").format(kind=words.kind(each.kind), entity=words.entity(each)) for each in found.entities
    ]
    lines += [_("computed: {value}").format(value=words.derived(each)) for each in found.derived]
    lines += [_("term: {term}").format(term=words.term(each)) for each in found.terms]
    if found.identifiers:
        lines.append(words.identifiers_found(found.identifiers))
        lines += [own(f"  {clean_line(each.text)} → {each.mask}") for each in found.identifiers]
    lines.append(_("question: {kind}").format(kind=words.question_kind(found.coaching.question_kind)))
    hint = words.hint(found.coaching)
    return [*lines, hint] if hint else lines


def review_lines(found: Review) -> list[str]:
    """The steps of a trace with their marks, then the answer's, in lines for a person."""
    summary = words.trace_summary(found)
    lines = [summary] if summary else []
    for step in found.steps:
        lines.append(clean_line(step.text).strip())
        lines += [f"   - {words.mark(each)}" for each in step.marks]
    if found.answer_marks:
        lines.append(_("In the answer:"))
        lines += [f"   - {words.mark(each)}" for each in found.answer_marks]
    parts = [words.section(each) for each in found.sections.present]
    if parts:
        lines.append(_("Parts: {parts}").format(parts=own(" · ".join(parts))))
        missing = words.missing_sections(found.sections)
        lines += [missing] if missing else []
    return lines or [_("Nothing to check was found.")]

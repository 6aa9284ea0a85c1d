"""Reading the fields of a list's rows, with errors that name the list and the field."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from medgemma_tui.clinical import tables


def text_of(name: str, row: tables.Row, key: str, default: str | None = None) -> str:
    """The text of a field. Raises TableError where it is missing (unless there is a default) or no text."""
    value = row.get(key, default)
    if not isinstance(value, str):
        raise tables.TableError(f"{name}.toml", f"{key} is missing or no text in {_shown(row)}")
    return value


def texts_of(name: str, row: tables.Row, key: str) -> list[str]:
    """The texts of a field that lists them, none where it is missing. Raises TableError where it is something else."""
    value = row.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise tables.TableError(f"{name}.toml", f"{key} is no list of texts in {_shown(row)}")
    return value


def choice_of(name: str, row: tables.Row, key: str, choices: Iterable[str], default: str | None = None) -> str:
    """The text of a field that must be one of ``choices``. Raises TableError where it is another."""
    value, allowed = text_of(name, row, key, default), list(choices)
    if value not in allowed:
        raise tables.TableError(f"{name}.toml", f"{key} is {value!r}, not one of {', '.join(allowed)}")
    return value


def pattern_of(name: str, expression: str) -> re.Pattern[str]:
    """A regular expression of a list. Raises TableError where it is none."""
    try:
        return re.compile(expression)
    except (re.error, OverflowError, RecursionError) as error:  # the latter: a{99999999999}, a thousand brackets
        raise tables.TableError(f"{name}.toml", f"{expression[:80]!r} is no regular expression: {error}") from None


class LazyPattern:
    """A regular expression that is compiled when it is first needed: of a long list, a question needs few."""

    __slots__ = ("_expression", "_pattern")

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._pattern: re.Pattern[str] | None = None

    @property
    def compiled(self) -> re.Pattern[str]:
        """The compiled expression."""
        if self._pattern is None:
            self._pattern = re.compile(self._expression)
        return self._pattern

    def search(self, text: str) -> re.Match[str] | None:
        """As of a compiled expression."""
        return self.compiled.search(text)

    def match(self, text: str, start: int = 0) -> re.Match[str] | None:
        """As of a compiled expression."""
        return self.compiled.match(text, start)

    def fullmatch(self, text: str, start: int = 0, end: int = sys.maxsize) -> re.Match[str] | None:
        """As of a compiled expression."""
        return self.compiled.fullmatch(text, start, end)


def any_later(name: str, expressions: list[str]) -> LazyPattern:
    """One expression for all of these, none of which matches nothing at all; compiled when it is needed.

    Where the site extends the list each is compiled now, too, so that a wrong one is told when the program starts.
    Raises TableError.
    """
    joined = "|".join(f"(?:{expression})" for expression in expressions) or "(?!)"
    if len(tables.documents(name)) > 1:
        for expression in (*expressions, joined):
            pattern_of(name, expression)
    return LazyPattern(joined)


def _shown(row: tables.Row) -> str:
    named = {key: value for key, value in row.items() if key not in ("source", "reviewer")}
    return str(named)[:80]

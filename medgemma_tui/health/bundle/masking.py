"""Texts and reports as they may leave the box: no person's login, no path below a home, no other program's command."""

from __future__ import annotations

import pwd
import re
from collections.abc import Mapping
from functools import cache
from typing import Final

from medgemma_tui.protocol import CheckResult, HealthReport, Item
from medgemma_tui.safetext import clean_line

_PERSONS: Final = 1000
"""The first uid of a person; those below are the system's and a service's own."""
_NOBODY: Final = 65534
_HOME: Final = re.compile(r"(/home/|/export/home/|/Users/)[^/\s\"':,;]+")
_CALLER: Final = re.compile(r"[^\s\"]+(?= \(uid (\d+), pid \d+\))")
"""How the gateway's log names a caller."""
WITHHELD: Final = "(withheld)"
_FOREIGN: Final = frozenset({"command", "cmdline"})
"""Params that hold another program's command line: it may name files after patients."""
_LOGINS: Final = frozenset({"user", "login"})
"""Params that hold a login name."""


def line(text: str) -> str:
    """One line of a log or a path, masked and safe for a terminal."""
    return data(clean_line(text))


def data(text: str) -> str:
    """A text of several lines, or JSON, with the same things masked."""
    text = _HOME.sub(r"\1(user)", text)
    text = _CALLER.sub(lambda match: f"uid-{match[1]}", text)
    pattern, names = _logins()
    return pattern.sub(lambda match: f"uid-{names[match[0]]}", text) if pattern is not None else text


def report(found: HealthReport) -> HealthReport:
    """A report with every text of its results masked. Codes, figures and ids stay."""
    return found.model_copy(update={"results": [_result(each) for each in found.results]})


def _result(result: CheckResult) -> CheckResult:
    items = [Item(code=item.code, params=params(item.params)) for item in result.items]
    figures = [figure.model_copy(update={"label": line(figure.label)}) for figure in result.figures]
    return result.model_copy(update={"params": params(result.params), "items": items, "figures": figures})


def params(given: Mapping[str, str]) -> dict[str, str]:
    """Params of a sentence, masked."""
    return {name: _param(name, text) for name, text in given.items()}


def _param(name: str, text: str) -> str:
    if name in _FOREIGN:
        return WITHHELD
    if name in _LOGINS and text in ("root", "medgemma"):
        return text
    return WITHHELD if name in _LOGINS else line(text)


@cache
def _logins() -> tuple[re.Pattern[str] | None, dict[str, int]]:
    """Persons' login names that this system lists, as a pattern of whole words."""
    names = {each.pw_name: each.pw_uid for each in pwd.getpwall() if _PERSONS <= each.pw_uid != _NOBODY}
    if not names:
        return None, names
    words = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"(?<![\w.-])(?:{words})(?![\w-])"), names

"""Reading the site's own lists when a front end starts, so that what is wrong with one is told before a question is."""

from __future__ import annotations

import os
from pathlib import Path

from medgemma_tui import site_lists
from medgemma_tui.clinical import tables
from medgemma_tui.settings import Settings, SettingsError

# Some lists are read when a text first needs them: this text needs each.
_SAMPLE = (
    "患者姓名：某某，男，65岁，否认心梗史，血钾 4.1 mmol/L，BP 120/80，青霉素过敏，服用利伐沙班15mg qd，LVH如何治疗？"
)


def use_lists(settings: Settings) -> None:
    """Use the site's lists from now on; each is read where there are any.

    Raises SettingsError where one cannot be used. It names the file and what is wrong with it.
    """
    directory = site_lists.directory(settings)
    tables.use_site_directory(directory)
    try:
        if directory is not None and _holds_something(directory):
            _read_all()
    except tables.TableError as error:
        raise SettingsError(error.path, [error.problem]) from None
    except OSError as error:
        raise SettingsError(str(error.filename or directory), [f"cannot be read: {error.strerror}"]) from None


def _read_all() -> None:
    # here, since a screen without lists of the site's own starts sooner without them
    from medgemma_tui.clinical import abbreviations, analysis, causal, filler, review

    analysis.analyze(_SAMPLE)
    review.review(_SAMPLE, _SAMPLE, _SAMPLE)
    abbreviations.expansions(_SAMPLE, "zh")
    causal.chain_from_answer(f"## 机制\n{_SAMPLE}")
    filler.find_filler(_SAMPLE)


def _holds_something(directory: Path) -> bool:
    try:
        return bool(os.listdir(directory))  # noqa: PTH208 - the names alone, and the error where it may not be looked into
    except FileNotFoundError:
        return False  # it may come: an import makes it

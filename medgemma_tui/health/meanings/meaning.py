"""The form of a meaning, and the outcomes that every check can have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from medgemma_tui.i18n import N_
from medgemma_tui.protocol import Status


@dataclass(frozen=True, slots=True)
class Meaning:
    """``text``: what was found, one sentence. ``advice``: the next action; there is one for everything but ok and
    skipped. Both are message ids with the outcome's params in braces."""

    status: Status
    text: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """A line under a result: a message id with the item's params in braces, and what to do, where there is anything.

    ``worded`` makes the line instead, in the language in use and safe to show, where another room has the words.
    """

    text: str = ""
    advice: str = ""
    worded: Callable[[Mapping[str, str]], str] | None = None


COMMON: Final[dict[str, Meaning]] = {
    "timeout": Meaning(
        "unknown",
        N_("No result within {seconds} s: the check hangs."),
        N_("Run it again with --timeout, and look at what it measures: a hanging driver or disk hangs the check, too."),
    ),
    "failed": Meaning(
        "unknown",
        N_("The check itself failed ({error})."),
        N_("Run it again; if it stays so, make a support bundle (medgemma-tui health --bundle FILE) and report it."),
    ),
    "left_out": Meaning("skipped", N_("Left out on request.")),
    "no_settings": Meaning("skipped", N_("Not looked at, because the settings are not valid.")),
    "no_service": Meaning("skipped", N_("No service answers, so this could not be asked.")),
    "no_card": Meaning("skipped", N_("There is no GPU to look at.")),
}

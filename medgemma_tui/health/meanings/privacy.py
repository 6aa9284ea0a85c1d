"""Outcomes of the checks of the group ``privacy``. The findings themselves are worded by ``privacy_words``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import get_args

from medgemma_tui import privacy_words
from medgemma_tui.health.meanings.meaning import Meaning, Words
from medgemma_tui.i18n import N_, _
from medgemma_tui.privacy_words import Noted
from medgemma_tui.protocol import ProcessName
from medgemma_tui.safetext import clean_line

_SEE = N_("The lines below name each one; medgemma-tui privacy shows all that was tried.")
_START_AGAIN = N_(
    "Take no patient's data on this box until it is closed: do what each line below says, restart the "
    "service, and run "
    "medgemma-tui privacy."
)

GROUP = "privacy"
TITLE = N_("Privacy")
TITLES: dict[str, str] = {"privacy.seal": N_("Sealing")}
MEANINGS: dict[str, dict[str, Meaning]] = {
    "privacy.seal": {
        "sealed": Meaning("ok", N_("Sealed: {count} things tried and read in gateway and worker, everything is shut.")),
        "in_part": Meaning("warning", N_("Sealed, with a reservation."), _SEE),
        "open": Meaning("critical", N_("NOT sealed: something is open."), _START_AGAIN),
        "unknown": Meaning("unknown", N_("Not everything could be tried or read, so nobody knows."), _SEE),
        "not_asked": Meaning(
            "unknown",
            N_("A process of the service did not answer, so its seal is not known."),
            N_("Wait until the model is loaded, and run it again; see the results of the group Service."),
        ),
        "foreign_engine": Meaning(
            "warning",
            N_("The gateway is sealed; the engine is another program's (engine_socket), not ours to seal."),
            N_("Have who runs that engine show that it opens no network connection and writes no prompt to a disk."),
        ),
        "can_seal": Meaning(
            "ok", N_("This box lets our processes be sealed: {count} things read, everything is shut.")
        ),
        "can_seal_in_part": Meaning("warning", N_("This box lets our processes be sealed, with a reservation."), _SEE),
        "cannot_seal": Meaning(
            "critical",
            N_("This box does not let our processes be sealed."),
            N_("Do what each line below says before the service is started, and run medgemma-tui preflight again."),
        ),
        "unknown_here": Meaning(
            "unknown", N_("Not everything could be read, so nobody knows what can be sealed."), _SEE
        ),
        "not_tried": Meaning(
            "unknown",
            N_("This run was not started as our command is, so it closed nothing and can tell nothing."),
            N_("Run medgemma-tui preflight."),
        ),
    }
}


def _line(title: str) -> Callable[[Mapping[str, str]], str]:
    def worded(params: Mapping[str, str]) -> str:
        found = _noted(params)
        return _(title).format(where=found.where, reason=found.reason)

    return worded


def _foretold(params: Mapping[str, str]) -> str:
    return _noted(params).reason


def _missing(params: Mapping[str, str]) -> str:
    names = [name for name in get_args(ProcessName) if name == params.get("process")]
    where = privacy_words.process_list(names) or clean_line(params.get("process", "?"))
    return _("Not asked ({where}): {reason}").format(where=where, reason=_("It does not answer."))


def _noted(params: Mapping[str, str]) -> Noted:
    """The finding of an item. Names of processes that are not known here are left out."""
    processes = tuple(name for name in get_args(ProcessName) if name in params.get("processes", "").split(","))
    ids = tuple(clean_line(each) for each in params.get("ids", "?").split(","))
    return Noted(ids, clean_line(params.get("code", "")), processes)


ITEMS: dict[str, Words] = {
    "seal_open": Words(worded=_line(N_("Open ({where}): {reason}"))),
    "seal_unknown": Words(worded=_line(N_("Unknown ({where}): {reason}"))),
    "seal_warning": Words(worded=_line(N_("Warning ({where}): {reason}"))),
    "seal_absent": Words(worded=_line(N_("A second layer that is not to be had here ({where}): {reason}"))),
    "seal_open_foretold": Words(worded=_foretold),
    "seal_unknown_foretold": Words(worded=_foretold),
    "seal_warning_foretold": Words(worded=_foretold),
    "seal_missing": Words(worded=_missing),
}

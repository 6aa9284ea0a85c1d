"""Outcomes of the checks of the group ``golden``."""

from __future__ import annotations

from typing import Final

from medgemma_tui.health.meanings.meaning import Meaning, Words
from medgemma_tui.health.meanings.model import NOT_ASKED
from medgemma_tui.i18n import N_
from medgemma_tui.problems import FINISHES

GROUP = "golden"
TITLE = N_("Golden questions")
QUESTIONS: Final[dict[str, str]] = {
    "gfr": N_("Question: GFR categories"),
    "renal_dose": N_("Question: a drug with renal dosing"),
    "red_flag": N_("Question: a red flag"),
    "abbreviation_zh": N_("Question: an abbreviation, in Chinese"),
    "abbreviation_en": N_("Question: an abbreviation, in English"),
    "must_refuse": N_("Question: one to refuse"),
}
"""The built-in questions' titles by their ids in ``data/golden.toml``."""
TITLES: dict[str, str] = {f"golden.{id_}": title for id_, title in QUESTIONS.items()} | {
    "golden.site": N_("The site's own questions")
}

_NOT_CLINIC = N_(
    "Do not use the model for patients until this is explained. Run medgemma-tui health --full; if the "
    "files are right, restart the service and run this again."
)
_CUT = N_(
    "Ask it by hand (medgemma-tui ask) and read what comes; restart the service, and check the model's files with "
    "medgemma-tui health --full."
)
_COMMON: Final[dict[str, Meaning]] = {
    "bad_instructions": Meaning(
        "critical",
        N_("The instructions to the model in {path} cannot be read, so nothing was asked."),
        N_("Put that file right (UTF-8 text), or take it out of the settings."),
    ),
    "not_kept": Meaning(
        "warning",
        N_("The answer is right, but its digest could not be kept for the next run ({problem})."),
        N_("Make that place writable for the service's user."),
    ),
    **NOT_ASKED,
}
_QUESTION: Final[dict[str, Meaning]] = {
    "ok": Meaning("ok", N_("Answered as it should be ({source}).")),
    "changed": Meaning(
        "warning",
        N_("All facts are there, but the answer is another one than in the last run with the same model."),
        N_(
            "Run it again while nobody else asks. If it changes again, the model or the card is not what it was: run "
            "medgemma-tui health --full."
        ),
    ),
    "missing": Meaning("critical", N_("The answer lacks: {fact} ({source})."), _NOT_CLINIC),
    "forbidden": Meaning("critical", N_("The answer says what it must not: {statement} ({source})."), _NOT_CLINIC),
    "not_refused": Meaning("critical", N_("The model did what it must refuse ({source})."), _NOT_CLINIC),
    "no_text": Meaning("critical", N_("There is no answer: the reply ended before one began ({reason})."), _CUT),
    "cut_off": Meaning("critical", N_("The answer is not whole: the engine ended it ({reason})."), _CUT),
    **{reason: Meaning("critical", text, _CUT) for reason, text in FINISHES.items() if reason != "cancelled"},
    "replaced": Meaning("skipped", N_("The site's own questions are asked instead.")),
    **_COMMON,
}
_SITE: Final[dict[str, Meaning]] = {
    "ok": Meaning("ok", N_("{total} questions of the site's own were answered as they should be.")),
    "not_set": Meaning("skipped", N_("The site has no questions of its own (setting golden_file).")),
    "some_wrong": Meaning(
        "critical", N_("{count} of {total} questions were not answered as they should be."), _NOT_CLINIC
    ),
    "some_changed": Meaning(
        "warning",
        N_("All facts are there, but {count} of {total} answers are other ones than in the last run."),
        _QUESTION["changed"].advice,
    ),
    "bad_file": Meaning(
        "unknown",
        N_("The site's questions in {path} cannot be used ({problem}), so none was asked."),
        N_("Put that file right by the built-in one's form, or take golden_file out of the settings."),
    ),
    **_COMMON,
}

MEANINGS: dict[str, dict[str, Meaning]] = {f"golden.{id_}": _QUESTION for id_ in QUESTIONS} | {"golden.site": _SITE}
ITEMS: dict[str, Words] = {
    "golden_missing": Words(N_("missing: {fact}")),
    "golden_said": Words(N_("must not be said: {statement}")),
    "golden_cut_trace": Words(N_("its reasoning used up its budget and was closed for it")),
    "golden_site_missing": Words(N_("{question}: missing: {fact}")),
    "golden_site_said": Words(N_("{question}: must not be said: {statement}")),
    "golden_site_not_refused": Words(N_("{question}: was not refused")),
    "golden_site_ended": Words(N_("{question}: no whole answer ({reason})")),
    "golden_site_changed": Words(N_("{question}: another answer than in the last run")),
}

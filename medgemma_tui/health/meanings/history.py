"""Outcomes of the checks of the group ``history``."""

from __future__ import annotations

from medgemma_tui.health.meanings.meaning import Meaning, Words
from medgemma_tui.i18n import N_

GROUP = "history"
TITLE = N_("History")
TITLES: dict[str, str] = {
    "history.last_success": N_("Last run that found the box fit"),
    "history.timer": N_("Daily timer"),
}
_ENABLE = N_("Start it, now and at each boot: systemctl enable --now medgemma-health.timer")

MEANINGS: dict[str, dict[str, Meaning]] = {
    "history.last_success": {
        "ok": Meaning("ok", N_("The box was last found fit {hours} hours ago ({when}).")),
        "first": Meaning("ok", N_("This is the first whole run on record.")),
        "late": Meaning(
            "warning",
            N_("No whole run for {hours} hours: the last one was on {when}."),
            N_("See that the daily run happens: systemctl list-timers 'medgemma-health*'"),
        ),
        "failing": Meaning(
            "warning",
            N_("The box was last found fit {hours} hours ago ({when}); none since {since} found it fit ({count})."),
            N_("What those runs found is in the history of each check (F3); mend that, and run this again."),
        ),
        "never_fit": Meaning(
            "warning",
            N_("None of the runs on record found the box fit ({count}, since {since})."),
            N_("What those runs found is in the history of each check (F3); mend that, and run this again."),
        ),
        "future": Meaning(
            "warning",
            N_("The last run on record says it was on {when}, which is still to come: the clock has been set back."),
            N_("Set the clock right (timedatectl), and remove the reports of the future from the health directory."),
        ),
        "unreadable": Meaning(
            "unknown",
            N_("The reports of earlier runs in {path} cannot be read: {reason}."),
            N_("Give the directory to the service's user, mode 0700, or run this as that user."),
        ),
    },
    "history.timer": {
        "ok": Meaning("ok", N_("The daily run is scheduled, and will be after a restart.")),
        "demo": Meaning("skipped", N_("The demo needs no daily run.")),
        "no_systemd": Meaning(
            "skipped", N_("systemd does not run this box: whatever schedules the daily run is not known.")
        ),
        "missing": Meaning(
            "warning",
            N_("No daily run is installed (medgemma-health.timer)."),
            N_(
                "Copy provisioning/systemd/* to /etc/systemd/system; then: systemctl enable --now medgemma-health.timer"
            ),
        ),
        "inactive": Meaning("warning", N_("The daily run is installed but not scheduled ({state})."), _ENABLE),
        "not_enabled": Meaning("warning", N_("The daily run is scheduled, but not after the next restart."), _ENABLE),
        "no_answer": Meaning(
            "unknown",
            N_("systemd did not say whether the daily run is scheduled."),
            N_("Ask it yourself: systemctl status medgemma-health.timer"),
        ),
    },
}
ITEMS: dict[str, Words] = {}

"""The verdict in one line, and how many checks there are of each status."""

from __future__ import annotations

from medgemma_tui.health import wording
from medgemma_tui.health.formats.view import View
from medgemma_tui.i18n import _, ngettext
from medgemma_tui.protocol import Status


def verdict(view: View) -> str:
    """Whether the box is fit. Of a run that left checks out, the worst of the others: it is no verdict on the box."""
    if view.report.partial and not view.remark:
        return _("of the checks asked for: {status}").format(status=wording.status_word(view.verdict))
    return wording.verdict_word(view.verdict)


def counts(view: View) -> str:
    """How many checks there are of each status, the worst first; empty where there are none."""
    found = [result.status for result in view.report.results]
    number: dict[Status, int] = {status: found.count(status) for status in ("critical", "unknown", "warning", "ok")}
    told = {
        "critical": ngettext("{n} critical", "{n} critical", number["critical"]),
        "unknown": ngettext("{n} unknown", "{n} unknown", number["unknown"]),
        "warning": ngettext("{n} warning", "{n} warnings", number["warning"]),
        "ok": _("{n} ok"),
    }
    return _(", ").join(told[status].format(n=n) for status, n in number.items() if n)

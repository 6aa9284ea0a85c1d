"""The verdict of the last health run in words: when it was, and what a person is told where the box is not fit."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final

from medgemma_tui.i18n import _, language, ngettext
from medgemma_tui.protocol import Fitness

COMMAND: Final = "medgemma-tui health --last"
"""What shows more where there is no screen."""


def clock(at: float, now: float) -> str:
    """The time of day of a moment, with its date where that is not today's."""
    moment = datetime.fromtimestamp(at)
    same = moment.date() == datetime.fromtimestamp(now).date()
    return moment.strftime("%H:%M" if same else "%m-%d %H:%M")


def ago(age_s: float) -> str:
    """How long ago something was."""
    if age_s < -60:
        return _("in the future by this box's clock")
    if age_s < 60:
        return _("just now")
    if age_s < 3600:
        return ngettext("{n} minute ago", "{n} minutes ago", int(age_s // 60)).format(n=int(age_s // 60))
    if age_s < 48 * 3600:
        return ngettext("{n} hour ago", "{n} hours ago", int(age_s // 3600)).format(n=int(age_s // 3600))
    return ngettext("{n} day ago", "{n} days ago", int(age_s // 86400)).format(n=int(age_s // 86400))


def unfit(fitness: Fitness | None, look: str, now: float | None = None) -> str:
    """What everybody is told while the box is not fit, or answers nothing by the site's policy; else empty.

    ``look``: what shows more, a key or a command.
    """
    if fitness is None or (fitness.verdict != "critical" and not fitness.refuses):
        return ""
    from medgemma_tui.health import wording  # the words of every check: not before the first frame

    when = clock(fitness.at, time.time() if now is None else now)
    verdict = wording.verdict_word(fitness.verdict)
    parts = [_("Health check {when}: this box is {verdict}.").format(when=when, verdict=verdict)]
    if fitness.failing:
        first, more = wording.title(fitness.failing[0]), len(fitness.failing) - 1
        if more:
            told = ngettext("First: {what}, and {n} more.", "First: {what}, and {n} more.", more)
            parts.append(told.format(what=first, n=more))
        else:
            parts.append(_("Not fit: {what}.").format(what=first))
    if fitness.refuses:
        parts.append(_("By this site's policy no question is answered until a run finds it fit."))
    parts.append(_("Ask the box's staff; {look} shows more.").format(look=look))
    return ("" if language() == "zh" else " ").join(parts)

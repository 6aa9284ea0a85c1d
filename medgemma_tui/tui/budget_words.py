"""What is said where a text does not fit the context window, and of what had to leave it."""

from __future__ import annotations

from medgemma_tui import clinical_words
from medgemma_tui.clinical.budget import BudgetPlan
from medgemma_tui.i18n import _, ngettext


def not_pasted(characters: int, plan: BudgetPlan | None) -> str:
    """A paste was refused. ``plan`` is the one with it, None where it was too large to be counted."""
    if plan is None:
        message = _("Not pasted: {characters} characters are more than the 2 MB that can be counted.")
        return message.format(characters=f"{characters:,}")
    if plan.exact:
        message = _(
            "Not pasted: with these {characters} characters the question has {draft} tokens. The window is "
            "{window}; {room} are left for a question. Your draft is as it was."
        )
    else:
        message = _(
            "Not pasted: with these {characters} characters the question has about {draft} tokens. The window is "
            "{window}; about {room} are left for a question. Your draft is as it was."
        )
    return message.format(characters=f"{characters:,}", **_figures(plan))


def not_sent(plan: BudgetPlan) -> str:
    """A question was refused."""
    message = _(
        "Not sent: the question has {draft} tokens and only {room} fit beside instructions, patient card and "
        "the reserve for the answer (window {window}). Shorten it; nothing was cut."
    )
    return message.format(**_figures(plan))


def left(count: int) -> str:
    """So many turns are not sent to the model any more."""
    message = ngettext(
        "{count} earlier turn no longer fits the context window: the model does not see it any more.",
        "{count} earlier turns no longer fit the context window: the model does not see them any more.",
        count,
    )
    return message.format(count=count)


def window(size: int, whole: int, left: int, back: int) -> str:
    """The window was set anew; so many turns left by that, or are back."""
    if size < whole:
        text = _("Context window: {size} of the model's {whole} tok.").format(size=f"{size:,}", whole=f"{whole:,}")
    else:
        text = _("Context window: all of the model's {whole} tok.").format(whole=f"{whole:,}")
    sentences = [text]
    if back:
        sentences.append(ngettext("{n} turn is back in it.", "{n} turns are back in it.", back).format(n=back))
    if left:
        sentences.append(ngettext("{n} turn left it.", "{n} turns left it.", left).format(n=left))
    return clinical_words.sentences(*sentences)


def trimmed(before: BudgetPlan, after: BudgetPlan) -> str:
    """Filler was taken out of the draft. Exact only where both were counted."""
    saved = max(0, before.draft - after.draft)
    if before.exact and after.exact:
        return _("{n} tok of filler taken out of the question. Ctrl+Z puts it back.").format(n=f"{saved:,}")
    return _("About {n} tok of filler taken out of the question. Ctrl+Z puts it back.").format(n=f"{saved:,}")


def _figures(plan: BudgetPlan) -> dict[str, str]:
    room = max(0, plan.window - plan.reserve - plan.instructions - plan.card)
    return {"draft": f"{plan.draft:,}", "window": f"{plan.window:,}", "room": f"{room:,}"}

"""The guard's words: what was found that could tell who the patient is, and what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from medgemma_tui import clinical_words, events
from medgemma_tui.clinical.findings import Identifier
from medgemma_tui.i18n import _, ngettext
from medgemma_tui.protocol import EventBody

Choice = Literal["mask", "send", "edit"]
Policy = Literal["warn", "mask", "block"]


@dataclass(frozen=True)
class Guarded:
    """What a person is asked to decide. ``keep`` is the answer that leaves the text as it is, empty where the site
    does not allow it.
    """

    found: tuple[Identifier, ...]
    title: str
    sentence: str
    mask: str
    keep: str
    edit: str


def about_question(found: tuple[Identifier, ...], policy: Policy) -> Guarded:
    """Before a question is sent."""
    sentence = _sentence(len(found), _only_masked() if policy == "block" else _("Nothing was sent yet."))
    keep = "" if policy == "block" else _("send it as it is")
    return Guarded(found, _("Before sending"), sentence, _("mask and send"), keep, _("back to the question"))


def about_card(found: tuple[Identifier, ...], policy: Policy) -> Guarded:
    """Before the patient card is pinned."""
    sentence = _sentence(len(found), _only_masked() if policy == "block" else _("Nothing was pinned yet."))
    keep = "" if policy == "block" else _("pin it as it is")
    return Guarded(found, _("Before pinning"), sentence, _("mask and pin"), keep, _("back to the card"))


def event(found: Sequence[Identifier], choice: Choice, policy: Policy) -> EventBody:
    """What a person decided, for the audit log."""
    if choice == "mask":
        return events.guard(found, "masked")
    if choice == "send" and policy == "warn":
        return events.guard(found, "sent")
    return events.guard(found, "blocked" if policy == "block" else "edited")


def masked(found: Sequence[Identifier]) -> str:
    """What was masked, by kind; never the text itself."""
    return _("Masked: {kinds}.").format(kinds=_kinds(found))


def not_sent(found: Sequence[Identifier]) -> str:
    """It went back into the composer."""
    return _("Not sent: it holds {kinds}. Your text is as you typed it.").format(kinds=_kinds(found))


def _sentence(count: int, further: str) -> str:
    text = ngettext("{n} passage could tell who the patient is.", "{n} passages could tell who the patient is.", count)
    return clinical_words.sentences(text.format(n=count), further)


def _only_masked() -> str:
    return _("This site sends it masked or not at all.")


def _kinds(found: Sequence[Identifier]) -> str:
    return clinical_words.identifier_kinds(found)

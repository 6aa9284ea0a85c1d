"""The patient card of a conversation: made of the first question's facts, edited by a person, never out of context.

A card that changes is a prompt whose beginning changes, and the model reads everything again. So the card is made
once the first question has been answered, and later questions add to it only when one of them leaves the context,
since everything is read again then, too. What a person wrote is never changed by the program.
"""

from __future__ import annotations

from collections.abc import Callable

from medgemma_tui import events
from medgemma_tui.clinical.findings import Identifier
from medgemma_tui.clinical.textform import question_language
from medgemma_tui.i18n import _
from medgemma_tui.tui import guarding
from medgemma_tui.tui.conversation import Turn
from medgemma_tui.tui.desk import Desk


class PatientCard:
    """Changes the card of the desk's conversation. ``changed`` is called when it did."""

    def __init__(self, desk: Desk, changed: Callable[[], None]) -> None:
        self._desk = desk
        self._changed = changed
        self._taken_up: list[Turn] = []  # whose facts are on the card that the program made, or were told
        self._touched = False  # a person wrote or emptied it

    @property
    def text(self) -> str:
        """The card."""
        return self._desk.conversation.card

    def forget(self) -> None:
        """Another patient."""
        self._taken_up, self._touched = [], False

    @property
    def state(self) -> tuple[list[Turn], bool]:
        """The turns whose facts are on the card, and whether a person wrote or emptied it."""
        return [*self._taken_up], self._touched

    def restore(self, taken_up: list[Turn], *, theirs: bool) -> None:
        """The card of a conversation that was taken back: as ``state`` told."""
        self._taken_up, self._touched = taken_up, theirs

    def answered(self, turn: Turn) -> None:
        """A turn was answered: where it is the first with facts of a patient, they become the card."""
        if not self._touched and not self.text and turn.answer.strip() and facts_of(turn):
            self._taken_up.append(turn)
            self.turns_changed()

    def turns_changed(self) -> None:
        """A turn was taken out, or put back: what the program took from it goes, or is there again."""
        if self._touched or not self._taken_up:
            return
        from medgemma_tui.clinical.card import merge

        card = ""
        for turn in self._desk.conversation.turns:
            if any(turn is taken for taken in self._taken_up):
                card = merge(card, facts_of(turn))
        if card != self.text:
            self._set(card)

    def take_up(self, leaving: int) -> bool:
        """The oldest ``leaving`` turns are about to leave: their facts stay, on the card. True where it changed.

        A card that a person wrote stays as it is; what is not on it is told.
        """
        from medgemma_tui.clinical.card import merge

        before = self.text
        answered = [turn for turn in self._desk.remaining.turns if not turn.live and turn.answer.strip()]
        newly = [turn for turn in answered[:leaving] if not any(turn is taken for taken in self._taken_up)]
        self._taken_up += newly
        if self._touched:
            card = before
            for turn in newly:
                card = merge(card, facts_of(turn))
            if card != before.strip():
                text = _("Not on the patient card, and leaving with an earlier turn: {facts}")
                self._desk.note(text.format(facts=card[len(before.strip()) :].strip(" ·")), "warning")
            return False
        self.turns_changed()
        return self.text != before

    # --- what a person writes ---

    def write(self, text: str, again: Callable[[str], None]) -> None:
        """Pin this text, by the site's policy for what could identify the patient.

        ``again`` is called with the text where the person wants to go on with it.
        """
        from medgemma_tui.clinical.deidentify import find_identifiers, mask

        if text == self.text:
            return
        found = find_identifiers(text)
        policy = self._desk.settings.identifiers
        if not found:
            self._pin(text)
        elif policy == "mask":
            self._desk.report(events.guard(found, "masked"))
            self._pin_masked(mask(text, found), found)
        else:

            def decided(choice: guarding.Choice) -> None:
                self._desk.report(guarding.event(found, choice, policy))
                if choice == "mask":
                    self._pin_masked(mask(text, found), found)
                elif choice == "send" and policy == "warn":
                    self._pin(text)
                else:
                    again(text)

            self._desk.view.guard(guarding.about_card(found, policy), decided)

    def _pin_masked(self, text: str, found: tuple[Identifier, ...]) -> None:
        self._pin(text)
        self._desk.view.say(guarding.masked(found), "warning")

    def _pin(self, text: str) -> None:
        self._touched = True
        self._set(text)

    def _set(self, text: str) -> None:
        self._desk.conversation.card = text
        self._desk.view.show_card(text)
        self._changed()


def facts_of(turn: Turn) -> str:
    """What a turn's question tells of the patient, in the card's notation; empty where it tells nothing."""
    from medgemma_tui.clinical.card import card_text

    if turn.analysis is None:
        return ""
    return card_text(turn.question, turn.analysis, question_language(turn.question))

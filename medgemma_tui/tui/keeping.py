"""Everything of one patient that a screen holds, gathered to be kept elsewhere, and put back as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from medgemma_tui.protocol import ErrorInfo
from medgemma_tui.safetext import clean
from medgemma_tui.tui.conversation import Conversation, Entry, Notice, Turn, new_id
from medgemma_tui.tui.desk import Desk, Sections, Thinking
from medgemma_tui.tui.pasting import Paster
from medgemma_tui.tui.patient_card import PatientCard
from medgemma_tui.tui.sending import Sender
from medgemma_tui.tui.window import Window


@dataclass(frozen=True)
class Kept:
    """A conversation with all that belongs to it. ``edited`` and ``taken_up`` are places among ``entries``."""

    entries: tuple[Entry, ...]
    kept_at: datetime
    card: str = ""
    card_is_theirs: bool = False
    """A person wrote the card or emptied it."""
    taken_up: tuple[int, ...] = ()
    """The turns whose facts are on the card."""
    card_draft: str | None = None
    """What stood in the card's editor; None: it was not open."""
    draft: str = ""
    set_aside: str = ""
    """The draft that was there before an edit."""
    edited: int | None = None
    """The turn that the draft was to replace."""
    history: tuple[str, ...] = ()
    """Earlier questions, as Up brings them back."""
    thinking: Thinking = "auto"
    sections: Sections = "auto"
    window_cap: int | None = None


@dataclass(frozen=True)
class Keeper:
    """Gathers and puts back; the parts are the controller's."""

    desk: Desk
    window: Window
    card: PatientCard
    sender: Sender
    paster: Paster

    def gather(self, card_draft: str | None = None) -> Kept:
        """All of it, as it stands. What was taken from the composer and is not asked yet goes back there first."""
        self.sender.set_down()
        desk = self.desk
        entries = desk.conversation.entries
        taken_up, theirs = self.card.state
        places = {id(entry): place for place, entry in enumerate(entries)}
        return Kept(
            entries=tuple(replace(entry) for entry in entries),
            kept_at=datetime.now().astimezone(),
            card=desk.conversation.card,
            card_is_theirs=theirs,
            taken_up=tuple(places[id(turn)] for turn in taken_up if id(turn) in places),
            card_draft=card_draft,
            draft=self.paster.candidate,
            set_aside=desk.set_aside,
            edited=places.get(id(desk.edited)),
            history=desk.view.history,
            thinking=desk.thinking,
            sections=desk.sections,
            window_cap=self.window.cap,
        )

    def put_back(self, kept: Kept) -> None:
        """Put it on an empty desk, before what has been typed there. A reply that was cut is marked as that.

        It comes from outside: what the screen takes to be safe is made so again.
        """
        desk = self.desk
        entries = [_renewed(entry) for entry in kept.entries]
        desk.conversation = Conversation(entries, clean(kept.card))
        desk.thinking, desk.sections, self.window.cap = kept.thinking, kept.sections, kept.window_cap
        desk.view.show_modes(desk.thinking, desk.sections)
        for entry in entries:
            desk.view.added(entry)
        self.card.restore(_turns(entries, kept.taken_up), theirs=kept.card_is_theirs)
        desk.view.show_card(desk.conversation.card)
        desk.view.recall([clean(text) for text in kept.history])
        desk.set_aside = clean(kept.set_aside)
        for turn in _turns(entries, [kept.edited] if kept.edited is not None else []):
            desk.edited = turn
            desk.view.editing(True)
        if kept.draft:
            desk.view.give_back(clean(kept.draft))


def _turns(entries: Sequence[Entry], places: Sequence[int]) -> list[Turn]:
    found = [entries[place] for place in places if 0 <= place < len(entries)]
    return [entry for entry in found if isinstance(entry, Turn)]


def _renewed(entry: Entry) -> Entry:
    """With an id of this process; a reply that was being written ends here."""
    if isinstance(entry, Notice):
        return replace(entry, text=clean(entry.text), id=new_id())
    turn = replace(entry, question=clean(entry.question), id=new_id())
    if turn.live:
        turn.end(ErrorInfo(type="interrupted", message="the screen was left while the answer was written"))
    return turn

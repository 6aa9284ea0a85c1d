"""A conversation that the service kept for this user: offered at the start, put back, or wiped."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from medgemma_tui.i18n import _
from medgemma_tui.protocol import EventBody, SessionReply
from medgemma_tui.tui.screens.take_back import Offer, TakeBack, TakeBackChoice

if TYPE_CHECKING:
    from medgemma_tui.tui.keeping import Kept
    from medgemma_tui.tui.lockable import LockableApp


class TakingBack:
    """Asks once, where the service keeps one. Called from the app's handlers only."""

    def __init__(self, app: LockableApp) -> None:
        self._app = app
        self._asked = False
        self._owed = ""  # the id of one that was decided about and is still kept, as far as is known
        self._say_so = False  # that it is wiped
        self.left = False
        """Whether one was left where it is."""

    def connected(self) -> None:
        """The service answers: see what it keeps, or drop what could not be dropped."""
        if self._owed:
            self._app.errands.drop(self._owed)
        elif not self._asked and self._app.wire.stays:
            self._app.errands.look()

    def looked(self, found: SessionReply | None) -> None:
        """What the service keeps. Nothing of its text is shown before the answer."""
        if self._asked:
            return
        self._asked = True
        if found is None:
            return
        from medgemma_tui.tui import parking

        kept: Kept | None = None
        with contextlib.suppress(parking.CannotRead):
            kept = parking.unpack(found.payload)
        id_, until = found.id, datetime.now() + timedelta(seconds=found.expires_in_s)
        self.left = True

        def chosen(choice: TakeBackChoice | None) -> None:
            if choice == "take" and kept is not None:
                self._take(kept, id_)
            elif choice == "wipe":
                self._drop(id_, "wiped")

        offer = Offer(
            kept_at=kept.kept_at.astimezone() if kept is not None else None,
            until=until,
            replaces=bool(self._app.controller.conversation.entries),
        )
        self._app.push_screen(TakeBack(offer), chosen)

    def _take(self, kept: Kept, id_: str) -> None:
        self._app.controller.take_back(kept)
        self._drop(id_, "ok")
        if kept.card_draft is not None:
            self._app.edit_card(kept.card_draft)

    def _drop(self, id_: str, outcome: str) -> None:
        self.left, self._owed, self._say_so = False, id_, outcome == "wiped"
        self._app.errands.note(EventBody(event="take_back", outcome="wiped" if self._say_so else "ok"))
        self._app.errands.drop(id_)

    def dropped(self, id_: str, *, gone: bool) -> None:
        """It is kept no more, or nobody could say so: then it is tried again when the service is back."""
        if id_ != self._owed or not self._asked:
            return
        if gone:
            self._owed = ""
        if self._say_so:
            self._say_so = not gone
            wiped = _("The kept conversation was wiped.")
            later = _("The service could not confirm that it wiped it; it is asked again when it answers.")
            self._app.chat.say(wiped if gone else later, "information" if gone else "warning")

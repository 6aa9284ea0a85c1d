"""What the locked screen does: it covers, waits for the PIN, hands the conversation to the service, wipes, ends.

Called from the app's handlers only.
"""

from __future__ import annotations

import asyncio
import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from textual import events

from medgemma_tui.exits import ExitCode
from medgemma_tui.i18n import _
from medgemma_tui.protocol import ErrorInfo, EventBody
from medgemma_tui.tui import keymap, lock_words, messages, pin
from medgemma_tui.tui.errands import HURRY_S, Parcel
from medgemma_tui.tui.lock_words import Stage
from medgemma_tui.tui.locking import MOST_TRIES, Locking
from medgemma_tui.tui.screens.lock import LockScreen, Told
from medgemma_tui.tui.screens.pin import PinChoice, SetPin

if TYPE_CHECKING:
    from medgemma_tui.tui.lockable import LockableApp

AGAIN_S = 5
"""Seconds after which the service is asked again to keep the conversation."""
_TOO_LARGE = ErrorInfo(type="too_large", message="it cannot be written down")


class Locker:
    """The lock of an app."""

    def __init__(self, app: LockableApp) -> None:
        self._app = app
        self.state = Locking(app.settings.lock_after_s, app.settings.wipe_after_s)
        self.screen: LockScreen | None = None
        """The cover, while it is locked."""
        self.ended_by: Literal["ok", "wiped", "parked"] = "ok"
        """How this session ends, for the audit log."""
        self._keys = frozenset(keymap.raw_keys(keymap.command("lock"), app.settings.keymap))
        self._stage: Stage = "pin"
        self._since = self._until = datetime.now()
        self._trouble: ErrorInfo | None = None  # why it is held
        self._ticks = 0
        self._checking = False  # a PIN is being checked
        self._kept_until = 0.0  # by the lock's clock
        self._parcel = secrets.token_hex(8)  # the id of what is handed over
        self._leaving: int | None = None  # the exit code, where the session ends as soon as that is done
        self._failed = False  # it ends for wrong PINs
        self._ended = False

    @property
    def locked(self) -> bool:
        """Whether the screen is locked."""
        return self.state.locked

    # --- what locks ---

    def sees(self, event: events.Event) -> bool:
        """A key, a paste or the mouse, before anybody else gets it. True where nobody else may get it."""
        if event.is_forwarded or not isinstance(event, events.Key | events.Paste | events.MouseEvent) or self.locked:
            return False
        if self.state.idle:  # before a second went by: the system was suspended, or busy
            self.lock("idle")
            return True
        self.state.touched()
        if isinstance(event, events.Key) and event.key in self._keys:
            self.ask()
            return True
        return False

    def ask(self) -> None:
        """Lock now; where no PIN is set, one may be set first, behind a cover."""
        if self.state.pin is not None or isinstance(self._app.screen, SetPin):
            self.lock("asked")
        else:
            self._set_pin(lock_words.without_a_pin(stays=self._app.wire.stays))

    def set_pin(self) -> None:
        """Set the PIN, or another one."""
        self._set_pin("")

    def _set_pin(self, without: str) -> None:
        def chosen(choice: PinChoice) -> None:
            if choice is None or self.locked:
                return
            if choice != "without":
                self.state.pin = choice
            if without:
                self.lock("asked")
            else:
                keys = " / ".join(keymap.keys_of(keymap.command("lock"), self._app.settings.keymap))
                self._app.chat.say(_("The PIN is set for this session. {keys} locks the screen.").format(keys=keys))

        self._app.push_screen(SetPin(self._app.profile, without), chosen)

    def tick(self) -> None:
        """A second went by."""
        if self.state.idle:
            self.lock("idle")
        elif self.state.over and self._leaving is None:
            self._over()
        elif self.locked:
            self._ticks += 1
            final = self._trouble is not None and self._trouble.type == "too_large"
            if self._stage == "held" and not final and self._ticks % AGAIN_S == 0:
                self._hand_over()
            self.refresh()

    def resumed(self) -> None:
        """The program was stopped and goes on: nobody knows for whom."""
        if not self.locked:
            self.lock("idle")

    def lock(self, why: Literal["idle", "asked"]) -> None:
        """Cover the screen, and hold the conversation in the way that fits."""
        app = self._app
        self.state.lock()
        self._since, self._ticks = datetime.now(), 0
        app.errands.note(EventBody(event="lock", outcome=why))
        if self.state.pin is not None:
            self._stage = "pin"
        elif not app.wire.stays:
            self._stage = "curtain"
        elif not self._holds_text:
            self._stage = "nothing"
        elif app.controller.conversation.live_turn is not None:
            self._stage = "answer"
        else:
            self._hand_over()
        self.screen = LockScreen(app.profile, self._told())
        app.push_screen(self.screen)

    # --- the service keeps it ---

    @property
    def _holds_text(self) -> bool:
        return self._app.controller.holds_text or self._app.card_draft is not None

    def answer_ended(self) -> None:
        """An answer is there, or was cut."""
        if self.locked and self._stage == "answer" and self._app.controller.conversation.live_turn is None:
            self._hand_over()
            self.refresh()

    def _hand_over(self, *, hurry: bool = False) -> None:
        from medgemma_tui.tui import parking

        self._stage = "handing"
        kept = self._app.controller.gather(self._app.card_draft)
        try:
            parcel = Parcel(self._parcel, parking.pack(kept))
        except ValueError:  # a text that is no Unicode
            self._app.post_message(messages.Parked("", _TOO_LARGE))
            return
        ttl_s = max(1.0, min(self.state.left_s, self._app.settings.session_ttl_s))  # the site's limit, as we know it
        self._kept_until = self.state.clock() + ttl_s
        self._app.errands.park(parcel, ttl_s, hurry=hurry)

    def parked(self, error: ErrorInfo | None) -> None:
        """The service keeps it, or says why not."""
        if self._leaving is not None:
            self._end(self._leaving, kept=error is None)
        elif self.locked and error is None:
            self._stage = "parked"
            self._app.close_windows()
            self._app.controller.clear()
        elif self.locked:
            self._stage, self._trouble = "held", error
        self.refresh()

    # --- what opens ---

    def tried(self, text: str) -> None:
        """Somebody typed a PIN."""
        set_ = self.state.pin
        if set_ is not None and not self._checking and not self.state.wait_s and self._leaving is None:
            self._checking = True
            self._app.run_worker(self._check(set_, text))
            self.refresh()

    async def _check(self, set_: pin.Pin, text: str) -> None:
        self._app.post_message(messages.PinTried(right=await asyncio.to_thread(pin.matches, set_, text)))

    def checked(self, *, right: bool) -> None:
        """It was the PIN, or not."""
        self._checking = False
        if not self.locked or self._leaving is not None:
            return
        if right:
            self._open()
        elif self.state.wrong():
            self._failed = True
            self._leave(ExitCode.LOCKED)
        else:
            self._app.errands.note(
                EventBody(event="unlock_failed", outcome="failed", counts={"tries": self.state.tries})
            )
            self._app.set_timer(self.state.wait_s + 0.05, self.refresh)
        self.refresh()

    def entered(self) -> None:
        """Enter, where no PIN is asked for."""
        if self._leaving is not None:
            return
        if self._stage == "curtain":
            self._open()
        elif self._stage in ("parked", "nothing"):
            self._end(ExitCode.OK, kept=self._stage == "parked")

    def _open(self) -> None:
        self.state.unlock()
        self._app.errands.note(EventBody(event="unlock", outcome="ok"))
        self._app.uncover()

    # --- what ends ---

    def hang_up(self, code: int) -> None:
        """The terminal or the system ends this session: what can be kept is kept, within a second."""
        if self._leaving is not None:
            self._app.exit(return_code=code)
        else:
            self._leave(code)

    def _leave(self, code: int) -> None:
        """Hand the conversation over where that can be done, and end."""
        self._leaving = code
        if self._stage == "parked":
            self._end(code, kept=True)
        elif self._app.wire.stays and self._app.wire.connected and self._holds_text:
            self._hand_over(hurry=True)
            self._app.set_timer(HURRY_S + 0.5, lambda: self._end(code, kept=False))
        else:
            self._end(code, kept=False)

    def _over(self) -> None:
        """Locked for too long."""
        self._leaving = ExitCode.LOCKED
        if self._stage == "parked":
            self._app.errands.drop(self._parcel)
        else:
            self._wiped()

    def dropped(self) -> None:
        """What was handed over is gone: now, or since it was taken back elsewhere, or with the service."""
        if self._leaving is not None:
            self._wiped()

    def _wiped(self) -> None:
        nothing = self._stage == "nothing"
        self._app.close_windows()
        self._app.controller.clear()
        self.ended_by = "wiped"
        self._app.exit(return_code=ExitCode.LOCKED, message=lock_words.ended_empty() if nothing else lock_words.wiped())

    def _end(self, code: int, *, kept: bool) -> None:
        if self._ended:
            return
        self._ended = True
        until = self._deadline(kept=True) if kept else None
        if kept:
            self.ended_by = "parked"
        elif self.locked and self._stage != "nothing":
            self.ended_by = "wiped"
        if self._failed:
            outcome: Literal["parked", "wiped"] = "parked" if kept else "wiped"
            counts = {"tries": self.state.tries}
            self._app.errands.note(EventBody(event="unlock_failed", outcome=outcome, counts=counts))
        self._app.controller.clear()
        self._app.exit(return_code=code, message=self._last_words(until))

    def _last_words(self, until: datetime | None) -> str | None:
        if self._failed:
            return lock_words.failed(until)
        if until is not None:
            return lock_words.kept(until)
        return lock_words.ended_empty() if self.locked else None

    # --- what it says ---

    def refresh(self) -> None:
        """Say it as it is now."""
        if self.screen is not None:
            self.screen.show(self._told())

    def _deadline(self, *, kept: bool) -> datetime:
        """When everything is wiped, by the clock on the wall; the same until that is set, or the system suspended.

        ``kept``: when the service wipes what it keeps.
        """
        left_s = max(0.0, self._kept_until - self.state.clock()) if kept else self.state.left_s
        until = datetime.now() + timedelta(seconds=left_s)
        if abs((until - self._until).total_seconds()) > 2:
            self._until = until
        return self._until

    def _told(self) -> Told:
        wait_s = self.state.wait_s
        remark = ""
        if self._checking:
            remark = _("One moment …")
        elif self._stage == "pin" and self.state.tries:
            remark = lock_words.wrong(MOST_TRIES - self.state.tries, wait_s)
        elif self._stage == "parked" and not self._app.wire.connected:
            remark = _("The service does not answer. If it was stopped, what it kept is gone.")
        return Told(
            name=self._app.name_shown,
            demo=self._app.is_demo,
            since=lock_words.since(self._since),
            how=lock_words.how(self._stage, self._trouble),
            until=lock_words.until(self._stage, self._deadline(kept=self._stage == "parked")),
            asks=self._stage == "pin",
            remark=remark,
            deaf=self._checking or wait_s > 0 or self._leaving is not None,
        )

"""An app that can be covered: while it is locked nothing comes over the cover, and nothing typed goes under it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from textual.app import App
from textual.await_complete import AwaitComplete

from medgemma_tui.protocol import EventBody
from medgemma_tui.settings import Settings
from medgemma_tui.tui import messages
from medgemma_tui.tui.controller import Controller
from medgemma_tui.tui.errands import Errands
from medgemma_tui.tui.link import Link
from medgemma_tui.tui.locker import Locker
from medgemma_tui.tui.profile import Profile
from medgemma_tui.tui.screens.chat import ChatScreen
from medgemma_tui.tui.screens.dialogs import CardEditor
from medgemma_tui.tui.screens.lock import LockScreen
from medgemma_tui.tui.taking_back import TakingBack


class LockableApp(App[None]):
    """The part of the application that the lock needs. Its handlers change state, as the app's do."""

    settings: Settings
    profile: Profile
    wire: Link
    errands: Errands
    chat: ChatScreen
    controller: Controller
    locker: Locker
    taking_back: TakingBack

    @property
    def name_shown(self) -> str:
        """The program's and the box's name."""
        raise NotImplementedError

    @property
    def is_demo(self) -> bool:
        """Whether the demo model answers."""
        raise NotImplementedError

    def edit_card(self, text: str) -> None:
        """Open the card's editor with this text."""
        raise NotImplementedError

    # --- what comes in ---

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """No command runs while it is locked, also none that waited in a queue."""
        return False if self.locker.locked else super().check_action(action, parameters)

    # --- what is shown ---

    @contextmanager
    def _below_the_cover(self) -> Iterator[None]:
        """What is done with windows meanwhile is done below the cover, where there is one."""
        stack, cover = self._screen_stack, self.locker.screen
        covered = cover is not None and stack[-1:] == [cover]
        if covered:
            stack.pop()
        try:
            yield
        finally:
            if covered and cover is not None:
                stack.append(cover)

    if not TYPE_CHECKING:  # its overloads are Textual's

        def push_screen(self, *arguments, **options):
            """A window that opens while it is locked opens below the cover."""
            with self._below_the_cover():
                return super().push_screen(*arguments, **options)

    def pop_screen(self) -> AwaitComplete:
        """A window that closes while it is locked is the one below the cover, never the cover."""
        with self._below_the_cover():
            return super().pop_screen()

    def uncover(self) -> None:
        """Take the cover away; below it everything is as it was."""
        self.locker.screen = None
        super().pop_screen()

    def close_windows(self) -> None:
        """Close every window over the chat; each may hold the patient's text."""
        with self._below_the_cover():
            while self.screen is not self.chat:
                super().pop_screen()

    @property
    def card_draft(self) -> str | None:
        """What stands in the card's editor; None where it is not open."""
        editors = [screen for screen in self.screen_stack if isinstance(screen, CardEditor)]
        return editors[-1].text if editors else None

    # --- what locks and opens ---

    def action_lock(self) -> None:
        """Lock now."""
        self.locker.ask()

    def action_set_pin(self) -> None:
        """Set the PIN of this session."""
        self.locker.set_pin()

    def on_lock_screen_tried(self, message: LockScreen.Tried) -> None:
        """Somebody typed a PIN."""
        self.locker.tried(message.text)

    def on_lock_screen_entered(self, message: LockScreen.Entered) -> None:
        """Enter, where no PIN is asked for."""
        self.locker.entered()

    def on_pin_tried(self, message: messages.PinTried) -> None:
        """It was the PIN, or not."""
        self.locker.checked(right=message.right)

    def on_resumed(self, message: messages.Resumed) -> None:
        """The program was stopped, and goes on."""
        self.locker.resumed()

    # --- what the service keeps ---

    def on_parked(self, message: messages.Parked) -> None:
        """The service keeps the conversation, or does not."""
        self.locker.parked(message.error)

    def on_kept_looked(self, message: messages.KeptLooked) -> None:
        """What the service keeps for this user."""
        self.taking_back.looked(message.found)

    def on_dropped(self, message: messages.Dropped) -> None:
        """What the service kept is gone, or not."""
        self.locker.dropped()
        self.taking_back.dropped(message.parcel, gone=message.gone)

    # --- the end ---

    def on_terminal_gone(self, message: messages.TerminalGone) -> None:
        """Nobody can read or write there any more."""
        self.locker.hang_up(0)

    async def say_goodbye(self) -> None:
        """Tell the audit log how this session ends."""
        self.errands.note(EventBody(event="logout", outcome=self.locker.ended_by))
        await self.errands.flush()

"""The box's health on the screen: the report is asked for, a run is followed, the window shows what is known.

The calls are tasks of the link's that post messages; the app's handlers change what is known.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from medgemma_tui.i18n import _
from medgemma_tui.protocol import ErrorInfo, Fitness, HealthProgress, HealthRecord
from medgemma_tui.tui import messages
from medgemma_tui.tui.health_seen import Run, Seen
from medgemma_tui.tui.link import Link

if TYPE_CHECKING:
    from medgemma_tui.tui.lockable import LockableApp
    from medgemma_tui.tui.screens.health import HealthScreen

LOOK_AGAIN_S = 3.0
"""Seconds between two looks at a run that goes on elsewhere."""
_UNREACHABLE = ErrorInfo(type="unreachable", message="not connected")


class Checkup:
    """What is known, and the window over it. Called from the app's handlers only."""

    def __init__(self, app: LockableApp) -> None:
        self._app = app
        self.seen = Seen()
        self._window: HealthScreen | None = None
        self._looking = False
        self._looked_at = 0.0

    # --- the window ---

    def open(self) -> None:
        """Open the window, and ask for the report."""
        from medgemma_tui.tui.screens.health import HealthScreen  # not before the first frame

        self.seen = replace(self.seen, name=self._app.name_shown, demo=self._app.is_demo)
        self._window = HealthScreen(self._app.profile, self.seen)
        self._app.push_screen(self._window)
        self.look()

    @property
    def is_open(self) -> bool:
        """Whether the window is there, above or below others."""
        return self._window is not None and self._window in self._app.screen_stack

    def _show(self) -> None:
        if self._window is not None and self.is_open:
            self._window.show(self.seen)

    # --- what is known ---

    def heard(self, fitness: Fitness | None, *, connected: bool) -> None:
        """The verdict that everybody is told, every second or so; and whether the service answers."""
        back = connected and not self.seen.connected
        news = fitness is not None and (self.seen.fitness is None or fitness.at > self.seen.fitness.at)
        demo, name = self._app.is_demo, self._app.name_shown
        if back and self.seen.failure is not None and self.seen.failure.type == "unreachable":
            self.seen = replace(self.seen, failure=None)  # it answers again
        self.seen = replace(self.seen, fitness=fitness, connected=connected, demo=demo, name=name)
        if self.is_open and (back or news) and self.seen.run is None:
            self.look()
        self._show()

    def tick(self) -> None:
        """A second went by: ages grow; a run elsewhere is looked at again."""
        if not self.is_open:
            return
        if self.seen.elsewhere and monotonic() - self._looked_at > LOOK_AGAIN_S:
            self.look()
        self._show()

    def told(self, record: HealthRecord | None, error: ErrorInfo | None) -> None:
        """The record came, or could not be had; then what is known stays, unless it is not this person's to see."""
        self._looking, self._looked_at = False, monotonic()
        if record is not None:
            self.seen = replace(self.seen, record=record, error=None)
        else:
            kept = None if error is not None and error.type == "forbidden" else self.seen.record
            kept = kept.model_copy(update={"running": False}) if kept is not None else None
            self.seen = replace(self.seen, record=kept, error=error)
        self._show()

    def went(self, progress: HealthProgress) -> None:
        """The run went on; its last event has the report."""
        run = self.seen.run
        if run is None:
            return
        self.seen = replace(self.seen, run=run.after(progress))
        if progress.report is not None:
            record = self.seen.record or HealthRecord()
            record = record.model_copy(update={"report": progress.report, "running": False})
            self.seen = replace(self.seen, record=record, error=None)
        self._show()

    def ended(self, error: ErrorInfo | None) -> None:
        """The run is over, or was refused. The record has its place in the history, or says what goes on instead."""
        self.seen = replace(self.seen, run=None, failure=error)
        self.look()
        self._show()

    # --- calls ---

    def look(self) -> None:
        """Ask for the record; ``messages.RecordCame`` tells what came."""
        if not self._looking:
            self._looking = True
            self._app.wire.spawn(_look(self._app.wire))

    def run(self, *, full: bool) -> None:
        """Have the checks run, a full run after asking; a window that is closed meanwhile stops nothing."""
        if self.seen.run is not None:
            return
        if not full:
            self._start(full=False)
            return
        from medgemma_tui.tui.screens.dialogs import Confirm

        question = _("Full check: every byte of the model is read and hashed, which takes minutes. Run it now?")
        self._app.push_screen(Confirm(question, _("Run it"), _("Not now")), self._full_answered)

    def _full_answered(self, yes: bool | None) -> None:
        if yes and self.seen.run is None:
            self._start(full=True)

    def _start(self, *, full: bool) -> None:
        self.seen = replace(self.seen, run=Run(full), failure=None)
        self._app.wire.spawn(_follow(self._app.wire, full=full))
        self._show()


async def _look(link: Link) -> None:
    from medgemma_tui.client import ServiceError

    record, error = None, _UNREACHABLE
    service = await link.reached()
    if service is not None:
        try:
            record = await service.health_record()
        except ServiceError as failure:
            error = failure.info
    link.post(messages.RecordCame(record, None if record is not None else link.given_up or error))


async def _follow(link: Link, *, full: bool) -> None:
    from medgemma_tui.client import ServiceError

    service, error = await link.reached(), link.given_up
    if service is None:
        error = error or _UNREACHABLE
    else:
        try:
            async with contextlib.aclosing(service.run_health(full)) as events:
                async for progress in events:
                    link.post(messages.RunWent(progress))
        except ServiceError as failure:
            error = failure.info
    link.post(messages.RunEnded(error))

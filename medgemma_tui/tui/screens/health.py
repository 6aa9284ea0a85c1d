"""The health window: the last report and its age, every check to open, and a run with its progress.

It covers the screen and shows what ``show`` gives it. What a person wants of the service it posts; it calls nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen

from medgemma_tui.i18n import N_, _
from medgemma_tui.tui import health_check, health_lines
from medgemma_tui.tui.health_lines import HEADING, Row, cut
from medgemma_tui.tui.health_seen import Seen
from medgemma_tui.tui.ink import MUTED, TEXT, Ink, Line, Panel, width_of
from medgemma_tui.tui.profile import Profile
from medgemma_tui.tui.screens.dialogs import HELP
from medgemma_tui.tui.wrap import cells, truncate

_LIST_KEYS = (
    ("Enter", N_("open it")),
    ("R", N_("check now")),
    ("F", N_("full check")),
    ("S", N_("every figure")),
    ("Esc", N_("close")),
)
_CHECK_KEYS = ((N_("Up Down"), N_("scroll")), ("Left Right", N_("the next one")), ("Esc", N_("back")))
_GUTTER = 2
_LEAST_ROWS = 3
"""Rows that the checks have at least, whatever stands above them."""


class Sheet(Panel):
    """The whole window: a head that stays, the checks or one of them in what room there is, the keys.

    ``at`` is the id of the check under the mark, ``opened`` that of the one that is shown alone; empty: none.
    """

    def __init__(self, profile: Profile, seen: Seen) -> None:
        super().__init__(id="sheet")
        self._glyphs = profile.glyphs
        self.seen = seen
        self.at = ""
        self._chosen = False  # the mark is where somebody put it, not at the worst there is
        self.opened = ""
        self.top = 0
        self._rows: list[Row] = []
        self._from = 0  # the row of the screen at which the body begins
        self._room = 0

    def on_resize(self) -> None:
        """Another size: drawn anew."""
        self._laid_for = 0
        self.refresh()

    def compose_lines(self, width: int) -> list[Line]:
        """As many lines as the screen has."""
        height, glyphs = self.size.height, self._glyphs
        head = self._head(width, max(1, height - 1 - _LEAST_ROWS))
        self._from, self._room = len(head), max(0, height - len(head) - 1)
        self._lay(width - _GUTTER)
        self.top = min(max(0, self.top), max(0, len(self._rows) - self._room))
        body = [self._marked(row) for row in self._rows[self.top : self.top + self._room]]
        empty: list[Line] = [[] for _row in range(self._room - len(body))]
        lines = [*head, *body, *empty, self._foot(width)]
        return [
            [(glyphs.shown(text).replace("·", glyphs.dot), ink) for text, ink in line]
            for line in lines[-height:]
            if height
        ]

    def _head(self, width: int, most: int) -> list[Line]:
        """The title, the verdict, the counts and the run; where there is little room, only what matters most."""
        seen, glyphs, now = self.seen, self._glyphs, time.time()
        told = health_lines.verdict(seen, width, now, glyphs)
        going = health_lines.progress(seen, width, glyphs)
        counted = health_lines.counts(seen, width, glyphs)
        for head in ([self._title(width), *told, *counted, *going, []], [*told, *going, []]):
            if len(head) <= most:
                return head
        return [*told[: max(1, most - len(going))], *going][:most]

    def _title(self, width: int) -> Line:
        badge = _("DEMO, NOT MEDICAL") if self.seen.demo else ""
        room = width - (cells(badge) + 2 if badge else 0)
        name = f"{_('Health')} {self._glyphs.dot} {self.seen.name}" if self.seen.name else _("Health")
        line: Line = [(truncate(name, max(0, room), self._glyphs.ellipsis), HEADING)]
        if badge:
            line += [(" " * max(1, width - width_of(line) - cells(badge)), TEXT), (badge, Ink("demo", bold=True))]
        return line

    def _lay(self, width: int) -> None:
        """The rows of the body; a mark on a check that is gone goes to the first one."""
        seen, glyphs = self.seen, self._glyphs
        result = next((each for each in seen.results if each.id == self.opened), None)
        if result is not None:
            self._rows = [Row(line) for line in health_check.opened(result, seen, width, time.time(), glyphs)]
            return
        self.opened = ""
        self._rows = health_lines.listing(seen, width, glyphs)
        if not self._chosen or self.at not in self.checks:
            self.at, self._chosen = next(iter(self.checks), ""), False

    @property
    def checks(self) -> list[str]:
        """The ids of the checks that are listed, in their order."""
        return list(dict.fromkeys(row.check for row in self._rows if row.check))

    def _marked(self, row: Row) -> Line:
        chosen = bool(row.check) and row.check == self.at
        return [(f"{self._glyphs.selected} " if chosen else " " * _GUTTER, HEADING), *row.line]

    def _foot(self, width: int) -> Line:
        """The keys, as many as fit, the one that closes always; and what is above and below what is seen."""
        keys = _CHECK_KEYS if self.opened else self._list_keys()
        more = ""
        if len(self._rows) > self._room:
            ends = self.top + self._room
            up, down = self._glyphs.up if self.top else "", self._glyphs.down if ends < len(self._rows) else ""
            more = f"{up}{down} {min(ends, len(self._rows))}/{len(self._rows)}"
        close = f"{_(keys[-1][0])} {_(keys[-1][1])}"
        room = width - cells(close) - (cells(more) + 2 if more else 0)
        line: Line = []
        for key, what in keys[:-1]:
            needs = cells(f"{_(key)} {_(what)}") + 2
            if needs <= room:
                room -= needs
                line += [(_(key), Ink("muted", bold=True)), (f" {_(what)}  ", MUTED)]
        line += [(_(keys[-1][0]), Ink("muted", bold=True)), (f" {_(keys[-1][1])}", MUTED)]
        if more:
            line += [(" " * max(1, width - width_of(line) - cells(more)), TEXT), (more, MUTED)]
        return cut(line, width, self._glyphs)

    def _list_keys(self) -> Sequence[tuple[str, str]]:
        """The list's keys, without those that do nothing now: no check to open, a run that is ops' to ask for."""
        error = self.seen.error
        idle = {"Enter"} if not self.checks else set()
        idle |= {"R", "F"} if error is not None and error.type == "forbidden" else set()
        return [each for each in _LIST_KEYS if each[0] not in idle]

    # --- moving ---

    def move(self, by: int) -> None:
        """The mark to another check, in sight with all its rows that fit; in an opened check the text by a line."""
        checks = self.checks
        if self.opened or not checks:
            self.scroll(by)
            return
        at = checks.index(self.at) if self.at in checks else 0
        if not 0 <= at + by < len(checks):
            self.scroll(by)  # what stands before the first or behind the last is seen, too
            return
        self.at, self._chosen = checks[at + by], True
        self._into_sight()
        self.redraw()

    def _into_sight(self) -> None:
        rows = [n for n, row in enumerate(self._rows) if row.check == self.at]
        if not rows:
            return
        self.top = max(self.top, rows[-1] - self._room + 1)
        first = rows[0]
        while first > 0 and not self._rows[first - 1].check:  # with the group's name above it
            first -= 1
        self.top = min(self.top, first if rows[-1] - first < self._room else rows[0])

    def scroll(self, by: int) -> None:
        """So many lines on, or back."""
        self.top = min(max(0, self.top + by), max(0, len(self._rows) - self._room))
        self.redraw()

    def page(self, by: int) -> None:
        """A page on, or back; in the list the mark goes along."""
        self.scroll(by * max(1, self._room - 1))
        if not self.opened and (seen := self._in_sight()) and self.at not in seen:
            self.at, self._chosen = seen[0] if by > 0 else seen[-1], True
            self.redraw()

    def _in_sight(self) -> list[str]:
        rows = self._rows[self.top : self.top + self._room]
        return list(dict.fromkeys(row.check for row in rows if row.check))

    def go(self, end: bool) -> None:
        """To the first line, or the last."""
        checks = self.checks
        if not self.opened and checks:
            self.at, self._chosen = checks[-1 if end else 0], end
        self.top = len(self._rows) if end else 0
        self.redraw()

    def open(self, id: str) -> None:
        """Show a check alone; none for an empty id: the list, with the mark where it was."""
        self.opened, self.top = id, 0
        if id:
            self.at, self._chosen = id, True
        self._lay(max(1, self.size.width - _GUTTER))
        if not self.opened:
            self._into_sight()
        self.redraw()

    def step(self, by: int) -> None:
        """The check before or behind the opened one, in the order of the list."""
        rows = health_lines.listing(self.seen, max(1, self.size.width - _GUTTER), self._glyphs)
        checks = list(dict.fromkeys(row.check for row in rows if row.check))
        if self.opened in checks:
            self.open(checks[(checks.index(self.opened) + by) % len(checks)])

    def check_in_row(self, y: int) -> str:
        """The check that a row of the screen shows; empty where there is none."""
        at = y - self._from + self.top
        inside = self._from <= y < self._from + self._room and at < len(self._rows)
        return self._rows[at].check if inside else ""


class HealthScreen(Screen[None]):
    """Gives nothing back. ``show`` it what is known, as often as that changes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,Q,backspace", "back", N_("Close"), priority=True, show=False),
        Binding("f3,ctrl+o", "dismiss", N_("Close"), id="health", priority=True, show=False),
        Binding("f9,ctrl+backslash", "app.language", id="language", priority=True, show=False),
        Binding("up,k,K", "move(-1)", show=False),
        Binding("down,j,J", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown,space", "page(1)", show=False),
        Binding("home", "go(False)", show=False),
        Binding("end", "go(True)", show=False),
        Binding("enter", "open", show=False),
        Binding("left", "step(-1)", show=False),
        Binding("right", "step(1)", show=False),
        Binding("r,R", "wanted(False)", show=False),
        Binding("f,F", "wanted(True)", show=False),
        Binding("s,S,tab", "app.system", show=False),
        Binding("m,M", "app.memory", show=False),
        HELP,
    ]

    class Wanted(Message):
        """A run is wanted; ``full``: every file of the model is to be hashed."""

        def __init__(self, *, full: bool) -> None:
            self.full = full
            super().__init__()

    def __init__(self, profile: Profile, seen: Seen) -> None:
        super().__init__()
        self.sheet = Sheet(profile, seen)

    def compose(self) -> ComposeResult:
        """The sheet alone."""
        yield self.sheet

    def show(self, seen: Seen) -> None:
        """Show this from now on; the mark stays on its check."""
        self.sheet.seen = seen
        self.sheet.redraw()

    def action_back(self) -> None:
        """From a check to the list, from the list to the chat."""
        if self.sheet.opened:
            self.sheet.open("")
        else:
            self.dismiss()

    def action_move(self, by: int) -> None:
        """The arrows."""
        self.sheet.move(by)

    def action_page(self, by: int) -> None:
        """A page."""
        self.sheet.page(by)

    def action_go(self, end: bool) -> None:
        """Home, End."""
        self.sheet.go(end)

    def action_open(self) -> None:
        """Open the check under the mark."""
        if not self.sheet.opened and self.sheet.at:
            self.sheet.open(self.sheet.at)

    def action_step(self, by: int) -> None:
        """Left and right: the next check, where one is open; into and out of one else."""
        if self.sheet.opened:
            self.sheet.step(by)
        elif by > 0:
            self.action_open()

    def action_wanted(self, full: bool) -> None:
        """A run, please."""
        self.post_message(self.Wanted(full=full))

    def on_click(self, event: events.Click) -> None:
        """A click opens a check."""
        id = "" if self.sheet.opened else self.sheet.check_in_row(event.screen_y)
        if id:
            self.sheet.open(id)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel."""
        event.stop()
        self.sheet.scroll(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel."""
        event.stop()
        self.sheet.scroll(-3)

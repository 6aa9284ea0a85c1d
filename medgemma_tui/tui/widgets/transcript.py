"""The transcript: one line-API scroll view over the conversation's entries.

Rows are compared before they are painted, so a growing answer costs the terminal one row, and a scroll those rows
that differ. While it follows a live answer the view moves ``JUMP`` lines at a time, for the same reason.
"""

from __future__ import annotations

from time import monotonic
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from medgemma_tui.i18n import ngettext
from medgemma_tui.tui.conversation import Entry, Turn
from medgemma_tui.tui.ink import MUTED, Ink, Inked, Line, width_of
from medgemma_tui.tui.profile import Profile
from medgemma_tui.tui.widgets.flow import Anchor, Flow, View
from medgemma_tui.tui.wrap import truncate

BATCH_S = 0.1
"""Seconds at least between two layouts of the live entry."""
JUMP = 4
"""Lines the view moves by when the live answer has reached its end."""


class Transcript(ScrollView, Inked, can_focus=True):
    """The conversation; only what is visible is laid out, only what changed is painted.

    ``trace_open`` says whether traces are shown; one turn may differ (Enter), and one that is being written is
    shown until the answer begins.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = Inked.COMPONENT_CLASSES  # Textual looks at first bases only
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "previous_turn", show=False),
        Binding("right", "next_turn", show=False),
        Binding("enter", "toggle_turn", show=False),
    ]

    trace_open: reactive[bool] = reactive(False, init=False, repaint=False)

    class Selected(Message):
        """A turn was selected; None: no turn is."""

        def __init__(self, transcript: Transcript, turn: Turn | None) -> None:
            super().__init__()
            self.transcript = transcript
            self.turn = turn

    def __init__(self, profile: Profile, *, id: str | None = None, classes: str | None = None) -> None:
        Inked.__init__(self, id=id, classes=classes)
        self._glyphs = profile.glyphs
        self._flow = Flow(profile.glyphs)
        self._anchor: Anchor | None = None
        self._anchor_index = 0
        self._following = True
        self._back_to_end = False  # the end was left to show a trace
        self._unseen = 0
        self._rows: list[Line] = []
        self._owners: list[View] = []
        self._dirty: list[View] = []
        self._batch: Timer | None = None
        self._composed_at = 0.0
        self._placing = False

    # --- what others call -----------------------------------------------------------------------------

    @property
    def selected(self) -> Turn | None:
        """The turn under the selection mark."""
        return self._flow.selected

    @property
    def full_names(self) -> bool:
        """Whether full names stand behind the abbreviations of answers."""
        return self._flow.full_names

    @full_names.setter
    def full_names(self, on: bool) -> None:
        if on != self._flow.full_names:
            self._flow.full_names = on
            self._flow.recompose()
            self._arrange()

    @property
    def following(self) -> bool:
        """True while the end of the conversation is kept in view."""
        return self._following

    def append(self, entry: Entry) -> None:
        """Add an entry at the end; it is shown with the next frame."""
        self._dirty.append(self._flow.append(entry))
        self._schedule(0.0)

    def changed(self, entry: Entry) -> None:
        """An entry has more text or another state. Cheap: it is laid out again at most every 100 ms."""
        view = self._flow.find(entry)
        if view is not None and view not in self._dirty:
            self._dirty.append(view)
            self._schedule(self._composed_at + BATCH_S - monotonic())

    def remove_entry(self, entry: Entry) -> None:
        """Take one entry out."""
        view = self._flow.find(entry)
        if view is None:
            return
        if self.selected is entry:
            self._flow.selected = None
            self.post_message(self.Selected(self, None))
        self._flow.remove(view)
        self._dirty = [each for each in self._dirty if each is not view]
        self._arrange()

    def clear(self) -> None:
        """Take every entry out and forget all that was laid out."""
        self._flow.clear()
        self._dirty.clear()
        self._anchor, self._following, self._unseen = None, True, 0
        self._back_to_end = False
        self._rows, self._owners = [], []
        self._arrange()
        self.refresh()

    def follow(self) -> None:
        """Go to the end and stay there."""
        self._following, self._back_to_end = True, False
        self._arrange()

    def select(self, turn: Turn | None) -> None:
        """Move the selection mark, and the view to where the turn begins if it is out of sight."""
        before, self._flow.selected = self._flow.selected, turn
        for entry in (before, turn):
            if entry is not None and (view := self._flow.find(entry)) is not None:
                self._flow.compose(view)
        if turn is not None and (view := self._flow.find(turn)) is not None and self._flow.width:
            start = self._flow.start_of(view)
            shown = self._flow.rows(self._anchor, self.size.height) if self._anchor else []
            if not any(piece is start.piece for _view, piece, _line in shown):
                self._anchor = start
                self._following = False
        self._arrange()
        self.post_message(self.Selected(self, turn))

    def relabel(self) -> None:
        """The language changed: say everything again."""
        self._flow.recompose()
        self._arrange()

    # --- what Textual calls ---------------------------------------------------------------------------

    def on_resize(self) -> None:
        """Another width lays out anew what is seen; the line at the top stays where it is."""
        self._rows = []
        self._arrange()
        self.refresh()

    def notify_style_update(self) -> None:
        """Another theme: every row is painted again."""
        super().notify_style_update()
        self.refresh()

    def watch_trace_open(self, trace_open: bool) -> None:
        """Show or hide every trace; what single turns were set to is forgotten."""
        self._flow.trace_open = trace_open
        for view in self._flow.views:
            view.own_trace = None
        self._flow.recompose()
        self._arrange()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Somebody scrolled: move the anchor by as many exact lines as the number changed."""
        self.vertical_scrollbar.position = new_value
        delta = round(new_value) - round(old_value)
        if self._placing or not delta or self._anchor is None:
            return
        self._following = new_value >= self.max_scroll_y
        if abs(delta) <= 4 * self.size.height:
            self._anchor = self._flow.move(self._anchor, delta)
        else:
            self._anchor = self._flow.locate(round(new_value))
        self._arrange()

    def render_line(self, y: int) -> Strip:
        """One row of what is in view."""
        line = self._rows[y] if y < len(self._rows) else []
        return self.paint(line, self.size.width)  # the scrollbar lies over the last cell

    def on_click(self, event: events.Click) -> None:
        """Select the turn that was clicked; a click on its reasoning line opens or closes that."""
        offset = event.get_content_offset(self)
        if offset is None or not 0 <= offset.y < len(self._owners) or self._anchor is None:
            return
        view = self._owners[offset.y]
        rows = self._flow.rows(self._anchor, offset.y + 1)
        if isinstance(view.entry, Turn):
            self.select(view.entry)
            if len(rows) > offset.y and rows[offset.y][1].kind == "summary":
                self.action_toggle_turn()

    def action_scroll_home(self) -> None:
        """To the first line."""
        if self._flow.views:
            self._anchor = self._flow.start_of(self._flow.views[0])
            self._following = False
            self._arrange()

    def action_scroll_end(self) -> None:
        """To the end, and follow it."""
        self.follow()

    def action_previous_turn(self) -> None:
        """Select the turn before the selected one; the last one at first."""
        self._step(-1)

    def action_next_turn(self) -> None:
        """Select the turn after the selected one."""
        self._step(1)

    def action_toggle_turn(self) -> None:
        """Open or close the reasoning of the selected turn, or of the last one."""
        turns = [view for view in self._flow.views if isinstance(view.entry, Turn)]
        view = self._flow.find(self.selected) if self.selected is not None else (turns[-1] if turns else None)
        if view is None:
            return
        view.own_trace = not view.shows_trace(self.trace_open)
        self._flow.compose(view)
        self._arrange()
        self._turn_to(view)

    def toggle_traces(self) -> None:
        """Open or close every trace, by what the last turn shows now."""
        last = next((view for view in reversed(self._flow.views) if isinstance(view.entry, Turn)), None)
        shown = self.trace_open if last is None else last.shows_trace(self.trace_open)
        if last is not None and shown != self.trace_open:  # only the last one differs from the others
            last.own_trace = not shown
            self._flow.compose(last)
            self._arrange()
        else:
            self.trace_open = not shown
        if last is not None:
            self._turn_to(last)

    def _turn_to(self, view: View) -> None:
        """A trace was opened or closed: go to it where none is in sight, and back where it is closed.

        A trace that is being written is at the end, which is followed anyway.
        """
        if not view.shows_trace(self.trace_open):
            if self._back_to_end:
                self.follow()
            return
        summary = next((piece for piece in view.pieces if piece.kind == "summary"), None)
        if summary is None or (isinstance(view.entry, Turn) and view.entry.state == "reasoning"):
            return
        rows = self._flow.rows(self._anchor, len(self._rows)) if self._anchor else []
        seen = [piece for _view, piece, _line in rows]
        # who reads further up stays there as long as some trace is in sight
        if not any(piece is summary or (not self._following and piece.kind in ("summary", "t")) for piece in seen):
            self._back_to_end = self._following
            self._following = False
            self._anchor = Anchor(view, summary, 0)
            self._arrange()

    # --- the arrangement ------------------------------------------------------------------------------

    def _step(self, by: int) -> None:
        turns = [view.entry for view in self._flow.views if isinstance(view.entry, Turn)]
        if not turns:
            return
        unselected = len(turns) if by < 0 else len(turns) - 2
        at = next((i for i, turn in enumerate(turns) if turn is self.selected), unselected)
        self.select(turns[min(len(turns) - 1, max(0, at + by))])

    def _schedule(self, wait: float) -> None:
        """Lay what is dirty out after ``wait`` seconds, or sooner where that was already planned."""
        if self._batch is not None:
            if wait > 0:
                return
            self._batch.stop()
        self._batch = self.set_timer(max(0.001, wait), self._compose_dirty)

    def _compose_dirty(self) -> None:
        self._batch = None
        self._composed_at = monotonic()
        dirty, self._dirty = self._dirty, []
        reading = not self._following and self._flow.width > 0
        for view in dirty:
            if reading:
                view.hold_trace()
            before = self._flow.measure(view) if reading and view.pieces else 0
            self._flow.renew(view)
            if reading:
                self._unseen += max(0, self._flow.measure(view) - before)
        self._arrange()

    def _arrange(self) -> None:
        """Decide which lines are in view, tell the scrollbar, and repaint the rows that differ."""
        width, height = self.scrollable_content_region.size
        if not self.is_attached or width < 1 or height < 1:
            return
        flow = self._flow
        flow.width = width
        self._anchor = anchor = self._place(height)
        rows = flow.rows(anchor, height) if anchor else []
        lines = [line for _view, _piece, line in rows]
        self._owners = [view for view, _piece, _line in rows]
        if self._following:
            self._unseen = 0
        elif self._unseen and len(rows) == height:
            lines[-1] = self._hint(width)
        self._tell_scrollbar(width, height)
        self._repaint(lines, height)

    def _place(self, height: int) -> Anchor | None:
        """The line at the top of the view."""
        flow = self._flow
        jump = max(1, min(JUMP, height // 3))  # a view of few rows has none to keep free
        anchor = flow.settle(self._anchor, self._anchor_index)
        if self._following or anchor is None:
            used = len(flow.rows(anchor, height + 1)) if anchor else height + 1
            live = bool(flow.views) and isinstance(last := flow.views[-1].entry, Turn) and last.live
            if used > height:
                anchor = flow.tail(height - (jump - 1 if live and self._anchor is not None else 0))
            elif height - used >= (jump if live else 1):  # the room kept free for growing is given back at the end
                anchor = flow.tail(height)
        elif len(flow.rows(anchor, height)) < height:
            anchor = flow.tail(height)
        if anchor is not None:
            pieces = anchor.view.pieces
            self._anchor_index = next((at for at, piece in enumerate(pieces) if piece is anchor.piece), 0)
        return anchor

    def _hint(self, width: int) -> Line:
        down, count = self._glyphs.down, self._unseen
        text = ngettext("{n} new line below", "{n} new lines below", count).format(n=count)
        text = truncate(f" {down} {text} (End) ", width, self._glyphs.ellipsis)
        line: Line = [(text, Ink("link", bold=True))]
        return [*line, (self._glyphs.rule * (width - width_of(line)), MUTED)]

    def _tell_scrollbar(self, width: int, height: int) -> None:
        """Set the virtual size and the scroll position without the layout pass that Textual would make of it."""
        y = self._flow.y_of(self._anchor) if self._anchor else 0
        total = max(self._flow.total, y + height if self._following else 0)
        self._placing = True
        try:
            if total != self.virtual_size.height or width != self.virtual_size.width:
                self.set_reactive(Widget.virtual_size, Size(width, total))
                self.vertical_scrollbar.window_virtual_size = total
                self.vertical_scrollbar.window_size = height
            y = min(y, max(0, total - height))
            self.scroll_y = self.scroll_target_y = y
        finally:
            self._placing = False

    def _repaint(self, lines: list[Line], height: int) -> None:
        """Refresh the rows that are not what they were, from the left edge to where both end."""
        old, self._rows = self._rows, lines
        for y in range(height):
            before = old[y] if y < len(old) else []
            after = lines[y] if y < len(lines) else []
            if before != after:
                self.refresh(Region(0, y, max(1, width_of(before), width_of(after)), 1))

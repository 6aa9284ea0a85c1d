"""The transcript's arithmetic: entries one under the other, of which only what is seen is ever laid out.

Heights of what nobody has looked at are estimates, so the place a person reads is held as an anchor (entry, piece,
line), never as a number of lines from the top.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from medgemma_tui.tui.conversation import Entry, Notice, Turn
from medgemma_tui.tui.ink import Line
from medgemma_tui.tui.profile import Glyphs
from medgemma_tui.tui.widgets.pieces import Composer, Piece, estimate, weigh

OPEN_VIEWS = 64
"""Entries whose pieces are kept; of the others only the height is."""


class View:
    """One entry as the transcript knows it."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.pieces: list[Piece] = []
        self.own_trace: bool | None = None
        """Whether this turn's trace is open, where that differs from the others."""
        self._trace_live = False  # the trace was being written when the pieces were made
        self._composer: Composer | None = None
        self._weights: dict[bool, tuple[int, int]] = {}

    def compose(self, glyphs: Glyphs, *, trace_open: bool, selected: bool, full_names: bool = True) -> None:
        """Make the pieces from the entry as it is now; those that are the same are kept."""
        if self._composer is None:
            self._composer = Composer(glyphs)
        if isinstance(self.entry, Notice):
            made = self._composer.notice(self.entry)
        else:
            self._trace_live = self.entry.state == "reasoning"
            trace_open = self.shows_trace(trace_open)
            made = self._composer.turn(self.entry, trace_open=trace_open, selected=selected, full_names=full_names)
        kept = {piece.key: piece for piece in self.pieces}
        self.pieces = [kept.get(piece.key, piece) for piece in made]
        self.forget_weight()

    def shows_trace(self, trace_open: bool) -> bool:
        """Whether this turn's trace is open when the others are ``trace_open``: always while it is being written."""
        if self.own_trace is not None:
            return self.own_trace
        return trace_open or (isinstance(self.entry, Turn) and self.entry.state == "reasoning")

    def hold_trace(self) -> None:
        """Somebody reads in the trace that is being written: it stays open when the answer begins."""
        if self._trace_live and self.own_trace is None:
            self.own_trace = True

    def forget_weight(self) -> None:
        """The entry's text has changed: estimate its height anew."""
        self._weights.clear()

    def close(self) -> None:
        """Forget the pieces."""
        self.pieces = []
        self._composer = None

    def height(self, width: int, trace_open: bool) -> int:
        """Lines of the entry; partly or wholly an estimate where it has not been looked at."""
        if self.pieces:
            return sum(piece.height(width) for piece in self.pieces)
        trace_open = self.shows_trace(trace_open)
        if trace_open not in self._weights:
            self._weights[trace_open] = self._weigh(trace_open)
        return estimate(*self._weights[trace_open], width)

    def _weigh(self, trace_open: bool) -> tuple[int, int]:
        if isinstance(self.entry, Notice):
            return weigh(self.entry.text), 2
        turn = self.entry
        texts = [turn.question, turn.answer, *([turn.reasoning] if trace_open else [])]
        return sum(map(weigh, texts)), sum(text.count("\n") + 1 for text in texts) + 3 + bool(turn.reasoning)


@dataclass(slots=True)
class Anchor:
    """A line: of which entry, which piece of it, and which line of that."""

    view: View
    piece: Piece
    line: int


class Flow:
    """All entries for one width."""

    def __init__(self, glyphs: Glyphs) -> None:
        self.views: list[View] = []
        self.width = 0
        self.trace_open = False
        self.full_names = True
        self.selected: Turn | None = None
        self._glyphs = glyphs
        self._open: OrderedDict[int, View] = OrderedDict()

    def find(self, entry: Entry) -> View | None:
        """The view of an entry; the newest are looked at first."""
        return next((view for view in reversed(self.views) if view.entry is entry), None)

    def append(self, entry: Entry) -> View:
        """Add an entry at the end."""
        view = View(entry)
        self.views.append(view)
        return view

    def remove(self, view: View) -> None:
        """Take an entry out."""
        self.views.remove(view)
        self._open.pop(id(view), None)

    def clear(self) -> None:
        """Forget everything."""
        self.views.clear()
        self._open.clear()
        self.selected = None

    def compose(self, view: View) -> None:
        """Bring a view up to date with its entry and keep its pieces for a while."""
        selected = view.entry is self.selected
        view.compose(self._glyphs, trace_open=self.trace_open, selected=selected, full_names=self.full_names)
        self._open[id(view)] = view
        self._open.move_to_end(id(view))
        while len(self._open) > OPEN_VIEWS:
            self._open.popitem(last=False)[1].close()

    def renew(self, view: View) -> None:
        """The view's entry has changed; one that nobody looks at waits until somebody does."""
        if view.pieces:
            self.compose(view)
        else:
            view.forget_weight()

    def recompose(self) -> None:
        """The language or what is shown of every turn has changed."""
        for view in list(self._open.values()):
            self.compose(view)

    def measure(self, view: View) -> int:
        """The exact height of a view."""
        self._opened(view)
        return sum(len(piece.lines(self.width)) for piece in view.pieces)

    @property
    def total(self) -> int:
        """Lines of everything, as far as is known."""
        return sum(view.height(self.width, self.trace_open) for view in self.views)

    def y_of(self, anchor: Anchor) -> int:
        """Lines above an anchor, as far as is known."""
        y = anchor.line
        for view in self.views:
            if view is anchor.view:
                break
            y += view.height(self.width, self.trace_open)
        for piece in anchor.view.pieces:
            if piece is anchor.piece:
                break
            y += piece.height(self.width)
        return y

    def start_of(self, view: View) -> Anchor:
        """The first line of an entry."""
        self._opened(view)
        return Anchor(view, view.pieces[0], 0)

    def locate(self, y: int) -> Anchor | None:
        """The line that is about ``y`` lines from the top; None where there is nothing."""
        if not self.views:
            return None
        view = self.views[-1]
        for view in self.views:
            height = view.height(self.width, self.trace_open)
            if y < height:
                break
            y -= height
        return self.move(self.start_of(view), max(0, y))

    def tail(self, height: int) -> Anchor | None:
        """The line from which ``height`` lines are left; the first line where there are fewer."""
        if not self.views:
            return None
        view = self.views[-1]
        self._opened(view)
        piece = view.pieces[-1]
        return self.move(Anchor(view, piece, len(piece.lines(self.width)) - 1), 1 - max(1, height))

    def move(self, anchor: Anchor, lines: int) -> Anchor:
        """The anchor so many exact lines further down (or up), stopping at either end."""
        at = self.views.index(anchor.view)
        pieces = anchor.view.pieces
        index = next((i for i, piece in enumerate(pieces) if piece is anchor.piece), 0)
        line = anchor.line + lines
        while True:
            if line < 0:
                if index:
                    index -= 1
                elif at:
                    at -= 1
                    pieces = self._opened(self.views[at])
                    index = len(pieces) - 1
                else:
                    return Anchor(self.views[0], pieces[0], 0)
                line += len(pieces[index].lines(self.width))
                continue
            size = len(pieces[index].lines(self.width))
            if line < size:
                return Anchor(self.views[at], pieces[index], line)
            if index + 1 < len(pieces):
                index += 1
            elif at + 1 < len(self.views):
                at += 1
                pieces = self._opened(self.views[at])
                index = 0
            else:
                return Anchor(self.views[at], pieces[index], max(0, size - 1))
            line -= size

    def rows(self, anchor: Anchor, count: int) -> list[tuple[View, Piece, Line]]:
        """Up to ``count`` lines from an anchor on, laid out."""
        rows: list[tuple[View, Piece, Line]] = []
        start, line = self.views.index(anchor.view), anchor.line
        begun = False
        for view in self.views[start:]:
            for piece in self._opened(view):
                if not begun and view is anchor.view and piece is not anchor.piece:
                    continue
                begun = True
                for text in piece.lines(self.width)[line:]:
                    rows.append((view, piece, text))
                    if len(rows) == count:
                        return rows
                line = 0
        return rows

    def settle(self, anchor: Anchor | None, index: int = 0) -> Anchor | None:
        """The anchor after entries or pieces changed: the same place where it is still there, else the nearest.

        ``index`` is where the piece stood among those of its entry.
        """
        if anchor is None or not self.views:
            return None
        if anchor.view not in self.views:
            return self.tail(1)
        pieces = self._opened(anchor.view)
        piece = anchor.piece
        if not any(each is piece for each in pieces):
            same = [each for each in pieces if each.key[:2] == piece.key[:2]]
            piece = same[0] if same else pieces[min(index, len(pieces) - 1)]
        return Anchor(anchor.view, piece, min(anchor.line, max(0, len(piece.lines(self.width)) - 1)))

    def _opened(self, view: View) -> list[Piece]:
        if not view.pieces:
            self.compose(view)
        else:
            self._open[id(view)] = view
            self._open.move_to_end(id(view))
        return view.pieces

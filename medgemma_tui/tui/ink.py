"""Inks: what a piece of text is, apart from its colour. Widgets lay text out in inks and paint it when it is drawn,
so a theme change or another width throws no text away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from medgemma_tui.tui.themes import INKS
from medgemma_tui.tui.wrap import wrap


class Ink(NamedTuple):
    """A role of ``themes.INKS`` and the marks on it."""

    role: str = "text"
    bold: bool = False
    italic: bool = False
    strike: bool = False


TEXT = Ink()
MUTED = Ink("muted")
STRONG = Ink(bold=True)

Run = tuple[str, Ink]
Line = list[Run]


def width_of(line: Line) -> int:
    """Cells of a line."""
    return sum(cell_len(text) for text, _ink in line)


def fields(parts: list[Line], width: int, gap: Run) -> list[Line]:
    """Parts side by side with a gap between, on as many lines as needed; one that is too wide is wrapped."""
    lines: list[Line] = []
    for part in parts:
        if lines and width_of(lines[-1]) + cell_len(gap[0]) + width_of(part) <= width:
            lines[-1] = [*lines[-1], gap, *part]
        else:
            lines.extend(wrap(part, width))
    return lines


class Inked(Widget):
    """A widget that paints lines of inks. Its component classes are ``ink--<role>`` (``styles/inks.tcss``)."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"ink--{role}" for role in INKS}

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._palette: dict[Ink, Style] = {}

    def notify_style_update(self) -> None:
        """The stylesheet or the theme changed: paint with the new colours."""
        self._palette.clear()
        super().notify_style_update()

    def style_of(self, ink: Ink) -> Style:
        """The Rich style of an ink under the stylesheet in use."""
        style = self._palette.get(ink)
        if style is None:
            style = self.get_component_rich_style(f"ink--{ink.role}")
            marks = Style(bold=ink.bold or None, italic=ink.italic or None, strike=ink.strike or None)
            self._palette[ink] = style = style + marks
        return style

    def paint(self, line: Line, width: int) -> Strip:
        """A line as a strip of exactly ``width`` cells."""
        segments = [Segment(text, self.style_of(ink)) for text, ink in line]
        return Strip(segments).adjust_cell_length(width, self.style_of(TEXT))


class Panel(Inked):
    """A small widget of a few lines that repaints only those that changed.

    A subclass gives ``compose_lines``. ``redraw`` asks for a new layout only when the number of lines changes.
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []
        self._laid_for = 0

    def compose_lines(self, width: int) -> list[Line]:
        """The lines for this width, as they should be now."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Compute the lines again and repaint those that differ."""
        width = self.size.width
        if not self.is_mounted or not width:
            return
        old = self._lines
        self._compute(width)
        if len(old) != len(self._lines):
            self.refresh(layout=self.styles.height is not None and self.styles.height.is_auto)
            return
        for y, (before, after) in enumerate(zip(old, self._lines, strict=True)):
            if before != after:
                self._refresh_row(y, max(width_of(before), width_of(after)))

    def relabel(self) -> None:
        """The language changed: say everything again."""
        self.redraw()

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        """As many rows as there are lines for this width."""
        if width != self._laid_for:
            self._compute(width)
        return len(self._lines)

    def render_line(self, y: int) -> Strip:
        """One line, painted."""
        width = self.size.width
        if width != self._laid_for:
            self._compute(width)
        line: Sequence[Run] = self._lines[y] if y < len(self._lines) else ()
        return self.paint(list(line), width)

    def _compute(self, width: int) -> None:
        self._laid_for = width
        self._lines = self.compose_lines(width)

    def _refresh_row(self, y: int, width: int) -> None:
        self.refresh(Region(0, y, min(width, self.size.width), 1))

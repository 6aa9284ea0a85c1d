"""A causal chain as boxes and arrows: lines for a width and a height, of which the first steps are drawn. Pure.

Where there is room the chain runs from left to right in rows; on a narrow screen it runs downward, in boxes, in
brackets where boxes do not fit, and as a window over the step that is shown where brackets do not fit either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from medgemma_tui.tui.ink import MUTED, TEXT, Ink, Line
from medgemma_tui.tui.wrap import cells, truncate, wrap_text

WIDE = 100
"""Cells from which a chain runs from left to right."""
_ACROSS = 26  # cells of text in a box, left to right
_DOWN = 60  # and downward
_LINK = 5  # cells between two boxes in a row
_NOW = Ink("heading", bold=True)


@dataclass(frozen=True, slots=True)
class Boxes:
    """The characters to draw with: corners (from top left, clockwise), sides, the way in and the way out."""

    corners: str = "┌┐┘└"
    across: str = "─"
    upright: str = "│"
    out: str = "┬"
    corners_now: str = "╔╗╝╚"
    across_now: str = "═"
    upright_now: str = "║"
    out_now: str = "╤"
    turn: str = "└"
    right: str = "►"
    down: str = "▼"
    up: str = "▲"
    ellipsis: str = "…"


LINES = Boxes()
ASCII = Boxes(
    corners="++++", across="-", upright="|", out="+", corners_now="####", across_now="#", upright_now="#", out_now="#",
    turn="+", right=">", down="v", up="^", ellipsis="...",
)  # fmt: skip


@dataclass(slots=True)
class _Canvas:
    """Pieces of text at their places."""

    rows: dict[int, list[tuple[int, str, Ink]]] = field(default_factory=dict)
    height: int = 0
    used: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list)
    """First row of each step and the row behind its last."""

    def put(self, x: int, y: int, text: str, ink: Ink) -> None:
        self.rows.setdefault(y, []).append((x, text, ink))

    def shift(self, by: int) -> None:
        self.rows = {y: [(x + by, text, ink) for x, text, ink in row] for y, row in self.rows.items()}

    def lines(self) -> list[Line]:
        made: list[Line] = []
        for y in range(self.height):
            line: Line = []
            at = 0
            for x, text, ink in sorted(self.rows.get(y, ())):
                if x > at:
                    line.append((" " * (x - at), TEXT))
                line.append((text, ink))
                at = x + cells(text)
            made.append(line)
        return made


def draw(chain: Sequence[str], shown: int, width: int, height: int, boxes: Boxes = LINES) -> list[Line]:
    """At most ``height`` lines of at most ``width`` cells: the first ``shown`` steps, the last of them marked.

    The steps that are not shown yet have their place, so that nothing moves when they come. Each step is one line of
    text. An empty chain is no line.
    """
    if not chain or width < 8 or height < 1:
        return []
    shown = min(max(1, shown), len(chain))
    made = _rows(chain, shown, width, boxes) if width >= WIDE else _column(chain, shown, width, boxes)
    if made.height > height and width >= WIDE:
        made = _column(chain, shown, width, boxes)
    if made.height > height:
        made = _brackets(chain, shown, width, boxes)
    lines = made.lines()
    if made.height <= height:
        above = (height - made.height) // 3
        return [[] for _row in range(above)] + lines
    return _window(lines, made.spans, shown, height, max(0, width // 2 - 1), boxes)


def _window(
    lines: list[Line], spans: list[tuple[int, int]], shown: int, height: int, middle: int, boxes: Boxes
) -> list[Line]:
    """The lines around a step, with the number of steps that are out of sight."""
    first, behind = spans[shown - 1]
    start = first if height < 3 else max(0, min(behind - height + 1, first - 1, len(lines) - height))
    seen = lines[start : start + height]
    above = sum(1 for top, _end in spans if top < start + (start > 0))
    if above and height > 2:
        seen[0] = [(f"{' ' * middle}{boxes.up} {above}", MUTED)]
    return seen


def _box(canvas: _Canvas, x: int, y: int, texts: list[str], inner: int, boxes: Boxes, *, now: bool) -> None:
    """A box of ``inner`` + 4 cells around some lines."""
    edge, words = (_NOW, _NOW) if now else (MUTED, TEXT)
    corners = boxes.corners_now if now else boxes.corners
    across = (boxes.across_now if now else boxes.across) * (inner + 2)
    side = boxes.upright_now if now else boxes.upright
    canvas.put(x, y, corners[0] + across + corners[1], edge)
    for at, text in enumerate(texts, 1):
        before = (inner - cells(text)) // 2
        canvas.put(x, y + at, side, edge)
        canvas.put(x + 2 + before, y + at, text, words)
        canvas.put(x + 3 + inner, y + at, side, edge)
    canvas.put(x, y + len(texts) + 1, corners[3] + across + corners[2], edge)


def _column(chain: Sequence[str], shown: int, width: int, boxes: Boxes) -> _Canvas:
    """Box under box; the arrow goes out of one's lower edge and into the next one's upper."""
    inner = min(max(map(cells, chain)), _DOWN, width - 4)
    x = (width - inner - 4) // 2
    middle = (inner + 4) // 2
    canvas = _Canvas()
    for index, step in enumerate(chain):
        texts = wrap_text(step, inner)
        y, now = canvas.height, index == shown - 1
        canvas.spans.append((y, y + len(texts) + 2))
        canvas.height += len(texts) + 2
        if index >= shown:
            continue
        _box(canvas, x, y, texts, inner, boxes, now=now)
        if index:
            _cut_in(canvas, y, x + middle, boxes.down)
        if index + 1 < shown:
            _cut_in(canvas, canvas.height - 1, x + middle, boxes.out)
    return canvas


def _cut_in(canvas: _Canvas, y: int, x: int, sign: str) -> None:
    """Put a sign into the edge that was drawn last on a row."""
    start, edge, ink = canvas.rows[y].pop()
    at = x - start
    canvas.put(start, y, edge[:at] + sign + edge[at + 1 :], ink)


def _brackets(chain: Sequence[str], shown: int, width: int, boxes: Boxes) -> _Canvas:
    """One line a step, and one for the arrow between two."""
    canvas = _Canvas()
    for index, step in enumerate(chain):
        y, now = canvas.height, index == shown - 1
        text = truncate(step, width - 4, boxes.ellipsis)
        text = f"[[{text}]]" if now else f"[ {text} ]"
        if index:
            y += 1
        canvas.spans.append((y, y + 1))
        canvas.height = y + 1
        if index >= shown:
            continue
        canvas.put((width - cells(text)) // 2, y, text, _NOW if now else TEXT)
        if index:
            canvas.put(width // 2 - 1, y - 1, boxes.down, _NOW if now else MUTED)
    return canvas


def _rows(chain: Sequence[str], shown: int, width: int, boxes: Boxes) -> _Canvas:
    """Boxes from left to right in as many rows as are needed; all rows of a chain are equally high."""
    laid = [wrap_text(step, _ACROSS) for step in chain]
    tall = max(map(len, laid))
    canvas = _Canvas()
    x, y = 0, 0
    first = True
    for index, texts in enumerate(laid):
        inner = max(map(cells, texts))
        if not first and x + _LINK + inner + 4 > width:
            x, y, first = 0, y + tall + 2, True
        lead = _LINK if index else 0
        top = y + (tall - len(texts)) // 2
        canvas.spans.append((y, y + tall + 2))
        canvas.height = y + tall + 2
        if index < shown:
            now = index == shown - 1
            if index:
                middle = y + 1 + (tall - 1) // 2
                tail = boxes.turn if first else boxes.across
                arrow = f" {tail}{boxes.across * (_LINK - 4)}{boxes.right} "
                canvas.put(x, middle, arrow, _NOW if now else MUTED)
            _box(canvas, x + lead, top, texts, inner, boxes, now=now)
        x += lead + inner + 4
        canvas.used = max(canvas.used, x)
        first = False
    canvas.shift((width - canvas.used) // 2)
    return canvas

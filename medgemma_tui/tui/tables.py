"""Tables in terminal cells: columns shrunk to fit with wrapped cells, or stacked where there is no room."""

from __future__ import annotations

from medgemma_tui.tui.ink import Ink, Line, width_of
from medgemma_tui.tui.profile import Glyphs
from medgemma_tui.tui.wrap import wrap

_LEAST = 6
"""Cells below which a column is no longer worth reading."""


def table(rows: list[list[Line]], aligns: list[str], width: int, glyphs: Glyphs, ink: Ink) -> list[Line]:
    """The lines of a table; the first row is its head. ``aligns``: left, right or center, or empty, by column.

    ``ink`` is that of the rules. Where the columns do not fit, each row becomes lines of ``head: cell``.
    """
    if not rows:
        return []
    columns = max(map(len, rows))
    rows = [row + [[]] * (columns - len(row)) for row in rows]
    wants = [max(1, *(_natural(row[at]) for row in rows)) for at in range(columns)]
    room = width - 3 * (columns - 1)
    if room < sum(min(_LEAST, want) for want in wants):
        return _stacked(rows, width, glyphs, ink)
    sizes = _shrink(wants, room)
    laid = [[wrap(cell, size) for cell, size in zip(row, sizes, strict=True)] for row in rows]
    ruled = any(len(cell) > 1 for row in laid[1:] for cell in row)
    rule: Line = [(f"{glyphs.rule}{glyphs.cross}{glyphs.rule}".join(glyphs.rule * size for size in sizes), ink)]
    lines: list[Line] = []
    for index, row in enumerate(laid):
        if index == 1 or (ruled and index > 1):
            lines.append(rule)
        for at in range(max(map(len, row))):
            line: Line = []
            for column, (cell, size) in enumerate(zip(row, sizes, strict=True)):
                if column:
                    line.append((f" {glyphs.bar} ", ink))
                part = cell[at] if at < len(cell) else []
                line.extend(_aligned(part, size, aligns[column] if column < len(aligns) else "", ink))
            lines.append(line)
    return lines


def _natural(cell: Line) -> int:
    return width_of(cell)


def _shrink(wants: list[int], room: int) -> list[int]:
    """Widths of the columns: as wanted where all fit, else the widest give way to one common limit."""
    if sum(wants) <= room:
        return wants
    low, high = 1, max(wants)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(want, middle) for want in wants) <= room:
            low = middle
        else:
            high = middle - 1
    sizes = [min(want, low) for want in wants]
    for at, want in enumerate(wants):  # the cells that are left over
        if sum(sizes) < room and want > sizes[at]:
            sizes[at] += 1
    return [max(2, size) for size in sizes] if room >= 2 * len(sizes) else sizes


def _aligned(part: Line, size: int, align: str, ink: Ink) -> Line:
    """A line of a cell in exactly ``size`` cells."""
    space = size - width_of(part)
    before = space if align == "right" else space // 2 if align == "center" else 0
    line: Line = [(" " * before, ink)] if before else []
    line.extend(part)
    if space > before:
        line.append((" " * (space - before), ink))
    return line


def _stacked(rows: list[list[Line]], width: int, glyphs: Glyphs, ink: Ink) -> list[Line]:
    """Each row as lines of ``head: cell``, a rule between rows."""
    head, *body = rows
    if not body:
        return [line for cell in head for line in wrap(cell, width)]
    lines: list[Line] = []
    for row in body:
        if lines:
            lines.append([(glyphs.rule * min(8, width), ink)])
        for name, cell in zip(head, row, strict=True):
            lines.extend(wrap([*name, (": " if name else "", ink), *cell], width, rest=min(2, width - 2)))
    return lines

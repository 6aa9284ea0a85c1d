"""Small drawings in one row of characters: the sparkline of a history and the gauge of a share."""

from __future__ import annotations

from collections.abc import Sequence

from medgemma_tui.tui.profile import Glyphs


def sparkline(values: Sequence[float | None], width: int, glyphs: Glyphs) -> str:
    """The newest ``width`` values (0 to 100) as levels, right-aligned; None is a gap."""
    levels = glyphs.spark
    top = len(levels) - 1
    newest = list(values)[-width:] if width > 0 else []
    drawn = [
        glyphs.spark_gap if value is None else levels[round(min(100.0, max(0.0, value)) / 100 * top)]
        for value in newest
    ]
    return "".join(drawn).rjust(width)


def gauge(share: float | None, width: int, glyphs: Glyphs) -> str:
    """A bar of ``width`` cells filled to ``share`` (0 to 1); None is all empty."""
    filled = min(1.0, max(0.0, share or 0.0)) * width
    whole = int(filled)
    bar = glyphs.gauge_full * whole
    if whole < width and glyphs.gauge_parts:
        step = int((filled - whole) * (len(glyphs.gauge_parts) + 1))
        bar += glyphs.gauge_parts[step - 1] if step else ""
    return bar + glyphs.gauge_empty * (width - len(bar))

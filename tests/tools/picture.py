"""``make picture``: the README's picture, taken from the real program on a pseudo-terminal after a real question."""

from __future__ import annotations

import io
import re
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path

import pyte
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from medgemma_tui.demo.corpus import GFR_QUESTION
from tests.benchmarks.terminal import Terminal, terminal

TARGET = Path(__file__).resolve().parents[2] / ".readme" / "screen.svg"
COLUMNS, ROWS = 120, 36


def _colour(name: str) -> Color | None:
    if name == "default":
        return None
    try:
        return Color.parse(f"#{name}") if len(name) == 6 and not name.isalpha() else Color.parse(name)
    except Exception:
        return Color.parse(f"#{name}") if len(name) == 6 else None


def _style(cell: pyte.screens.Char) -> Style:
    return Style(
        color=_colour(cell.fg),
        bgcolor=_colour(cell.bg),
        bold=cell.bold,
        italic=cell.italics,
        reverse=cell.reverse,
        underline=cell.underscore,
    )


def _text(screen: pyte.Screen) -> Text:
    lines = []
    for row in range(ROWS):
        line = Text()
        cells = [(_style(cell), cell.data) for cell in (screen.buffer[row][column] for column in range(COLUMNS))]
        for style, run in groupby(cells, key=lambda cell: cell[0]):
            line.append("".join(data for _same, data in run), style)
        lines.append(line)
    return Text("\n").join(lines)


def _wait_for(opened: Terminal, stream: pyte.ByteStream, screen: pyte.Screen, text: str, seconds: float) -> None:
    end = time.perf_counter() + seconds
    fed = 0
    while time.perf_counter() < end:
        opened.read(0.3)
        stream.feed(bytes(opened.seen[fed:]))
        fed = len(opened.seen)
        if text in "\n".join(screen.display).replace(" ", ""):
            return
    raise TimeoutError(f"{text!r} never appeared")


def main() -> None:
    """Ask the GFR question, wait for the answer, write the picture."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    with (
        tempfile.TemporaryDirectory() as state,
        terminal(  # a newcomer's: no health run of whoever makes the picture
            [sys.executable, "-m", "medgemma_tui", "--demo", "--lang", "zh"],
            columns=COLUMNS,
            rows=ROWS,
            env={"XDG_STATE_HOME": state},
        ) as opened,
    ):
        opened.read(2.0)
        opened.type(GFR_QUESTION + "\r")
        screen.reset()
        _wait_for(opened, stream, screen, "tok/s", 60.0)
        opened.type("\x1b[12~")  # F2: with its reasoning
        opened.read(2.0)
        screen.reset()
        stream.feed(bytes(opened.seen))
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(_text(screen), soft_wrap=True, end="")
    TARGET.parent.mkdir(exist_ok=True)
    svg = console.export_svg(title="medgemma-tui --demo")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S)  # fonts from the network: the reader's own will do
    TARGET.write_text(svg, encoding="utf-8")
    print(f"wrote {TARGET.name}", file=sys.stderr)


if __name__ == "__main__":
    main()

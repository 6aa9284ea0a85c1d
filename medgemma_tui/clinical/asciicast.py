"""An asciicast v2 file (asciinema) of frames of plain text. Pure; the caller decides whether it may be written.

Format: https://docs.asciinema.org/manual/asciicast/v2/ (2017). No timestamp, environment or command is written.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Sequence
from typing import Final

_CLEAR: Final = "\x1b[H\x1b[2J"
# Marks that turn the direction of text, as the program's other boundary to the terminal replaces them.
_BIDI: Final = frozenset([*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C])


def cast(frames: Sequence[tuple[float, str]], width: int, height: int, title: str) -> str:
    """The text of a file that shows each frame from its time in seconds on, on ``width`` × ``height`` cells.

    Each frame is the whole screen, its lines divided by line feeds; what does not fit is cut. Control characters,
    escape sequences and direction marks are taken out; the only ones in the file clear the screen and begin a line.
    Raises ValueError for a screen without cells, a time that is no finite number, is negative or goes backwards.
    """
    if width < 1 or height < 1:
        raise ValueError("the screen has no cells")
    header: dict[str, object] = {"version": 2, "width": width, "height": height}
    if title:
        header["title"] = _clean(title)
    lines = [_json(header)]
    last = 0.0
    for at, text in frames:
        if not math.isfinite(at) or at < last:
            raise ValueError(f"a frame at {at} s after one at {last} s")
        last = at
        shown = [_cut(_clean(line), width) for line in text.split("\n")[:height]]
        lines.append(_json([round(at, 6), "o", _CLEAR + "\r\n".join(shown)]))
    return "\n".join(lines) + "\n"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def _clean(text: str) -> str:
    """One line without what a terminal would obey."""
    made = []
    for char in text:
        category = unicodedata.category(char)
        if char in "\t\n" or category in ("Zl", "Zp"):
            made.append(" ")
        elif category == "Cs" or ord(char) in _BIDI:
            made.append("\ufffd")
        elif category != "Cc":
            made.append(char)
    return "".join(made)


def _cut(line: str, width: int) -> str:
    """As much of a line as ``width`` cells hold."""
    used = 0
    for at, char in enumerate(line):
        used += _cells(char)
        if used > width:
            return line[:at]
    return line


def _cells(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1

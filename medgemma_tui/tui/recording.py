"""A played chain as an asciicast, and whether it may leave the screen. The question is not part of it."""

from __future__ import annotations

from collections.abc import Sequence

from medgemma_tui.clinical.asciicast import cast
from medgemma_tui.clinical.deidentify import find_identifiers
from medgemma_tui.clinical.findings import Identifier
from medgemma_tui.tui.teaching import Boxes, draw

_LEAST = (40, 12)  # columns and rows
_LAST_S = 2.0


def identifiers(chain: Sequence[str]) -> tuple[Identifier, ...]:
    """What in a chain could tell who the patient is, also where two steps say it together. Raises TableError."""
    found = [each for text in (*chain, "\n".join(chain), "".join(chain)) for each in find_identifiers(text)]
    return tuple(dict.fromkeys(found))


def recording(
    chain: Sequence[str], head: Sequence[str], foot: str, boxes: Boxes, size: tuple[int, int], pace_s: float
) -> str:
    """The file's text: each step for ``pace_s`` seconds on a screen of ``size`` (columns, rows).

    ``head`` are the lines above the drawing, the first of them the file's title; ``foot`` is the line below it.
    """
    width, height = (max(least, wanted) for least, wanted in zip(_LEAST, size, strict=True))
    room = height - len(head) - 2
    frames = []
    for shown in range(1, len(chain) + 1):
        lines = ["".join(text for text, _ink in line) for line in draw(chain, shown, width, room, boxes)]
        rows = [*head, *lines, *[""] * (room - len(lines)), "", foot]
        frames.append(((shown - 1) * pace_s, "\n".join(row.rstrip() for row in rows)))
    if frames:
        frames.append((len(chain) * pace_s + _LAST_S, frames[-1][1]))  # so that players show the last step, too
    return cast(frames, width, height, head[0] if head else "")

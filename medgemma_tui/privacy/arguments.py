"""Patient text on the command line: taken out of what ``ps`` shows to every user of this box.

The kernel shows the arguments of a process from the moment it is started. We take them out first thing, some
milliseconds later; who must not have those gives the text on standard input (``ask -``).
"""

from __future__ import annotations

import contextlib
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

HIDDEN = "***"
HANDED_OVER = "_MEDGEMMA_TUI_ARGUMENTS"
"""Names the file that the real arguments are in, for the process that we become."""
_TEXT_COMMANDS = {"ask", "analyze", "lookup"}
_PLAIN_COMMANDS = {"serve", "locate", "privacy", "audit", "import", "health", "preflight"}
_SHOWN = {
    *_TEXT_COMMANDS, "terms", "-", "--demo", "--model", "--socket", "--lang", "--json", "--thinking",
    "--thinking-budget", "--max-tokens", "--temperature", "--seed", "--sections", "--identifiers", "--trace",
    "--plain", "--profile", "--version", "--help",
}  # fmt: skip
_ARG_START, _ARG_END = 48, 49  # fields of /proc/self/stat, counted from 1


def shown(arguments: Sequence[str]) -> list[str]:
    """The arguments as others may see them: of a command that takes a text, known words and options and no more."""
    words = set(arguments)
    if not words & _TEXT_COMMANDS and words & _PLAIN_COMMANDS:
        return list(arguments)
    seen, options_end = [], False
    for argument in arguments:
        seen.append(argument if argument in _SHOWN and not options_end else HIDDEN)
        options_end = options_end or argument == "--"
    return seen


def hand_over(arguments: Sequence[str], environ: dict[str, str]) -> list[str]:
    """Put the arguments where only the process that we become finds them; returns those to show instead.

    Nothing is put anywhere where all of them may be seen.
    """
    safe = shown(arguments)
    if safe == list(arguments):
        return safe
    try:
        place = os.memfd_create("arguments", 0)  # not closed at exec
    except OSError:
        return list(arguments)
    data = b"\0".join(map(os.fsencode, arguments))
    os.truncate(place, len(data))
    os.pwrite(place, data, 0)
    environ[HANDED_OVER] = str(place)
    return safe


def take_over() -> bool:
    """Take the arguments that were handed over into ``sys.argv``; True where there were any."""
    place = os.environ.pop(HANDED_OVER, "")
    if not place.isdigit():
        return False
    try:
        number = int(place)
        data = os.pread(number, os.fstat(number).st_size, 0)
        os.close(number)
    except (OSError, OverflowError):
        return False
    sys.argv[1:] = [os.fsdecode(argument) for argument in data.split(b"\0")]
    return True


def hide() -> None:
    """Overwrite this process's own arguments where the kernel reads them from. Before it is undumpable."""
    arguments = sys.argv[1:]
    safe = shown(arguments)
    if safe != arguments:
        with contextlib.suppress(OSError, ValueError, IndexError):
            _overwrite(arguments, safe)


def _overwrite(arguments: list[str], safe: list[str]) -> None:
    # /proc/self/mem and no ctypes: that would take longer to import than all the rest.
    with open("/proc/self/stat", "rb") as stat:  # noqa: PTH123
        fields = stat.read().rpartition(b")")[2].split()  # the third field and on
    start, end = int(fields[_ARG_START - 3]), int(fields[_ARG_END - 3])
    with open("/proc/self/mem", "r+b", buffering=0) as memory:  # noqa: PTH123
        memory.seek(start)
        pieces = memory.read(end - start).split(b"\0")[:-1]
        ours = pieces[len(pieces) - len(arguments) :]
        if ours != [os.fsencode(argument) for argument in arguments]:
            return
        seen = [os.fsencode(word)[: len(piece)].ljust(len(piece)) for piece, word in zip(ours, safe, strict=True)]
        data = b"".join(word + b"\0" for word in seen)
        memory.seek(end - len(data))
        memory.write(data)

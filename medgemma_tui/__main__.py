"""``python -m medgemma_tui`` and the ``medgemma-tui`` command."""

from __future__ import annotations

import os
import sys

# Read by libraries when they are imported, so they come first. No packet leaves this box.
os.environ.update(
    HF_HUB_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    DO_NOT_TRACK="1",
)

from medgemma_tui.privacy import isolation

_INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit with its code."""
    _open_missing_streams()
    isolation.enter()
    try:
        from medgemma_tui.cli import run

        sys.exit(run())
    except KeyboardInterrupt:  # before there was anything that could be interrupted properly
        sys.exit(_INTERRUPTED)


def _open_missing_streams() -> None:
    """Open /dev/null for each of stdin, stdout and stderr that is closed.

    Otherwise the next file or socket takes its number, and what is meant for stderr is printed on stdout.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", encoding="utf-8"))


if __name__ == "__main__":
    main()

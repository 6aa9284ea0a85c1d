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


def main() -> None:
    """Run the command line and exit with its code."""
    from medgemma_tui.cli import run

    sys.exit(run())


if __name__ == "__main__":
    main()

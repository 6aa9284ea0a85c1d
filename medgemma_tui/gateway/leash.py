"""``python -m medgemma_tui.gateway.leash PARENT ARGUMENTS…``: become ``python -I ARGUMENTS…``, and end with PARENT.

What the kernel is asked for here, it keeps over the change of program.
"""

from __future__ import annotations

import os
import sys

from medgemma_tui.process_limits import die_with_parent


def main() -> None:
    """See the module."""
    parent, *arguments = sys.argv[1:]
    if not die_with_parent(int(parent)):
        sys.exit(1)
    os.execv(sys.executable, [sys.executable, "-I", *arguments])  # noqa: S606 - no shell is meant


if __name__ == "__main__":
    main()

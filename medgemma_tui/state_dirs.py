"""Where this program keeps what outlives a login: the service manager's directories, else the user's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SERVICE_STATE: Final = Path("/var/lib/medgemma")
"""Where the installed service keeps its state."""


def named(environ: Mapping[str, str], name: str) -> Path | None:
    """The first of the directories that the service manager names in a variable, None where it names none."""
    value = environ.get(name, "").split(":")[0]
    return Path(value) if value.startswith("/") else None


def of_user(environ: Mapping[str, str]) -> Path | None:
    """``medgemma`` in the user's state directory; None where there is no home that can be written in."""
    given = environ.get("XDG_STATE_HOME", "")
    base = Path(given) if given.startswith("/") else Path(os.path.expanduser("~/.local/state"))  # noqa: PTH111
    there = next((each for each in (base, *base.parents) if os.path.lexists(each)), Path("/"))
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path's may raise
    if (not given and not os.path.isdir(home)) or not os.access(there, os.W_OK | os.X_OK):  # noqa: PTH112
        return None
    return base / "medgemma"

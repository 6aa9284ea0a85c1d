"""``history.timer``: the daily run happens by itself."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from medgemma_tui.health.check import RUNNING, Check, Outcome
from medgemma_tui.health.context import Context

TIMER: Final = "medgemma-health.timer"
_BOOTED: Final = Path("/run/systemd/system")
"""There where systemd is what runs the box (sd_booted(3))."""
_ASK: Final = ("systemctl", "show", "--no-pager", "--property=LoadState,ActiveState,UnitFileState", TIMER)
_PATIENCE_S: Final = 5.0


def run(context: Context) -> Outcome:
    """Asked of systemd, where a site's own model is served and systemd runs the box."""
    if not context.installed:
        return Outcome("demo")
    if not _BOOTED.is_dir():
        return Outcome("no_systemd")
    try:
        asked = subprocess.run(_ASK, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return Outcome("no_answer")
    told = dict(line.split("=", 1) for line in asked.stdout.splitlines() if "=" in line)
    if asked.returncode or "LoadState" not in told:
        return Outcome("no_answer")
    if told["LoadState"] != "loaded":
        return Outcome("missing")
    if told.get("ActiveState") != "active":
        return Outcome("inactive", {"state": told.get("ActiveState", "?")})
    return Outcome("ok" if told.get("UnitFileState") == "enabled" else "not_enabled")


CHECK = Check("history.timer", run, RUNNING)

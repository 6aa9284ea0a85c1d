"""What systemd says of our units, and those lines of their journal that we wrote ourselves.

Whatever else got into the journal under our units' names (a library's output, a site's own script) is counted and left
out: only our own log is known to hold no prompt text.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medgemma_tui.health.bundle import masking

BOOTED: Final = Path("/run/systemd/system")
UNITS: Final = (
    "medgemma.service", "medgemma-health.service", "medgemma-health.timer", "medgemma-health-full.service",
    "medgemma-health-full.timer", "medgemma-health-alert.service",
)  # fmt: skip
_PROPERTIES: Final = (
    "Id,LoadState,ActiveState,SubState,UnitFileState,Result,NRestarts,ExecMainStatus,ExecMainCode,"
    "ActiveEnterTimestamp,InactiveEnterTimestamp,MemoryCurrent,TasksCurrent,LastTriggerUSec,NextElapseUSecRealtime"
)
"""No command line, no environment, no text of a process."""
_LINES: Final = 5000
_ASK_S: Final = 20.0
_OWN: Final = re.compile(
    r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?:DEBUG|INFO|WARNING|ERROR|CRITICAL) medgemma_tui(?:\.\w+)*: "
)
"""The form of our log (``crash.log_to``), by loggers of ours."""


class NotTold(Exception):
    """Why there is nothing of this here, in a few English words."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of a log that are ours, and how many are not."""

    kept: tuple[str, ...]
    left_out: int

    def text(self) -> str:
        """As a file."""
        note = [f"({self.left_out} lines that are not this program's own log were left out)"] if self.left_out else []
        return "\n".join([*note, *self.kept, ""])


def status() -> str:
    """``systemctl show`` of our units, a few properties of each. Raises NotTold."""
    if not BOOTED.is_dir():
        raise NotTold("systemd does not run this box")
    told = _asked(["systemctl", "show", "--no-pager", f"--property={_PROPERTIES}", *UNITS])
    return "\n".join(masking.line(line) for line in told.splitlines()) + "\n"


def journal() -> Lines:
    """The newest lines of our units, oldest first: our own log's, and systemd's about them. Raises NotTold."""
    if not BOOTED.is_dir():
        raise NotTold("systemd does not run this box")
    fields = "--output-fields=MESSAGE,_PID,_SYSTEMD_UNIT,__REALTIME_TIMESTAMP"
    units = [f"--unit={unit}" for unit in UNITS]
    return of_journal(
        _asked(["journalctl", "--no-pager", "-q", "-o", "json", fields, f"-n{_LINES}", *units]).splitlines()
    )


def of_journal(entries: Iterable[str]) -> Lines:
    """The lines of journalctl's JSON that may leave the box."""
    kept: list[str] = []
    left_out = 0
    for entry in entries:
        try:
            fields = json.loads(entry)
        except ValueError:
            left_out += 1
            continue
        message = fields.get("MESSAGE")  # bytes that are no text come as a list
        ours = isinstance(message, str) and (fields.get("_PID") == "1" or bool(_OWN.match(message)))
        if ours:
            kept.append(masking.line(message))
        else:
            left_out += 1
    return Lines(tuple(kept), left_out)


def of_file(path: Path) -> Lines:
    """The lines of a private gateway's log that are ours. Raises NotTold."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES:]
    except OSError as error:
        raise NotTold(error.strerror or type(error).__name__) from None
    kept = tuple(masking.line(line) for line in lines if _OWN.match(line))
    return Lines(kept, len(lines) - len(kept))


def _asked(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_ASK_S, check=False)
    except FileNotFoundError:
        raise NotTold(f"there is no {command[0]}") from None
    except (OSError, subprocess.TimeoutExpired):
        raise NotTold(f"{command[0]} did not answer") from None
    if done.returncode:
        raise NotTold(f"{command[0]} ended with exit code {done.returncode}")
    return done.stdout

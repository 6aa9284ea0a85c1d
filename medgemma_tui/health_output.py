"""Where a report goes: stdout, a file, and a file for Prometheus beside either."""

from __future__ import annotations

import io
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from medgemma_tui import health_file, i18n
from medgemma_tui.cli_options import complain
from medgemma_tui.health.formats import json, nagios, prometheus, text
from medgemma_tui.health.formats.view import EXIT_CODES, View
from medgemma_tui.i18n import _

Form = Literal["text", "json", "nagios", "prometheus"]
_MODES: Final[dict[Form, int]] = {"text": 0o600, "json": 0o600, "nagios": 0o644, "prometheus": 0o644}
"""The last two are read by another user's program; the first two name processes and their owners."""


@dataclass(frozen=True, slots=True)
class Showing:
    """How and where the report is shown. ``textfile``: the Prometheus form, in addition."""

    form: Form = "text"
    verbose: bool = False
    ascii_only: bool = False
    output: Path | None = None
    textfile: Path | None = None


def deliver(view: View, showing: Showing) -> int:
    """Print or write the report; the exit code. A report that reached no file is UNKNOWN, where it is no worse."""
    written = True
    if showing.textfile is not None:
        written = _write(showing.textfile, prometheus.text(view), 0o644)
    if showing.output is None:
        written = _print(view, showing) and written
    else:
        written = _write(showing.output, _document(view, showing, None), _MODES[showing.form]) and written
    return view.exit_code if written or view.verdict == "critical" else EXIT_CODES["unknown"]


def _document(view: View, showing: Showing, stream: io.TextIOWrapper | None) -> str:
    """The report in its form; ``stream`` is where it will be printed, None for a file, which is UTF-8."""
    if showing.form == "json":
        return json.document(view)
    if showing.form == "prometheus":
        return prometheus.text(view)
    if not _can_show(stream, "健"):
        i18n.set_language("en")  # words that can be read, whatever was asked for
    ascii_only = showing.ascii_only or not _can_show(stream, "✓·…") or os.environ.get("TERM") == "linux"
    i18n.set_ascii(ascii_only)
    if showing.form == "nagios":
        return nagios.line(view)
    terminal = stream is not None and stream.isatty()
    style = text.Style(
        width=max(40, min(110, shutil.get_terminal_size((80, 24)).columns)) if terminal else 80,
        ascii_only=ascii_only,
        colours=terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
        verbose=showing.verbose,
    )
    return "".join(f"{line}\n" for line in text.lines(view, style))


def _can_show(stream: io.TextIOWrapper | None, sample: str) -> bool:
    if stream is None:
        return True
    try:
        sample.encode(stream.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _print(view: View, showing: Showing) -> bool:
    """To stdout; False where it could not be printed, which is told. Who hung up has seen enough."""
    stream = sys.stdout
    wrapper = stream if isinstance(stream, io.TextIOWrapper) else None
    try:
        document = _document(view, showing, wrapper)
        if wrapper is not None and showing.form in ("json", "prometheus"):
            wrapper.reconfigure(encoding="utf-8")  # in every locale
        stream.write(document)
        stream.flush()
    except BrokenPipeError:
        _drop()
    except OSError as error:
        _drop()
        complain(_("The report could not be printed: {reason}").format(reason=error.strerror or type(error).__name__))
        return False
    return True


def _write(file: Path, document: str, mode: int) -> bool:
    """To a file; False where it could not be written, which is told."""
    try:
        health_file.write(file, document, mode)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        complain(_("{file} could not be written and is as it was: {reason}").format(file=file, reason=reason))
        return False
    return True


def _drop() -> None:
    """What stdout still holds cannot be written: let it go, or Python tries again at exit and says so in its way."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)

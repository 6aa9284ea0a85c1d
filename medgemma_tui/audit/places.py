"""Where the audit log, its key and its anchors are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medgemma_tui import state_dirs
from medgemma_tui.audit import files, key
from medgemma_tui.audit.anchor import JOURNAL, Anchors
from medgemma_tui.audit.errors import AuditError, for_os_error
from medgemma_tui.audit.log import AuditLog
from medgemma_tui.settings import Settings, run_dir

KEY_NAME: Final = "audit.key"


@dataclass(frozen=True, slots=True)
class Places:
    """The three places. ``lasting`` False: the log's directory may not outlive this login, for want of a home."""

    directory: Path
    key: Path
    anchors: Path
    lasting: bool = True


def of(settings: Settings, environ: Mapping[str, str] = os.environ) -> Places:
    """The places by the settings; else the service manager's directories; else the user's state directory; else the
    run directory. Raises SettingsError where that cannot be made.
    """
    logs, state = state_dirs.named(environ, "LOGS_DIRECTORY"), state_dirs.named(environ, "STATE_DIRECTORY")
    own = state_dirs.of_user(environ)
    base = logs or own
    directory = settings.audit_dir or (base if base is not None else run_dir()) / "audit"
    beside = state or directory.parent
    return Places(
        directory,
        settings.audit_key or beside / KEY_NAME,
        beside / f"{directory.name}.anchors",
        lasting=settings.audit_dir is not None or base is not None,
    )


def beside(directory: Path, key_file: Path | None = None, anchors: Path | None = None) -> Places:
    """The places for a directory that is named on the command line."""
    directory = directory.absolute()
    return Places(
        directory,
        key_file or directory.parent / KEY_NAME,
        anchors or directory.parent / f"{directory.name}.anchors",
    )


def open_log(settings: Settings, places: Places, *, journal: Path | None = JOURNAL) -> AuditLog:
    """The log, open; its key is made where there is neither key nor log. Blocking. Raises AuditError."""
    log = AuditLog(
        places.directory,
        _ready_key(places),
        max_bytes=settings.audit_max_bytes,
        retention_days=settings.audit_retention_days,
        anchors=Anchors(places.anchors, journal),
    )
    log.open()
    return log


def _ready_key(places: Places) -> key.Key:
    """The key, a new one where there is no log yet. Raises AuditError."""
    try:
        return key.load(places.key)
    except AuditError as error:
        if error.code != "no_key":
            raise
    try:
        there = bool(files.listed(places.directory))
    except FileNotFoundError:
        there = False
    except OSError as error:
        raise for_os_error(error, places.directory, "the audit log cannot be read") from None
    if there:
        message = (
            "the audit log's key is not there, and the log is: put the key back, or move the log's directory and its "
            "anchors away and begin a new log"
        )
        raise AuditError("no_key", str(places.key), message)
    return key.create(places.key)

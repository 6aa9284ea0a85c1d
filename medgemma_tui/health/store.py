"""What health runs leave behind: the last 30 reports as small JSON files, and records that later runs compare with.

Everything is written beside its place and renamed, so that a reader sees a whole file or none, and is open to its owner
only. No file holds patient text: reports hold codes, figures and names of this box's processes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from medgemma_tui import state_dirs
from medgemma_tui.protocol import HealthReport, RunBrief
from medgemma_tui.settings import SERVICE_SOCKET, Settings, run_dir

_M = TypeVar("_M", bound=BaseModel)

KEPT: Final = 30
"""Reports that are kept."""
_MAY_GO: Final = 20
_RUNS: Final = "runs"


class StoreError(Exception):
    """A report or record could not be written. The text says where and why. ``full``: there was no room for it."""

    def __init__(self, text: str, *, full: bool = False) -> None:
        self.full = full
        super().__init__(text)


def directory_of(settings: Settings, environ: Mapping[str, str] = os.environ) -> Path:
    """The directory by the settings; else the service manager's; else the installed service's, whoever asks, so that
    nobody takes a report of his own for the service's; else the user's; else the run directory's.

    Raises SettingsError where that cannot be made.
    """
    if settings.health_dir is not None:
        return settings.health_dir
    base = state_dirs.named(environ, "STATE_DIRECTORY")
    if base is None and settings.socket == SERVICE_SOCKET and state_dirs.SERVICE_STATE.is_dir():
        base = state_dirs.SERVICE_STATE
    return (base or state_dirs.of_user(environ) or run_dir()) / "health"


class Store:
    """One directory of reports and records."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def save(self, report: HealthReport) -> None:
        """Keep a whole run's report; the oldest beyond ``KEPT`` go. Raises StoreError.

        On a full disk some more of the oldest go: the newest report is the one that is looked at, and were it missing
        the one before it would pass for it.
        """
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(report.started))
        name, text = Path(_RUNS) / f"{stamp}-{secrets.token_hex(3)}.json", report.model_dump_json()
        for old in self._files()[:_MAY_GO]:
            try:
                self._write(name, text)
                break
            except StoreError as error:
                if not error.full:
                    raise
            with contextlib.suppress(OSError):
                old.unlink()
        else:
            self._write(name, text)
        for old in self._files()[:-KEPT]:
            with contextlib.suppress(OSError):
                old.unlink()

    def reports(self) -> list[HealthReport]:
        """The reports that can be read, oldest first."""
        found = [self._read(path, HealthReport) for path in self._files()[-KEPT:]]
        return sorted((report for report in found if report is not None), key=lambda report: report.started)

    def last(self) -> HealthReport | None:
        """The newest report that can be read."""
        reports = self.reports()
        return reports[-1] if reports else None

    def changed_ns(self) -> int:
        """When a report last came or went, as the file system's clock says; 0 where none can be there."""
        try:
            return (self.directory / _RUNS).stat().st_mtime_ns
        except OSError:
            return 0

    def put(self, name: str, record: BaseModel) -> None:
        """Keep a record under a file name of its own. Raises StoreError."""
        self._write(Path(name), record.model_dump_json())

    def get(self, name: str, kind: type[_M]) -> _M | None:
        """A record; None where there is none, or it cannot be read as such."""
        return self._read(self.directory / name, kind)

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in (self.directory / _RUNS).iterdir() if path.suffix == ".json")
        except OSError:
            return []

    def _read(self, path: Path, kind: type[_M]) -> _M | None:
        try:
            return kind.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return None

    def _write(self, name: Path, text: str) -> None:
        path = self.directory / name
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            _make(path.parent)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            _give(fresh)
            fresh.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink()
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise StoreError(f"{path}: {error.strerror or type(error).__name__}", full=full) from None


def _make(directory: Path) -> None:
    """A directory, with those above it that are missing."""
    if not directory.is_dir():
        _make(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)
        _give(directory)


def _give(path: Path) -> None:
    """What root makes in somebody else's directory is that one's: a service has to read its own reports."""
    if os.geteuid() == 0 and (owner := path.parent.stat()).st_uid != 0:
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def brief(report: HealthReport) -> RunBrief:
    """A report's line of the history."""
    figures = {figure.name: figure for result in report.results for figure in result.figures}
    free = [figure.value for result in report.results for figure in result.figures if figure.name == "vram_free"]
    speed = figures.get("tokens_per_second")
    return RunBrief(
        started=report.started,
        verdict=report.verdict,
        statuses={result.id: result.status for result in report.results},
        tokens_per_second=speed.value if speed is not None else None,
        vram_free=min(free, default=None),
    )

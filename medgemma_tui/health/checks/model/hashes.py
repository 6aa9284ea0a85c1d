"""Every file of the model against its manifest, or against what was found there first. ``--full`` reads every byte;
otherwise a file that is untouched since it was last hashed is not read again."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from pydantic import BaseModel

from medgemma_tui import model_manifest
from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.context import Context
from medgemma_tui.health.store import Store, StoreError
from medgemma_tui.model_manifest import ManifestError, ManifestFile, Stamp
from medgemma_tui.protocol import Figure, Item

RECORD: Final = "hashes.json"
STALL_S: Final = 120.0
"""Seconds without a byte after which a disk hangs."""
_TIMEOUT_S: Final = 1800.0
"""8.6 GB at 5 MB/s. A disk that hangs is told after ``STALL_S`` already."""
_HARMLESS: Final = frozenset({"", ".md", ".txt", ".pdf", ".png", ".jpg"})
"""Endings of files that no loader reads: these may be added."""


class Known(BaseModel):
    """A file's hash, and what it looked like when it was hashed."""

    size: int
    mtime_ns: int
    changed_ns: int
    inode: int
    sha256: str


class DirectoryRecord(BaseModel):
    """What is known of a model directory: the files that it should hold, by its manifest or as they were found first,
    and what was hashed."""

    files: list[ManifestFile] = []
    since: float = 0.0
    by_manifest: bool = False
    known: dict[str, Known] = {}


class HashRecord(BaseModel):
    """``hashes.json``: what is known of each model directory, by its path."""

    directories: dict[str, DirectoryRecord] = {}


@dataclass(frozen=True, slots=True)
class _Problem:
    code: str
    params: dict[str, str]

    @property
    def item(self) -> Item:
        return Item(code=f"model_{self.code}", params=self.params)


class _Stalled(Exception):
    """No byte of this file came for too long."""


def run(context: Context) -> Outcome:
    """Compare, and keep what was found for the next run."""
    if context.settings.uses_engine:
        return Outcome("foreign_engine")
    directory = context.model_directory
    try:
        manifest = model_manifest.read(directory)
    except ManifestError as error:
        return Outcome("bad_manifest", {"problem": error.problem})
    try:
        found = model_manifest.listing(directory)
    except OSError as error:
        return Outcome("no_directory", {"reason": error.strerror or type(error).__name__})
    records = context.store.get(RECORD, HashRecord) or HashRecord()
    record = records.directories.setdefault(str(directory), DirectoryRecord())
    first = manifest is None and not record.files
    expected = record.files if manifest is None else manifest.files
    hashing = _Hashing(context, directory, found, record)
    try:
        problems = hashing.compare(expected, list(found) if first else [file.path for file in expected])
    except _Stalled as stalled:
        return Outcome("stalled", {"file": str(stalled), "seconds": f"{STALL_S:.0f}"})
    problems += [] if first else _extra(expected, found)
    if manifest is not None:
        record.files, record.since, record.by_manifest = manifest.files, context.started, True
    elif first and not problems:
        record.files, record.since = hashing.as_manifest(), context.started
    try:
        context.store.put(RECORD, records)
        failure = ""
    except StoreError as error:
        failure = str(error)
    return _outcome(context.store, record, problems, hashing, first=first, manifest=manifest is not None, kept=failure)


def _outcome(
    store: Store, record: DirectoryRecord, problems: list[_Problem], hashing: _Hashing, *,
    first: bool, manifest: bool, kept: str,
) -> Outcome:  # fmt: skip
    date = time.strftime("%Y-%m-%d", time.localtime(record.since))
    params = {
        "count": str(len(record.files)),
        "cached": str(hashing.cached),
        "date": date,
        "record": str(store.directory / RECORD),
    }
    figures = hashing.figures()
    if problems:
        items = tuple(problem.item for problem in problems)
        params["count"] = str(len(problems))
        if not manifest and not first:
            return Outcome("changed", params, figures, items)
        if len(problems) == 1:
            return Outcome(problems[0].code, problems[0].params, figures)
        return Outcome("several", params, figures, items)
    if kept:
        return Outcome("not_kept", {"problem": kept}, figures)
    if first:
        return Outcome("recorded", params, figures)
    if not manifest:
        return Outcome("manifest_gone" if record.by_manifest else "as_found", params, figures)
    return Outcome("unchanged" if hashing.cached else "ok", params, figures)


def _extra(expected: list[ManifestFile], found: dict[str, Stamp]) -> list[_Problem]:
    listed = {file.path for file in expected}
    extra = [path for path in found if path not in listed and PurePosixPath(path).suffix.lower() not in _HARMLESS]
    return [_Problem("extra_file", {"file": path}) for path in extra]


class _Hashing:
    """Hashes what is not known, on a thread of its own, so that a disk that hangs is seen."""

    def __init__(self, context: Context, directory: Path, found: dict[str, Stamp], record: DirectoryRecord) -> None:
        self._context = context
        self._directory = directory
        self._found = found
        self._record = record
        self._total = 0
        self._read = 0
        self._seconds = 0.0
        self.cached = 0

    def compare(self, expected: list[ManifestFile], wanted: list[str]) -> list[_Problem]:
        """What of ``wanted`` is not as ``expected`` says. Raises _Stalled."""
        listed = {file.path: file for file in expected}
        problems, to_hash = [], []
        for path in wanted:
            stamp = self._found.get(path)
            if stamp is None:
                problems.append(_Problem("missing_file", {"file": path}))
            elif path in listed and stamp.size != listed[path].size:
                sizes = {"actual": f"{stamp.size:,}", "expected": f"{listed[path].size:,}"}
                problems.append(_Problem("wrong_size", {"file": path, **sizes}))
            elif self._is_known(path, stamp):
                self.cached += 1
            else:
                to_hash.append(path)
        unreadable = self._hash(to_hash)
        problems += [_Problem("unreadable", {"file": path, "reason": why}) for path, why in unreadable.items()]
        told = {problem.params["file"] for problem in problems}
        wrong = [
            path for path in wanted if path in listed and path not in told and not self._matches(path, listed[path])
        ]
        return problems + [_Problem("wrong_hash", {"file": path}) for path in wrong]

    def as_manifest(self) -> list[ManifestFile]:
        """All files as they are."""
        known = self._record.known
        return [ManifestFile(path=path, size=known[path].size, sha256=known[path].sha256) for path in self._found]

    def figures(self) -> tuple[Figure, ...]:
        """How much was read, and how fast."""
        rate = () if self._seconds < 0.01 else (Figure(name="bytes_per_second", value=self._read / self._seconds),)
        return (Figure(name="hashed_bytes", value=self._read, unit="B"), *rate)

    def _is_known(self, path: str, stamp: Stamp) -> bool:
        known = self._record.known.get(path)
        if known is None or self._context.full:
            return False
        return (known.size, known.mtime_ns, known.changed_ns, known.inode) == (
            stamp.size, stamp.mtime_ns, stamp.changed_ns, stamp.inode,
        )  # fmt: skip

    def _matches(self, path: str, file: ManifestFile) -> bool:
        return self._record.known[path].sha256 == file.sha256

    def _hash(self, paths: list[str]) -> dict[str, str]:
        """Hash these; why those that cannot be read cannot. Raises _Stalled."""
        self._total = sum(self._found[path].size for path in paths)
        news: queue.SimpleQueue[int | model_manifest.Hashed | OSError] = queue.SimpleQueue()
        stop, unreadable, begun = threading.Event(), dict[str, str](), time.monotonic()

        def work() -> None:
            for path in paths:
                try:
                    news.put(model_manifest.hash_file(self._directory / path, news.put, stop))
                except OSError as error:
                    news.put(error)
                except model_manifest.Stopped:
                    return

        threading.Thread(target=work, name=CHECK.id, daemon=True).start()
        for path in paths:
            while True:
                try:
                    event = news.get(timeout=STALL_S)
                except queue.Empty:
                    stop.set()
                    raise _Stalled(path) from None
                if isinstance(event, int):
                    self._read += event
                    self._context.told(CHECK.id, 100 * self._read / max(self._total, 1))
                    continue
                if isinstance(event, OSError):
                    unreadable[path] = event.strerror or type(event).__name__
                else:
                    stamp = event.stamp
                    self._record.known[path] = Known(
                        size=stamp.size, mtime_ns=stamp.mtime_ns, changed_ns=stamp.changed_ns, inode=stamp.inode,
                        sha256=event.sha256,
                    )  # fmt: skip
                break
        self._seconds = time.monotonic() - begun
        return unreadable


CHECK = Check("model.hashes", run, timeout_s=_TIMEOUT_S)

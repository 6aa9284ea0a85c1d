"""A log in a directory of its own, and ways to look at it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from medgemma_tui.audit import files, key, places
from medgemma_tui.audit.anchor import Anchors
from medgemma_tui.audit.log import AuditLog, now
from medgemma_tui.audit.record import Entry, Record
from medgemma_tui.audit.verify import verify


@dataclass
class Site:
    """Where one log is. Made fresh for each test."""

    root: Path

    def __post_init__(self):
        self.places = places.beside(self.root / "audit")
        self.directory = self.places.directory

    def log(self, *, max_bytes=1 << 20, days=180.0, clock=now, journal=None):
        secret = key.create(self.places.key)
        log = AuditLog(
            self.directory, secret, max_bytes=max_bytes, retention_days=days, clock=clock,
            anchors=Anchors(self.places.anchors, journal),
        )  # fmt: skip
        log.open()
        return log

    def verdict(self):
        return verify(self.places.directory, self.places.key, self.places.anchors)

    def findings(self):
        return [(each.kind, each.seq, each.last) for each in self.verdict().findings]

    def files(self):
        return [each.path for each in files.listed(self.directory)]

    def lines(self):
        return b"".join(path.read_bytes() for path in self.files()).splitlines()

    def records(self):
        return [Record.model_validate_json(line) for line in self.lines()]


def entry(n=0, event="question", **more):
    return Entry(event, "ok", 1000, "li.wei", "c0ffee", counters={"n": n, "finish": "stop"}, **more)


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@pytest.fixture(name="entry")
def _entry():
    return entry


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 64 KiB, mounted for this test."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no tmpfs to be had here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def fill(small_disk):
    """Fills the small disk to the last page with a file, which it returns."""

    def run():
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(512)):
                pass
        return filler

    return run


@pytest.fixture
def forked():
    """Runs a function in a child process; its result, as bytes. The child is this process's copy."""

    def run(function) -> bytes:
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(theirs, function())
            except BaseException:
                os.write(theirs, b"!" + traceback.format_exc().encode())
            finally:
                os._exit(0)
        os.close(theirs)
        with open(ours, "rb") as pipe:
            told = pipe.read()
        os.waitpid(child, 0)
        assert not told.startswith(b"!"), told.decode()
        return told

    return run

"""A log to look at, and gateways that tell of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from gateway_running import listens, short_directory, wait_for

from medgemma_tui.audit import key, places
from medgemma_tui.audit.anchor import Anchors
from medgemma_tui.audit.log import AuditLog
from medgemma_tui.audit.record import Entry
from medgemma_tui.health.checks import audit
from medgemma_tui.protocol import AuditHead, HealthReport
from tests.health.chinese import in_chinese
from tests.health.looking import Seen, context, look

SCRIPTED = Path(__file__).parent.parent / "service" / "scripted.py"


@dataclass
class Box:
    """One box's state under ``root``."""

    root: Path

    @property
    def places(self):
        return places.beside(self.root / "audit")

    @property
    def file(self) -> Path:
        return next(self.places.directory.glob("audit-*.jsonl"))

    def write(self, count: int = 10, *, clock=lambda: datetime.now().astimezone(), anchored=True, size=0) -> AuditHead:
        """Write so many records; the newest. ``anchored`` False: none is anchored."""
        secret = key.create(self.places.key)
        anchors = Anchors(self.places.anchors if anchored else None, None)
        log = AuditLog(
            self.places.directory, secret, max_bytes=1 << 24, retention_days=180.0, anchors=anchors, clock=clock
        )
        log.open()
        counters = {f"n{n}": "x" * 40 for n in range(size)}
        head = log.append([Entry("question", "ok", 1000, "li.wei", "c0ffee", counters=counters) for _ in range(count)])
        log.close()
        return AuditHead(seq=head.seq, mac=head.mac, key_id=secret.id)

    def context(self, socket: Path | None = None, **settings: object):
        values = {"demo": True, "audit_dir": self.places.directory, **settings}
        return context(self.root, socket, "health" if socket else "preflight", **values)

    def look(self, name: str, socket: Path | None = None, **settings: object) -> Seen:
        check = next(check for check in audit.CHECKS if check.id == f"audit.{name}")
        seen = look(check, self.context(socket, **settings))
        in_chinese(seen.result)
        return seen

    def report(self, head: AuditHead, started: float) -> None:
        """A health report of then, which named this record."""
        store = self.context().store
        store.save(
            HealthReport(
                phase="health", started=started, seconds=1, version="1", box="box", demo=True, verdict="ok", results=[],
                audit=head,
            )
        )  # fmt: skip


@pytest.fixture
def box():
    directory = short_directory()
    yield Box(directory)
    shutil.rmtree(directory)


@pytest.fixture
def telling():
    """Starts a program that answers /health as given: its socket."""
    directory = short_directory()
    started: list[subprocess.Popen[bytes]] = []

    def start(**health: object) -> Path:
        socket = directory / f"{len(started)}.sock"
        told = json.dumps({"/health": {"status": "ok", "reason": "ready", **health}})
        started.append(subprocess.Popen([sys.executable, "-I", str(SCRIPTED), str(socket), told]))
        wait_for(lambda: listens(socket), what="its socket")
        return socket

    yield start
    for process in started:
        process.kill()
        process.wait()
    shutil.rmtree(directory)


@pytest.fixture
def tmpfs(tmp_path):
    """Mounts a small file system with these options, and gives the place."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mounted = []

    def mount(options: str) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True)
        if done.returncode:
            pytest.skip("this system does not let root mount a tmpfs here")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def ago():
    """A clock that shows the time so many days ago."""
    return lambda days: lambda: datetime.now().astimezone() - timedelta(days=days)

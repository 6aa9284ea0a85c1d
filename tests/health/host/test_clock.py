"""A clock that is behind something that has happened: the program's files, an audit record, a report."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta

import pytest

from medgemma_tui.audit import key, places
from medgemma_tui.audit.anchor import Anchors
from medgemma_tui.audit.log import AuditLog
from medgemma_tui.audit.record import Entry
from medgemma_tui.health.checks.host import clock
from medgemma_tui.protocol import HealthReport
from tests.health.chinese import in_chinese
from tests.health.looking import context, look

DAY = 86_400.0


@pytest.fixture
def seen(tmp_path):
    def look_at():
        surroundings = context(tmp_path, phase="preflight", demo=True, audit_dir=tmp_path / "audit")
        found = look(clock.CHECK, surroundings)
        in_chinese(found.result)
        return found

    return look_at


def test_a_sane_clock(seen):
    """Without a time server, too."""
    found = seen()
    assert found.result.status == "ok"
    assert found.result.code in ("synchronised", "unsynchronised", "sane")
    assert found.text.startswith(time.strftime("%Y-%m-%d"))


def test_a_time_server_is_told(tmp_path):
    (tmp_path / "synchronized").touch()
    assert clock.synchronised(tmp_path / "synchronized") == "synchronised"
    assert clock.synchronised(tmp_path / "none") in ("synchronised", "unsynchronised", "unknown")


def program(tmp_path, monkeypatch, when: float) -> None:
    place = tmp_path / "package"
    place.mkdir()
    (place / "file.py").touch()
    os.utime(place / "file.py", (when, when))
    monkeypatch.setattr(clock, "_PACKAGE", place)


def test_before_this_program_was_there(tmp_path, monkeypatch, seen):
    program(tmp_path, monkeypatch, time.time() + 3 * DAY)
    found = seen()
    assert found.told == ("before_package", "critical")
    assert "timedatectl set-time" in found.advice
    assert "mainboard's battery" in found.advice


def test_long_after(tmp_path, monkeypatch, seen):
    program(tmp_path, monkeypatch, time.time() - 16 * 366 * DAY)
    assert seen().told == ("far_ahead", "critical")


def write(tmp_path, ahead_s: float) -> None:
    where = places.beside(tmp_path / "audit")
    later = lambda: datetime.now().astimezone() + timedelta(seconds=ahead_s)  # noqa: E731
    log = AuditLog(
        where.directory, key.create(where.key), max_bytes=1 << 20, retention_days=180.0,
        anchors=Anchors(where.anchors, None), clock=later,
    )  # fmt: skip
    log.open()
    log.append([Entry("question", "ok", 1000, "li.wei", "c0ffee")])
    log.close()


def test_behind_the_audit_log(tmp_path, seen):
    write(tmp_path, 2 * DAY)
    found = seen()
    assert found.told == ("behind_log", "critical")
    assert "note for the auditors" in found.advice


def test_a_few_seconds_are_nothing(tmp_path, seen):
    write(tmp_path, 20)
    assert seen().result.status == "ok"


def test_behind_the_last_report(tmp_path, seen):
    surroundings = context(tmp_path, phase="preflight", demo=True)
    surroundings.store.save(
        HealthReport(
            phase="health",
            started=time.time() + DAY,
            seconds=1,
            version="1",
            box="b",
            demo=True,
            verdict="ok",
            results=[],
        )
    )
    found = seen()
    assert found.told == ("behind_report", "critical")
    assert str(tmp_path / "health" / "runs") in found.advice

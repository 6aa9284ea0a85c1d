"""The last health run's verdict, from reports that are told and reports on the disk, whatever the clock did."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from types import SimpleNamespace

import pytest

from medgemma_tui.gateway import fitness
from medgemma_tui.gateway.board import Board, Signal
from medgemma_tui.gateway.fitness import LastRun
from medgemma_tui.health.store import Store
from medgemma_tui.http_errors import ApiError
from medgemma_tui.protocol import CheckResult, Health, HealthReport, worst
from medgemma_tui.settings import Settings

NOW = 1_800_000_000.0


def report(*statuses, at=NOW, **fields):
    results = [CheckResult(id=f"host.c{number}", status=each, code="x") for number, each in enumerate(statuses)]
    given = {
        "phase": "health", "started": at, "seconds": 1, "version": "1", "box": "b", "demo": True,
        "verdict": worst(list(statuses)), "results": results,
    }  # fmt: skip
    return HealthReport(**{**given, **fields})


@pytest.fixture
def box(tmp_path):
    board = Board(Signal())
    board.put(Health(status="ok", reason="ready"))
    settings = Settings(demo=True, health_dir=tmp_path, when_unfit="refuse")
    return SimpleNamespace(
        board=board, store=Store(tmp_path), settings=settings, last=LastRun(settings, board, lambda: NOW + 60)
    )


def test_the_worst_is_named_first_and_only_what_is_critical_in_a_refusal(box):
    box.last.take(report("warning", "critical", "ok", "unknown", "skipped", "critical"))
    told = box.last.fitness
    assert (told.verdict, told.at, told.refuses) == ("critical", NOW, True)
    assert told.failing == ["host.c1", "host.c5", "host.c3", "host.c0"]
    assert box.board.refusal().params["failing"] == "host.c1,host.c5"
    box.last.take(report("ok", at=NOW + 1))
    assert box.last.fitness.refuses is False
    assert box.board.ready


def test_what_was_critical_and_then_could_not_be_measured_is_refused_still(box):
    box.last.take(report("unknown"))  # nobody knows: no reason to refuse what a warning does not
    assert (box.last.fitness.refuses, box.board.ready) == (False, True)
    box.last.take(report("critical", "ok", at=NOW + 1))
    box.last.take(report("unknown", "ok", at=NOW + 2))
    told = box.last.fitness
    assert (told.verdict, told.failing, told.refuses) == ("unknown", ["host.c0"], True)
    assert box.board.refusal().params["failing"] == "host.c0"
    box.last.take(report("warning", at=NOW + 3))
    box.last.take(report("unknown", at=NOW + 4))
    assert (box.last.fitness.refuses, box.board.ready) == (False, True)


async def test_that_is_known_again_after_a_restart(box):
    for number, status in enumerate(("ok", "critical", "unknown", "unknown")):
        box.store.save(report(status, at=NOW + number))
    await box.last.look()
    assert (box.last.fitness.verdict, box.last.fitness.refuses) == ("unknown", True)
    assert box.board.refusal().type == "unfit"


async def test_no_report_is_no_verdict(box):
    await box.last.look()
    await box.last.judged()
    assert (box.last.report, box.last.fitness, box.last.history) == (None, None, [])
    assert box.board.ready


async def test_the_history_has_what_the_disk_lacks(box):
    for number in range(3):
        box.store.save(report("ok", at=NOW - 100 + number))
    await box.last.look()
    assert box.last.report.started == NOW - 98
    box.last.take(report("warning", at=NOW))  # the disk is full
    assert [run.started for run in box.last.history] == [NOW - 100, NOW - 99, NOW - 98, NOW]
    box.store.save(report("warning", at=NOW))
    await box.last.look()
    assert [run.started for run in box.last.history] == [NOW - 100, NOW - 99, NOW - 98, NOW]


async def test_what_was_told_last_is_not_undone_by_what_lay_on_the_disk_before(box):
    box.store.save(report("critical", at=NOW + 30))
    await box.last.look()
    assert box.last.fitness.verdict == "critical"
    box.last.take(report("ok", at=NOW))  # the clock was set back a little, and the run found it fit
    box.store.save(report("ok", at=NOW))
    await box.last.look()
    assert (box.last.fitness.verdict, box.board.ready) == ("ok", True)


async def test_a_report_of_the_future_holds_nothing_up(box):
    """The clock was wrong by a day while a run found the box not fit."""
    box.store.save(report("critical", at=NOW + 86_400))
    await box.last.look()
    assert box.last.fitness.verdict == "critical"
    box.store.save(report("ok", at=NOW))
    await box.last.look()
    assert (box.last.fitness.verdict, box.last.fitness.at) == ("ok", NOW)


async def test_a_damaged_file_hides_nothing(box):
    box.store.save(report("warning"))
    runs = box.store.directory / "runs"
    (runs / "20990101T000000-zzzzzz.json").write_bytes(b"\0" * 100)
    (runs / "20990101T000000-yyyyyy.json").write_text('{"verdict": "ok"}')
    os.mkdir(runs / "20990101T000000-xxxxxx.json")
    await box.last.look()
    assert box.last.fitness.verdict == "warning"


async def test_a_disk_that_hangs_keeps_nobody_waiting_for_long(box, monkeypatch):
    answers, asked = threading.Event(), []

    def hang():
        asked.append(1)
        answers.wait(30)
        return 0

    monkeypatch.setattr(box.last._store, "changed_ns", hang)
    monkeypatch.setattr(fitness, "_PATIENCE_S", 0.05)
    monkeypatch.setattr(fitness, "_FIRST_LOOK_S", 0.05)
    try:
        for _again in range(3):
            await box.last.look()
        await box.last.judged()
        assert len(asked) == 1
    finally:
        answers.set()


async def test_a_question_waits_for_the_first_look(box):
    box.store.save(report("critical"))
    waiting = asyncio.create_task(box.last.judged())
    await asyncio.sleep(0)
    assert not waiting.done()
    await box.last.look()
    await waiting
    with pytest.raises(ApiError):
        raise box.board.refusal()
    assert not box.board.ready


async def test_changes_within_one_tick_are_seen(box, monkeypatch):
    box.store.save(report("ok"))
    await box.last.look()
    at = (box.store.directory / "runs").stat()
    box.store.save(report("warning", at=NOW + 1))
    os.utime(box.store.directory / "runs", ns=(at.st_atime_ns, at.st_mtime_ns))
    await box.last.look()
    assert box.last.fitness.verdict == "warning"
    monkeypatch.setattr(time, "time_ns", lambda: at.st_mtime_ns + 10**10)  # long settled: not read again
    await box.last.look()
    monkeypatch.setattr(box.last._store, "reports", lambda: 1 / 0)
    await box.last.look()
    assert box.last.fitness.verdict == "warning"


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (report("ok"), ""),
        (report(), ""),
        (report(verdict="ok"), "verdict"),
        (report("warning", verdict="ok"), "verdict"),
        (report("ok", at=0.0), "started"),
        (report("ok", at=float("inf")), "finite"),
        (report("ok", at=1e12), "started"),
        (report("ok", seconds=float("nan")), "finite"),
        (report("ok", results=[CheckResult(id="Ab.c", status="ok", code="x")]), "results"),
        (report("ok", results=[CheckResult(id="a.b\n", status="ok", code="x")]), "results"),
    ],
)
def test_what_no_run_writes_is_told_apart(found, why):
    problem = fitness.fault(found)
    assert problem == "" if not why else why in problem

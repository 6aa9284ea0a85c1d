"""``history.last_success``: by reports that a store really holds."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from other_users import needs_root

from medgemma_tui.health.checks.history import last_success
from medgemma_tui.health.store import Store
from medgemma_tui.protocol import HealthReport, Phase, Status
from tests.health.looking import Seen, as_user, context, look

HOUR = 3600.0


def keep(
    place: Path, hours_ago: float, verdict: Status, phase: Phase = "health", demo: bool = True, partial: bool = False
) -> None:
    Store(place / "health").save(
        HealthReport(
            phase=phase,
            started=time.time() - hours_ago * HOUR,
            seconds=1,
            version="0",
            box="b",
            demo=demo,
            partial=partial,
            verdict=verdict,
            results=[],
        )
    )


def seen(place: Path, **settings: object) -> Seen:
    return look(last_success.CHECK, context(place, **{"demo": True, **settings}))


def test_the_first_run_says_so(tmp_path: Path) -> None:
    told = seen(tmp_path)
    assert told.told == ("first", "ok")
    assert told.text == "This is the first whole run on record."


@pytest.mark.parametrize("verdict", ["ok", "warning"])
def test_fit_and_fit_with_a_warning_count(verdict: Status, tmp_path: Path) -> None:
    keep(tmp_path, 25.9, verdict)
    told = seen(tmp_path)
    assert told.told == ("ok", "ok")
    assert told.figure("last_success_age") == pytest.approx(25.9 * HOUR, abs=5)


def test_longer_ago_than_a_day_and_two_hours(tmp_path: Path) -> None:
    keep(tmp_path, 26.1, "ok")
    told = seen(tmp_path)
    assert told.told == ("late", "warning")
    assert "list-timers" in told.advice


def test_failures_since(tmp_path: Path) -> None:
    keep(tmp_path, 50, "ok")
    keep(tmp_path, 27, "critical")
    keep(tmp_path, 3, "unknown")
    told = seen(tmp_path)
    assert told.told == ("failing", "warning")
    assert "(2)" in told.text
    assert time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() - 27 * HOUR)) in told.text


def test_nothing_but_failures(tmp_path: Path) -> None:
    keep(tmp_path, 70, "critical")
    keep(tmp_path, 2, "critical")
    told = seen(tmp_path)
    assert told.told == ("never_fit", "warning")
    assert time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() - 70 * HOUR)) in told.text


def test_runs_that_say_nothing_of_this_box_do_not_count(tmp_path: Path) -> None:
    keep(tmp_path, 1, "ok", phase="preflight")
    keep(tmp_path, 1, "ok", partial=True)
    keep(tmp_path, 1, "ok", demo=True)
    assert seen(tmp_path, demo=False, model=Path("/m")).told == ("first", "ok")


def test_a_run_that_is_still_to_come(tmp_path: Path) -> None:
    keep(tmp_path, -48, "ok")
    told = seen(tmp_path)
    assert told.told == ("future", "warning")
    assert "timedatectl" in told.advice


@needs_root
def test_reports_that_cannot_be_read_are_not_a_first_run(tmp_path: Path) -> None:
    keep(tmp_path, 1, "ok")
    os.chown(tmp_path, 12345, 12345)
    assert as_user(12345, last_success.CHECK, context(tmp_path, demo=True)) == ("unreadable", "unknown")

"""The runner: no check stops, silences or colours another; nothing unmeasured is ever ok."""

from __future__ import annotations

import threading
import time
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgemma_tui.client import ServiceError
from medgemma_tui.health import meanings
from medgemma_tui.health.check import RUNNING, Check, Outcome
from medgemma_tui.health.context import Context
from medgemma_tui.health.meanings import Meaning
from medgemma_tui.health.run import Selection, run
from medgemma_tui.health.store import Store
from medgemma_tui.protocol import ErrorInfo, Figure, Status, worst
from medgemma_tui.settings import Settings

STATUSES: tuple[Status, ...] = get_args(Status)
GREENER = ("skipped", "ok", "warning", "unknown", "critical")


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """Outcomes that mean each status, for checks of a group of our own."""
    codes = {status: Meaning(status, "It is {word}.", "Do something.") for status in STATUSES}
    for name in "abcdefgh":
        monkeypatch.setitem(meanings.MEANINGS, f"test.{name}", codes)
        monkeypatch.setitem(meanings.MEANINGS, f"other.{name}", codes)


def context(tmp_path, phase="health"):
    return Context(Settings(demo=True), Store(tmp_path), phase=phase)


def check(name, found="ok", *, group="test", **more):
    measure = found if callable(found) else lambda _context: Outcome(found)
    return Check(f"{group}.{name}", measure, **more)


def statuses(report):
    return {result.id: (result.status, result.code) for result in report.results}


def test_a_check_that_hangs_is_unknown_after_its_time_and_keeps_nobody(tmp_path):
    free = threading.Event()
    try:
        checks = [check("a", lambda _c: free.wait(60) and Outcome("ok"), timeout_s=0.2), check("b"), check("c")]
        begun = time.monotonic()
        report = run(context(tmp_path), checks)
        assert statuses(report) == {
            "test.a": ("unknown", "timeout"), "test.b": ("ok", "ok"), "test.c": ("ok", "ok"),
        }  # fmt: skip
        assert report.results[0].params == {"seconds": "0.2"}
        assert report.verdict == "unknown"
        assert time.monotonic() - begun < 30
    finally:
        free.set()


def test_the_command_lines_time_holds_for_every_check(tmp_path):
    free = threading.Event()
    try:
        report = run(context(tmp_path), [check("a", lambda _c: free.wait(60) and Outcome("ok"), timeout_s=60.0)],
                     Selection(timeout_s=0.1))  # fmt: skip
        assert statuses(report) == {"test.a": ("unknown", "timeout")}
    finally:
        free.set()


def test_what_a_check_throws_makes_it_unknown_by_kind_and_quotes_nothing(tmp_path):
    def fails(error):
        def measure(_context):
            raise error

        return measure

    report = run(
        context(tmp_path),
        [
            check("a", fails(ValueError("the patient Wang"))),
            check("b", fails(PermissionError(13, "Permission denied", "/home/wang"))),
            check("c", fails(ServiceError(503, ErrorInfo(type="worker_lost", message="x", code="gone")))),
            check("d"),
        ],
    )
    assert {each.id: each.params.get("error") for each in report.results} == {
        "test.a": "ValueError", "test.b": "PermissionError: Permission denied", "test.c": "worker_lost: gone",
        "test.d": None,
    }  # fmt: skip
    assert [each.status for each in report.results] == ["unknown", "unknown", "unknown", "ok"]
    assert "wang" not in report.model_dump_json().lower()


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt()])
def test_a_check_that_tries_to_end_the_program_is_unknown_at_once(tmp_path, error):
    def measure(_context):
        raise error

    begun = time.monotonic()
    report = run(context(tmp_path), [check("a", measure, timeout_s=60.0), check("b")])
    assert statuses(report) == {"test.a": ("unknown", "failed"), "test.b": ("ok", "ok")}
    assert time.monotonic() - begun < 30


def test_a_check_that_returns_no_outcome_is_unknown(tmp_path):
    report = run(context(tmp_path), [check("a", lambda _c: None, timeout_s=60.0), check("b")])
    assert statuses(report) == {"test.a": ("unknown", "failed"), "test.b": ("ok", "ok")}


def test_an_outcome_that_nobody_knows_is_unknown_and_named(tmp_path):
    report = run(context(tmp_path), [check("a", "splendid"), check("b")])
    assert statuses(report)["test.a"] == ("unknown", "failed")
    assert "splendid" in report.results[0].params["error"]
    assert report.verdict == "unknown"


def test_checks_of_a_lane_run_in_their_order_and_one_at_a_time(tmp_path):
    begun, running, most = [], [], []

    def measure(name):
        def measured(_context):
            begun.append(name)
            running.append(name)
            most.append(len(running))
            time.sleep(0.01)
            running.remove(name)
            return Outcome("ok")

        return measured

    run(context(tmp_path), [check(name, measure(name), lane="model") for name in "dacb"])
    assert begun == list("dacb")
    assert max(most) == 1


def test_a_lane_goes_on_behind_one_that_hangs(tmp_path):
    free = threading.Event()
    try:
        hung = check("a", lambda _c: free.wait(60) and Outcome("ok"), lane="model", timeout_s=0.1)
        report = run(context(tmp_path), [hung, check("b", lane="model")])
        assert statuses(report) == {"test.a": ("unknown", "timeout"), "test.b": ("ok", "ok")}
    finally:
        free.set()


def test_checks_without_a_lane_run_side_by_side(tmp_path):
    together = threading.Barrier(4)

    def measure(_context):
        together.wait(timeout=20)  # raises where the four do not all come here
        return Outcome("ok")

    report = run(context(tmp_path), [check(name, measure) for name in "abcd"])
    assert report.verdict == "ok"


def test_results_arrive_as_they_come_and_are_reported_in_order(tmp_path):
    first = threading.Event()
    arrived = []

    def measure(_context):
        first.wait(20)
        return Outcome("warning")

    def told(result, done, total):
        arrived.append((result.id, done, total))
        first.set()

    report = run(context(tmp_path), [check("a", measure), check("b")], arrived=told)
    assert arrived == [("test.b", 1, 2), ("test.a", 2, 2)]
    assert [result.id for result in report.results] == ["test.a", "test.b"]


def test_what_is_skipped_is_reported_as_left_out_and_what_is_not_asked_for_is_not(tmp_path):
    checks = [check("a"), check("b"), check("a", group="other", found="critical")]
    report = run(context(tmp_path), checks, Selection(skip=frozenset({"other", "test.b"})))
    assert statuses(report) == {
        "test.a": ("ok", "ok"), "test.b": ("skipped", "left_out"), "other.a": ("skipped", "left_out"),
    }  # fmt: skip
    assert (report.partial, report.verdict) == (True, "ok")
    report = run(context(tmp_path), checks, Selection(only=frozenset({"other.a"})))
    assert statuses(report) == {"other.a": ("critical", "critical")}
    assert report.partial
    report = run(context(tmp_path), checks)
    assert not report.partial


def test_a_run_that_measured_nothing_is_unknown(tmp_path):
    report = run(context(tmp_path), [check("a")], Selection(skip=frozenset({"test"})))
    assert report.verdict == "unknown"


def test_checks_of_the_running_system_are_no_part_of_preflight(tmp_path):
    report = run(context(tmp_path, "preflight"), [check("a", phases=RUNNING), check("b")])
    assert set(statuses(report)) == {"test.b"}
    assert report.phase == "preflight"


@given(st.lists(st.sampled_from(STATUSES), max_size=12))
def test_a_verdict_is_never_greener_than_any_of_its_children(found):
    verdict = worst(found)
    assert all(GREENER.index(verdict) >= GREENER.index(each) for each in found)
    assert verdict == "unknown" or verdict in found
    assert verdict != "skipped"


@given(found=st.lists(st.sampled_from((*STATUSES, "raises", "no such")), min_size=1, max_size=8))
def test_a_report_is_never_greener_than_its_results(tmp_path_factory, found):
    def measure(code):
        def measured(_context):
            if code == "raises":
                raise RuntimeError
            return Outcome(code)

        return measured

    names = "abcdefgh"[: len(found)]
    report = run(
        context(tmp_path_factory.getbasetemp()),
        [check(name, measure(code)) for name, code in zip(names, found, strict=True)],
    )
    assert len(report.results) == len(found)
    for result, code in zip(report.results, found, strict=True):
        assert result.status == ("unknown" if code in ("raises", "no such") else code)
        assert GREENER.index(report.verdict) >= GREENER.index(result.status)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_figure_that_is_no_number_makes_its_check_unknown_and_its_report_is_read_again(tmp_path, value):
    def measure(_context):
        return Outcome("ok", figures=(Figure(name="speed", value=value),))

    report = run(context(tmp_path), [check("a", measure)])
    assert statuses(report) == {"test.a": ("unknown", "failed")}
    store = Store(tmp_path)
    store.save(report)
    assert store.last() == report

"""What a process remembers of its seal, and how old that may be."""

from __future__ import annotations

import threading
import time

import pytest

from medgemma_tui.privacy.watch import Watch, report_of
from medgemma_tui.protocol import Finding, ProcessPrivacy


def finding(id_, verdict="shut", kind="probe", code=""):
    return Finding(id=id_, kind=kind, tried=id_, said="", verdict=verdict, code=code)


class Fake:
    """Probes and kernel whose answers a test chooses. ``now`` is its clock."""

    def __init__(self):
        self.now = 0.0
        self.tried = [finding("tcp")]
        self.kernel = [finding("seccomp", kind="kernel")]
        self.calls: list[str] = []
        self.watch = Watch(
            "gateway", 10.0,
            try_all=lambda process: self.probed("all", process),
            try_quickly=lambda process: self.probed("quick", process),
            view=self.view, clock=lambda: self.now,
        )  # fmt: skip

    def probed(self, how, process):
        self.calls.append(how)
        return ProcessPrivacy(process=process, pid=1, findings=[*self.tried, *self.kernel])

    def view(self, process):
        self.calls.append("view")
        return self.kernel


def test_the_first_reading_tries_and_later_ones_read_the_kernel_when_they_are_old():
    fake = Fake()
    assert fake.watch.read().open == []
    fake.kernel = [finding("seccomp", "open", "kernel", "not_sealed"), finding("swap", "warning", "kernel")]
    fake.now = 9.9
    assert fake.watch.read().open == []
    fake.now = 10.0
    seal = fake.watch.read()
    assert (seal.open, seal.warnings, seal.codes) == (["seccomp"], ["swap"], {"seccomp": "not_sealed"})
    assert fake.calls == ["quick", "view", "view"]


def test_a_probe_that_got_out_stays_told_until_it_no_longer_does():
    fake = Fake()
    fake.watch.read()
    fake.tried = [finding("tcp", "open")]
    assert fake.watch.probe().findings[0].verdict == "open"
    fake.now = 100.0
    assert fake.watch.read().open == ["tcp"]
    fake.tried = [finding("tcp")]
    fake.watch.probe()
    assert fake.watch.read().open == []
    assert "quick" not in fake.calls[1:]


def test_who_asks_each_second_never_waits():
    fake = Fake()
    go = threading.Event()
    view = fake.view

    def slow(process):
        assert go.wait(20)
        return view(process)

    fake.watch._view = slow
    began = time.monotonic()
    assert [fake.watch.latest() for _ in range(50)] == [None] * 50
    assert time.monotonic() - began < 5
    go.set()
    deadline = time.monotonic() + 20
    while fake.watch.latest() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert fake.calls.count("quick") == 1


def test_what_cannot_be_read_is_not_known_and_is_tried_again():
    fake = Fake()
    fake.watch.read()
    good, fake.watch._view = fake.watch._view, lambda _process: 1 / 0
    fake.now = 20.0
    assert fake.watch.read() is None
    fake.watch._view, fake.now = good, 40.0
    assert fake.watch.read() is not None


@pytest.mark.parametrize(
    ("verdicts", "missing", "shut"),
    [
        (["shut", "absent"], [], True),
        (["shut", "warning"], [], False),
        (["shut", "open"], [], False),
        (["shut", "unknown"], [], False),
        (["shut"], ["worker"], False),
        ([], [], False),  # nothing tried proves nothing
    ],
)
def test_a_report_is_shut_where_everything_is(verdicts, missing, shut):
    own = ProcessPrivacy(process="gateway", pid=1, findings=[finding(str(n), v) for n, v in enumerate(verdicts)])
    assert report_of([own], missing).shut is shut
    assert report_of([], missing).shut is False

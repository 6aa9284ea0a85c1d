"""The queue: who is next, who is refused, and what those who wait are told."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from medgemma_tui.audit.errors import AuditError
from medgemma_tui.gateway.admission import Admission
from medgemma_tui.gateway.board import Board, Signal
from medgemma_tui.http_errors import ApiError
from medgemma_tui.protocol import Health

READY = Health(status="ok", reason="ready")


def loading(percent: float) -> Health:
    return Health(status="not_ready", reason="loading", percent=percent)


class Queue:
    """An admission with its board, and requests that stay until they are told to leave."""

    def __init__(self, slots: int = 1, limit: int = 8, health: Health = READY, per_user: int = 8) -> None:
        self.signal = Signal()
        self.board = Board(self.signal)
        self.board.put(health)
        self.admission = Admission(slots, limit, per_user, self.board, self.signal)
        self.told: dict[str, list] = {}
        self.admitted: list[str] = []
        self._leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task] = {}

    async def come(self, name: str, uid: int = 1, patient: bool = False, checks: bool = False) -> None:
        self.told[name], self._leave[name] = [], asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._stay(name, uid, patient, checks))
        await settle()

    async def _stay(self, name: str, uid: int, patient: bool, checks: bool) -> None:
        with self.admission.ticket(uid, patient=patient, checks=checks) as ticket:
            async for progress in self.admission.turn(ticket):
                self.told[name].append((progress.phase, progress.position, progress.percent))
            self.admitted.append(name)
            await self._leave[name].wait()

    async def go(self, name: str) -> None:
        self._leave[name].set()
        await settle()

    async def cancel(self, name: str) -> None:
        self.tasks[name].cancel()
        await settle()

    async def refusal(self, name: str) -> ApiError:
        with pytest.raises(ApiError) as caught:
            await self.tasks[name]
        return caught.value


async def settle() -> None:
    for _turn in range(20):
        await asyncio.sleep(0)


async def test_the_first_goes_straight_in_and_the_next_are_told_their_position():
    queue = Queue()
    await queue.come("a")
    await queue.come("b")
    await queue.come("c")
    assert queue.admitted == ["a"]
    assert queue.told == {"a": [], "b": [("queued", 1, None)], "c": [("queued", 2, None)]}
    await queue.go("a")
    assert queue.admitted == ["a", "b"]
    assert queue.told["c"] == [("queued", 2, None), ("queued", 1, None)]


async def test_one_users_pile_delays_another_user_by_one():
    queue = Queue()
    for name in ("a1", "a2", "a3", "a4"):
        await queue.come(name, uid=1)
    await queue.come("b1", uid=2)
    await queue.come("b2", uid=2)
    assert queue.told["b1"] == [("queued", 1, None)]  # uid 1 has one with the engine already
    for name in ("a1", "b1", "a2", "b2", "a3", "a4"):
        await queue.go(name)
    assert queue.admitted == ["a1", "b1", "a2", "b2", "a3", "a4"]


async def test_who_leaves_the_queue_is_passed_over():
    queue = Queue()
    for name in ("a", "b", "c"):
        await queue.come(name)
    await queue.cancel("b")
    assert queue.told["c"][-1] == ("queued", 1, None)
    await queue.go("a")
    assert queue.admitted == ["a", "c"]
    await queue.go("c")
    assert (queue.admission.waiting, queue.admission.active) == (0, 0)


async def test_a_full_queue_refuses_with_the_position_and_when_to_come_again():
    queue = Queue(slots=1, limit=2)
    for name in ("a", "b", "c", "d"):
        await queue.come(name)
    error = await queue.refusal("d")
    assert (error.status, error.type, error.position) == (429, "queue_full", 3)
    assert error.retry_after_s is not None
    assert 1 <= error.retry_after_s <= 120
    await queue.go("a")
    await queue.come("e")
    assert queue.told["e"] == [("queued", 2, None)]


async def test_one_user_cannot_lock_another_out_of_a_full_queue():
    queue = Queue(slots=1, limit=2)
    for name in ("a", "b", "c"):
        await queue.come(name, uid=1)
    await queue.come("x", uid=2)
    assert queue.told["x"] == [("queued", 1, None)]
    await queue.come("y", uid=2)
    assert (await queue.refusal("y")).status == 429
    await queue.go("a")
    assert queue.admitted == ["a", "x"]


async def test_one_user_may_have_so_many_waiting():
    queue = Queue(slots=1, limit=8, per_user=2)
    for name in ("a", "b", "c", "d"):
        await queue.come(name, uid=1)
    error = await queue.refusal("d")
    assert (error.status, error.type, error.code, error.position) == (429, "queue_full", "user_queue_full", 3)
    assert error.params == {"count": "2"}
    assert error.retry_after_s is not None
    await queue.come("x", uid=2)  # the pile is in nobody else's way
    assert queue.told["x"] == [("queued", 1, None)]
    await queue.cancel("c")
    await queue.come("e", uid=1)
    assert queue.told["e"] == [("queued", 3, None)]


async def test_not_ready_is_refused_unless_it_is_waited_for():
    queue = Queue(health=loading(30))
    await queue.come("hasty")
    error = await queue.refusal("hasty")
    assert (error.status, error.type, error.percent) == (503, "loading", 30)
    await queue.come("patient", patient=True)
    queue.board.put(loading(60))
    await settle()
    queue.board.put(READY)
    await settle()
    assert queue.told["patient"] == [("loading", 1, 30), ("loading", 1, 60)]
    assert queue.admitted == ["patient"]


async def test_a_queued_request_is_refused_when_the_worker_is_lost_and_a_patient_one_waits_on():
    queue = Queue()
    await queue.come("a")
    await queue.come("hasty")
    await queue.come("patient", patient=True)
    queue.board.put(Health(status="not_ready", reason="worker_lost"))
    assert (await queue.refusal("hasty")).type == "worker_lost"
    await queue.go("a")
    assert queue.admitted == ["a"]
    queue.board.put(READY)
    await settle()
    assert queue.admitted == ["a", "patient"]


@pytest.mark.parametrize("reason", ["model_invalid", "failed"])
async def test_waiting_ends_when_it_has_become_useless(reason):
    queue = Queue(health=loading(30))
    await queue.come("patient", patient=True)
    queue.board.put(Health(status="not_ready", reason=reason, code="missing", detail="there is no model"))
    error = await queue.refusal("patient")
    assert (error.status, error.type, error.code, error.message) == (503, reason, "missing", "there is no model")
    assert error.retry_after_s is None
    await queue.come("later", patient=True)
    assert (await queue.refusal("later")).type == reason


async def test_a_client_that_does_not_read_its_position_holds_nobody_up():
    queue = Queue(slots=1)
    await queue.come("a")
    with queue.admission.ticket(2, patient=True) as stalled:
        turns = queue.admission.turn(stalled)
        await anext(turns)  # told its position, and never asks again
        await queue.come("b")
        await queue.go("a")
        # the stalled one has the place, as it was first; it must not block what comes after it leaves
        assert queue.admission.active == 1
    await settle()
    assert queue.admitted == ["a", "b"]


async def test_a_request_that_the_engine_never_took_goes_back_to_its_old_place():
    queue = Queue(slots=1)
    with ExitStack() as stack:
        first = stack.enter_context(queue.admission.ticket(1, patient=True))
        assert [progress async for progress in queue.admission.turn(first)] == []
        queue.board.put(Health(status="not_ready", reason="worker_lost"))
        await queue.come("second", patient=True)
        queue.admission.put_back(first)
        assert queue.admission.position(first) == 1
        assert queue.admission.active == 0


def test_the_time_to_a_restart_counts_down():
    now = 100.0
    board = Board(Signal(), clock=lambda: now)
    board.put(Health(status="not_ready", reason="worker_lost"), retry_in_s=4.0)
    assert board.health.retry_in_s == 4.0
    now = 103.0
    assert board.health.retry_in_s == 1.0
    assert board.refusal().retry_after_s == 2
    now = 110.0
    assert board.health.retry_in_s == 0.0


# --- a health run's questions ---

UNFIT = {"time": "2026-01-01 06:30", "failing": "gpu.ecc"}


async def test_a_health_run_is_one_user_more_and_takes_its_turn():
    queue = Queue(slots=1)
    await queue.come("first", uid=1)
    for number in range(2):
        for uid in (1, 2, 3):
            await queue.come(f"user {uid} {number}", uid=uid)
    await queue.come("check 1", uid=990, checks=True)
    await queue.come("check 2", uid=990, checks=True)
    for _turn in range(9):
        await queue.go(queue.admitted[-1])
    order = queue.admitted
    # each user once, then the run once: it neither waits for all that others have waiting, nor passes by anybody
    assert set(order[1:4]) <= {"user 1 0", "user 2 0", "user 3 0", "check 1"}
    assert order.index("check 1") <= 4
    assert order.index("check 2") > order.index("user 2 1")
    assert len(order) == 9


async def test_an_unfit_box_has_room_for_a_health_run_only():
    queue = Queue(slots=1)
    await queue.come("running", uid=1)
    await queue.come("waiting", uid=2)
    await queue.come("patient", uid=3, patient=True)
    await queue.come("check", uid=990, checks=True)
    queue.board.forbid(UNFIT)
    await settle()
    for name in ("waiting", "patient"):
        refused = await queue.refusal(name)
        assert (refused.status, refused.type, refused.params) == (503, "unfit", UNFIT)
    assert not queue.tasks["running"].done()
    await queue.go("running")
    assert queue.admitted == ["running", "check"]
    await queue.come("late", uid=1, patient=True)
    assert (await queue.refusal("late")).type == "unfit"
    await queue.come("check 2", uid=990, checks=True, patient=True)
    await queue.go("check")
    assert queue.admitted[-1] == "check 2"
    queue.board.forbid(None)
    await queue.come("again", uid=1)
    await queue.go("check 2")
    assert queue.admitted[-1] == "again"


async def test_a_health_run_waits_as_others_do_for_an_engine_that_is_not_there():
    queue = Queue(health=loading(10))
    queue.board.forbid(UNFIT)
    await queue.come("check", uid=990, checks=True)
    refused = await queue.refusal("check")
    assert (refused.type, refused.percent) == ("loading", 10)  # its own reason, not the last run's verdict
    await queue.come("patient check", uid=990, checks=True, patient=True)
    assert queue.told["patient check"] == [("loading", 1, 10)]
    queue.board.put(READY)
    await settle()
    assert queue.admitted == ["patient check"]


def test_the_health_of_an_unfit_box():
    board = Board(Signal())
    board.put(loading(10))
    board.forbid(UNFIT)
    assert board.health.reason == "loading"  # the nearer reason
    board.put(READY)
    assert (board.health.status, board.health.reason, board.health.params) == ("not_ready", "unfit", UNFIT)
    assert board.health_for_checks == READY
    assert board.engine == READY
    board.hold(AuditError("disk_full", "/log", "full"))
    assert board.health.reason == board.health_for_checks.reason == "audit_full"
    assert not board.ready_for(checks=True)

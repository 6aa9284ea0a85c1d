"""While the audit log cannot be written: nothing new begins, what runs goes on, and it all comes right by itself."""

from __future__ import annotations

import asyncio
import errno
import json
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from gateway_running import Engine, Running, events, short_directory, wait_for

from medgemma_tui.audit.errors import WRITING, AuditError, for_os_error
from medgemma_tui.audit.places import beside
from medgemma_tui.audit.record import Entry
from medgemma_tui.audit.verify import verify
from medgemma_tui.gateway.audit_store import AuditStore
from medgemma_tui.gateway.auditing import AuditFull, Auditor, own_entry
from medgemma_tui.gateway.board import Board, Signal
from medgemma_tui.http_errors import ApiError
from medgemma_tui.protocol import Health
from medgemma_tui.settings import Settings

QUESTION = Entry("question", "asked", 1, "a")
ANSWER = Entry("answer", "finished", 1, "a")


@pytest.fixture
def on_small_disk(small_disk):
    """A gateway before a stub engine, its audit log on the small disk."""
    directory = short_directory()
    engine = Engine(directory, tally=directory / "tally")
    gateway = Running(engine_socket=engine.socket, audit_dir=small_disk.log).ready()
    try:
        yield SimpleNamespace(
            engine=engine, gateway=gateway, disk=small_disk, asked=(directory / "tally").stat, log=small_disk.log
        )
    finally:
        gateway.stop()
        engine.stop()
        shutil.rmtree(directory)


@pytest.mark.parametrize("code", ["disk_full", "read_only"])
def test_a_running_answer_finishes_and_nothing_new_begins(on_small_disk, code):
    it = on_small_disk
    with it.gateway.stream("n=60 pause=0.05") as running:
        running_lines = events(running)
        next(running_lines)
        getattr(it.disk, code)()

        def refused():  # a page of the log's file may still have room for a record or two
            reply = it.gateway.ask("n=1")
            return reply if reply.status_code != 200 else None

        reply = wait_for(refused, what="a refusal")
        asked = it.asked().st_size
        assert asked == sum(path.read_bytes().count(b'"event":"question"') for path in it.log.glob("*.jsonl"))
        error = reply.json()["error"]
        assert (reply.status_code, error["type"], error["code"]) == (503, "audit_full", code)
        assert error["params"]["path"].startswith(str(it.log))
        assert int(reply.headers["Retry-After"]) >= 1
        health = it.gateway.http.get("/health")
        told = health.json()
        assert (health.status_code, told["reason"], told["code"]) == (503, "audit_full", code)
        assert told["model"]["id"] == "stub"  # it stays loaded
        with it.gateway.stream("n=2", wait=True) as waiting:
            waiting_lines = events(waiting)
            assert json.loads(next(waiting_lines))["progress"] == {"phase": "audit", "position": 1}
            assert list(running_lines)[-1] == "[DONE]"
            assert it.asked().st_size == asked  # nothing has reached the engine meanwhile
            assert it.gateway.metrics()[("medgemma_audit_writable", ())] == 0
            assert it.gateway.metrics()[("medgemma_audit_kept_records", ())] >= 1
            it.gateway.http.post("/v1/events", json={"event": "lock", "outcome": "idle"})
            answered = len(it.gateway.records("answer"))
            it.disk.free()
            assert list(waiting_lines)[-1] == "[DONE]"
    assert it.gateway.ask("n=1").status_code == 200
    assert it.gateway.metrics()[("medgemma_audit_writable", ())] == 1
    records = it.gateway.records()
    assert it.asked().st_size == sum(record["event"] == "question" for record in records)
    late = [record for record in records if record["event"] in ("answer", "lock", "health")][answered:]
    while late[0]["counters"].get("characters", 0) < 60:  # what still found room
        late.pop(0)
    assert [(record["event"], record["outcome"]) for record in late[:3]] == [
        ("answer", "finished"), ("lock", "idle"), ("health", "audit_writable"),
    ]  # fmt: skip
    assert late[2]["counters"]["code"] == code
    where = beside(it.log)
    assert verify(where.directory, where.key, where.anchors).whole


def test_a_gateway_with_the_wrong_key_takes_no_question_until_it_has_the_right_one():
    directory = short_directory()
    log = directory / "audit"
    key = beside(log).key
    engine = Engine(directory)
    store = AuditStore(Settings(), lambda _: beside(log))
    store.append(store.open().first)
    store.close()
    right = key.read_bytes()
    key.unlink()
    key.write_bytes(right[::-1].strip() + b"\n")
    key.chmod(0o400)
    gateway = Running(engine_socket=engine.socket, audit_dir=log).listening()
    try:
        wait_for(lambda: gateway.health()["reason"] == "audit_full", what="a health that says so")
        assert gateway.health()["code"] == "wrong_key"
        assert gateway.ask("n=1").json()["error"]["code"] == "wrong_key"
        key.unlink()
        key.write_bytes(right)
        key.chmod(0o400)
        assert gateway.ask("n=1", wait=True).status_code == 200
        outcomes = [(record["event"], record["outcome"]) for record in gateway.records()[2:]]
        assert outcomes[:2] == [("start", "ok"), ("policy", "changed")]
        assert ("health", "audit_writable") in outcomes
        key.unlink()  # under a running gateway: what it wrote now nobody could check
        assert gateway.ask("n=1").json()["error"]["code"] == "no_key"
        key.write_bytes(right)
        key.chmod(0o400)
        assert gateway.ask("n=1", wait=True).status_code == 200
    finally:
        gateway.stop()
        engine.stop()
        shutil.rmtree(directory)


class Fragile(AuditStore):
    """The log, that fails or hangs when it is told to."""

    def __init__(self, directory: Path) -> None:
        super().__init__(Settings(), lambda _: beside(directory / "audit"))
        self.problem: AuditError | None = None
        self.hung = threading.Event()
        self.hung.set()

    def append(self, entries):
        self.hung.wait(20)
        if self.problem is not None:
            raise self.problem
        return super().append(entries)


@pytest.fixture
async def fragile(tmp_path):
    """An auditor on a log that fails when told to; ``.records()`` reads the log."""
    board = Board(Signal())
    board.put(Health(status="ok", reason="ready"))
    store = Fragile(tmp_path)
    auditor = Auditor(store, board, retry_s=0.02, stall_s=0.05)
    auditor.start()
    await auditor.record(QUESTION)

    def records():
        lines = "".join(path.read_text() for path in sorted((tmp_path / "audit").glob("*.jsonl"))).splitlines()
        return [(record["event"], record["outcome"]) for record in map(json.loads, lines)]

    yield SimpleNamespace(auditor=auditor, board=board, store=store, records=records)
    store.problem = None
    store.hung.set()
    await auditor.close(own_entry("stop", "ok"))
    assert records()[-1] == ("stop", "ok")


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - of what has no event
            await asyncio.sleep(0.01)


async def test_who_waits_is_refused_and_what_ends_is_kept_in_order(fragile):
    fragile.store.problem = for_os_error(OSError(errno.ENOSPC, "no space"), Path("/log"), WRITING)
    fragile.auditor.later(ANSWER, "1:c.1")
    with pytest.raises(AuditFull) as refused:
        await fragile.auditor.record(QUESTION)
    assert (refused.value.status, refused.value.code) == (503, "disk_full")
    assert refused.value.message == "the audit log cannot be written: no space"
    assert not fragile.board.ready
    assert fragile.board.refusal().code == "disk_full"
    with pytest.raises(AuditFull):  # at once now
        await fragile.auditor.record(QUESTION)
    fragile.auditor.later(Entry("logout", "ok", 1, "a"))
    before = fragile.auditor.figures
    assert (before.writable, before.kept) == (False, 2)
    await until(lambda: fragile.auditor.figures.failures > before.failures)  # it tries again
    fragile.store.problem = None
    await until(lambda: fragile.board.ready)
    await fragile.auditor.record(QUESTION)
    assert fragile.records()[2:] == [
        ("question", "asked"), ("answer", "finished"), ("logout", "ok"), ("health", "audit_writable"),
        ("question", "asked"),
    ]  # fmt: skip


async def test_an_error_of_ours_in_the_writer_does_not_end_it(fragile):
    fragile.store.problem = ZeroDivisionError("王小明")
    with pytest.raises(AuditFull) as refused:
        await fragile.auditor.record(QUESTION)
    assert refused.value.code == "io_error"
    assert "王" not in refused.value.message
    fragile.store.problem = None
    await until(lambda: fragile.board.ready)


async def test_a_disk_that_hangs_takes_no_more_questions_and_loses_none(fragile):
    fragile.store.hung.clear()
    writing = asyncio.ensure_future(fragile.auditor.record(QUESTION))
    await until(lambda: not fragile.board.ready)
    assert fragile.board.health.code == "io_error"
    assert not writing.done()
    fragile.store.hung.set()
    await writing
    await until(lambda: fragile.board.ready)
    assert fragile.records()[-2:] == [("question", "asked"), ("question", "asked")]


async def test_a_caller_that_leaves_spoils_nothing(fragile):
    fragile.store.hung.clear()
    left = asyncio.ensure_future(fragile.auditor.record(QUESTION))
    stays = asyncio.ensure_future(fragile.auditor.record(QUESTION))
    await asyncio.sleep(0.02)
    left.cancel()
    fragile.store.hung.set()
    await stays
    assert fragile.records().count(("question", "asked")) == 3


async def test_what_nobody_needs_is_not_kept_without_end(fragile, monkeypatch):
    monkeypatch.setattr("medgemma_tui.gateway.auditing._KEPT", 5)
    fragile.store.problem = AuditError("read_only", "/log", "read-only")
    for _ in range(9):
        fragile.auditor.later(Entry("refused", "no_role", 1, "a"))
    fragile.auditor.later(ANSWER, always=True)
    assert fragile.auditor.figures.kept == 6
    assert fragile.auditor.crowded
    fragile.store.problem = None
    await until(lambda: fragile.auditor.figures.kept == 0)
    assert fragile.records().count(("refused", "no_role")) == 5
    assert ("answer", "finished") in fragile.records()


@pytest.mark.parametrize("code", ["key_readable", "no_key", "bad_key", "broken_chain"])
async def test_a_log_that_cannot_be_opened_is_told_and_opened_when_it_can_be(tmp_path, code):
    where = beside(tmp_path / "place" / "audit")
    first = AuditStore(Settings(), lambda _: where)
    first.append(first.open().first)
    first.close()
    log = where.directory / "audit-000000000001.jsonl"
    kept_key, kept_log = where.key.read_bytes(), log.read_bytes()
    if code == "key_readable":
        where.key.chmod(0o444)
    elif code == "no_key":
        where.key.unlink()
    elif code == "bad_key":
        where.key.unlink()
        where.key.write_bytes(b"x")
    else:
        log.write_bytes(kept_log.replace(b'"outcome":"first"', b'"outcome":"same"'))
    board = Board(Signal())
    board.put(Health(status="ok", reason="ready"))
    auditor = Auditor(AuditStore(Settings(), lambda _: where), board, retry_s=0.02)
    auditor.start()
    await until(lambda: not board.ready)
    assert board.health.code == code
    with pytest.raises(ApiError) as refused:
        await auditor.record(QUESTION)
    assert refused.value.params["path"]
    where.key.unlink(missing_ok=True)
    where.key.write_bytes(kept_key)
    where.key.chmod(0o400)
    log.write_bytes(kept_log)
    await until(lambda: board.ready)
    await auditor.record(QUESTION)
    await auditor.close(own_entry("stop", "ok"))
    assert verify(where.directory, where.key, where.anchors).whole

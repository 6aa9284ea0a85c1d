"""What the gateway tells of itself and its worker: from parts, with workers that do not answer well."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import asynccontextmanager

import pytest
from gateway_running import short_directory

from medgemma_tui.gateway.board import Board, Signal
from medgemma_tui.gateway.privacy_report import AGAIN_S, Proof
from medgemma_tui.gateway.upstream import Upstream
from medgemma_tui.privacy.watch import Watch
from medgemma_tui.protocol import Finding, Health, ProcessPrivacy, ProcessSeal

SHUT = Finding(id="tcp", kind="probe", tried="", said="EPERM", verdict="shut")


class Tried:
    """A gateway's probes that wait for ``go``, and count."""

    def __init__(self) -> None:
        self.count = 0
        self.go = threading.Event()
        self.go.set()

    def __call__(self, process):
        assert self.go.wait(20)
        self.count += 1
        return ProcessPrivacy(process=process, pid=os.getpid(), findings=[SHUT])

    def watch(self) -> Watch:
        return Watch("gateway", try_all=self, try_quickly=self, view=lambda _process: [])


@asynccontextmanager
async def worker(reply: bytes | None):
    """A socket on which somebody answers every request with this, or hangs up."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        if reply is not None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(reply), reply))
        writer.close()

    path = short_directory() / "w.sock"
    async with await asyncio.start_unix_server(answer, path):
        yield path
    path.unlink(missing_ok=True)
    path.parent.rmdir()


def proof(socket, *, foreign=False, pid=None, health=None, tried=None, **more) -> Proof:
    board = Board(Signal())
    if health is not None:
        board.put(health)
    return Proof(Upstream(socket), board, lambda: pid, foreign=foreign, watch=(tried or Tried()).watch(), **more)


async def test_both_processes_are_in_the_report():
    own = ProcessPrivacy(process="worker", pid=7, findings=[SHUT])
    async with worker(own.model_dump_json().encode()) as socket:
        report = await proof(socket).report()
    assert [each.process for each in report.processes] == ["gateway", "worker"]
    assert (report.missing, report.shut, report.foreign_engine) == ([], True, False)


@pytest.mark.parametrize("reply", [None, b"{}", b'{"process":"worker"', b'{"error":{"message":"x","type":"y"}}'])
async def test_a_worker_that_does_not_answer_well_is_missing(reply):
    async with worker(reply) as socket:
        report = await proof(socket).report()
    assert [each.process for each in report.processes] == ["gateway"]
    assert (report.missing, report.shut) == (["worker"], False)


async def test_a_worker_that_is_not_there_is_missing(tmp_path):
    report = await proof(tmp_path / "no.sock").report()
    assert (report.missing, report.shut) == (["worker"], False)


async def test_another_engine_is_not_asked_and_not_vouched_for():
    claims = ProcessPrivacy(process="worker", pid=7, findings=[SHUT]).model_dump_json().encode()
    async with worker(claims) as socket:
        whole = proof(socket, foreign=True, health=Health(status="ok", reason="ready", privacy=ProcessSeal()))
        report = await whole.report()
        assert (report.missing, report.shut, report.foreign_engine) == (["worker"], False, True)
        facts = await asyncio.to_thread(whole.facts)
        assert (facts.worker, facts.worker_inet_sockets, facts.foreign_engine) == (None, None, True)


async def test_those_who_ask_at_once_share_one_answer_and_who_leaves_takes_it_from_nobody(tmp_path):
    tried = Tried()
    tried.go.clear()
    whole = proof(tmp_path / "no.sock", tried=tried)
    asking = [asyncio.create_task(whole.report()) for _ in range(20)]
    await asyncio.sleep(0)
    asking[0].cancel()
    tried.go.set()
    reports = await asyncio.gather(*asking[1:])
    assert tried.count == 1
    assert all(report is reports[0] for report in reports)


async def test_a_report_is_given_again_for_a_moment_and_one_without_its_worker_is_not(tmp_path):
    tried, now = Tried(), [100.0]
    own = ProcessPrivacy(process="worker", pid=7, findings=[SHUT])
    async with worker(own.model_dump_json().encode()) as socket:
        whole = proof(socket, tried=tried, clock=lambda: now[0])
        for now[0], count in ((100.0, 1), (100.0 + AGAIN_S - 0.1, 1), (100.0 + AGAIN_S, 2)):
            assert (await whole.report()).shut
            assert tried.count == count
    alone = Tried()
    whole = proof(tmp_path / "no.sock", tried=alone, clock=lambda: now[0])
    await whole.report()
    await whole.report()
    assert alone.count == 2


async def test_the_facts_have_what_the_worker_told_of_itself_while_it_runs(tmp_path):
    told = Health(status="ok", reason="ready", privacy=ProcessSeal(inet_sockets=0, warnings=["swap"]))
    nobody = 2**22 + 1  # cannot be counted from outside, as an undumpable process cannot
    facts = await asyncio.to_thread(proof(tmp_path / "x", pid=nobody, health=told).facts)
    assert (facts.worker_inet_sockets, facts.worker) == (0, told.privacy)
    assert facts.gateway is not None
    gone = await asyncio.to_thread(proof(tmp_path / "x", pid=None, health=told).facts)
    assert (gone.worker_inet_sockets, gone.worker) == (None, None)

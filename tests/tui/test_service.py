"""What the screen does when the service loads, refuses, breaks, goes and comes back: real sockets, real processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal

import pytest
from gateway_running import Running, short_directory

from medgemma_tui.client import Client
from medgemma_tui.demo import corpus
from medgemma_tui.tui import link


@pytest.mark.engine
async def test_a_question_while_the_model_loads_waits_and_is_answered(screen):
    gateway = Running("--demo").listening()
    try:
        async with screen(gateway.socket, lang="zh") as it:
            it.chat.set_draft(corpus.GFR_QUESTION)
            await it.press("enter")
            turn = await it.until(lambda: it.last)
            await it.until(lambda: "%" in turn.waiting_for, what="the load's percent")
            assert turn.live
            await it.until(lambda: turn.waiting_for in it.text())
            assert it.chat.banner.display
            await it.until(lambda: not turn.live, 60.0)
            assert turn.answer.strip() == corpus.find(turn.question, []).answer
            await it.until(lambda: not it.chat.banner.display)
            assert not turn.unknown_to_demo
    finally:
        gateway.stop()


async def test_the_gateway_goes_and_comes_back(screen, scripted):
    directory = short_directory()
    gateway = Running(directory=directory, engine_socket=scripted.engine.socket).ready()
    async with screen(gateway.socket) as it:
        await it.connected()
        done = await it.ask("n=2")
        it.chat.set_draft("n=500 pause=0.02")
        await it.press("enter")
        turn = await it.until(lambda: it.last if it.last is not done else None)
        await it.until(lambda: "w3" in turn.answer)
        it.chat.set_draft("kept")
        gateway.process.send_signal(signal.SIGKILL)
        await it.until(lambda: not turn.live, what="the cut")
        assert turn.error is not None
        assert turn.error.type == "interrupted"
        assert "w3" in turn.answer
        await it.until(lambda: "does not answer" in it.text() or "broke" in it.text())
        await it.until(lambda: it.app.state.lost)
        assert it.chat.draft == "kept"
        assert it.controller.conversation.turns == [done, turn]
        gateway.process.wait()
        directory.mkdir(exist_ok=True)
        again = Running(directory=directory, engine_socket=scripted.engine.socket).listening()
        try:
            await it.until(lambda: it.controller.ready, what="the way back")
            assert "does not answer" not in it.text()
            await it.press("ctrl+r")
            retry = await it.until(lambda: it.last if it.last is not turn else None)
            await it.until(lambda: "w3" in retry.answer)
            await it.press("ctrl+c")
            assert retry.finish_reason == "cancelled"
        finally:
            again.stop()


async def test_stop_reaches_the_engine(screen, scripted):
    async with screen(scripted.socket) as it:
        await it.connected()
        await it.until(lambda: scripted.engine.seen()["active"] == 0, what="the end of what other tests left")
        cancelled = scripted.engine.seen()["cancelled"]
        it.chat.set_draft("n=1000 pause=0.02")
        await it.press("enter")
        turn = await it.until(lambda: it.last)
        await it.until(lambda: "w2" in turn.answer)
        await it.press("escape")
        assert not turn.live
        await it.until(lambda: scripted.engine.seen()["cancelled"] == cancelled + 1)


async def test_a_send_during_an_answer_is_refused_gently(screen, scripted):
    async with screen(scripted.socket) as it:
        await it.connected()
        it.chat.set_draft("n=1000 pause=0.02")
        await it.press("enter")
        await it.until(lambda: it.last and it.last.answer)
        it.chat.set_draft("the next one")
        await it.press("enter")
        assert it.chat.draft == "the next one"
        assert len(it.controller.conversation.turns) == 1
        assert any("kept" in note for note in it.notices)
        await it.press("escape")


async def test_a_refusal_is_told_and_the_question_stays(screen, scripted):
    async with screen(scripted.socket) as it:
        await it.connected()
        turn = await it.ask("refuse=413")
        assert turn.error is not None
        assert turn.answer == ""
        await it.until(lambda: "refuse=413" in it.text())
        it.chat.set_draft("")
        await it.press("up")
        assert it.chat.draft == "refuse=413"


async def test_thinking_is_asked_for_as_chosen(screen, scripted):
    asked = []

    class Recording(Client):
        def stream(self, request):
            asked.append(request.thinking)
            return super().stream(request)

    async with screen(scripted.socket, connector=Recording) as it:
        await it.connected()
        for _time in range(3):
            await it.press("f7")
            await it.ask("n=1")
        assert asked == ["force", "skip", "auto"]
        assert any("less safe" in note for note in it.notices)


async def test_no_service_at_all_is_said_and_the_draft_works(screen, tmp_path):
    async with screen(tmp_path / "nobody.sock") as it:
        await it.until(lambda: "does not answer" in it.text())
        assert "unknown" in it.text().splitlines()[-2]
        await it.press("a", "b")
        assert it.chat.draft == "ab"
        turn = await it.ask("ab")
        assert turn.error.type == "unreachable"


@pytest.mark.engine
async def test_a_private_gateway_that_is_killed_is_started_again(screen, tmp_path, monkeypatch):
    from medgemma_tui.launch import PrivateGateway
    from medgemma_tui.settings import Settings

    base = short_directory()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    gateway = PrivateGateway(Settings(demo=True))
    try:
        async with screen(None, gateway=gateway, demo=True) as it:
            await it.until(lambda: it.app.state.connected, 30.0)
            os.kill(gateway._process.pid, signal.SIGKILL)
            await it.until(lambda: it.app.state.lost, 10.0)
            await it.until(lambda: it.app.state.connected, 30.0, "the restart")
    finally:
        gateway.stop()
        shutil.rmtree(base, ignore_errors=True)


async def test_a_private_gateway_that_cannot_start_is_explained(screen, tmp_path):
    class Broken:
        def start(self):
            return tmp_path / "never.sock"

        def exit_code(self):
            return 3

        def last_error(self):
            return "no such directory"

        def stop(self):
            pass

    async with screen(None, gateway=Broken()) as it:
        await it.until(lambda: "could not be started: no such directory" in it.text())


def test_own_sockets_are_counted():
    import socket

    before = link.own_inet_sockets()
    with socket.socket(socket.AF_INET), socket.socket(socket.AF_UNIX):
        assert link.own_inet_sockets() == before + 1


async def test_counts_are_debounced_and_the_newest_wins(tmp_path):
    from medgemma_tui.protocol import TokenizeReply, TokenizeRequest

    class Counter:
        def __init__(self):
            self.seen = []

        async def tokenize(self, request):
            self.seen.append(request.prompt)
            await asyncio.sleep(0.05)
            return TokenizeReply(count=1, max_model_len=100)

        async def telemetry(self):
            await asyncio.Event().wait()
            yield

        async def close(self):
            pass

    counter, last = Counter(), asyncio.Event()

    def told(message):
        if message.ticket == 19:
            last.set()

    wire = link.Link(link.ExistingGateway(tmp_path), told, lambda _socket: counter)
    wire.start()
    for number in range(20):
        wire.count(number, TokenizeRequest(prompt=str(number)))
        await asyncio.sleep(0.01)
    await asyncio.wait_for(last.wait(), 20)
    await wire.close()
    assert counter.seen[-1] == "19"
    assert len(counter.seen) <= 3


async def test_leaving_keeps_a_parked_conversation(screen, scripted):
    http = scripted.gateway.http
    http.put("/v1/session", json={"payload": "parked"}).raise_for_status()
    async with screen(scripted.socket) as it:
        await it.connected()
    assert http.get("/v1/session").json()["payload"] == "parked"
    http.delete("/v1/session")

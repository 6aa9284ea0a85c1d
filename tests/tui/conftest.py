"""The screen under Textual's pilot, over a gateway that is a real process on a real socket."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from answering import Answering
from gateway_running import Engine, Running, short_directory

from medgemma_tui import i18n
from medgemma_tui.protocol import ProcessSeal
from medgemma_tui.settings import Settings
from medgemma_tui.tui import environment

_plugin = {name: value for name, value in os.environ.items() if name.startswith("TEXTUAL_SNAPSHOT")}
environment.prepare(Settings())
os.environ.update(_plugin)  # the snapshot plugin's own, which the program would drop

from medgemma_tui.tui import link, profile  # noqa: E402
from medgemma_tui.tui.commands import Screen  # noqa: E402
from medgemma_tui.tui.screens.guard import DEAF_S, Guard  # noqa: E402
from medgemma_tui.tui.service import ExistingGateway  # noqa: E402


@pytest.fixture(autouse=True)
def english():
    """Every test begins in English, on a terminal that can show any sign."""
    i18n.set_language("en")
    i18n.set_ascii(False)
    yield
    i18n.set_language("en")
    i18n.set_ascii(False)


class SealedWatch:
    """In the place of ``privacy.watch.Watch``: pytest's own process is not sealed, and is not tried."""

    seal: ProcessSeal | None = ProcessSeal(inet_sockets=0)

    def __init__(self, process: str) -> None:
        assert process == "screen"

    def latest(self) -> ProcessSeal | None:
        return self.seal


@pytest.fixture(autouse=True)
def sealed_screen(monkeypatch):
    """The screen's own process counts as sealed; a test may set ``seal`` of what this gives."""

    class Watch(SealedWatch):
        pass

    monkeypatch.setattr(link, "Watch", Watch)
    return Watch


@pytest.fixture(scope="session")
def scripted():
    """A real gateway before an engine that does what the question says (``gateway/engine_stub.py``)."""
    directory = short_directory()
    engine = Engine(directory)
    gateway = Running(engine_socket=engine.socket)
    try:
        yield SimpleNamespace(engine=engine, gateway=gateway.ready(), socket=gateway.socket)
    finally:
        gateway.stop()
        engine.stop()
        shutil.rmtree(directory)


class Driven:
    """A running screen and the things tests do with it."""

    def __init__(self, app: Screen, pilot) -> None:
        self.app, self.pilot = app, pilot
        self.chat, self.controller = app.chat, app.controller
        self.remarks: list[str] = []
        say = self.chat.remark.say

        def heard(text: str, level: str = "information") -> None:
            self.remarks += [text] if text else []
            say(text, level)

        self.chat.remark.say = heard

    async def until(self, condition, timeout_s: float = 20.0, what: str = ""):
        """Wait until ``condition()`` is true, and return what it gave."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if value := condition():
                return value
            await self.pilot.pause(0.02)
        shown = f"{self.text()}\n{self.last}\n{self.notices}"
        raise AssertionError(f"not within {timeout_s} s: {what or condition}\n{shown}")

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def connected(self) -> None:
        """Wait until the model is ready and the context is counted."""
        await self.until(lambda: self.controller.ready, what="ready")

    async def ask(self, question: str):
        """Put a question into the composer, send it as it is, wait for the end of the reply; the turn."""
        self.chat.set_draft(question)
        await self.press("enter")

        def taken():
            return isinstance(self.app.screen, Guard) or (self.last and self.last.question == question)

        await self.until(taken, what="the question, or what the guard asks of it")
        if isinstance(self.app.screen, Guard):
            await self.pilot.pause(DEAF_S)
            await self.press("s")
        turn = await self.until(lambda: self.last if self.last and self.last.question == question else None)
        await self.until(lambda: not turn.live, what="the end of the reply")
        return turn

    @property
    def last(self):
        turns = self.controller.conversation.turns
        return turns[-1] if turns else None

    @property
    def notices(self) -> list[str]:
        """The program's own lines in the transcript, and every passing remark so far."""
        own = [entry.text for entry in self.controller.conversation.entries if not hasattr(entry, "question")]
        return own + self.remarks

    def text(self) -> str:
        """What the screen shows."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


@pytest.fixture
def screen():
    """Open a screen: ``async with screen(socket, size=(80, 24), lang="en", term="xterm-256color", **settings)``."""

    @asynccontextmanager
    async def opened(
        socket: Path, *, size=(120, 36), lang="en", term="xterm-256color", gateway=None, connector=None, **settings
    ):
        i18n.set_language(lang)
        console = profile.choose("auto", {"TERM": term})
        more = {} if connector is None else {"connector": connector}
        app = Screen(Settings(box_name="box-3", **settings), gateway or ExistingGateway(socket), console, **more)
        async with app.run_test(size=size) as pilot:
            yield Driven(app, pilot)
            await asyncio.sleep(0)

    return opened


@pytest.fixture
def answered(screen, tmp_path):
    """Open a screen on a service that answers at once: ``async with answered("fine", window=2048) as it``.

    ``it.service`` is the service; its ``requests`` are what was streamed.
    """

    @asynccontextmanager
    async def opened(answer="fine", *, window=8192, demo=False, **settings):
        service = Answering(answer, window=window, demo=demo)
        async with screen(tmp_path / "x.sock", connector=lambda _socket: service, **settings) as it:
            it.service = service
            await it.connected()
            await it.until(lambda: it.controller._reader._warm, what="the lists")
            yield it

    return opened

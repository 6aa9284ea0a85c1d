"""Pictures of the health window, with fixed time and figures. Look at a changed one before `--snapshot-update`."""

from __future__ import annotations

from pathlib import Path

import pytest
from checked import FINE, FIT, NOW, UNFIT, WRONG, Checked

from medgemma_tui import i18n
from medgemma_tui.health.run import result_of
from medgemma_tui.settings import Settings
from medgemma_tui.tui import profile
from medgemma_tui.tui.commands import Screen
from medgemma_tui.tui.service import ExistingGateway

SIZES = [(80, 24), (120, 36)]


@pytest.fixture(autouse=True)
def half_past_six(monkeypatch):
    monkeypatch.setattr("time.time", lambda: NOW)


async def shown(pilot, words: str) -> None:
    app = pilot.app
    while words not in "\n".join(
        "".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips()
    ):
        await pilot.pause(0.02)


async def fit(pilot) -> None:
    pass


async def unfit(pilot) -> None:
    pass


async def opened(pilot) -> None:
    await pilot.press("enter", "right", "right", "right")


async def running(pilot) -> None:
    service = pilot.app.wire.service
    await pilot.press("r")
    for done, id in enumerate(("gpu.present", "gpu.temperature", "service.queue"), 1):
        service.goes(done, 11, result=result_of(id, {**FINE, **WRONG}[id]))
    service.goes(3, 11, doing="model.hashes", percent=43.4)
    await shown(pilot, "43 %")


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x36"])
@pytest.mark.parametrize("what", [fit, unfit, opened, running])
def test_pictures(snap_compare, what, size, lang):
    i18n.set_language(lang)
    service = Checked(FIT if what in (fit, running) else UNFIT)
    console = profile.choose("color", {})
    app = Screen(Settings(box_name="box-3"), ExistingGateway(Path("x.sock")), console, lambda _socket: service)

    async def at(pilot) -> None:
        while not app.controller.ready:
            await pilot.pause(0.02)
        await pilot.press("f3")
        while not service.looks or app.checkup._looking:
            await pilot.pause(0.02)
        await what(pilot)
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=at)

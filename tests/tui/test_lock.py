"""The lock: what it covers, what opens it, what ends it. Time is the test's own."""

from __future__ import annotations

from medgemma_tui.tui.screens.lock import LockScreen
from medgemma_tui.tui.screens.pin import SetPin


class Clock:
    """Seconds since boot, as the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def clocked(it) -> Clock:
    clock = Clock()
    it.app.locker.state.clock = clock
    it.app.locker.state.touched()
    return clock


async def set_pin(it, text="2468"):
    await it.press("ctrl+p")
    await it.press(*"set pin", "enter")
    await it.until(lambda: isinstance(it.app.screen, SetPin))
    await it.press(*text, "enter", *text, "enter")
    await it.until(lambda: it.app.locker.state.pin is not None)
    await it.until(lambda: it.app.screen is it.chat)


def locked(it) -> bool:
    return isinstance(it.app.screen, LockScreen)


async def test_without_a_key_it_locks_and_the_pin_opens_it(answered):
    async with answered() as it:
        await it.ask("How is sepsis treated?")
        it.chat.set_draft("my draft")
        await set_pin(it)
        clock = clocked(it)
        clock.now += it.app.settings.lock_after_s + 1
        await it.until(lambda: locked(it))
        for word in ("sepsis", "fine", "draft"):
            assert word not in it.text()
        await it.press(*"wrong", "enter")
        await it.until(lambda: "Wrong PIN" in it.text())
        clock.now += 2
        await it.until(lambda: not it.app.locker.screen._told.deaf)
        await it.press(*"2468", "enter")
        await it.until(lambda: it.app.screen is it.chat)
        assert it.chat.draft == "my draft"
        assert "sepsis" in it.text()

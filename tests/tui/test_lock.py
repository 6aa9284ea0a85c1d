"""The lock: what it covers, what opens it, what ends it. Time is the test's own."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from textual import events
from textual.widgets import TextArea

from medgemma_tui import i18n
from medgemma_tui.client import ServiceError
from medgemma_tui.protocol import ErrorInfo
from medgemma_tui.settings import Settings
from medgemma_tui.tui import link, locker, locking, pin, profile
from medgemma_tui.tui.commands import Screen
from medgemma_tui.tui.screens.dialogs import CardEditor, Confirm, RawText, Reader
from medgemma_tui.tui.screens.guard import Guard
from medgemma_tui.tui.screens.health import HealthScreen
from medgemma_tui.tui.screens.lock import LockScreen
from medgemma_tui.tui.screens.pin import SetPin
from medgemma_tui.tui.screens.teaching import TeachingScreen

PIN = pin.hashed("2468")


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


def locked(it) -> bool:
    return isinstance(it.app.screen, LockScreen)


def said(it) -> str:
    return " ".join(it.text().replace("│", " ").split())


async def opened_by_pin(it) -> None:
    await it.until(lambda: not it.app.locker.screen._told.deaf)
    await it.press(*"2468", "enter")
    await it.until(lambda: not it.app.locker.locked)


class Mine:
    """A gateway of the screen's own, which dies with it; the service behind it is the test's."""

    def start(self):
        return Path("mine.sock")

    def exit_code(self):
        return None

    def last_error(self):
        return ""

    def stop(self):
        pass


# --- rules ---


def test_the_rules_by_themselves():
    clock = Clock()
    state = locking.Locking(300, 900, clock)
    clock.now += 299
    assert not state.idle
    state.touched()
    clock.now += 299
    assert not state.idle
    clock.now += 1
    assert state.idle
    state.lock()
    assert (state.locked, state.idle, state.left_s) == (True, False, 900)
    clock.now += 100
    state.lock()  # a second time: its time runs on
    assert state.left_s == 800
    waits = []
    while not state.wrong():
        waits.append(state.wait_s)
        clock.now += 60
    assert waits == [1, 2, 4, 8]
    assert state.tries == locking.MOST_TRIES
    assert not state.over
    clock.now += 700
    assert state.over
    state.unlock()
    assert not state.over
    assert state.left_s == 900
    clock.now += 2000  # the system slept: what was due then counts from then
    assert state.idle
    state.lock()
    assert state.over


def test_a_pin_is_a_salted_hash_and_full_width_digits_are_digits():
    again = pin.hashed("2468")
    assert again.digest != PIN.digest
    assert pin.matches(PIN, "2468")
    assert pin.matches(PIN, "２４６８")
    assert not pin.matches(PIN, "2469")
    assert "2468" not in repr(PIN)
    assert repr(PIN.digest) not in repr(PIN)


def test_the_clock_goes_on_while_the_system_sleeps_and_nobody_sets_it():
    assert abs(locking.boot_time() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1
    assert locking.Locking(1, 1).clock is locking.boot_time


# --- what it covers ---


async def test_it_locks_by_itself_and_the_pin_opens_it(answered):
    async with answered() as it:
        await it.ask("How is sepsis treated?")
        await it.press("f4")
        it.app.screen.query_one(TextArea).insert("62 kg")
        await it.press("escape")
        it.chat.set_draft("my draft")
        it.app.locker.state.pin = PIN
        clock = clocked(it)
        clock.now += 299
        await it.press("left")
        clock.now += 299
        it.app.post_message(events.MouseMove(None, 1, 1, 0, 0, 0, False, False, False))
        await it.pilot.pause()
        clock.now += 299
        await it.pilot.pause(1.1)
        assert not locked(it)
        clock.now += 1
        await it.until(lambda: locked(it))
        for word in ("sepsis", "fine", "draft", "62 kg", "Context", "GPU", "stub"):
            assert word not in it.text()
        await it.press("x", "ctrl+q", "f10", "ctrl+p", "f1", "f5", "escape", "tab", "ctrl+c", "ctrl+d")
        assert locked(it)
        await it.press(*"2469", "enter")
        await it.until(lambda: "4 more tries" in said(it))
        await it.press(*"2468", "enter")  # it is deaf
        assert locked(it)
        clock.now += 2
        await opened_by_pin(it)
        assert it.chat.draft == "my draft"
        for word in ("sepsis", "fine", "draft", "62 kg"):
            assert word in it.text()


async def test_a_key_that_comes_too_late_locks_and_is_nothing_else(answered):
    async with answered() as it:
        it.app.locker.state.pin = PIN
        clock = clocked(it)
        clock.now += 301  # and no second went by: the system slept
        await it.press("x")
        assert locked(it)
        assert it.chat.draft == ""
        assert "1 character" not in it.text()


async def test_every_window_is_covered_and_comes_back(answered):
    async with answered("Infection causes inflammation, which leads to shock.") as it:
        await it.ask("How is sepsis treated?")
        it.app.locker.state.pin = PIN

        async def through(*keys, kind, shows):
            await it.press(*keys)
            window = await it.until(lambda: isinstance(it.app.screen, kind) and it.app.screen)
            await it.until(lambda: shows in it.text())
            await it.press("f6")
            await it.until(lambda: locked(it) and "Type your PIN" in it.text())
            assert shows not in it.text()
            assert "epsis" not in it.text()
            await it.press("escape", "q", "enter")
            await opened_by_pin(it)
            assert it.app.screen is window
            await it.until(lambda: shows in it.text())
            await it.press("escape")
            assert it.app.screen is it.chat

        await through("f3", kind=HealthScreen, shows="R check now")
        await through("f1", kind=Reader, shows="Esc closes")
        await through("f4", kind=CardEditor, shows="These facts")
        await through("tab", "ctrl+u", kind=RawText, shows="Raw text")
        await through("f12", kind=TeachingScreen, shows="Teaching view")


async def test_what_opens_or_closes_meanwhile_does_so_below(answered):
    async with answered() as it:
        await it.press("f1")
        window = it.app.screen
        it.app.locker.state.pin = PIN
        await it.press("f6")
        it.app.push_screen(Reader("Late", "text"))
        it.chat.say("said meanwhile")
        await it.pilot.pause()
        assert locked(it)
        assert "said" not in it.text()
        late = it.app.screen_stack[-2]
        late.dismiss()  # a key that was still in its queue
        await it.pilot.pause()
        assert locked(it)
        assert it.app.screen_stack[-2] is window
        it.chat.set_draft("draft")
        await it.app.run_action("app.new_patient")  # one that waited in a queue
        assert not any(isinstance(each, Confirm) for each in it.app.screen_stack)
        assert locked(it)
        await opened_by_pin(it)
        assert it.app.screen is window


async def test_a_question_about_identifiers_waits_below(answered):
    async with answered(lang="zh") as it:
        it.app.locker.state.pin = PIN
        it.chat.set_draft("患者姓名：张三，心梗，如何治疗？")
        it.app.post_message(events.Key("enter", "\r"))
        it.app.post_message(events.Key("f6", None))
        await it.until(lambda: locked(it))
        await it.until(lambda: any(isinstance(each, Guard) for each in it.app.screen_stack))
        assert locked(it)
        assert "张三" not in it.text()
        await opened_by_pin(it)
        assert isinstance(it.app.screen, Guard)


async def test_what_is_typed_behind_the_key_goes_nowhere(answered):
    async with answered() as it:
        it.app.locker.state.pin = PIN
        for character in "abc":
            it.app.post_message(events.Key(character, character))
        it.app.post_message(events.Key("f6", None))
        for character in "xyz":
            it.app.post_message(events.Key(character, character))
        it.app.post_message(events.Paste("pasted"))
        await it.until(lambda: "9 characters" in it.text())
        assert it.chat.draft == "abc"
        await it.press("ctrl+u")
        await opened_by_pin(it)
        assert it.chat.draft == "abc"


# --- the PIN ---


async def test_setting_a_pin(answered):
    async with answered() as it:
        it.app.action_set_pin()
        await it.until(lambda: isinstance(it.app.screen, SetPin))
        assert "locks without" not in said(it)
        await it.press("enter")
        assert "Too short" in said(it)
        await it.press(*"123", "enter")
        assert "Too short" in said(it)
        await it.press(*"1234x", "backspace")
        assert "4 characters" in said(it)
        assert "1234" not in said(it)
        await it.press("enter", *"1235", "enter")
        await it.until(lambda: "not the same" in said(it))
        await it.press(*"2468", "enter")
        it.app.screen.post_message(events.Paste("２４６８"))  # as an input method left in full width gives it
        await it.until(lambda: "4 characters" in said(it))
        await it.press("enter")
        await it.until(lambda: it.app.screen is it.chat)
        assert pin.matches(it.app.locker.state.pin, "2468")
        assert any("The PIN is set" in each for each in it.remarks)
        it.chat.set_draft("x")
        await it.press("f5", "y")  # a new patient: the PIN is the person's
        assert it.app.locker.state.pin is not None


async def test_the_key_without_a_pin_covers_and_offers_one(answered):
    async with answered(gateway=Mine()) as it:
        it.chat.set_draft("secret")
        await it.press("f6")
        assert isinstance(it.app.screen, SetPin)
        assert "secret" not in it.text()
        await it.press("escape")
        assert it.app.screen is it.chat
        assert not it.app.locker.locked
        await it.press("f6", *"2468", "enter", *"2468", "enter")
        await it.until(lambda: locked(it))
        assert "Type your PIN" in it.text()
        await opened_by_pin(it)
        assert it.app.screen is it.chat
        assert it.chat.draft == "secret"


async def test_without_a_pin_a_private_screen_is_a_curtain_and_says_so(answered):
    async with answered(gateway=Mine()) as it:
        it.chat.set_draft("secret")
        await it.press("f6", "enter")
        await it.until(lambda: locked(it))
        assert "this account's shell in any case" in said(it)
        assert "secret" not in it.text()
        await it.press("x", "enter")
        assert it.app.screen is it.chat
        assert it.chat.draft == "secret"
        clock = clocked(it)
        clock.now += 300
        await it.until(lambda: locked(it))
        clock.now += 900
        await it.until(lambda: not it.app.is_running)
        assert it.app.return_code == 6
        assert it.chat.draft == ""


async def test_five_wrong_pins_wipe_where_nothing_can_keep_it(answered):
    async with answered(gateway=Mine()) as it:
        it.chat.set_draft("secret")
        it.app.locker.state.pin = PIN
        await it.press("f6")
        clock = clocked(it)
        for number in range(1, 6):
            clock.now += 60
            await it.until(lambda: not it.app.locker.screen._told.deaf)
            await it.press(*"2469", "enter")
            await it.until(lambda n=number: it.app.locker.state.tries == n)
        await it.until(lambda: not it.app.is_running)
        assert it.app.return_code == 6
        assert it.chat.draft == ""
        assert it.app.locker.ended_by == "wiped"


# --- it holds ---


async def test_it_holds_while_answers_end_and_the_gateway_goes(answered, monkeypatch):
    async with answered() as it:
        service = it.service
        more = asyncio.Event()
        whole = service.stream

        async def slow(request):
            async for chunk in whole(request):
                yield chunk
                await more.wait()

        service.stream = slow
        it.app.locker.state.pin = PIN
        it.chat.set_draft("How is sepsis treated?")
        await it.press("enter")
        await it.until(lambda: it.last and it.last.answer)
        clock = clocked(it)
        clock.now += 300  # a streaming answer is nobody's doing
        await it.until(lambda: locked(it))
        more.set()
        await it.until(lambda: not it.last.live)
        it.app.on_disconnected(link.messages.Disconnected(ErrorInfo(type="unreachable", message="gone")))
        await it.pilot.resize_terminal(60, 15)
        await it.pilot.pause()
        assert locked(it)
        assert "fine" not in it.text()
        await it.pilot.resize_terminal(120, 36)
        await opened_by_pin(it)
        await it.until(lambda: "fine" in it.text())


async def test_a_service_that_does_not_answer_keeps_nothing_and_the_lock_says_so(answered):
    async with answered() as it:
        refused = ServiceError(0, ErrorInfo(type="unreachable", message="gone"))

        async def park(_body):
            if it.service.left:
                return
            raise refused

        it.service.park = park
        it.chat.set_draft("secret")
        await it.press("f6", "enter")
        await it.until(lambda: "does not answer, so it cannot keep" in said(it))
        await it.press("enter", "escape", *"any")
        assert locked(it)
        assert it.chat.draft == "secret"
        it.service.left = True
        it.app.locker._ticks = locker.AGAIN_S - 1
        await it.until(lambda: "Log in again" in said(it))
        assert it.chat.draft == ""
        await it.press("enter")
        await it.until(lambda: not it.app.is_running)
        assert it.app.return_code == 0


async def test_where_there_is_nothing_the_session_ends(answered):
    async with answered() as it:
        await it.press("ctrl+@", "enter")
        await it.until(lambda: "There is no conversation" in said(it))
        await it.press("enter")
        await it.until(lambda: not it.app.is_running)


async def test_a_new_patient_stops_an_answer_and_goes_to_the_service(answered):
    async with answered() as it:
        forgotten = []

        async def forget():
            forgotten.append(True)

        async def hang(request):
            await asyncio.Event().wait()
            yield

        it.service.forget, it.service.stream = forget, hang
        it.chat.set_draft("How is sepsis treated?")
        await it.press("enter")
        await it.until(lambda: it.last)
        await it.press("f5", "y")
        await it.until(lambda: forgotten)
        assert it.last is None
        assert it.app.wire._reply.cancelled() or it.app.wire._reply.cancelling()


# --- what it looks like ---


class Moment(locker.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 11, 24, 14, 2, 0)


SMALL, LARGE = (80, 24), (120, 36)
PICTURES = [
    *((what, size, lang) for what in ("pin", "setting") for size in (SMALL, LARGE) for lang in ("zh", "en")),
    *((what, SMALL, "zh") for what in ("wrong", "curtain", "parked")),
]


@pytest.mark.parametrize(
    ("what", "size", "lang"), PICTURES, ids=lambda value: f"{value[0]}x{value[1]}" if value in (SMALL, LARGE) else value
)
def test_pictures(snap_compare, monkeypatch, tmp_path, what, size, lang):
    monkeypatch.setattr(locker, "datetime", Moment)
    i18n.set_language(lang)
    gateway = Mine() if what == "curtain" else link.ExistingGateway(tmp_path / "x.sock")
    app = Screen(Settings(box_name="box-3"), gateway, profile.choose("auto", {"TERM": "xterm-256color"}))
    app.locker.state.clock = Clock()
    app.locker.state.touched()

    async def run(pilot):
        app.chat.set_draft("secret")
        app.state = app.state.__class__(connected=False, demo=what != "pin")
        if what == "setting":
            await pilot.press("f6", *"2468")
        elif what in ("pin", "wrong"):
            app.locker.state.pin = PIN
            await pilot.press("f6", *"24")
        else:
            app.errands.park = lambda *_what, **_how: None
            app.locker.lock("asked")
        if what == "parked":
            app.wire.connected = True
            app.locker.parked(None)
        if what == "wrong":
            app.locker.checked(right=False)
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=run)


async def test_where_there_is_no_room_it_covers_all_the_same(answered):
    async with answered() as it:
        it.chat.set_draft("secret")
        it.app.locker.state.pin = PIN
        await it.pilot.resize_terminal(20, 6)
        await it.press("f6")
        await it.until(lambda: locked(it))
        for size in ((20, 6), (8, 3), (2, 1)):
            await it.pilot.resize_terminal(*size)
            await it.pilot.pause()
            assert "sec" not in it.text()
        await opened_by_pin(it)


async def test_ascii_draws_with_ascii(answered):
    async with answered(size=(80, 24), term="vt100") as it:
        await it.press("f6", *"24")
        assert it.text().isascii()
        await it.press("ctrl+u", "enter")
        await it.until(lambda: locked(it))
        assert it.text().isascii()

"""The health window: the verdict and its age, every check opened, a run followed, and who may not look."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager

import pytest
from checked import AT, FINE, FIT, HISTORY, NOW, UNFIT, WRONG, Checked, fitness, refused, report
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from textual import events

from medgemma_tui import fitness_words, i18n
from medgemma_tui.health.check import Outcome
from medgemma_tui.health.run import result_of
from medgemma_tui.protocol import HealthRecord
from medgemma_tui.tui import checkup, health_check, health_lines, pin, profile
from medgemma_tui.tui.health_seen import Run, Seen, is_old
from medgemma_tui.tui.ink import width_of
from medgemma_tui.tui.screens.dialogs import Confirm, Reader
from medgemma_tui.tui.screens.health import HealthScreen


@pytest.fixture(autouse=True)
def half_past_six(monkeypatch):
    """It is 07:01, half an hour after the timer's run."""
    monkeypatch.setattr("time.time", lambda: NOW)


@pytest.fixture
def checked(screen, tmp_path):
    """Open the health window over a service: ``async with checked(Checked(FIT)) as it``."""

    @asynccontextmanager
    async def opened(service, **options):
        async with screen(tmp_path / "x.sock", connector=lambda _socket: service, **options) as it:
            it.service = service
            await it.connected()
            await it.press("f3")
            await it.until(lambda: isinstance(it.app.screen, HealthScreen))
            await it.until(lambda: service.looks and not it.app.checkup._looking, what="the record")
            it.sheet = it.app.screen.sheet
            yield it

    return opened


def rows(it) -> list[str]:
    return it.text().split("\n")


# --- the report ---


async def test_the_verdict_its_age_and_what_is_wrong_with_what_to_do_stand_first(checked):
    async with checked(Checked(UNFIT), size=(120, 50)) as it:
        text = await it.until(lambda: "CRITICAL  GPU temperature" in it.text() and it.text())
        assert "✗ NOT FIT · 06:30, 31 minutes ago" in text
        assert "2 CRITICAL · 1 UNKNOWN · 2 WARNING · 6 ok · 1 not applicable" in text
        order = ["GPU temperature", "Model files against", "Queue", "Speed against", "Who holds", "GPUs found"]
        assert [text.index(name) for name in order] == sorted(text.index(name) for name in order)
        assert "To do: Do not use this model. Copy model-00002-of-00002.safetensors again" in text
        assert "\x1b" not in text


async def test_a_demo_is_labelled_and_an_old_report_is_said_to_be_old(checked):
    old = report(FINE, NOW - 27 * 3600, demo=True)
    async with checked(Checked(old, demo=True)) as it:
        assert "DEMO, NOT MEDICAL" in rows(it)[0]
        assert re.search(r"\? fit · 06-23 \d\d:\d\d, 27 hours ago · old: it tells nothing of today", it.text())


async def test_before_the_first_run_nothing_is_said_to_be_fit(checked):
    async with checked(Checked()) as it:
        assert "Not checked yet" in it.text()
        assert "R runs the checks now" in it.text()
        assert "fit ·" not in it.text()


async def test_a_check_opened_has_figures_limits_items_advice_and_its_history(checked):
    async with checked(Checked(UNFIT), size=(100, 40)) as it:
        await it.press("enter")
        text = it.text()
        assert "✗ CRITICAL  gpu.temperature · took 0.4 s" in text
        assert "temperature (0): 91 °C  warning above 83 °C, critical above 90 °C" in text
        assert "Take load off now" in text
        assert "✓" * 29 + "✗" in text
        assert "1 CRITICAL · 29 ok" in text
        await it.press("left")  # from the first round to the last that is listed
        await it.press("right", "right", "right", "right")
        text = it.text()
        assert "speed: 21.3 tok/s  warning below 28.7 tok/s" in text
        assert "Speed: 21.3 tok/s to 41 tok/s, last 21.3 tok/s" in text
        assert re.search(r"[▁▂▃▄▅▆▇█]{30}", text)
        await it.press("right")
        assert "anna" in it.text()
        assert "\x1b" not in it.text()
        await it.press("left", "escape")
        assert it.sheet.at == "model.speed"
        assert not it.sheet.opened
        await it.press("escape")
        assert it.app.screen is it.chat


async def test_free_memory_has_a_curve_too(checked):
    runs = [each.model_copy(update={"vram_free": 2**30 * (1 + n % 9)}) for n, each in enumerate(HISTORY)]
    service = Checked(FIT)
    service.record = HealthRecord(report=FIT, history=runs)
    async with checked(service, size=(100, 40)) as it:
        await it.press("down", "enter")
        assert "GPU memory free: 1.0 GiB to 9.0 GiB" in it.text()
        assert re.search(r"▂▃▃▄▅▆▆▇█", it.text())


async def test_arrows_pages_ends_and_the_mouse_move_it(checked):
    async with checked(Checked(UNFIT), size=(80, 24)) as it:
        first = it.sheet.at
        await it.press("end")
        assert it.sheet.at == it.sheet.checks[-1]
        assert it.sheet.top > 0
        await it.press("pageup", "pageup", "pageup", "home")
        assert (it.sheet.at, it.sheet.top) == (first, 0)
        for id in it.sheet.checks[1:]:
            await it.press("down")
            assert it.sheet.at == id
            assert any(row.startswith(" ▌") for row in rows(it)), id
        await it.press("home", "pagedown")
        assert it.sheet.at in it.sheet._in_sight()
        top = it.sheet.top
        it.app.screen.post_message(wheel(events.MouseScrollUp))
        await it.until(lambda: it.sheet.top < top)
        await it.press("home")
        y = next(y for y, row in enumerate(rows(it)) if "Model files against" in row)
        await it.pilot.click(offset=(10, y))
        assert it.sheet.opened == "model.hashes"


def wheel(kind):
    return kind(None, 5, 5, 0, 0, 0, False, False, False, 5, 5)


@pytest.mark.parametrize("lang", ["en", "zh"])
async def test_it_fits_small_screens_and_both_languages(checked, lang):
    async with checked(Checked(UNFIT, demo=True), size=(80, 24), lang=lang) as it:
        for size in ((80, 24), (30, 8), (20, 5), (10, 2)):
            await it.pilot.resize_terminal(*size)
            for keys in ("end", "enter", "end", "escape", "pageup"):
                await it.press(keys)
                assert all(cell_len(row) <= size[0] for row in rows(it))
        await it.pilot.resize_terminal(30, 8)
        await it.press("home")
        verdict = "NOT FIT" if lang == "en" else "不可开诊"
        await it.until(lambda: verdict in rows(it)[0] and "Esc" in rows(it)[7])


async def test_the_language_switches_while_it_is_open(checked):
    async with checked(Checked(FIT)) as it:
        assert "minutes ago" in it.text()
        await it.press("f9")
        await it.until(lambda: "可以开诊" in it.text())
        await it.press("ctrl+backslash")
        await it.until(lambda: "minutes ago" in it.text())


async def test_every_figure_is_a_key_away_and_f1_explains(checked):
    async with checked(Checked(FIT)) as it:
        window = it.app.screen
        await it.press("s")
        assert isinstance(it.app.screen, Reader)
        assert "Identity" in it.text() or "Driver" in it.text()
        await it.press("escape", "f1")
        await it.until(lambda: "You are in the health window" in it.text())
        await it.press("escape")
        assert it.app.screen is window


# --- a run ---


async def test_a_run_shows_how_far_it_is_and_results_as_they_come(checked):
    async with checked(Checked(FIT), size=(100, 40)) as it:
        await it.press("r")
        await it.until(lambda: "Checking: the run begins" in it.text())
        assert it.service.runs == [False]
        it.service.goes(1, 10, result=result_of("gpu.temperature", WRONG["gpu.temperature"]))
        it.service.goes(1, 10, doing="model.hashes", percent=43.4)
        await it.until(lambda: "Checking: 1 of 10 · Model files against their hashes 43 %" in it.text())
        assert "✗ CRITICAL  GPU temperature" in it.text()
        assert "fit · 06:30, 31 minutes ago · before this run" in it.text()
        assert "✓ ok (before)  GPUs found" in it.text()
        await it.press("r")
        assert it.service.runs == [False]  # one at a time
        await it.press("f3")
        assert it.app.screen is it.chat
        it.service.goes(2, 10, result=result_of("gpu.present", FINE["gpu.present"]))
        await it.pilot.pause(0.05)
        await it.press("f3")
        await it.until(lambda: "Checking: 2 of 10" in it.text())
        assert "✓ ok  GPUs found" in it.text()
        late = report({**FINE, **WRONG}, NOW - 5)
        it.service.record = HealthRecord(report=late, history=HISTORY)
        it.service.goes(10, 10, report=late)
        it.service.events.put_nowait(None)
        await it.until(lambda: "NOT FIT · 07:00, just now" in it.text() and "Checking" not in it.text())
        assert "(before)" not in it.text()


async def test_a_full_run_is_asked_about(checked):
    async with checked(Checked(FIT)) as it:
        await it.press("f")
        assert isinstance(it.app.screen, Confirm)
        await it.press("enter")  # the mark stands on no
        await it.pilot.pause()
        assert it.service.runs == []
        await it.press("f", "y")
        await it.until(lambda: it.service.runs == [True])


async def test_the_keys_work_as_the_foot_line_writes_them(checked):
    async with checked(Checked(FIT)) as it:
        await it.press("F")
        assert isinstance(it.app.screen, Confirm)
        await it.press("N", "F", "Y")
        await it.until(lambda: it.service.runs == [True])
        it.service.events.put_nowait(None)
        await it.until(lambda: it.app.checkup.seen.run is None)
        await it.press("R")
        await it.until(lambda: it.service.runs == [True, False])
        await it.press("S")
        assert isinstance(it.app.screen, Reader)
        await it.press("escape", "Q")
        assert not isinstance(it.app.screen, (Reader, HealthScreen))


REFUSALS = [
    (refused(403, "forbidden", code="role_needed", params={"group": "ops"}), "Ops only: group ops. Ask them"),
    (refused(403, "forbidden", code="role_needed"), "Ops only. Ask the box's staff"),
    (refused(404, "not_found"), "is older than this screen"),
    (refused(0, "unreachable"), "The service on this box does not answer."),
]


async def test_a_run_that_is_refused_or_breaks_off_says_why(checked):
    async with checked(Checked(FIT)) as it:
        for error, words in REFUSALS:
            it.service.run_denied = error
            await it.press("r")
            await it.until(lambda words=words: words in "\n".join(rows(it)[1:6]))
            assert "✓ fit · 06:30" in it.text()  # the last report stays


async def test_a_run_that_somebody_else_has_started_is_waited_for(checked, monkeypatch):
    monkeypatch.setattr(checkup, "LOOK_AGAIN_S", 0.0)
    async with checked(Checked(FIT)) as it:
        it.service.run_denied = refused(409, "health_running")
        it.service.record = it.service.record.model_copy(update={"running": True})
        await it.press("r")
        await it.until(lambda: "A run is going on that was started elsewhere" in it.text())
        late = report({**FINE, **WRONG}, NOW - 5)
        it.service.record = HealthRecord(report=late, history=HISTORY)
        await it.until(lambda: "NOT FIT · 07:00" in it.text() and "started elsewhere" not in it.text())


async def test_a_timers_new_verdict_fetches_its_report(checked):
    async with checked(Checked(FIT)) as it:
        late = report({**FINE, **WRONG}, NOW - 5)
        it.service.record = HealthRecord(report=late, history=HISTORY)
        it.service.beat(fitness(late))
        await it.until(lambda: "NOT FIT · 07:00" in it.text() and "CRITICAL  GPU temperature" in it.text())


# --- who may not look ---


async def test_who_is_not_of_ops_sees_the_verdict_and_what_is_not_in_order(checked):
    service = Checked(told=fitness(UNFIT, refuses=True))
    service.denied = refused(403, "forbidden", code="role_needed", params={"group": "medgemma-ops"})
    async with checked(service) as it:
        text = it.text()
        assert "✗ NOT FIT · 06:30" in text
        assert "No question is answered until a run finds this box fit." in text
        assert text.index("GPU temperature") < text.index("Queue") < text.index("Speed against")
        assert "Ops only: group medgemma-ops. Ask them" in text
        assert rows(it)[-1].split() == ["S", "every", "figure", "Esc", "close"]  # no check to open, no run to ask for
        it.service.run_denied = it.service.denied
        await it.press("r")
        await it.until(lambda: it.app.checkup.seen.failure is not None)
        assert it.text().count("Ops only: group medgemma-ops.") == 1


async def test_the_lock_covers_it_and_gives_it_back_with_what_came_meanwhile(checked):
    async with checked(Checked(FIT)) as it:
        it.app.locker.state.pin = pin.hashed("2468")
        window = it.app.screen
        await it.press("r", "f6")
        await it.until(lambda: it.app.locker.locked)
        await it.press("escape")
        it.service.goes(4, 10)
        await it.until(lambda: "Type your PIN" in it.text())
        assert "GPUs found" not in it.text()
        await it.until(lambda: not it.app.locker.screen._told.deaf)
        await it.press(*"2468", "enter")
        await it.until(lambda: it.app.screen is window)
        await it.until(lambda: "Checking: 4 of 10" in it.text())


# --- the status bar and the banner ---


async def test_the_chat_says_that_the_box_is_not_fit_and_by_policy_that_nothing_is_answered(screen, tmp_path):
    service = Checked(UNFIT)
    async with screen(tmp_path / "x.sock", connector=lambda _socket: service, size=(120, 36)) as it:
        await it.until(lambda: "this box is NOT FIT. First: GPU temperature, and 4 more." in it.text())
        assert "Health: ✗ NOT FIT" in it.text()
        assert "no question is answered" not in it.text()
        service.beat(fitness(UNFIT, refuses=True))
        await it.until(lambda: "no question is answered until a run finds it fit" in it.text())
        service.beat(fitness(report(FINE, NOW - 5)))
        await it.until(lambda: "Health: fit 07:00" in it.text() and "NOT FIT" not in it.text())
        assert not it.chat.banner.display


async def test_a_question_that_is_refused_goes_back_to_where_it_was_typed(screen, tmp_path):
    service = Checked(UNFIT, told=fitness(UNFIT, refuses=True))
    service.unfit = refused(503, "unfit", params={"time": "2026-06-24 06:30", "failing": "model.hashes"})
    async with screen(tmp_path / "x.sock", connector=lambda _socket: service) as it:
        await it.connected()
        it.chat.set_draft("What is sepsis?")
        await it.press("enter")
        await it.until(lambda: any("No question is taken" in note for note in it.notices))
        assert any("Model files against their hashes" in note for note in it.notices)
        assert it.chat.draft == "What is sepsis?"
        assert it.last is None


# --- the words ---


def test_ages():
    told = [fitness_words.ago(age) for age in (-100, 10, 60, 1860, 3600, 90000, 3 * 86400)]
    assert told == [
        "in the future by this box's clock", "just now", "1 minute ago", "31 minutes ago", "1 hour ago", "25 hours ago",
        "3 days ago",
    ]  # fmt: skip
    assert [is_old(age) for age in (-100, -10, 0, 26 * 3600, 26 * 3600 + 1)] == [True, False, False, False, True]


STATES = st.sampled_from(sorted({**FINE, **WRONG}))


@given(
    st.lists(STATES, unique=True), st.lists(STATES, unique=True), st.integers(16, 130), st.sampled_from(["en", "zh"])
)
@settings(max_examples=60, deadline=None)
def test_whatever_was_found_every_line_fits_and_every_check_is_listed_once(before, now, width, lang):
    i18n.set_language(lang)
    last = report({id: {**FINE, **WRONG}[id] for id in before}) if before else None
    fresh = tuple(result_of(id, {**WRONG, **FINE}[id]) for id in now)
    record = HealthRecord(report=last, history=HISTORY)
    seen = Seen(record=record, run=Run(full=False, results=fresh, done=len(now), total=10), connected=True)
    for name in ("color", "ascii"):
        glyphs = profile.choose(name, {}).glyphs
        listed = health_lines.listing(seen, width, glyphs)
        assert {row.check for row in listed if row.check} == {*before, *now}
        lines = [row.line for row in listed]
        lines += health_lines.verdict(seen, width, NOW, glyphs) + health_lines.counts(seen, width, glyphs)
        lines += health_lines.progress(seen, width, glyphs)
        for result in seen.results:
            lines += health_check.opened(result, seen, width, NOW, glyphs)
        assert max(map(width_of, lines), default=0) <= width


def test_a_check_that_nobody_knows_is_told_by_its_id_and_code():
    odd = report({"gpu.future": Outcome("gone", {"error": "x"})}, AT)
    lines = health_lines.listing(Seen(record=HealthRecord(report=odd)), 80, profile.choose("color", {}).glyphs)
    told = "\n".join("".join(text for text, _ink in row.line) for row in lines)
    assert "gpu.future" in told
    assert "UNKNOWN" in told


async def test_an_unexpected_end_of_the_service_is_no_crash(checked):
    async with checked(Checked(FIT)) as it:
        await it.press("r")
        await it.until(lambda: it.service.runs)
        it.service.events.put_nowait(refused(0, "interrupted"))
        it.service.denied = refused(0, "unreachable")
        await it.until(lambda: "The connection to the service broke" in it.text())
        assert "✓ ok  GPUs found" in it.text()
        await asyncio.sleep(0)
        assert it.app.is_running


async def test_that_the_service_did_not_answer_is_not_said_any_more_when_it_does(checked):
    async with checked(Checked(FIT)) as it:
        it.service.run_denied = refused(0, "unreachable")
        await it.press("r")
        await it.until(lambda: "does not answer" in it.text())
        it.app.checkup.heard(fitness(FIT), connected=False)
        await it.until(lambda: "? fit · 06:30" in it.text() and "does not answer now" in it.text())
        it.app.checkup.heard(fitness(FIT), connected=True)
        await it.until(lambda: "✓ fit · 06:30" in it.text() and "does not answer" not in it.text())

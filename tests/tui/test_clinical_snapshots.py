"""Pictures of what is found in a reply, and of the teaching view. Look at a changed one before `--snapshot-update`."""

from __future__ import annotations

import importlib
from datetime import datetime as real_datetime
from pathlib import Path

import pytest
from answering import Answering

from medgemma_tui import i18n
from medgemma_tui.settings import Settings
from medgemma_tui.tui import link, profile
from medgemma_tui.tui.commands import Screen
from medgemma_tui.tui.screens.teaching import TeachingScreen

SIZES = [(80, 24), (120, 36)]
TEXTS = {
    "zh": (
        "62岁女性，HbA1c 7.2%，心梗后1年，LVH如何处理？",
        "1. 患者心梗后，按KDIGO 2012评估肾功能。\n2. LVH可能由高血压引起。\n3. 控制血压是首要的。\n",
        "## 定义\nLVH指左室质量增加。\n\n## 机制\n高血压 → 后负荷增加 → 心肌细胞肥大 → 室壁增厚\n\n"
        "## 建议\n氨氯地平 5 mg 每日一次，目标 **130/80 mmHg**（ESC 2024）。",
    ),
    "en": (
        "A 62-year-old woman with HbA1c 7.2 % one year after an MI: how is LVH managed?",
        "1. After an MI, assess kidney function by KDIGO 2012.\n2. LVH is probably due to hypertension.\n"
        "3. Blood pressure comes first.\n",
        "## Definition\nLVH is an increased mass of the left ventricle.\n\n"
        "## Mechanism\nhypertension → raised afterload → myocyte hypertrophy → thickened wall\n\n"
        "## Recommendation\nAmlodipine 5 mg once daily, target **130/80 mmHg** (ESC 2024).",
    ),
}


@pytest.fixture(autouse=True)
def fixed(monkeypatch):
    """One moment, one count of sockets."""

    class Moment(real_datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 11, 24, 14, 2, 0)

    for name in ("controller", "sending", "widgets.title_bar"):
        module = importlib.import_module(f"medgemma_tui.tui.{name}")
        if hasattr(module, "datetime"):
            monkeypatch.setattr(module, "datetime", Moment)
    monkeypatch.setattr(link, "own_inet_sockets", lambda: 0)


def app(lang: str, term: str = "xterm-256color", *, sections: str = "always") -> Screen:
    i18n.set_language(lang)
    _question, reasoning, answer = TEXTS[lang]
    service = Answering(answer, reasoning=reasoning)
    settings = Settings(box_name="box-3", sections=sections)
    console = profile.choose("auto", {"TERM": term})
    return Screen(settings, link.ExistingGateway(Path("x.sock")), console, lambda _socket: service)


async def wait(pilot, condition):
    for _attempt in range(500):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError("it did not come")


def asked(lang: str, *keys: str):
    """Ask, wait for the end of the answer, press the keys."""

    async def run(pilot):
        screen = pilot.app
        await wait(pilot, lambda: screen.controller.ready and screen.plan.exact)
        screen.chat.set_draft(TEXTS[lang][0])
        await pilot.press("enter")
        turns = lambda: screen.controller.conversation.turns  # noqa: E731
        await wait(pilot, lambda: turns() and not turns()[-1].live)
        await wait(pilot, lambda: screen.plan.exact)
        for key in keys:
            await pilot.press(key)
            if key == "f12":
                await wait(pilot, lambda: isinstance(screen.screen, TeachingScreen) and not screen.screen.waiting)
        await pilot.pause(0.3)
        await seen_whole(pilot)

    return run


async def seen_whole(pilot):
    """What was never in view has an estimated height, and whether it was depends on how busy the machine is. Who was
    not at the end is at the beginning afterwards."""
    chat = pilot.app.chat
    if pilot.app.screen is not chat or not chat.transcript.max_scroll_y:
        return
    transcript = chat.transcript
    was_at_end = transcript.scroll_offset.y == transcript.max_scroll_y

    async def go_to_end():
        transcript.scroll_end(animate=False, force=True)
        await pilot.pause(0.1)

    await go_to_end()
    while transcript.scroll_offset.y:  # what gets its height on the way up pushes the view down
        transcript.scroll_home(animate=False, force=True)
        await pilot.pause(0.1)
    if was_at_end:
        await go_to_end()


def named(value) -> str:
    return f"{value[0]}x{value[1]}" if isinstance(value, tuple) else value


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("size", SIZES, ids=named)
def test_marks(snap_compare, size, lang):
    assert snap_compare(app(lang), terminal_size=size, run_before=asked(lang, "f2"))


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_marks_under_the_answer(snap_compare, lang):
    assert snap_compare(app(lang), terminal_size=(80, 24), run_before=asked(lang))


def test_marks_in_ascii(snap_compare):
    assert snap_compare(app("en", "vt220"), terminal_size=(120, 36), run_before=asked("en", "f2"))


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("size", SIZES, ids=named)
def test_teaching_view(snap_compare, size, lang):
    assert snap_compare(app(lang), terminal_size=size, run_before=asked(lang, "f12", "right", "right"))


def test_teaching_view_in_ascii(snap_compare):
    assert snap_compare(app("en", "vt220"), terminal_size=(80, 24), run_before=asked("en", "f12", "end"))

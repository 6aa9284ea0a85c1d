"""The keys as data: twins, clashes, overrides."""

from __future__ import annotations

import re

import pytest
from textual.widgets import TextArea

from medgemma_tui.settings import Settings, SettingsError
from medgemma_tui.tui import keymap, start

TAKEN_BY_TERMINALS = {f"ctrl+{letter}" for letter in "chijmqsz"} | {"ctrl+left_square_bracket"}


def all_keys():
    return [(command, key) for command in keymap.COMMANDS for key in command.keys.split(",")]


def test_every_function_key_has_a_twin():
    for command in keymap.COMMANDS:
        keys = command.keys.split(",")
        if any(re.fullmatch(r"f\d+", key) for key in keys):
            others = [key for key in keys if not re.fullmatch(r"f\d+", key)]
            twins = [other.keys for other in keymap.COMMANDS if other.id.startswith(f"{command.id}.")]
            assert others or twins, command.id


def test_twins_keep_clear_of_terminals_and_of_editing():
    editing = {key.strip() for binding in TextArea.BINDINGS for key in binding.key.split(",")}
    for command, key in all_keys():
        if command.id in ("interrupt", "quit.empty") or command.place == "transcript":
            continue  # these two mean the same as in every shell, and give way to the composer
        assert key not in TAKEN_BY_TERMINALS, command.id
        assert key not in editing or re.fullmatch(r"f\d+", key), command.id


def test_no_key_does_two_things():
    keys = [key for _command, key in all_keys() if key]
    assert len(keys) == len(set(keys))


def test_keys_are_readable():
    assert keymap.keys_of(keymap.command("trace.toggle"), {}) == ["F2", "Ctrl+T"]
    assert keymap.keys_of(keymap.command("trace.toggle"), {"trace.toggle": "f12, ctrl+backslash"}) == ["F12", "Ctrl+\\"]
    assert keymap.readable("escape") == "Esc"
    assert keymap.readable("v") == "v"


def test_an_override_that_names_no_command_is_an_error():
    with pytest.raises(SettingsError, match=r"trace\.togle"):
        start.run(Settings(demo=True, keymap={"trace.togle": "f2"}))


async def test_an_override_takes_the_key(screen, tmp_path):
    async with screen(tmp_path / "no.sock", keymap={"trace.toggle": "f12"}) as it:
        await it.press("f2", "ctrl+t")
        assert not it.chat.transcript.trace_open
        await it.press("f12")
        assert it.chat.transcript.trace_open
        assert "F12 Reasoning" in it.text()


async def test_every_twin_does_what_its_function_key_does(screen, tmp_path):
    async with screen(tmp_path / "no.sock") as it:
        for key, title in (("f1", "Help"), ("ctrl+g", "Help")):
            await it.press(key)
            assert f"─ {title} ─" in it.text(), key
            await it.press("escape")
        for key in ("f3", "ctrl+o"):
            await it.press(key)
            await it.until(lambda: "Health · MedGemma · box-3" in it.text(), what=key)
            await it.press(key)
            assert it.app.screen is it.chat
        for key in ("f4", "ctrl+f"):
            await it.press(key)
            assert "Patient card" in it.text(), key
            await it.press("escape")
        await it.press("ctrl+p")
        assert "Commands" in it.text()
        await it.press(*"quit")
        assert "F10" in it.text()
        await it.press("escape")
        it.chat.set_draft("text")
        for key in ("f5", "ctrl+n"):
            await it.press(key)
            assert "wipe" in it.text(), key
            await it.press("escape")
        assert it.chat.draft == "text"


async def test_the_palette_runs_what_is_picked_and_offers_no_screenshot(screen, tmp_path):
    async with screen(tmp_path / "no.sock") as it:
        await it.press("ctrl+p")
        assert "creenshot" not in it.text()
        await it.press(*"card", "enter")
        await it.until(lambda: "These facts go with every question" in it.text())
        await it.press(*"62 kg", "escape")
        assert it.controller.conversation.card == "62 kg"
        await it.press("ctrl+p", *"语言 screen", "escape")


async def test_the_help_speaks_of_the_focused_place(screen, tmp_path):
    async with screen(tmp_path / "no.sock", size=(100, 64)) as it:
        await it.press("f1")
        assert "You are in the question" in it.text()
        assert "Ctrl+T" in it.text()
        assert "repetition" in it.text()
        await it.press("escape")


async def test_leaving_asks_only_where_something_would_be_lost(screen, tmp_path):
    async with screen(tmp_path / "no.sock") as it:
        it.chat.set_draft("text")
        await it.press("home", "ctrl+d")
        assert it.chat.draft == "ext"
        await it.press("f10", "n")
        assert it.app.is_running
        await it.press("ctrl+c")
        assert any("To leave: F10" in note for note in it.notices)
        it.chat.set_draft("")
        await it.press("ctrl+d")
        await it.until(lambda: not it.app.is_running)

"""The composer: lines, history, paste."""

from __future__ import annotations

from textual import events
from textual.app import App

from medgemma_tui.tui.widgets.composer import Composer


class Alone(App[None]):
    def __init__(self):
        super().__init__()
        self.sent, self.pasted = [], []

    def compose(self):
        yield Composer()

    def on_composer_submitted(self, message):
        self.sent.append(message.text)
        self.query_one(Composer).take()

    def on_composer_pasted(self, message):
        self.pasted.append(message.text)
        self.query_one(Composer).insert_pasted(message.text)


async def test_enter_sends_and_ctrl_j_begins_a_line():
    app = Alone()
    async with app.run_test() as pilot:
        await pilot.press("a", "ctrl+j", "b", "shift+enter", "c", "alt+enter", "enter")
        assert app.sent == ["a\nb\nc\n"]
        assert app.query_one(Composer).text == ""


async def test_history_is_walked_from_the_edges_and_gives_the_draft_back():
    app = Alone()
    async with app.run_test() as pilot:
        composer = app.query_one(Composer)
        await pilot.press("1", "enter", "2", "ctrl+j", "2", "enter", "d")
        await pilot.press("up")
        assert composer.text == "2\n2"
        await pilot.press("up")
        assert composer.text == "2\n2"  # a line up first
        await pilot.press("up")
        assert composer.text == "1"
        await pilot.press("down")
        assert composer.text == "2\n2"
        await pilot.press("down")
        assert composer.text == "d"


async def test_a_paste_is_made_safe():
    app = Alone()
    async with app.run_test() as pilot:
        app.query_one(Composer).post_message(events.Paste("a\r\nb\rc\x1b[31m\x9b2J\u202egnp\x07"))
        await pilot.pause()
        assert app.pasted == ["a\nb\nc[31m2Jgnp"]
        assert app.query_one(Composer).text == "a\nb\nc[31m2Jgnp"


async def test_invisible_characters_typed_one_by_one_do_not_enter():
    app = Alone()
    async with app.run_test() as pilot:
        composer = app.query_one(Composer)
        for character in ("\u3164", "\u202e", "\u200b", "糖"):
            composer.post_message(events.Key("x", character))
        await pilot.pause()
        assert composer.text == "糖"


async def test_wiping_leaves_nothing_to_undo_or_recall():
    app = Alone()
    async with app.run_test() as pilot:
        composer = app.query_one(Composer)
        await pilot.press("s", "enter", "t")
        composer.wipe()
        await pilot.press("ctrl+z", "up")
        assert composer.text == ""


async def test_it_grows_with_its_lines_to_six(screen, tmp_path):
    async with screen(tmp_path / "no.sock", size=(80, 24)) as it:
        assert it.chat.composer.size.height == 1
        it.chat.set_draft("\n".join("abcdefgh"))
        await it.until(lambda: it.chat.composer.size.height == 6)

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
        self.query_one(Composer).accepted(message.text)

    def on_composer_pasted(self, message):
        self.pasted.append(message.text)
        self.query_one(Composer).insert_counted(message.text)


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
        assert app.query_one(Composer).text == "a\nb\nc[31m2Jgnp"


def burst(composer, text):
    """Keys faster than anything can answer them."""
    for character in text:
        key = {"\r": "enter", "\n": "ctrl+j"}.get(character, character)
        composer.app.post_message(events.Key(key, character))


async def test_what_is_typed_after_enter_is_not_sent_with_it_and_stays():
    app = Alone()
    async with app.run_test() as pilot:
        composer = app.query_one(Composer)
        burst(composer, "first\rsecond")
        await pilot.pause()
        assert app.sent == ["first"]
        assert composer.text == "second"
        burst(composer, " part")
        composer.app.post_message(events.Key("enter", "\r"))
        composer.app.post_message(events.Key("ctrl+u", None))
        await pilot.pause()
        assert app.sent == ["first", "second part"]


async def test_a_second_enter_in_a_burst_waits_for_the_word_on_the_first():
    app = Alone()
    async with app.run_test() as pilot:
        composer = app.query_one(Composer)
        for key in ("a", "enter", "b", "enter", "c"):
            composer.post_message(events.Key(key, "\r" if key == "enter" else key))
        await pilot.pause()
        assert app.sent == ["a"]
        assert composer.text == "b\nc"


async def test_an_empty_draft_is_not_sent():
    app = Alone()
    async with app.run_test() as pilot:
        await pilot.press("enter", "space", "enter")
        assert app.sent == []


async def test_a_paste_and_what_is_typed_behind_it_stay_in_order():
    app = Alone()
    async with app.run_test() as pilot:
        composer = app.query_one(Composer)
        for long in ("pasted", "long " * 1000):
            burst(composer, "1")
            app.post_message(events.Paste(long))
            burst(composer, "2")
            await pilot.pause()
            assert composer.text == f"1{long}2"
            burst(composer, "3")
            await pilot.pause()
            assert composer.text == f"1{long}23"
            composer.wipe()


async def test_a_long_paste_alone_leaves_the_cursor_behind_it():
    app = Alone()
    async with app.run_test() as pilot:
        composer = app.query_one(Composer)
        burst(composer, "a\nb")
        app.post_message(events.Paste("x" * 3000))
        await pilot.pause()
        burst(composer, "c")
        await pilot.pause()
        assert composer.text == "a\nb" + "x" * 3000 + "c"


async def test_a_draft_left_for_the_history_is_kept_when_an_older_question_is_sent():
    app = Alone()
    async with app.run_test() as pilot:
        composer = app.query_one(Composer)
        await pilot.press("o", "enter", "d", "up", "enter")
        assert app.sent == ["o", "o"]
        await pilot.press("up", "up")
        assert composer.text == "d"


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


async def test_editing_keys_keep_their_place_in_a_burst():
    app = Alone()
    async with app.run_test() as pilot:
        composer = app.query_one(Composer)
        for key in ("a", "b", "backspace", "c", "left", "d", "home", "e", "end", "f"):
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await pilot.pause()
        assert composer.text == "eadcf"

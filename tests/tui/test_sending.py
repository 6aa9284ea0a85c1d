"""From Enter to the end of the reply: what is sent, what comes back, what is kept. The service does as it is told."""

from __future__ import annotations

import asyncio

import pytest
from textual import events

from medgemma_tui.client import ServiceError
from medgemma_tui.demo import corpus
from medgemma_tui.protocol import (
    ChatChunk,
    ChunkChoice,
    Delta,
    ErrorInfo,
    Health,
    HostSample,
    ModelCard,
    PrivacyFacts,
    ServiceSample,
    Telemetry,
    TokenizeReply,
)

STEMI = "65岁男性，突发胸痛2小时，V1–V4 ST段抬高，首诊如何处理？"
BROKEN = ErrorInfo(type="interrupted", message="the connection broke")


class Told:
    """The service. ``counting``: counts come only when it is set. A reply is ``pieces``, then ``error`` or a stop."""

    def __init__(self) -> None:
        self.counting = asyncio.Event()
        self.counting.set()
        self.more = asyncio.Event()  # until it is set a reply stays open after its pieces
        self.more.set()
        self.asked: list[list[str]] = []
        self.pieces, self.finish, self.error = ["fine"], "stop", None
        self.card = ModelCard(id="stub", max_model_len=2048)
        self.ready = True

    def __call__(self, _socket):
        return self

    async def health(self):
        return Health(status="ok", reason="ready", model=self.card)

    async def model(self):
        return self.card

    async def telemetry(self):
        yield Telemetry(time=1.0, host=HostSample(), service=ServiceSample(), privacy=PrivacyFacts())
        await asyncio.Event().wait()

    async def tokenize(self, request):
        await self.counting.wait()
        counts = [len(message.text) // 2 + 4 for message in request.messages]
        return TokenizeReply(count=sum(counts), max_model_len=2048, message_counts=counts)

    async def stream(self, request):
        self.asked.append([message.text for message in request.messages if message.role == "user"])
        for piece in self.pieces:
            yield ChatChunk(model=self.card.id, choices=[ChunkChoice(delta=Delta(content=piece))])
        await self.more.wait()
        if self.error is not None:
            raise ServiceError(503, self.error)
        yield ChatChunk(model=self.card.id, choices=[ChunkChoice(finish_reason=self.finish)])

    async def forget(self):
        pass

    async def note(self, event):
        pass

    async def parked(self):
        return None

    async def park(self, body):
        pass

    async def drop(self, id):
        return False

    async def leave(self):
        pass

    async def close(self):
        pass


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def opened(screen, tmp_path, told):
    """A screen on that service."""
    return lambda **settings: screen(tmp_path / "x.sock", connector=told, max_tokens=512, **settings)


def burst(it, *keys: str) -> None:
    """Keys faster than anything can answer them; a text of several characters is typed."""
    for key in keys:
        named = len(key) > 1 and key.isascii() and (key in ("enter", "escape") or key[0] == "f" or "+" in key)
        for each in [key] if named else key:
            character = "\r" if each == "enter" else each if len(each) == 1 else None
            it.app.post_message(events.Key(each, character))


# --- what stood there at Enter ---


async def test_a_burst_sends_what_stood_there_at_enter(opened, told):
    async with opened() as it:
        await it.connected()
        burst(it, "PCI前应如何抗栓？", "enter", "如果有活动性")
        turn = await it.until(lambda: it.last if it.last and not it.last.live else None)
        assert turn.question == "PCI前应如何抗栓？"
        line = "标准术语：PCI = 经皮冠状动脉介入治疗"  # what the model is given besides
        assert told.asked == [[f"PCI前应如何抗栓？\n\n{line}"]]
        assert it.chat.draft == "如果有活动性"
        burst(it, "ctrl+u", "你好吗测试", "enter", "ctrl+u")
        await it.until(lambda: len(told.asked) == 2)
        assert told.asked[-1][-1] == "你好吗测试"


async def test_enter_is_seen_at_once_while_the_count_takes_long(opened, told):
    async with opened() as it:
        await it.connected()
        await it.until(lambda: it.app.plan.exact)
        told.counting.clear()
        burst(it, "what is this", "enter", "next")
        await it.until(lambda: "being counted" in it.text(), 2.0)
        assert "what is this" in it.text()
        assert it.chat.draft == "next"
        assert told.asked == []
        told.counting.set()
        await it.until(lambda: told.asked == [["what is this"]])
        assert it.chat.draft == "next"


async def test_esc_while_it_is_counted_gives_the_question_back(opened, told):
    async with opened() as it:
        await it.connected()
        await it.until(lambda: it.app.plan.exact)
        told.counting.clear()
        burst(it, "what is this", "enter")
        await it.until(lambda: it.last)
        await it.press("escape")
        assert it.chat.draft == "what is this"
        assert it.controller.conversation.turns == []
        told.counting.set()
        await it.until(lambda: it.app.plan.exact)
        assert told.asked == []


async def test_a_question_that_does_not_fit_comes_back_before_what_was_typed_since(opened, told):
    async with opened() as it:
        await it.connected()
        it.chat.set_draft("why " * 1000)
        burst(it, "enter", "more")
        await it.until(lambda: any("Not sent" in note for note in it.notices))
        assert it.chat.draft == "why " * 1000 + "\nmore"
        assert it.controller.conversation.turns == []
        assert told.asked == []


async def test_enter_behind_a_long_paste_does_not_send_without_it(opened, told):
    async with opened() as it:
        await it.connected()
        await it.until(lambda: it.app.plan.exact)
        told.counting.clear()
        burst(it, "see: ")
        it.app.post_message(events.Paste("x" * 2100))
        burst(it, "enter")
        await it.until(lambda: any("Press Enter again" in note for note in it.notices))
        told.counting.set()
        await it.until(lambda: it.chat.draft == "see: " + "x" * 2100)
        assert told.asked == []


# --- an answer that is replaced ---


@pytest.mark.parametrize("again", ["ctrl+r", "edit"])
async def test_an_answer_comes_back_when_nothing_replaced_it(opened, told, again):
    async with opened() as it:
        await it.connected()
        kept = await it.ask("old")
        told.pieces, told.error = [], BROKEN
        if again == "edit":
            it.chat.set_draft("")
            await it.press("f8")
            burst(it, " edited", "enter")
        else:
            await it.press("ctrl+r")
        await it.until(lambda: len(told.asked) == 2 and it.controller.conversation.live_turn is None)
        assert it.controller.conversation.turns == [kept]
        await it.until(lambda: "fine" in it.text())
        assert any("broke" in note for note in it.notices)
        assert it.chat.draft == ("old edited" if again == "edit" else "")
        told.pieces, told.error = ["better"], None
        await it.press("enter" if again == "edit" else "ctrl+r")
        new = await it.until(lambda: it.last if it.last is not kept and not it.last.live else None)
        assert it.controller.conversation.turns == [new]
        assert new.answer == "better"
        assert told.asked[-1] == ["old edited" if again == "edit" else "old"]


async def test_again_changes_nothing_while_the_model_is_not_ready(opened, told):
    async with opened() as it:
        await it.connected()
        kept = await it.ask("old")
        it.controller.ready = False
        await it.press("ctrl+r")
        assert it.controller.conversation.turns == [kept]
        await it.press("f8", "!", "enter")
        assert it.controller.conversation.turns == [kept]
        assert it.chat.draft == "old!"
        assert any("not ready" in note for note in it.notices)
        await it.press("escape")
        assert it.chat.draft == ""


async def test_again_that_is_stopped_before_a_word_leaves_the_answer(opened, told):
    async with opened() as it:
        await it.connected()
        kept = await it.ask("old")
        told.pieces = []
        told.more.clear()
        await it.press("ctrl+r")
        await it.until(lambda: len(told.asked) == 2)
        await it.press("escape")
        assert it.controller.conversation.turns == [kept]


async def test_a_reply_that_fails_before_the_model_says_its_name_is_labelled(opened, told):
    told.card = ModelCard(id="medgemma-tui-demo", demo=True, max_model_len=2048)
    told.pieces, told.error = [], BROKEN
    async with opened() as it:
        await it.connected()
        turn = await it.ask(corpus.suggestions("en")[0])
        assert not turn.unknown_to_demo
        await it.until(lambda: "Demo model" in it.text())
        head = next(line for line in it.text().splitlines() if "Demo model" in line)
        assert "DEMO, NOT MEDICAL" in head


# --- what the demo knows ---


async def test_a_followup_of_a_cut_answer_is_not_known_and_not_offered(opened, told):
    told.card = ModelCard(id="medgemma-tui-demo", demo=True, max_model_len=2048)
    followup = corpus.followups([STEMI])[0]
    async with opened() as it:
        await it.connected()
        told.finish = "length"
        await it.ask(STEMI)
        assert it.app._offers() == []
        turn = await it.ask(followup)
        assert turn.unknown_to_demo
        told.finish = "stop"
        await it.ask(STEMI)
        assert it.app._offers() == [followup]
        turn = await it.ask(followup)
        assert not turn.unknown_to_demo


async def test_a_followup_is_not_offered_where_what_it_follows_would_leave(opened, told):
    told.card = ModelCard(id="medgemma-tui-demo", demo=True, max_model_len=2048)
    async with opened() as it:
        await it.connected()
        told.pieces = ["long " * 600]
        await it.ask(STEMI)
        await it.until(lambda: it.app.plan.exact)
        it.chat.offer()
        assert it.app._offers() == []


# --- drafts ---


async def test_the_draft_that_was_set_aside_comes_back_after_an_edit_is_sent(opened, told):
    async with opened() as it:
        await it.connected()
        await it.ask("old")
        burst(it, "half a", "f8", "!", "enter")
        turn = await it.until(lambda: it.last if it.last and it.last.question == "old!" else None)
        await it.until(lambda: not turn.live)
        assert it.chat.draft == "half a"


@pytest.mark.parametrize("key", ["escape", "ctrl+c"])
async def test_leaving_an_edit_keeps_what_was_edited_in_the_history(opened, told, key):
    async with opened() as it:
        await it.connected()
        await it.ask("old")
        burst(it, "half a", "f8", "!")
        await it.press(key)
        assert it.chat.draft == "half a"
        it.chat.set_draft("")
        await it.press("up")
        assert it.chat.draft == "old!"


async def test_a_function_key_does_not_overtake_what_was_typed_before_it(opened, told):
    async with opened() as it:
        await it.connected()
        await it.ask("old")
        burst(it, "before", "f8", "after")
        await it.until(lambda: it.chat.draft == "oldafter")
        await it.press("escape")
        assert it.chat.draft == "before"
        it.chat.set_draft("")
        burst(it, "text", "ctrl+d")
        await it.until(lambda: it.chat.draft == "text")
        await it.pilot.pause(0.05)
        assert it.app.screen is it.chat


@pytest.mark.parametrize("place", ["suggestions", "transcript"])
async def test_letters_and_digits_typed_anywhere_go_into_the_question(opened, told, place):
    told.card = ModelCard(id="medgemma-tui-demo", demo=True, max_model_len=2048)
    async with opened() as it:
        await it.connected()
        await it.ask(STEMI)
        it.app._clipboard = ""
        for text in ("65 yo man", "can I ask [v] 1"):
            (it.chat.suggestions if place == "suggestions" else it.chat.transcript).focus()
            await it.pilot.pause()
            assert not it.chat.composer.has_focus
            burst(it, text)
            await it.until(lambda text=text: it.chat.draft == text)
            assert it.app.screen is it.chat
            assert it.app._clipboard == ""
            await it.until(lambda: "Ctrl+Y" not in it.text())
            it.chat.set_draft("")


async def test_what_is_typed_right_behind_tab_leaves_the_keyboard_in_the_question(opened, told):
    async with opened() as it:
        await it.connected()
        await it.ask("one")
        it.app.post_message(events.Key("tab", "\t"))
        burst(it, "two")
        await it.until(lambda: it.chat.draft == "two")
        await it.pilot.pause(0.05)
        assert it.chat.focused is it.chat.composer
        await it.press("ctrl+u")
        assert it.chat.draft == ""


async def test_the_transcript_has_keys_of_its_own(opened, told):
    async with opened() as it:
        await it.connected()
        first = await it.ask("one")
        second = await it.ask("two")
        await it.press("tab")
        assert it.chat.transcript.has_focus
        await it.press("left")
        assert it.chat.transcript.selected is second
        await it.press("left", "ctrl+y")
        assert it.chat.transcript.selected is first
        assert "one" in it.app._clipboard
        await it.press("right", "ctrl+u")
        assert it.chat.transcript.selected is second
        assert it.app.screen is not it.chat


# --- the meter and the context ---


async def test_the_meter_moves_with_the_reply_and_is_exact_at_its_end(opened, told):
    async with opened() as it:
        await it.connected()
        told.more.clear()
        told.pieces = ["word " * 200]
        before = await it.until(lambda: it.app.plan.exact and it.chat.meter._plan)
        burst(it, "go", "enter")
        await it.until(lambda: it.chat.meter._plan.history > 200)
        assert not it.chat.meter._plan.exact
        assert before.history == 0
        told.more.set()
        await it.until(lambda: it.chat.meter._plan.exact)
        assert it.chat.meter._plan.history > 500  # as this service counts


async def test_a_turn_that_the_model_will_not_see_is_marked(opened, told):
    async with opened() as it:
        await it.connected()
        told.more.clear()
        told.pieces = []
        burst(it, "stopped", "enter")
        await it.until(lambda: told.asked)
        await it.press("escape")
        await it.until(lambda: "Stopped by you" in it.text())
        assert "wrote no answer" not in it.text()
        assert "Not part of the context" in it.text()
        told.more.set()
        told.pieces = ["fine"]
        await it.ask("next")
        assert told.asked[-1] == ["next"]
        assert it.text().count("Not part of the context") == 1

"""The context window runs full: what leaves, what is refused, what is kept. The real engine, with a small window."""

from __future__ import annotations

import pytest
from gateway_running import Running

from medgemma_tui.demo import corpus

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def small():
    """The demo model with a window of 768 tokens."""
    running = Running("--demo", max_model_len=768)
    try:
        yield running.ready()
    finally:
        running.stop()


async def test_turns_leave_oldest_first_and_this_is_said(screen, small):
    async with screen(small.socket, max_tokens=256) as it:
        await it.connected()
        await it.until(lambda: it.app.plan.exact)
        assert it.app.plan.window == 768
        for _turn in range(5):
            turn = await it.ask(corpus.suggestions("en")[len(it.controller.conversation.turns)])
            assert turn.error is None
        turns = it.controller.conversation.turns
        assert turns[0].left_context
        assert not turns[-1].left_context
        left = [each.left_context for each in turns]
        assert left == sorted(left, reverse=True)
        assert any("no longer fit" in note for note in it.notices)
        await it.until(lambda: it.app.plan.exact)
        assert it.app.plan.dropped_turns >= 1


async def test_a_question_that_cannot_fit_is_refused_with_its_count_and_kept(screen, small):
    async with screen(small.socket, max_tokens=256) as it:
        await it.connected()
        draft = "why " * 450
        it.chat.set_draft(draft)
        await it.press("enter")
        note = await it.until(lambda: next((note for note in it.notices if "Not sent" in note), None))
        assert "window 768" in note
        assert it.chat.draft == draft
        assert it.controller.conversation.turns == []


async def test_the_card_never_leaves(screen, small):
    async with screen(small.socket, max_tokens=256) as it:
        await it.connected()
        await it.press("f4", *"K 6.1", "escape")
        for _turn in range(4):
            await it.ask(corpus.suggestions("en")[len(it.controller.conversation.turns)])
        plan = await it.until(lambda: it.app.plan if it.app.plan.exact else None)
        assert plan.card > 0
        assert plan.dropped_turns >= 1
        assert "K 6.1" in it.controller.conversation.messages("rules", "next")[0].text

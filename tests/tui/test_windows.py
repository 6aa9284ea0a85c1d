"""Smaller windows than the model's: what they do to the plan, live, and what is said."""

from __future__ import annotations

from medgemma_tui.clinical.budget import BudgetPlan
from medgemma_tui.tui.ledger import Ledger

TEXT = "心力衰竭的分类依据是什么？" + "。" * 400


async def to_window(it, size: int) -> BudgetPlan:
    """Cycle until the window is that large."""
    for _press in range(8):
        if it.app.plan.window == size:
            break
        it.chat.transcript.focus()
        await it.pilot.pause()
        await it.press("ctrl+w")
    assert it.app.plan.window == size
    return it.app.plan


async def test_the_window_goes_through_its_sizes_up_to_the_models_own(answered):
    async with answered(lang="en", window=10_000) as it:
        await it.ask("hello")
        seen = []
        for _press in range(5):
            it.chat.transcript.focus()
            await it.pilot.pause()
            await it.press("ctrl+w")
            seen.append(it.app.plan.window)
        assert seen == [2048, 4096, 8192, 10_000, 2048]
        assert any("2,048 of the model's 10,000" in note for note in it.notices)
        assert any("all of the model's 10,000" in note for note in it.notices)
        assert "/ 2,048 tok" in it.text()


async def test_turns_leave_and_come_back_as_it_changes(answered):
    async with answered("a" * 700, lang="en", window=8192, max_tokens=512) as it:
        for _turn in range(3):
            await it.ask(TEXT)
        await it.until(lambda: it.app.plan.exact)
        turns = it.controller.conversation.turns
        assert not any(turn.left_context for turn in turns)
        plan = await to_window(it, 2048)
        assert plan.dropped_turns == sum(turn.left_context for turn in turns) > 0
        assert any("left it" in note for note in it.notices)
        await it.ask("next")
        assert len(it.service.requests[-1].messages) == 1 + 2 * (3 - plan.dropped_turns) + 1
        await to_window(it, 8192)
        assert not any(turn.left_context for turn in turns)
        assert any("back in it" in note for note in it.notices)
        await it.ask("next")
        assert len(it.service.requests[-1].messages) == 1 + 2 * 4 + 1


async def test_a_site_sets_it_and_the_reply_has_half_of_a_small_one_at_most(answered):
    async with answered(lang="en", window=8192, context_window=2048) as it:
        assert it.app.plan.window == 2048
        await it.ask("hello")
        assert it.service.requests[-1].max_tokens == 1024


def test_a_cap_above_the_models_window_changes_nothing():
    assert Ledger(most=100, window=4096, cap=8192).used_window == 4096
    assert Ledger(most=100, window=4096, cap=2048).used_window == 2048
    assert Ledger(most=100, window=4096).used_window == 4096


async def test_what_a_smaller_window_puts_out_is_taken_up_on_the_card(answered):
    async with answered("好。" * 60, lang="zh", window=8192, max_tokens=512) as it:
        await it.ask("65岁男性，突发胸痛2小时，诊断急性心肌梗死，如何处理？")
        await it.ask("肌酐132 μmol/L，如何抗栓？" + "。" * 1000)
        await it.ask("。" * 400)
        await to_window(it, 2048)
        assert it.controller.conversation.turns[1].left_context
        await it.ask("针对上述情况？")
        assert "肌酐 132 μmol/L" in it.service.requests[-1].messages[0].text

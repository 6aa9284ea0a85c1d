"""The guard before sending: what was found is shown, and nothing goes out, or is changed, that nobody decided."""

from __future__ import annotations

import pytest
from textual.widgets import TextArea

from medgemma_tui.tui.screens.guard import DEAF_S, Guard

NAMED = "患者姓名：张三，电话13912345678，65岁男性，心梗，如何治疗？"
MASKED = "患者姓名：[姓名]，电话[电话]，65岁男性，心梗，如何治疗？"


async def asked(it, draft: str = NAMED, *more: str) -> None:
    """Press Enter on a draft and wait until the guard asks, and listens."""
    it.chat.set_draft(draft)
    await it.press("enter", *more)
    await it.until(lambda: isinstance(it.app.screen, Guard), what="the guard")
    await it.pilot.pause(DEAF_S)


def given(it) -> list[str]:
    """What the model was given of the last question, and of nothing else."""
    return [message.text for message in it.service.requests[-1].messages if message.role == "user"]


async def test_it_shows_kind_and_text_and_mask_of_what_it_found(answered):
    async with answered(size=(80, 24), lang="zh") as it:
        await asked(it)
        for shown in ("2 处", "姓名：张三", "[姓名]", "电话号码：13912345678", "[电话]", "M ", "S ", "E "):
            assert shown in it.text(), shown
        assert it.service.requests == []


@pytest.mark.parametrize("key", ["m", "enter"])
async def test_masked_is_what_is_sent_and_what_is_shown(answered, key):
    async with answered(lang="zh") as it:
        await asked(it)
        await it.press(key)
        turn = await it.until(lambda: it.last if it.last and not it.last.live else None)
        assert turn.question == MASKED
        assert given(it)[0].startswith(MASKED)
        assert "张三" not in it.text()
        assert "13912345678" not in str(it.service.requests)
        assert any("已遮盖：姓名、电话号码" in note for note in it.notices)
        await it.press("up")
        assert it.chat.draft == MASKED  # the history keeps no more than was sent


async def test_s_sends_it_as_it_is(answered):
    async with answered(lang="zh") as it:
        await asked(it)
        await it.press("s")
        turn = await it.until(lambda: it.last if it.last and not it.last.live else None)
        assert turn.question == NAMED


@pytest.mark.parametrize("key", ["e", "escape"])
async def test_back_to_the_draft_letter_for_letter(answered, key):
    async with answered(lang="zh") as it:
        draft = f"  {NAMED}\n\n第二行 \t"
        await asked(it, draft)
        await it.press(key)
        assert it.chat.draft == draft
        assert it.service.requests == []
        assert it.controller.conversation.turns == []
        assert any("未发送" in note for note in it.notices)


async def test_what_is_typed_right_behind_enter_decides_nothing(answered):
    async with answered(lang="zh") as it:
        it.chat.set_draft(NAMED)
        await it.press("enter")
        await it.until(lambda: isinstance(it.app.screen, Guard))
        await it.press("s", "m", "enter")
        assert isinstance(it.app.screen, Guard)
        assert it.service.requests == []
        await it.press("escape")
        assert it.chat.draft == NAMED


async def test_a_site_that_masks_does_not_ask(answered):
    async with answered(lang="zh", identifiers="mask") as it:
        it.chat.set_draft(NAMED)
        await it.press("enter")
        turn = await it.until(lambda: it.last if it.last and not it.last.live else None)
        assert turn.question == MASKED
        assert any("已遮盖" in note for note in it.notices)


async def test_a_site_that_blocks_sends_it_masked_or_not_at_all(answered):
    async with answered(lang="zh", identifiers="block") as it:
        await asked(it)
        assert "S " not in it.text().replace("ST", "")
        await it.press("s")
        assert isinstance(it.app.screen, Guard)
        await it.press("e")
        assert it.chat.draft == NAMED
        assert any("姓名" in note and "未发送" in note for note in it.notices)
        assert it.service.requests == []
        await asked(it)
        await it.press("m")
        turn = await it.until(lambda: it.last if it.last and not it.last.live else None)
        assert turn.question == MASKED


async def test_asking_again_does_not_ask_what_was_decided(answered):
    async with answered(lang="zh") as it:
        await it.ask(NAMED)  # as it is
        await it.press("ctrl+r")
        await it.until(lambda: len(it.service.requests) == 2 and not it.last.live)
        assert it.last.question == NAMED


async def test_an_edited_question_is_looked_at_and_what_it_replaces_stays_until_then(answered):
    async with answered(lang="zh") as it:
        kept = await it.ask("心梗如何治疗？")
        await it.press("f8")
        it.chat.composer.insert("患者姓名：李四，")
        await it.press("enter")
        await it.until(lambda: isinstance(it.app.screen, Guard))
        assert it.controller.conversation.turns == [kept]
        await it.pilot.pause(DEAF_S)
        await it.press("e")
        assert it.controller.conversation.turns == [kept]
        assert it.chat.composer.has_class("-editing")
        await it.press("escape")
        assert it.chat.draft == ""


async def test_lookalikes_are_sent_without_a_question(answered):
    async with answered(lang="zh") as it:
        turn = await it.ask("标本号20231104567，ICD-10 I21.9，依据2023 ADA，HbA1c 7.2%说明什么？")
        assert turn.answer == "fine"
        assert not any("遮盖" in note for note in it.notices)


async def test_the_card_is_guarded_when_it_is_pinned(answered):
    async with answered(lang="zh") as it:
        await it.press("f4")
        it.app.screen.query_one(TextArea).insert("姓名：张三，男，65岁")
        await it.press("escape")
        await it.until(lambda: isinstance(it.app.screen, Guard))
        assert it.controller.conversation.card == ""
        await it.pilot.pause(DEAF_S)
        await it.press("e")
        await it.until(lambda: "姓名：张三，男，65岁" in it.text())  # the editor again, with what was written
        await it.press("escape")
        await it.until(lambda: isinstance(it.app.screen, Guard))
        await it.pilot.pause(DEAF_S)
        await it.press("m")
        assert it.controller.conversation.card == "姓名：[姓名]，男，65岁"


async def test_control_characters_in_what_was_found_do_not_reach_the_terminal(answered):
    async with answered(lang="zh") as it:
        await asked(it, "联系邮箱 a\u202eb@example.org，心梗如何治疗？ 电话13912345678")
        assert "\u202e" not in it.text()


async def test_the_audit_log_is_told_what_became_of_it_and_how_much_there_was(answered):
    both, name = {"name": 1, "phone": 1}, {"name": 1}

    async def told(*keys: str, **settings) -> list:
        async with answered(lang="zh", **settings) as it:
            it.chat.set_draft(NAMED)
            if keys:
                await asked(it)
            await it.press(*(keys or ("enter",)))
            await it.until(lambda: any(each[0] == "guard" for each in it.service.events))
            assert "张三" not in str(it.service.events)
            return [each for each in it.service.events if each[0] == "guard"]

    assert await told("m") == [("guard", "masked", both)]
    assert await told("s") == [("guard", "sent", both)]
    assert await told("e") == [("guard", "edited", both)]
    assert await told("e", identifiers="block") == [("guard", "blocked", both)]
    assert await told(identifiers="mask") == [("guard", "masked", both)]
    async with answered(lang="zh") as it:
        it.controller.set_card("姓名：张三")
        await it.until(lambda: isinstance(it.app.screen, Guard))
        await it.press("escape")
        await it.until(lambda: ("guard", "edited", name) in it.service.events)

"""The coach's line, templates, and trimming: what helps to write a better question and never stands in the way."""

from __future__ import annotations

import pytest

from medgemma_tui.tui.screens.guard import Guard

FILLED = "患者由家属陪同来诊，65岁男性，突发胸痛2小时，V1–V4 ST段抬高，首诊如何处理？"
TRIMMED = "65岁男性，突发胸痛2小时，V1–V4 ST段抬高，首诊如何处理？"


async def hint(it, draft: str) -> str:
    it.chat.set_draft(draft)
    await it.until(lambda: it.controller._reader.has_read(draft))
    await it.pilot.pause()
    return next((line for line in it.text().splitlines() if "建议补充" in line or "范围过大" in line), "")


@pytest.mark.parametrize(
    ("draft", "lacks"),
    [
        ("感冒怎么治？", ["病程", "检查", "过敏"]),
        ("吃药要注意什么？", ["药", "肾功能"]),
    ],
)
async def test_a_vague_question_is_told_what_it_lacks(answered, draft, lacks):
    async with answered(size=(80, 24), lang="zh") as it:
        said = await hint(it, draft)
        assert all(word in said for word in lacks), said


@pytest.mark.parametrize(
    "draft",
    [
        "35岁女性，流涕+低热3天，血常规WBC 6.2×10⁹/L，无抗生素过敏史，如何经验性处理？",
        "结直肠癌TNM分期中，T4a与T4b的核心解剖学区别是什么？",
        "78岁男性，eGFR 28mL/min，正在服用利伐沙班15mg qd，是否需要调整剂量？",
    ],
)
async def test_a_well_formed_question_is_left_alone(answered, draft):
    async with answered(size=(80, 24), lang="zh") as it:
        assert await hint(it, draft) == ""
        assert not it.chat.coach.display


async def test_it_never_blocks(answered):
    async with answered(lang="zh") as it:
        assert await hint(it, "感冒怎么治？")
        turn = await it.ask("感冒怎么治？")
        assert turn.answer == "fine"


async def test_what_stands_on_the_card_is_not_asked_for(answered):
    async with answered(lang="zh") as it:
        question = "78岁男性，服用利伐沙班15mg qd，是否需要调整剂量？"
        assert "肾功能" in await hint(it, question)
        it.controller.set_card("78岁 男 · eGFR 28 mL/min · 体重 60 kg · 心房颤动")
        assert "肾功能" not in await hint(it, question)


# --- templates ---


async def test_a_template_stands_under_the_draft_with_its_first_blank_selected(answered):
    async with answered(lang="zh") as it:
        await hint(it, "感冒怎么治？")
        await it.press("f11")
        first, template = it.chat.draft.split("\n")
        assert first == "感冒怎么治？"
        assert "过敏史" in template
        assert it.chat.composer.selected_text == "＿＿"
        await it.press("6", "5", "f11", "男")
        assert it.chat.draft.split("\n")[1].startswith("65岁男性")
        await it.press("ctrl+underscore")
        assert it.chat.composer.selected_text == "＿＿"
        assert it.chat.draft.count("过敏史") == 1  # the second time it went to a blank


async def test_a_template_can_be_undone_and_the_draft_is_as_it_was(answered):
    async with answered(lang="en") as it:
        draft = "how to treat a cold"
        await it.press(*draft, "f11")
        assert it.chat.draft.startswith(f"{draft}\n___-year-old")
        for _step in range(3):
            await it.press("ctrl+z")
            if it.chat.draft == draft:
                break
        assert it.chat.draft == draft


async def test_an_empty_draft_takes_the_template_alone(answered):
    async with answered(lang="en") as it:
        await it.press("f11")
        assert it.chat.draft.startswith("___-year-old")
        assert it.chat.composer.cursor_location == (0, 3)


# --- filler ---


async def test_filler_is_offered_trimmed_counted_and_comes_back(answered):
    async with answered(size=(100, 30), lang="zh") as it:
        it.chat.set_draft(FILLED)
        await it.until(lambda: "可删减约" in it.text())
        await it.until(lambda: it.app.plan.exact)
        await it.press("ctrl+circumflex_accent")
        assert it.chat.draft == TRIMMED
        saved = len(FILLED) - len(TRIMMED)  # as this service counts
        await it.until(lambda: f"已从问题中删去 {saved} tok" in it.text())
        await it.press("ctrl+z")
        assert it.chat.draft == FILLED
        await it.until(lambda: "可删减约" in it.text())


async def test_where_there_is_no_filler_nothing_changes(answered):
    async with answered(lang="zh") as it:
        it.chat.set_draft(TRIMMED)
        await it.press("ctrl+circumflex_accent")
        assert it.chat.draft == TRIMMED
        assert any("没有可删减" in note for note in it.notices)


async def test_without_counts_what_was_saved_is_said_to_be_about(answered):
    async with answered(lang="zh") as it:
        it.controller.ready = False
        it.chat.set_draft(FILLED)
        await it.press("ctrl+circumflex_accent")
        assert any("删去约" in note for note in it.notices)
        assert not isinstance(it.app.screen, Guard)

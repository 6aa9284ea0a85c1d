"""The patient card: made of the first question, pinned, never leaving, never changed against a person's will."""

from __future__ import annotations

from medgemma_tui.tui.conversation import pinned

STEMI = "65岁男性，突发胸痛2小时，BP 165/95 mmHg，V1–V4 ST段抬高，诊断急性心肌梗死，首诊如何处理？"
LONG = f"{STEMI[:-1]}。" + "既往体健，无特殊记载。" * 100  # tokens by the hundred
SECOND = "肌酐132 μmol/L，PCI前应如何抗栓？"
THIRD = "针对上述情况，出院前还需要安排什么？"


def system(it) -> str:
    """The system text of the last request."""
    return it.service.requests[-1].messages[0].text


def asked(it) -> list[str]:
    """The questions of the last request as the model was given them."""
    return [message.text for message in it.service.requests[-1].messages if message.role == "user"]


async def test_the_first_questions_facts_become_the_card_of_the_second(answered):
    async with answered(lang="zh") as it:
        await it.ask(STEMI)
        assert "患者资料" not in system(it)
        card = it.controller.conversation.card
        for fact in ("65岁 男", "胸痛 2小时", "BP:165/95", "V1–V4 ST段抬高", "急性心肌梗死"):
            assert fact in card, fact
        await it.until(lambda: "病历卡  65岁 男" in it.text())
        await it.ask(THIRD)
        assert system(it).endswith(f"\n\n患者资料：{card}")
        assert asked(it) == [STEMI, THIRD]


async def test_the_card_is_labelled_in_its_own_language(answered):
    async with answered(lang="zh") as it:
        await it.ask("A 65-year-old man has had chest pain for 2 hours, BP 165/95. What should be done?")
        await it.ask("What next?")
        assert "\n\nPatient: 65-year-old male · chest pain" in system(it)
    assert pinned("  ") == ""


async def test_a_later_question_does_not_change_the_beginning_of_the_prompt(answered):
    async with answered(lang="zh") as it:
        await it.ask(STEMI)
        await it.ask(THIRD)
        before = system(it)
        await it.ask(SECOND)
        await it.ask(THIRD)
        assert system(it) == before
        assert asked(it)[2].startswith(SECOND)


async def test_the_same_text_is_sent_again_with_its_line_of_terms(answered):
    async with answered(lang="zh") as it:
        await it.ask("心梗如何治疗？")
        first = asked(it)
        await it.ask("还有呢？")
        assert asked(it)[0] == first[0] == "心梗如何治疗？\n\n标准术语：心梗 = 急性心肌梗死"


async def test_a_question_without_a_patient_makes_no_card_and_a_later_one_does(answered):
    async with answered(lang="zh") as it:
        await it.ask("糖尿病肾病的GFR分期标准是什么？")
        assert it.controller.conversation.card == ""
        assert not it.chat.card_line.display
        await it.ask(STEMI)
        assert "65岁 男" in it.controller.conversation.card


async def test_a_persons_card_is_never_changed(answered):
    async with answered(lang="zh") as it:
        it.controller.set_card("62 kg")
        await it.ask(STEMI)
        assert it.controller.conversation.card == "62 kg"
    async with answered(lang="zh") as it:
        await it.ask(STEMI)
        it.controller.set_card("")
        await it.ask(STEMI)
        assert it.controller.conversation.card == ""


async def test_another_question_in_the_place_of_the_first_takes_its_facts_along(answered):
    async with answered(lang="zh") as it:
        await it.ask(STEMI)
        await it.press("f8")
        it.chat.set_draft("")
        new = await it.ask("78岁女性，发热3天，体温39 °C，如何处理？")
        assert "65岁" not in system(it)
        assert it.controller.conversation.turns == [new]
        card = it.controller.conversation.card
        assert "78岁 女" in card
        assert "65岁" not in card


async def test_an_answer_that_failed_and_was_put_back_brings_its_facts_back(answered):
    async with answered(lang="zh") as it:
        await it.ask(STEMI)
        card = it.controller.conversation.card
        it.service.answer = ""
        await it.press("ctrl+r")
        await it.until(lambda: len(it.service.requests) == 2 and not it.last.live)
        it.service.answer = "again"
        await it.press("ctrl+r")
        await it.until(lambda: len(it.service.requests) == 3 and not it.last.live)
        assert it.controller.conversation.card == card


async def test_three_turns_in_a_small_window_keep_the_diagnosis_when_the_first_has_left(answered):
    async with answered("好。" * 60, lang="zh", window=2048, max_tokens=512) as it:
        await it.ask(LONG)
        await it.ask(SECOND)
        assert asked(it)[0].startswith(STEMI[:-1])
        turn = await it.ask(THIRD)
        assert not any(text.startswith(STEMI[:-1]) for text in asked(it))
        assert "急性心肌梗死" in system(it)
        assert "V1–V4 ST段抬高" in system(it)
        assert turn.sent.left == (LONG,)
        assert it.controller.conversation.turns[0].left_context
        assert any("不再" in note or "看不到" in note for note in it.notices)
        plan = await it.until(lambda: it.app.plan if it.app.plan.exact else None)
        assert plan.card > 0


async def test_what_a_leaving_question_tells_is_taken_up(answered):
    async with answered("好。" * 60, lang="zh", window=2048, max_tokens=512) as it:
        await it.ask(STEMI)
        await it.ask(f"{SECOND}{LONG[len(STEMI) :]}")
        assert "肌酐" not in it.controller.conversation.card  # it is in the context itself
        for _turn in range(2):
            await it.ask(f"{THIRD}{LONG[len(STEMI) : len(STEMI) + 250]}")
        assert it.controller.conversation.turns[1].left_context
        assert "肌酐 132 μmol/L" in system(it)
        assert "急性心肌梗死" in system(it)


async def test_what_leaves_and_is_not_on_a_persons_card_is_told(answered):
    async with answered("好。" * 60, lang="zh", window=2048, max_tokens=512) as it:
        it.controller.set_card("62 kg")
        await it.ask(LONG)
        await it.ask(f"{THIRD}{LONG[len(STEMI) : len(STEMI) + 250]}")
        await it.ask(f"{THIRD}{LONG[len(STEMI) : len(STEMI) + 250]}")
        assert it.controller.conversation.turns[0].left_context
        assert it.controller.conversation.card == "62 kg"
        assert any("不在病历卡上" in note and "急性心肌梗死" in note for note in it.notices)


async def test_a_new_patient_begins_without(answered):
    async with answered(lang="zh") as it:
        await it.ask(STEMI)
        await it.press("f5", "y")
        assert it.controller.conversation.card == ""
        assert not it.chat.card_line.display
        assert "65岁" not in repr(it.chat.card_line._lines) + repr(it.chat.chips._lines)
        await it.ask("糖尿病肾病的GFR分期标准是什么？")
        assert "患者资料" not in system(it)

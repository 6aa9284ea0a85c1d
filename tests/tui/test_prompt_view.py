"""What the model was given can be read: every message, what left, how it was asked."""

from __future__ import annotations

from medgemma_tui.tui.prompt_text import prompt_text

STEMI = "65岁男性，突发胸痛2小时，V1–V4 ST段抬高，首诊如何处理？"


async def test_every_message_is_there_letter_for_letter(answered):
    async with answered(lang="zh", temperature=0.5) as it:
        await it.ask(STEMI)
        turn = await it.ask("PCI前应如何抗栓？")
        text = prompt_text(turn)
        for message in it.service.requests[-1].messages:
            for part in message.text.split("\n\n"):
                assert part in text
        assert "标准术语：PCI" in text
        assert "[病历卡]\n患者资料：65岁 男" in text
        assert "[较早的问题 1]" in text
        words = ("medgemma-1.5-4b-it", "nf4", "温度：0.5", "推理：由模型决定", "供有资质的临床医生使用", "使用前请核对")
        for said in words:
            assert said in text, said


async def test_it_opens_on_the_selected_turn_and_closes(answered):
    async with answered(size=(100, 40), lang="zh") as it:
        await it.ask(STEMI)
        await it.ask("第二个问题")
        it.chat.transcript.focus()
        await it.pilot.pause()
        await it.press("left", "left", "ctrl+e")
        await it.until(lambda: "[本次问题]" in it.text())
        assert STEMI in it.text()
        assert "第二个问题" not in it.text()
        await it.press("f1")
        await it.until(lambda: "提示词视图" in it.text() or "模型得到" in it.text())
        await it.press("escape", "ctrl+e")
        assert it.app.screen is it.chat


async def test_before_the_first_question_there_is_nothing_to_read(answered):
    async with answered(lang="en") as it:
        await it.press("ctrl+p", *"prompt", "enter")
        await it.until(lambda: any("Nothing was sent" in note for note in it.notices))
        assert it.app.screen is it.chat


async def test_what_left_is_named_and_the_parts_that_were_asked_for(answered):
    async with answered("好" * 300, lang="zh", window=2048, max_tokens=512, sections="always", thinking="skip") as it:
        await it.ask(STEMI + "。" * 1000)
        turn = await it.ask("第二个问题" + "。" * 200)
        assert turn.sections == ["定义", "机制", "鉴别", "建议"]
        assert it.service.requests[-1].sections == turn.sections
        text = prompt_text(turn)
        assert "未发送：较早的 1 轮" in text
        assert "  - 65岁男性" in text
        assert "四段式：定义 · 机制 · 鉴别 · 建议" in text
        assert "安全性较低" in text


async def test_the_four_parts_are_chosen_by_a_command(answered):
    async with answered(lang="en") as it:
        await it.ask("hello")
        assert it.service.requests[-1].sections is None
        it.chat.transcript.focus()
        await it.pilot.pause()
        await it.press("ctrl+x")
        assert "four parts: always" in it.text()
        await it.ask("hello")
        assert it.service.requests[-1].sections == ["Definition", "Mechanism", "Differential", "Recommendation"]
        await it.app.run_action("sections")
        assert it.controller.sections == "off"
        await it.ask("What is heart failure?")
        assert it.service.requests[-1].sections is None
        await it.press("f5", "y")
        assert it.controller.sections == "auto"

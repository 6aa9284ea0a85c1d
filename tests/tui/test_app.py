"""The main job, through the real gateway and the demo model: ask, watch, hide, stop, ask again, wipe."""

from __future__ import annotations

import pytest
from textual import events

from medgemma_tui.demo import corpus
from medgemma_tui.i18n import _
from medgemma_tui.tui.screens.dialogs import Reader

pytestmark = pytest.mark.engine

STEMI = "65岁男性，突发胸痛2小时，V1–V4 ST段抬高，首诊如何处理？"


async def test_the_main_job(screen, gateway):
    async with screen(gateway.socket, lang="zh") as it:
        await it.connected()
        await it.until(lambda: corpus.GFR_QUESTION in it.text())
        assert "DEMO, NOT MEDICAL" in it.text()
        turn = await it.ask(corpus.GFR_QUESTION)
        taught = corpus.find(corpus.GFR_QUESTION, [])
        assert turn.answer.strip() == taught.answer
        assert turn.reasoning.strip() == taught.reasoning
        assert not turn.unknown_to_demo
        await it.until(lambda: "G3b" in it.text())
        hidden = taught.reasoning.splitlines()[0][:12]
        assert hidden not in it.text()
        await it.press("f2")
        await it.until(lambda: hidden in it.text(), what="the trace")
        await it.press("ctrl+t")
        await it.until(lambda: hidden not in it.text(), what="the trace hidden again")


async def test_the_meter_counts_what_the_engine_counts(screen, gateway):
    async with screen(gateway.socket, lang="zh") as it:
        await it.connected()
        it.controller.set_card("男，65岁，62 kg，eGFR 38")
        it.chat.set_draft(STEMI)
        plan = await it.until(lambda: it.app.plan if it.app.plan.exact else None, what="an exact plan")
        turn = await it.ask(STEMI)
        assert turn.error is None
        assert plan.used == turn.usage.prompt_tokens
        assert plan.card > 0
        followup = corpus.followups([STEMI])[0]
        it.chat.set_draft(followup)
        plan = await it.until(lambda: it.app.plan if it.app.plan.exact and it.app.plan.history else None)
        turn = await it.ask(followup)
        assert turn.error is None
        assert plan.used == turn.usage.prompt_tokens
        assert plan.window == 8192


async def test_followups_are_offered_and_known_in_their_place(screen, gateway):
    async with screen(gateway.socket, lang="zh") as it:
        await it.connected()
        await it.ask(STEMI)
        await it.press("tab")
        assert it.chat.suggestions.has_focus
        await it.press("enter")
        assert it.chat.draft == corpus.followups([STEMI])[0]
        assert it.chat.composer.has_focus
        turn = await it.ask(it.chat.draft)
        assert not turn.unknown_to_demo
        assert turn.answer.strip() == corpus.find(turn.question, [STEMI]).answer


async def test_anything_else_is_marked_as_unknown_to_the_demo(screen, gateway):
    async with screen(gateway.socket) as it:
        await it.connected()
        turn = await it.ask("What is the capital of France?")
        assert turn.unknown_to_demo
        await it.until(lambda: "only knows" in it.text())


async def test_the_statements_are_measured(screen, gateway):
    async with screen(gateway.socket, size=(230, 36)) as it:
        await it.connected()
        await it.until(lambda: "0 network sockets (screen, gateway, worker)" in it.text())
        assert "DEMO, NOT MEDICAL · loaded, nf4" in it.text()
        assert "OK" not in it.text().splitlines()[-2].partition("Model:")[0] or it.app.telemetry.gpus


async def test_stop_keeps_what_was_written_and_again_asks_again(screen, gateway):
    async with screen(gateway.socket, lang="zh") as it:
        await it.connected()
        it.chat.set_draft(corpus.GFR_QUESTION)
        await it.press("enter")
        turn = await it.until(lambda: it.last)
        for _ in range(8):
            await it.until(lambda: turn.answer or turn.reasoning)  # noqa: B023
            await it.press("escape")
            assert not turn.live
            if turn.finish_reason == "cancelled":
                break
            await it.press("ctrl+r")  # on a busy machine the demo model was done before the key came
            before = turn
            turn = await it.until(lambda: it.last if it.last is not before else None)  # noqa: B023
        assert turn.finish_reason == "cancelled"
        kept = turn.reasoning + turn.answer
        assert kept
        await it.press("ctrl+r")
        again = await it.until(lambda: it.last if it.last is not turn else None)
        await it.until(lambda: not again.live)
        assert again.finish_reason == "stop"
        assert it.controller.conversation.turns == [again]


async def test_edit_replaces_the_last_question_or_leaves_it(screen, gateway):
    async with screen(gateway.socket, lang="zh") as it:
        await it.connected()
        first = await it.ask(corpus.GFR_QUESTION)
        it.chat.set_draft("半句")
        await it.press("ctrl+l")
        assert it.chat.draft == corpus.GFR_QUESTION
        await it.press("escape")
        assert it.chat.draft == "半句"
        assert it.controller.conversation.turns == [first]
        await it.press("f8")
        turn = await it.ask(STEMI)
        assert it.controller.conversation.turns == [turn]
        assert not turn.unknown_to_demo


async def test_asking_again_in_the_middle_of_an_edit_leaves_the_edit(screen, gateway):
    async with screen(gateway.socket, lang="zh") as it:
        await it.connected()
        first = await it.ask(corpus.GFR_QUESTION)
        await it.press("f8", "ctrl+r")
        again = await it.until(lambda: it.last if it.last is not first else None)
        await it.until(lambda: not again.live)
        assert it.chat.draft == ""
        await it.ask(STEMI)
        assert [turn.question for turn in it.controller.conversation.turns] == [corpus.GFR_QUESTION, STEMI]


async def test_new_patient_wipes_everything_here_and_in_the_service(screen, gateway):
    async with screen(gateway.socket, lang="zh") as it:
        await it.connected()
        turn = await it.ask(corpus.GFR_QUESTION)
        it.controller.set_card("男，65岁")
        it.chat.set_draft("还有一句")
        await it.press("f5")
        await it.press("n")
        assert it.controller.conversation.turns == [turn]
        await it.press("ctrl+n")
        await it.press("y")
        assert not it.controller.holds_text
        assert not it.chat.transcript.virtual_size.height or "G3b" not in it.text()
        await it.press("up", "up")
        await it.press("ctrl+z")
        assert it.chat.draft == ""
        wiped = _("New patient: everything was wiped, here and in the service.")
        await it.until(lambda: wiped in it.notices, what="the service's word")
        again = await it.ask(corpus.GFR_QUESTION)
        assert again.usage.prompt_tokens_details.cached_tokens == 0


async def test_the_language_changes_while_running(screen, gateway):
    async with screen(gateway.socket, lang="zh") as it:
        await it.connected()
        before = it.app.plan.instructions
        await it.press("f9")
        assert " en " in it.text().splitlines()[0]
        await it.until(lambda: it.app.plan.exact and it.app.plan.instructions != before)
        await it.press("ctrl+backslash")
        assert " zh " in it.text().splitlines()[0]


async def test_a_new_patient_is_not_answered_without_reasoning_because_the_last_one_was(screen, gateway):
    async with screen(gateway.socket) as it:
        await it.connected()
        await it.press("f7", "f7")
        assert it.controller.thinking == "skip"
        await it.press("f5")
        assert it.controller.thinking == "auto"
        assert "less safe" not in it.text()


async def test_the_frame_of_the_composer_changes_its_language_too(screen, gateway):
    async with screen(gateway.socket, lang="zh") as it:
        await it.press("f7")
        chinese = it.chat.composer.border_title
        assert chinese
        await it.press("f9")
        assert it.chat.composer.border_title == "reasoning: always" != chinese


async def test_a_key_right_behind_esc_is_not_lost_in_the_window_that_closes(screen, gateway):
    async with screen(gateway.socket) as it:
        for opener in ("f1", "f3", "f5"):
            it.chat.set_draft("x")
            await it.press(opener)
            it.app.post_message(events.Key("escape", None))
            it.app.post_message(events.Key("f7", None))
            before = it.controller.thinking
            await it.until(lambda before=before: it.controller.thinking != before, 3, f"F7 behind {opener} and Esc")
            assert it.app.screen is it.chat


async def test_what_is_typed_or_pasted_in_the_transcript_goes_into_the_question(screen, gateway):
    async with screen(gateway.socket, lang="zh") as it:
        await it.connected()
        await it.ask(corpus.GFR_QUESTION)
        it.chat.transcript.focus()
        await it.press("尿", "酮")
        assert it.chat.draft == "尿酮"
        assert it.chat.composer.has_focus
        it.chat.transcript.focus()
        it.app.post_message(events.Paste("5\x1b mmol/L"))
        await it.until(lambda: it.chat.draft == "尿酮5 mmol/L", 3)
        it.chat.transcript.focus()
        await it.press("ctrl+u")  # a key of the transcript stays one
        assert it.app.screen is not it.chat
        await it.press("escape", "escape")
        assert it.chat.composer.has_focus
        assert it.chat.draft == "尿酮5 mmol/L"


async def test_a_huge_paste_is_refused_with_its_count_and_the_draft_is_kept(screen, gateway):
    async with screen(gateway.socket) as it:
        await it.connected()
        it.chat.set_draft("half a question")
        it.chat.composer.post_message(events.Paste("word " * 40_000))
        note = await it.until(lambda: next((n for n in it.notices if "Not pasted" in n), None))
        assert "200,000 characters" in note
        assert "8,192" in note
        assert "about" not in note  # it was counted
        assert it.chat.draft == "half a question"
        assert not it.chat.remark.display  # nothing is being counted any more
        it.chat.composer.post_message(events.Paste("x" * 2500))
        await it.until(lambda: len(it.chat.draft) == len("half a question") + 2500)


@pytest.mark.parametrize(
    ("size", "term"), [((80, 24), "linux"), ((80, 24), "vt100"), ((60, 12), "xterm"), ((20, 6), "xterm")]
)
async def test_small_and_simple_terminals_are_usable(screen, gateway, size, term):
    async with screen(gateway.socket, size=size, term=term) as it:
        await it.connected()
        question = corpus.suggestions("en")[0]
        await it.press(*"hello")
        assert "hello" in it.text()
        await it.until(lambda: "DEMO, NOT MEDICAL" in it.text())
        turn = await it.ask(question)
        last_words = turn.answer.split()[-1][-6:]
        # what can be checked stands under the answer, and on few rows takes its place
        ends = (last_words, "number from nowhere", "90%")
        await it.until(lambda: any(end in it.text().replace("\n", "") for end in ends), what=last_words)
        if term == "vt100":
            assert it.text().isascii() or not set(it.text()) & set("─│╭╮╰╯█▌░▸▾…")


async def test_a_text_that_changes_while_its_window_opens_is_the_one_that_is_shown(answered):
    async with answered() as it:
        window = Reader("System", "first figures")
        it.app.push_screen(window)
        window.show("second figures")
        await it.until(lambda: "second figures" in it.text())

"""A scripted conversation of three turns about a STEMI at a window of 2,048 tokens, over the real engine."""

from __future__ import annotations

import pytest

from medgemma_tui.demo import corpus

pytestmark = pytest.mark.engine

ENTRIES = {"zh": "stemi-zh", "en": "stemi-en"}
DIAGNOSIS = {"zh": "ST段抬高", "en": "ST elevation"}


@pytest.mark.parametrize("lang", ["zh", "en"])
async def test_the_diagnosis_is_kept_when_the_first_turn_has_left(screen, gateway, lang):
    entry = next(each for each in corpus.entries() if each.id == ENTRIES[lang])
    first, second, third = entry.turns[:3]
    note = max(first.wordings, key=len)  # the same question as a whole note
    async with screen(gateway.socket, lang=lang, context_window=2048) as it:
        await it.connected()
        turns = [await it.ask(question) for question in (note, second.question, third.question)]
        assert [turn.unknown_to_demo for turn in turns] == [False, False, False]
        assert turns[0].left_context
        assert not turns[1].left_context
        *earlier, last = turns[2].sent.request.messages
        assert last.text.startswith(third.question)
        assert not any(note in message.text for message in earlier)
        assert DIAGNOSIS[lang] in earlier[0].text
        assert turns[2].sent.left == (note,)
        plan = await it.until(lambda: it.app.plan if it.app.plan.exact else None)
        assert plan.window == 2048
        assert plan.card > 0
        assert [turn.answer.strip() for turn in turns] == [first.answer, second.answer, third.answer]

"""The shipped demo model in 4-bit: equal to ``generate`` on questions of its corpus, and across turns."""

from __future__ import annotations

import pytest

from medgemma_tui.worker.types import Channel, DecodeRequest, FinishReason, TraceClosed

pytestmark = pytest.mark.engine

N = 600


@pytest.fixture(scope="module")
def corpus(demo):
    """(prompt ids, generate's reasoning ids, generate's content ids) of the corpus' conversations and 6 questions.

    Only replies that ``generate`` gives as they were learned: of one that was not, logits tie in bfloat16.
    """
    from medgemma_tui.demo.samples import places

    ids, found, seen = demo.ids, [], 0
    everything = places()
    names = {place.entry.id for place in everything if place.before}
    chosen = [place for place in everything if place.entry.id in names]
    chosen += [place for place in everything if place.entry.id not in names][:6]
    for place in chosen:
        said = [(turn.question, turn.answer) for turn in place.before]
        messages = [
            {"role": role, "content": text}
            for pair in said
            for role, text in zip(("user", "assistant"), pair, strict=True)
        ]
        messages.append({"role": "user", "content": place.turn.question})
        prompt = demo.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        reply = demo.generate(prompt, N)
        seen += 1
        if ids.trace_close not in reply or not ids.ends_turn(reply[-1]):
            continue
        close = reply.index(ids.trace_close)
        reasoning, content = reply[1 + len(ids.thought) : close], reply[close + 1 : -1]
        if demo.tokenizer.decode(content).strip() == place.turn.answer.strip():
            found.append((tuple(prompt), reasoning, content))
    assert len(found) >= 0.7 * seen
    return found


def ask(id_, prompt, **options):
    return DecodeRequest(id=id_, prompt_ids=prompt, max_new_tokens=N, **options)


def same(replies, id_, reasoning, content):
    finish = replies.finish[id_]
    assert replies.ids(id_, Channel.REASONING) == reasoning
    assert replies.ids(id_, Channel.CONTENT) == content
    assert (finish.reasoning_tokens, finish.answer_tokens) == (len(reasoning), len(content))
    assert finish.reason is FinishReason.STOP
    assert finish.trace_closed is TraceClosed.MODEL


def test_alone(demo, corpus):
    decoder = demo.decoder(max_model_len=2048)
    for prompt, reasoning, content in corpus[::3]:
        same(demo.run(decoder, ask("a", prompt)), "a", reasoning, content)


def test_eight_at_a_time(demo, corpus):
    decoder = demo.decoder(slots=8, max_model_len=2048)
    requests = [ask(str(n), prompt) for n, (prompt, _, _) in enumerate(corpus)]
    replies = demo.run(decoder, *requests, every=20)
    for n, (_, reasoning, content) in enumerate(corpus):
        same(replies, str(n), reasoning, content)
    assert any(len(prompt) + N > 256 for prompt, _, _ in corpus)  # past the sliding window


def test_turns_start_from_the_checkpoint(demo, corpus):
    """Conversations of the corpus, turn by turn in one slot: history without traces, tokens as from scratch."""
    decoder = demo.decoder(slots=2, max_model_len=2048, prefill_chunk=64)
    before: tuple[int, ...] = ()
    followed = 0
    for prompt, reasoning, content in corpus:
        replies = demo.run(decoder, ask("a", prompt))
        same(replies, "a", reasoning, content)
        if before and prompt[: len(before)] == before:
            assert replies.finish["a"].cached_tokens >= len(before)
            followed += 1
        before = prompt
    assert followed >= 2

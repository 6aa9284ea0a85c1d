"""The shipped demo model in 4-bit: equal to ``generate`` on questions of its corpus, and across turns."""

from __future__ import annotations

import pytest

from medgemma_tui.worker.types import Channel, DecodeRequest, FinishReason, TraceClosed

pytestmark = pytest.mark.engine

N = 600


@pytest.fixture(scope="module")
def prompts(demo):
    """The ids of eleven questions of the corpus: a conversation of four turns, the other's first two, and five more."""
    from medgemma_tui.demo.samples import places

    everything = [place for place in places() if not place.chain]
    chosen = [place for place in everything if place.entry.id == "stemi-zh"]
    chosen += [place for place in everything if place.entry.id == "stemi-en"][:2]
    chosen += [place for place in everything if len(place.entry.turns) == 1][:5]
    found = []
    for place in chosen:
        messages = []
        for turn in place.before:
            messages += [{"role": "user", "content": turn.question}, {"role": "assistant", "content": turn.answer}]
        messages.append({"role": "user", "content": place.turn.question})
        found.append(
            tuple(
                demo.tokenizer.apply_chat_template(
                    messages, add_generation_prompt=True, tokenize=True, return_dict=False
                )
            )
        )
    return found


def ask(id_, prompt, **options):
    return DecodeRequest(id=id_, prompt_ids=prompt, max_new_tokens=N, **options)


def reply(demo, replies, id_):
    """A whole reply as the model wrote it, the marks around trace and answer among its tokens."""
    ids, finish = demo.ids, replies.finish[id_]
    reasoning, content = replies.ids(id_, Channel.REASONING), replies.ids(id_, Channel.CONTENT)
    assert (finish.reasoning_tokens, finish.answer_tokens) == (len(reasoning), len(content))
    assert finish.reason is FinishReason.STOP
    assert finish.trace_closed is TraceClosed.MODEL
    return [ids.trace_open, *ids.thought, *reasoning, ids.trace_close, *content, ids.end_of_turn]


def same(demo, replies, id_, prompt):
    """Every token is the one that the oracle finds most likely after all before it, read at once without a cache."""
    told = reply(demo, replies, id_)
    assert demo.argmax([*prompt, *told])[len(prompt) - 1 : -1] == told


def test_alone(demo, prompts):
    decoder = demo.decoder(max_model_len=2048)
    for prompt in (prompts[2], prompts[-1]):
        assert reply(demo, demo.run(decoder, ask("a", prompt)), "a") == demo.generate(prompt, N)


def test_eight_at_a_time(demo, prompts):
    decoder = demo.decoder(slots=8, max_model_len=2048)
    requests = [ask(str(n), prompt) for n, prompt in enumerate(prompts)]
    replies = demo.run(decoder, *requests, every=20)
    for request in requests:
        same(demo, replies, request.id, request.prompt_ids)
    lengths = [len(prompt) + len(reply(demo, replies, str(n))) for n, prompt in enumerate(prompts)]
    assert max(lengths) > 256  # past the sliding window


def test_turns_start_from_the_checkpoint(demo, prompts):
    """A conversation of the corpus, turn by turn in one slot: history without traces, tokens as from scratch."""
    decoder = demo.decoder(slots=2, max_model_len=2048, prefill_chunk=64)
    before: tuple[int, ...] = ()
    for prompt in prompts[:4]:
        replies = demo.run(decoder, ask("a", prompt))
        same(demo, replies, "a", prompt)
        assert prompt[: len(before)] == before
        assert replies.finish["a"].cached_tokens >= len(before)
        before = prompt

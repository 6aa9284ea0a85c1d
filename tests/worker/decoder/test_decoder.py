"""What the decoder reports, forces and refuses; on a random model, so every token is chosen for no good reason."""

from __future__ import annotations

import copy
import json
import random

import pytest

from medgemma_tui.worker.types import (
    Channel,
    DecodeRequest,
    FinishReason,
    PrefillEvent,
    Sampling,
    Thinking,
    TraceClosed,
)

pytestmark = pytest.mark.engine


@pytest.fixture
def prompt():
    chance = random.Random(11)
    return lambda count: tuple(chance.randrange(30, 500) for _ in range(count))


def ask(id_, prompt_ids, count=60, **options):
    return DecodeRequest(id=id_, prompt_ids=tuple(prompt_ids), max_new_tokens=count, **options)


# -- events --------------------------------------------------------------------------------------------------------


def test_prefill_progress_counts_up_to_the_prompt(chaos, prompt):
    replies = chaos.run(chaos.decoder(prefill_chunk=32), ask("a", prompt(100), 3))
    assert replies.prefill["a"] == [PrefillEvent("a", done, 100, 0) for done in (0, 32, 64, 96, 100)]


def test_a_long_prompt_stalls_nobody(chaos, prompt):
    decoder = chaos.decoder(prefill_chunk=32)
    decoder.submit(ask("short", prompt(10), 40))
    replies = chaos.follow(decoder, chaos.replies(), lambda so_far: len(so_far.ids("short")) == 5)
    decoder.submit(ask("long", prompt(600), 5))
    decoder.submit(ask("long2", prompt(600), 5))
    for count in range(6, 30):
        replies.take(decoder.step())
        assert len(replies.ids("short")) == count
    done = [replies.prefill[id_][-1].done for id_ in ("long", "long2")]
    assert abs(done[0] - done[1]) <= 32  # they take turns


def test_queue_places_are_told_when_they_change(chaos, prompt):
    decoder = chaos.decoder(slots=1)
    requests = [ask(str(n), prompt(5), 5) for n in range(4)]
    replies = chaos.run(decoder, *requests)
    assert replies.queue == {"1": [1], "2": [2, 1], "3": [3, 2, 1]}


def test_owners_take_turns(chaos, prompt):
    decoder = chaos.decoder(slots=1)
    order = [("a", "A"), ("b", "A"), ("c", "A"), ("d", "B")]
    replies = chaos.run(decoder, *(ask(id_, prompt(5), 3, owner=owner) for id_, owner in order))
    assert list(replies.finish) == ["a", "d", "b", "c"]


def test_cancel_while_waiting(chaos, prompt):
    decoder = chaos.decoder(slots=1)
    for id_ in "abc":
        decoder.submit(ask(id_, prompt(5), 5))
    decoder.step()
    decoder.cancel("b")
    decoder.cancel("nobody")
    replies = chaos.replies()
    replies.take(decoder.step())
    assert replies.finish["b"].reason is FinishReason.CANCELLED
    assert replies.queue == {"c": [1]}
    chaos.follow(decoder, replies, lambda _: decoder.idle)
    assert list(replies.finish) == ["b", "a", "c"]
    assert (decoder.active, decoder.queued, decoder.step()) == (0, 0, [])


# -- refusals ------------------------------------------------------------------------------------------------------


def test_a_prompt_that_leaves_no_room_is_refused(chaos, prompt):
    from medgemma_tui.worker.decoder import PromptTooLong

    decoder = chaos.decoder(max_model_len=200)
    with pytest.raises(PromptTooLong) as refused:
        decoder.submit(ask("a", prompt(200)))
    assert (refused.value.count, refused.value.limit) == (200, 199)
    replies = chaos.run(decoder, ask("a", prompt(199)))
    assert len(replies.ids("a")) == 1


def test_bad_requests_are_refused(chaos, prompt):
    from medgemma_tui.worker.decoder import QueueFull

    decoder = chaos.decoder(slots=1, max_queue=1)
    with pytest.raises(ValueError, match="prompt"):
        decoder.submit(ask("a", ()))
    with pytest.raises(ValueError, match="token"):
        decoder.submit(ask("a", prompt(3), 0))
    decoder.submit(ask("a", prompt(3)))
    with pytest.raises(ValueError, match="already"):
        decoder.submit(ask("a", prompt(3)))
    with pytest.raises(QueueFull) as refused:
        decoder.submit(ask("b", prompt(3)))
    assert refused.value.waiting == 1


def test_fp16_is_refused(chaos):
    import torch

    from medgemma_tui.worker.decoder import Decoder
    from medgemma_tui.worker.guards import HalfPrecisionRefused

    half = copy.deepcopy(chaos.model).half()
    with pytest.raises(HalfPrecisionRefused):
        Decoder(half, chaos.ids, slots=1, max_model_len=64)
    one = copy.deepcopy(chaos.model)
    one.model.layers[2].mlp.up_proj.compute_dtype = torch.float16  # as a quantised layer carries it
    with pytest.raises(HalfPrecisionRefused, match="up_proj"):
        Decoder(one, chaos.ids, slots=1, max_model_len=64)


# -- admission by memory -------------------------------------------------------------------------------------------


def test_every_slot_is_allocated_before_anybody_is_admitted(chaos, prompt):
    decoder = chaos.decoder(slots=3)
    cache = decoder._cache
    before = [tensor.data_ptr() for tensor in (*cache._keys, *cache._values)]
    assert all(tensor.shape[0] == 3 for tensor in (*cache._keys, *cache._values))
    for n in range(4):
        decoder.submit(ask(str(n), prompt(900), 100))  # as long as the window allows
    decoder.step()
    assert (decoder.active, decoder.queued) == (3, 1)
    assert [tensor.data_ptr() for tensor in (*cache._keys, *cache._values)] == before


# -- privacy -------------------------------------------------------------------------------------------------------


def test_owners_never_share_a_prefix(chaos, prompt):
    decoder = chaos.decoder()
    ids = prompt(100)
    chaos.run(decoder, ask("a", ids, owner="alice"))
    assert chaos.run(decoder, ask("b", ids, owner="bob")).finish["b"].cached_tokens == 0
    assert chaos.run(decoder, ask("c", ids)).finish["c"].cached_tokens == 0
    assert chaos.run(decoder, ask("d", ids, owner="alice")).finish["d"].cached_tokens == 99


def test_forget_zeroes_slots_and_drops_prefixes(chaos, prompt):
    decoder = chaos.decoder()
    ids, other = prompt(300), prompt(300)
    chaos.run(decoder, ask("a", ids, owner="alice"), ask("b", other, owner="bob"))
    decoder.submit(ask("busy", ids, 5, owner="alice"))
    busy = chaos.follow(decoder, chaos.replies(), lambda so_far: so_far.ids("busy"))
    decoder.forget("alice")
    chaos.follow(decoder, busy, lambda _: decoder.idle)
    assert busy.ids("busy") == chaos.generate(ids, 5)  # the one under way was not disturbed
    assert chaos.run(decoder, ask("c", other, owner="bob")).finish["c"].cached_tokens == 299
    assert chaos.run(decoder, ask("d", ids, owner="alice")).finish["d"].cached_tokens == 0
    decoder.forget()
    cache = decoder._cache
    saved = [tensor for pair in cache._saved if pair is not None for tensor in pair]
    assert not any(tensor.any() for tensor in (*cache._keys, *cache._values, *saved))
    assert chaos.run(decoder, ask("e", other, owner="bob")).finish["e"].cached_tokens == 0


# -- forced tokens -------------------------------------------------------------------------------------------------


def test_forced_trace_with_a_budget(chaos, prompt):
    """The reply is what the model says after the forced opening, then after the forced close."""
    ids, tokens = prompt(90), chaos.ids
    decoder = chaos.decoder(prefill_chunk=32)
    replies = chaos.run(decoder, ask("a", ids, 60, thinking=Thinking.FORCE, thinking_budget=25))
    opened = (*ids, *tokens.force)
    trace = chaos.generate(opened, 25)
    assert replies.ids("a", Channel.REASONING) == trace
    answer = chaos.generate((*opened, *trace, tokens.trace_close), 60 - 25 - len(tokens.force) - 1)
    assert replies.ids("a", Channel.CONTENT) == answer
    finish = replies.finish["a"]
    assert (finish.reasoning_tokens, finish.answer_tokens) == (25, len(answer))
    assert finish.trace_closed is TraceClosed.BUDGET


def test_a_trace_without_a_budget_leaves_a_reserve_for_the_answer(chaos, prompt):
    replies = chaos.run(chaos.decoder(), ask("a", prompt(40), 200, thinking=Thinking.FORCE))
    finish = replies.finish["a"]
    assert finish.trace_closed is TraceClosed.BUDGET
    assert finish.answer_tokens >= 49
    assert finish.reasoning_tokens >= 140


def test_skipped_trace(chaos, prompt):
    ids = prompt(90)
    replies = chaos.run(chaos.decoder(), ask("a", ids, 40, thinking=Thinking.SKIP))
    assert replies.ids("a", Channel.CONTENT) == chaos.generate((*ids, chaos.ids.trace_close), 39)
    assert replies.finish["a"].trace_closed is TraceClosed.SKIPPED
    assert not replies.ids("a", Channel.REASONING)


def test_a_skipped_trace_is_not_opened_before_the_answer(chaos, prompt):
    """A model that would think whatever it is told: without an answer there would be nothing to read at all."""

    def eager(_module, _inputs, output):
        output[..., chaos.ids.trace_open] = 1000.0
        return output

    ids = prompt(90)
    expected = chaos.generate((*ids, chaos.ids.trace_close), 1)
    hook = chaos.decoded.lm_head.register_forward_hook(eager)
    try:
        replies = chaos.run(chaos.decoder(), ask("a", ids, 40, thinking=Thinking.SKIP))
    finally:
        hook.remove()
    assert replies.ids("a") == expected
    assert replies.finish["a"].reason is FinishReason.SECOND_TRACE


def test_next_turn_after_a_forced_trace_starts_at_the_prompt(chaos, prompt):
    decoder = chaos.decoder(prefill_chunk=32)
    ids = prompt(150)
    first = chaos.run(decoder, ask("a", ids, 150, thinking=Thinking.FORCE, thinking_budget=90))
    following = (*ids, *first.ids("a", Channel.CONTENT), *prompt(20))
    replies = chaos.run(decoder, ask("b", following))
    assert replies.finish["b"].cached_tokens == 150
    assert replies.ids("b") == chaos.generate(following, 60)


def test_every_heading_is_written_in_order(chaos, prompt):
    """The whole reply is checked against one plain forward pass: forced where forced, argmax elsewhere."""
    ids, line = prompt(70), chaos.ids.blank_line[0]
    headings = tuple((200 + n, 300 + n, line) for n in range(4))
    replies = chaos.run(chaos.decoder(prefill_chunk=32), ask("a", ids, 120, sections=headings, section_budget=12))
    events = replies.tokens["a"]
    forced = [event.token_id for event in events if event.forced and event.token_id != line]
    assert forced == [token for heading in headings for token in heading[:2]]
    sequence = [*ids, *(event.token_id for event in events)]
    best = chaos.argmax(sequence)
    for at, event in enumerate(events):
        if not event.forced:
            assert event.token_id == best[len(ids) + at - 1], at
    gaps = [event.forced for event in events]
    assert sum(not f for f in gaps[: gaps.index(True, 12 + 3)]) == 12


def test_headings_fit_even_when_the_model_never_stops(chaos, prompt):
    line = chaos.ids.blank_line[0]
    headings = tuple((200 + n, 300 + n, line) for n in range(6))
    replies = chaos.run(chaos.decoder(), ask("a", prompt(20), 90, sections=headings, thinking=Thinking.FORCE))
    forced = [event.token_id for event in replies.tokens["a"] if event.forced and event.token_id != line]
    assert forced == [token for heading in headings for token in heading[:2]]


# -- sampling ------------------------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_tokens_whatever_else_is_in_the_batch(chaos, prompt):
    ids = prompt(50)
    how = Sampling(temperature=0.8, top_p=0.9, top_k=50, seed=42)
    alone = chaos.run(chaos.decoder(), ask("a", ids, sampling=how)).ids("a")
    others = [ask(str(n), prompt(30 + n), sampling=Sampling(temperature=1.0, seed=n)) for n in range(3)]
    together = chaos.run(chaos.decoder(), *others, ask("a", ids, sampling=how), every=4).ids("a")
    assert alone == together
    assert alone != chaos.generate(ids, 60)
    other_seed = Sampling(temperature=0.8, top_p=0.9, top_k=50, seed=43)
    assert alone != chaos.run(chaos.decoder(), ask("a", ids, sampling=other_seed)).ids("a")


def test_no_seed_means_a_fresh_one(chaos, prompt):
    ids = prompt(50)
    decoder = chaos.decoder()
    drawn = {tuple(chaos.run(decoder, ask("a", ids, sampling=Sampling(1.0))).ids("a")) for _ in range(3)}
    assert len(drawn) == 3


def test_sampled_rows_do_not_disturb_greedy_ones(chaos, prompt):
    ids = prompt(80)
    sampled = [ask(str(n), prompt(40), sampling=Sampling(temperature=1.0)) for n in range(3)]
    replies = chaos.run(chaos.decoder(), sampled[0], ask("a", ids), *sampled[1:])
    assert replies.ids("a") == chaos.generate(ids, 60)


# -- numbers that cannot be trusted --------------------------------------------------------------------------------


def test_non_finite_logits_end_that_row_only(chaos, prompt):
    import torch

    decoder = chaos.decoder()
    good, bad = ask("good", prompt(60)), ask("bad", (*prompt(60), 29))
    armed = {"on": False}

    def poison(_module, inputs, output):
        if armed["on"]:  # the poisoned weights are met by rows whose last token is the bad one
            output[inputs[0][:, -1] == poisoned] = torch.nan
        return output

    decoder.submit(good)
    decoder.submit(bad)
    replies = chaos.follow(decoder, chaos.replies(), lambda so_far: len(so_far.ids("bad")) == 10)
    poisoned = replies.ids("bad")[-1]
    assert poisoned not in replies.ids("good")[-2:]
    armed["on"] = True
    hook = chaos.decoded.model.embed_tokens.register_forward_hook(poison)
    try:
        replies.take(decoder.step())
    finally:
        hook.remove()
    assert replies.finish["bad"].reason is FinishReason.NON_FINITE
    chaos.follow(decoder, replies, lambda _: decoder.idle)
    assert replies.ids("good") == chaos.generate(good.prompt_ids, 60)
    # The slot is clean: the same prompt is read anew and answered as ever.
    again = chaos.run(decoder, ask("bad", bad.prompt_ids))
    assert again.finish["bad"].cached_tokens == 0
    assert again.ids("bad") == chaos.generate(bad.prompt_ids, 60)


# -- JSON ----------------------------------------------------------------------------------------------------------


def test_a_grammar_makes_valid_json_of_nonsense(demo):
    """Prompts the demo model never saw, tokens drawn at random: the document still fits its schema."""
    from medgemma_tui.worker.grammar import GrammarCompiler

    schema = {
        "type": "object",
        "properties": {
            "drug": {"enum": ["aspirin", "氯吡格雷"]},
            "dose_mg": {"type": "integer", "minimum": 0, "maximum": 999},
            "hold": {"type": "boolean"},
        },
        "required": ["drug", "dose_mg", "hold"],
        "additionalProperties": False,
    }
    grammars = GrammarCompiler(demo.tokenizer, demo.ids)
    chance = random.Random(3)
    requests = [
        ask(
            str(n),
            [chance.randrange(400, 2000) for _ in range(20)],
            200,
            thinking=Thinking.SKIP if n % 2 else Thinking.FORCE,
            thinking_budget=10,
            sampling=Sampling(temperature=3.0 if n > 1 else 0.0, seed=n),
            mask=grammars.schema(schema),
        )
        for n in range(4)
    ]
    replies = demo.run(demo.decoder(), *requests)
    for request in requests:
        text = demo.tokenizer.decode(replies.ids(request.id, Channel.CONTENT))
        document = json.loads(text)
        assert set(document) == {"drug", "dose_mg", "hold"}
        assert document["drug"] in schema["properties"]["drug"]["enum"]
        assert 0 <= document["dose_mg"] <= 999
        assert isinstance(document["hold"], bool)
        assert replies.finish[request.id].reason is FinishReason.STOP


def test_sections_and_a_grammar_exclude_each_other(demo):
    from medgemma_tui.worker.grammar import GrammarCompiler

    mask = GrammarCompiler(demo.tokenizer, demo.ids).any_object()
    with pytest.raises(ValueError, match="grammar"):
        demo.decoder().submit(ask("a", (400,), mask=mask, sections=((401, 402),)))

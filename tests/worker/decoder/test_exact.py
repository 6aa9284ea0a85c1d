"""The decoder's tokens are those of transformers' ``generate``, whatever the batch, the slot or the history."""

from __future__ import annotations

import random

import pytest

from medgemma_tui.worker.types import DecodeRequest, FinishReason

pytestmark = pytest.mark.engine

N = 100


@pytest.fixture
def prompt():
    chance = random.Random(7)
    return lambda count: tuple(chance.randrange(30, 500) for _ in range(count))


def ask(id_, prompt_ids, count=N, **options):
    return DecodeRequest(id=id_, prompt_ids=tuple(prompt_ids), max_new_tokens=count, **options)


@pytest.mark.parametrize("length", [1, 31, 32, 33, 63, 64, 65, 128, 129, 300])
def test_single(chaos, prompt, length):
    """Prompts around the chunk's, the window's and the ring's length."""
    ids = prompt(length)
    replies = chaos.run(chaos.decoder(prefill_chunk=32), ask("a", ids))
    assert replies.ids("a") == chaos.generate(ids, N)
    assert replies.finish["a"].reason is FinishReason.LENGTH
    assert replies.finish["a"].answer_tokens == N


def test_ring_wraps_several_times(chaos, prompt):
    ids = prompt(100)
    decoder = chaos.decoder(prefill_chunk=32)
    assert decoder._cache.ring == 128
    replies = chaos.run(decoder, ask("a", ids, 700))
    expected = chaos.generate(ids, 700)
    assert len(set(expected)) > 50  # it does not just repeat itself
    assert replies.ids("a") == expected


def test_ragged_rows_admitted_at_different_times(chaos, prompt):
    requests = [ask(str(n), prompt(length)) for n, length in enumerate([3, 200, 64, 65, 17, 310, 1, 130])]
    replies = chaos.run(chaos.decoder(slots=8, prefill_chunk=32), *requests, every=9)
    for request in requests:
        chaos.check(replies.ids(request.id), request.prompt_ids, N)


def test_more_requests_than_slots(chaos, prompt):
    requests = [ask(str(n), prompt(20 + 30 * n), 40 + 10 * n, owner=str(n % 3)) for n in range(7)]
    replies = chaos.run(chaos.decoder(slots=2, prefill_chunk=32), *requests)
    for request in requests:
        chaos.check(replies.ids(request.id), request.prompt_ids, request.max_new_tokens)


@pytest.mark.parametrize("chunk", [32, 100])
def test_turns_regenerate_and_edit(chaos, prompt, chunk):
    """Each next prompt drops part of the reply (the trace), as the screen does. All must start from a prefix."""
    decoder = chaos.decoder(prefill_chunk=chunk)
    history = prompt(150)
    for _turn in range(4):
        reply = chaos.run(decoder, ask("turn", history)).ids("turn")
        chaos.check(reply, history, N)
        again = chaos.run(decoder, ask("again", history))
        assert again.ids("again") == reply
        assert again.finish["again"].cached_tokens == len(history) - 1
        edited = history[:-25] + prompt(25)
        replies = chaos.run(decoder, ask("edited", edited))
        chaos.check(replies.ids("edited"), edited, N)
        assert replies.finish["edited"].cached_tokens >= len(history) - 25
        before = len(edited)
        history = edited + tuple(replies.ids("edited")[80:]) + prompt(30)
        following = chaos.run(decoder, ask("following", history, 1))
        assert following.finish["following"].cached_tokens >= before
        chaos.check(following.ids("following"), history, 1)


def test_live_continuation_needs_no_checkpoint(chaos, prompt):
    """An answer that is kept whole is continued from where it ended, not from the end of its prompt."""
    decoder = chaos.decoder(prefill_chunk=32)
    first = prompt(150)
    reply = chaos.run(decoder, ask("a", first)).ids("a")
    second = (*first, *reply, *prompt(10))
    replies = chaos.run(decoder, ask("b", second))
    assert replies.finish["b"].cached_tokens == len(first) + N - 1  # the last token was never fed
    chaos.check(replies.ids("b"), second, N)


def test_a_prefix_survives_while_others_run(chaos, prompt):
    """Rows between active slots are computed too; they must not touch what an idle slot keeps."""
    decoder = chaos.decoder(slots=3, prefill_chunk=32)
    kept = prompt(200)
    warm = [ask("x", prompt(20), 5), ask("kept", kept), ask("y", prompt(20), 5)]
    chaos.run(decoder, *warm)
    outer = [ask("p", (*warm[0].prompt_ids, *prompt(30))), ask("q", (*warm[2].prompt_ids, *prompt(3)))]
    replies = chaos.run(decoder, *outer)
    assert all(replies.finish[request.id].cached_tokens >= 20 for request in outer)  # slots 0 and 2 again
    for request in outer:
        chaos.check(replies.ids(request.id), request.prompt_ids, N)
    replies = chaos.run(decoder, ask("again", kept))
    assert replies.finish["again"].cached_tokens == 199
    chaos.check(replies.ids("again"), kept, N)


def test_cancelled_row_leaves_at_once_and_others_go_on(chaos, prompt):
    decoder = chaos.decoder(prefill_chunk=32)
    requests = [ask(str(n), prompt(90 + n)) for n in range(3)]
    for request in requests:
        decoder.submit(request)
    replies = chaos.follow(decoder, chaos.replies(), lambda so_far: len(so_far.ids("1")) == 20)
    decoder.cancel("1")
    assert decoder.active == 2
    replies.take(decoder.step())
    assert replies.finish["1"].reason is FinishReason.CANCELLED
    assert len(replies.ids("1")) == 20
    chaos.follow(decoder, replies, lambda _: decoder.idle)
    chaos.check(replies.ids("0"), requests[0].prompt_ids, N)
    chaos.check(replies.ids("2"), requests[2].prompt_ids, N)
    # The cancelled conversation can be taken up again.
    again = chaos.run(decoder, ask("1", requests[1].prompt_ids))
    chaos.check(again.ids("1"), requests[1].prompt_ids, N)
    assert again.finish["1"].cached_tokens > 0


def test_cancel_during_prefill_keeps_a_true_prefix(chaos, prompt):
    decoder = chaos.decoder(prefill_chunk=32)
    first = prompt(150)
    chaos.run(decoder, ask("a", first))
    longer = (*first[:140], *prompt(200))
    decoder.submit(ask("b", longer))
    decoder.step()
    decoder.step()
    decoder.cancel("b")
    for ids in (first, longer):
        replies = chaos.run(decoder, ask("c", ids))
        chaos.check(replies.ids("c"), ids, N)
        assert replies.finish["c"].cached_tokens > 0


@pytest.mark.parametrize("edit", [60, 100, 150, 250])
def test_a_chunk_that_fails_midway_leaves_a_true_prefix(chaos, prompt, edit):
    """Out of memory in the last layer: the others' rings have lost old rows to the chunk already."""
    import torch

    decoder = chaos.decoder(slots=1, prefill_chunk=64)
    ids = prompt(400)

    def fail(_module, _arguments):
        if decoder._rows[0].served == 5:
            raise torch.OutOfMemoryError("no room")

    hook = chaos.decoded.model.layers[3].register_forward_pre_hook(fail)
    try:
        decoder.submit(ask("a", ids))
        with pytest.raises(torch.OutOfMemoryError):
            chaos.follow(decoder, chaos.replies(), lambda _: decoder.idle)
    finally:
        hook.remove()
    assert decoder.shed() == ["a"]
    edited = ids[:edit] + prompt(10)
    chaos.check(chaos.run(decoder, ask("b", edited, 20)).ids("b"), edited, 20)


def test_a_reply_that_ends_at_admission_is_told_though_its_step_fails(chaos, prompt):
    """The step that admits it runs out of memory over another one's chunk; its client must not wait for ever."""
    import torch

    from medgemma_tui.worker.types import Thinking

    decoder = chaos.decoder(slots=2, prefill_chunk=32)
    decoder.submit(ask("long", prompt(300)))
    replies = chaos.replies()
    replies.take(decoder.step())

    def fail(_module, _arguments):
        raise torch.OutOfMemoryError("no room")

    decoder.submit(ask("short", prompt(20), 1, thinking=Thinking.SKIP))
    hook = chaos.decoded.model.layers[3].register_forward_pre_hook(fail)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            decoder.step()
    finally:
        hook.remove()
    assert decoder.shed() == ["long"]
    chaos.follow(decoder, replies, lambda _: decoder.idle)
    assert replies.finish["short"].reason is FinishReason.LENGTH
    assert replies.finish["long"].reason is FinishReason.CANCELLED


@pytest.mark.parametrize("length", [65, 100, 127])
def test_a_length_below_the_window_that_is_no_multiple_of_a_bucket(chaos, prompt, length):
    """A model with a window of 128, asked for less: full rows end at the length, rings at the bucket."""
    import copy

    model = copy.deepcopy(chaos.model)
    model.config.sliding_window = 128
    for layer in model.model.layers:
        if layer.self_attn.sliding_window is not None:
            layer.self_attn.sliding_window = 128
    wide = type(chaos)(model, chaos.ids)
    ids = prompt(length - 10)
    replies = wide.run(wide.decoder(max_model_len=length, prefill_chunk=32, fast=False), ask("a", ids))
    assert replies.ids("a") == wide.generate(ids, 10)


def test_least_recently_used_slot_is_taken(chaos, prompt):
    decoder = chaos.decoder(slots=2, prefill_chunk=32)
    a, b, c = prompt(100), prompt(110), prompt(120)
    for id_, ids in (("a", a), ("b", b), ("a2", a), ("c", c)):  # c evicts b
        replies = chaos.run(decoder, ask(id_, ids))
        chaos.check(replies.ids(id_), ids, N)
    assert chaos.run(decoder, ask("a", a)).finish["a"].cached_tokens == 99
    replies = chaos.run(decoder, ask("b", b))
    assert replies.finish["b"].cached_tokens == 0
    chaos.check(replies.ids("b"), b, N)


def test_two_conversations_that_begin_alike_keep_their_slots(chaos, prompt):
    """The instructions are copied to the second one; then each goes on from its own end."""
    decoder = chaos.decoder(slots=3, prefill_chunk=100)
    instructions = prompt(40)
    first, second = (*instructions, *prompt(110)), (*instructions, *prompt(90))
    chaos.check(chaos.run(decoder, ask("a", first)).ids("a"), first, N)
    replies = chaos.run(decoder, ask("b", second))
    assert replies.finish["b"].cached_tokens == 40
    chaos.check(replies.ids("b"), second, N)
    for ids in (first, second):
        following = (*ids, *prompt(30))
        replies = chaos.run(decoder, ask("c", following))
        assert replies.finish["c"].cached_tokens >= len(ids)
        chaos.check(replies.ids("c"), following, N)


def test_a_slot_is_zeroed_before_it_changes_hands(chaos, prompt):
    decoder = chaos.decoder(slots=1, prefill_chunk=32)
    chaos.run(decoder, ask("a", prompt(200), owner="alice"))
    ids = prompt(10)
    replies = chaos.run(decoder, ask("b", ids, 20, owner="bob"))
    chaos.check(replies.ids("b"), ids, 20)
    full = decoder._cache._sliding.index(False)
    assert decoder._cache._keys[full][0, :, :29].any()
    assert not decoder._cache._keys[full][0, :, 29:].any()


def test_reply_stops_at_the_end_of_the_window(chaos, prompt):
    ids = prompt(180)
    replies = chaos.run(chaos.decoder(max_model_len=200, prefill_chunk=32), ask("a", ids))
    chaos.check(replies.ids("a"), ids, 20)
    assert replies.finish["a"].reason is FinishReason.LENGTH

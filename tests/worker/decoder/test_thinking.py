"""The trace parser and the reply around it, on made-up ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgemma_tui.worker.reply import Reply
from medgemma_tui.worker.thinking import MissingToken, SpecialTokens, TraceParser
from medgemma_tui.worker.types import Channel, DecodeRequest, FinishReason, Thinking, TraceClosed

OPEN, CLOSE, USER, END, EOS, THOUGHT, LINE, LINES = 94, 95, 105, 106, 1, 20, 21, 22
IDS = SpecialTokens(
    trace_open=OPEN,
    trace_close=CLOSE,
    start_of_turn=USER,
    end_of_turn=END,
    eos=(EOS, END),
    thought=(THOUGHT, LINE),
    newlines=frozenset({LINE, LINES}),
    blank_line=(LINES,),
)
R, C = Channel.REASONING, Channel.CONTENT


def parse(*tokens):
    parser = TraceParser(IDS)
    return [pair for token in tokens for pair in parser.feed(token)]


def talk(*tokens, limit=1000, **options):
    """What a reply reports and how it ends when the model proposes these tokens, forced ones skipped."""
    request = DecodeRequest(id="a", prompt_ids=(1,), max_new_tokens=limit, **options)
    reply = Reply(request, IDS, limit)
    moves = [reply.begin()]
    for token in tokens:
        if moves[-1].finish is not None:
            break
        moves.append(reply.propose(token))
    said = [(event.token_id, event.channel) for move in moves for event in move.events]
    fed = [token for move in moves for token in move.feed]
    return said, moves[-1].finish, fed, reply


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ((OPEN, THOUGHT, LINE, 7, CLOSE, 8), [(7, R), (8, C)]),
        ((OPEN, THOUGHT, LINES, 7, CLOSE, 8), [(7, R), (8, C)]),  # two line breaks as one token
        ((OPEN, THOUGHT, 7, CLOSE, 8), [(THOUGHT, R), (7, R), (8, C)]),
        ((OPEN, 7, THOUGHT, LINE, CLOSE, 8), [(7, R), (THOUGHT, R), (LINE, R), (8, C)]),
        ((OPEN, THOUGHT, CLOSE, 8), [(THOUGHT, R), (8, C)]),
        ((OPEN, CLOSE, 8), [(8, C)]),
        ((CLOSE, 8), [(8, C)]),
        ((8, CLOSE, 9), [(8, C), (9, C)]),
        ((8, THOUGHT, LINE), [(8, C), (THOUGHT, C), (LINE, C)]),
        ((OPEN, THOUGHT, LINE, 7, OPEN, 8, CLOSE, LINES, 9), [(7, R), (8, R), (LINES, C), (9, C)]),
    ],
)
def test_parser(tokens, said):
    assert parse(*tokens) == said


@given(st.lists(st.sampled_from([OPEN, CLOSE, THOUGHT, LINE, LINES, 7, 8, 9]), max_size=30))
def test_trace_never_leaks_and_nothing_is_lost(tokens):
    said = parse(*tokens)
    assert not {OPEN, CLOSE} & {token for token, _ in said}
    # Tokens that are said, in order, are those fed, less markers and headers.
    left = iter(token for token in tokens if token not in (OPEN, CLOSE))
    assert all(any(token == other for other in left) for token, _ in said)
    if OPEN in tokens:
        first = tokens.index(OPEN)
        inside = tokens[first : tokens.index(CLOSE, first)] if CLOSE in tokens[first:] else tokens[first:]
        content = [token for token, channel in said if channel is C]
        assert len(content) == len(said) - sum(channel is R for _, channel in said)
        assert len(content) <= len(tokens) - len(inside)


def test_reply_with_a_trace():
    said, finish, _, reply = talk(OPEN, THOUGHT, LINE, 7, 8, CLOSE, 9, END)
    assert said == [(7, R), (8, R), (9, C)]
    assert finish is FinishReason.STOP
    assert (reply.reasoning_tokens, reply.answer_tokens, reply.trace_closed) == (2, 1, TraceClosed.MODEL)


def test_reply_without_a_trace():
    said, finish, _, reply = talk(7, 8, EOS)
    assert (said, finish, reply.trace_closed) == ([(7, C), (8, C)], FinishReason.STOP, TraceClosed.NEVER)


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        ((OPEN, THOUGHT, LINE, 7, CLOSE, 8, OPEN), FinishReason.SECOND_TRACE),
        ((CLOSE, 8, OPEN), FinishReason.SECOND_TRACE),
        ((8, USER), FinishReason.NEXT_SPEAKER),
        ((OPEN, THOUGHT, LINE, 8, USER), FinishReason.NEXT_SPEAKER),
    ],
)
def test_guarded_endings(tokens, reason):
    said, finish, fed, _ = talk(*tokens, 99, 99)
    assert finish is reason
    assert 99 not in fed
    assert 8 in [token for token, _ in said]


def test_budget_closes_the_trace():
    said, _, fed, reply = talk(OPEN, THOUGHT, LINE, 7, 8, 9, 10, thinking_budget=2)
    assert fed == [OPEN, THOUGHT, LINE, 7, 8, CLOSE, 9, 10]
    assert said == [(7, R), (8, R), (9, C), (10, C)]
    assert reply.trace_closed is TraceClosed.BUDGET


def test_budget_of_nothing():
    for tokens, options in (((OPEN, 9), {}), ((9,), {"thinking": Thinking.FORCE})):
        said, _, _, reply = talk(*tokens, thinking_budget=0, **options)
        assert said == [(9, C)]
        assert reply.trace_closed is TraceClosed.BUDGET


@pytest.mark.parametrize("limit", [8, 40, 400, 4000])
def test_an_endless_trace_leaves_room_for_an_answer(limit):
    said, finish, fed, reply = talk(OPEN, THOUGHT, LINE, *(n % 50 + 200 + n for n in range(5000)), limit=limit)
    assert finish is FinishReason.LENGTH
    assert len(fed) == limit
    assert reply.trace_closed is TraceClosed.BUDGET
    assert min(512, limit // 4) - 1 <= reply.answer_tokens <= min(512, limit // 4)
    assert reply.reasoning_tokens + reply.answer_tokens == len(said) == limit - 4


def test_a_turn_that_ends_inside_the_trace_still_gets_its_answer():
    said, finish, fed, reply = talk(OPEN, THOUGHT, LINE, 7, END, 8, END)
    assert fed == [OPEN, THOUGHT, LINE, 7, CLOSE, 8]
    assert said == [(7, R), (8, C)]
    assert (finish, reply.trace_closed) == (FinishReason.STOP, TraceClosed.MODEL)


def test_forced_and_skipped():
    _, _, fed, _ = talk(7, thinking=Thinking.FORCE)
    assert fed == [OPEN, THOUGHT, LINE, 7]
    said, _, fed, reply = talk(7, thinking=Thinking.SKIP)
    assert (fed, said, reply.trace_closed) == ([CLOSE, 7], [(7, C)], TraceClosed.SKIPPED)


def test_loop_in_the_trace_is_closed_and_in_the_answer_ends_it():
    said, finish, fed, reply = talk(OPEN, THOUGHT, LINE, *([7, 8, 9] * 300), limit=4000)
    assert reply.trace_closed is TraceClosed.REPETITION
    assert finish is FinishReason.REPETITION
    assert fed.count(CLOSE) == 1
    assert [channel for _, channel in said] == [R] * reply.reasoning_tokens + [C] * reply.answer_tokens


@pytest.mark.parametrize("before", [(), (7,), (OPEN, THOUGHT, LINE, 7)])
def test_a_close_marker_over_and_over_is_a_loop(before):
    """It is swallowed, so nobody would see why the answer does not go on."""
    _, finish, fed, reply = talk(*before, *[CLOSE] * 900)
    assert finish is FinishReason.REPETITION
    assert len(fed) < 200
    assert reply.answer_tokens == before.count(7) * (OPEN not in before)


def test_ids_come_from_the_tokenizer(tokenizer):
    ids = SpecialTokens.from_tokenizer(tokenizer, (1, 106))
    assert tokenizer.convert_ids_to_tokens([ids.trace_open, ids.trace_close]) == ["<unused94>", "<unused95>"]
    assert tokenizer.decode(list(ids.thought)) == "thought\n"
    assert tokenizer.decode(list(ids.blank_line)) == "\n\n"
    assert all(tokenizer.decode([id_]).endswith("\n") for id_ in ids.newlines)
    assert ids.blank_line[-1] in ids.newlines


def test_a_tokenizer_without_the_markers_is_refused():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    plain = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, "[UNK]")))
    with pytest.raises(MissingToken) as missing:
        SpecialTokens.from_tokenizer(plain, (0,))
    assert missing.value.token == "<unused94>"

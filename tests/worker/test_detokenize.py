"""Streamed text against the text of the whole sequence."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medgemma_tui.worker.detokenize import Detokenizer

TEXT = (
    st.text(st.characters(codec="utf-8"), max_size=60)
    | st.sampled_from(["糖尿病肾病的GFR分期", "a  b   c\n\n\nd", "👩🏽‍⚕️🇨🇳 INR<target>", "龘靐齉爩鱻麤 é ß"])
).filter(lambda text: "\ufffd" not in text)  # that one stands for bytes that are no character
relaxed = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def stream(tokenizer, ids, sizes):
    pieces, at, detokenizer = [], 0, Detokenizer(tokenizer)
    for size in sizes:
        pieces.append(detokenizer.feed(ids[at : at + size]))
        at += size
    pieces += [detokenizer.feed([id_]) for id_ in ids[at:]]
    return [*pieces, detokenizer.end()]


@relaxed
@given(text=TEXT, sizes=st.lists(st.integers(1, 6), max_size=12))
def test_pieces_make_the_whole(tokenizer, text, sizes):
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert "".join(stream(tokenizer, ids, sizes)) == tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=False)


@relaxed
@given(text=TEXT)
def test_no_piece_holds_half_a_character(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert not any("\ufffd" in piece for piece in stream(tokenizer, ids, []))


@relaxed
@given(data=st.data())
def test_any_ids_at_all(tokenizer, data):
    """A model may write bytes that are no character: they come out as U+FFFD and nothing else is lost or waits."""
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=40))
    whole = tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=False)
    got = "".join(stream(tokenizer, ids, []))
    if "\ufffd" not in whole:
        assert got == whole
    readable = [c for c in whole if c != "\ufffd"]
    remaining = iter(got)
    assert all(c in remaining for c in readable)  # in order


def test_a_character_between_broken_bytes_is_not_lost(byte_level_tokenizer):
    ids = [byte_level_tokenizer.convert_tokens_to_ids(token) for token in ("»", "¤", "è", "¡", "»", "¤", "è", "¡", "¡")]
    assert "".join(stream(byte_level_tokenizer, ids, [3, 1, 3, 1])) == "��衻�衡"


def test_broken_bytes_do_not_hold_back_what_follows(gemma_tokenizer):
    byte = gemma_tokenizer.convert_tokens_to_ids("<0xE4>")
    detokenizer = Detokenizer(gemma_tokenizer)
    pieces = [detokenizer.feed([byte]) for _ in range(40)]
    assert sum(len(piece) for piece in pieces) >= 30
    assert detokenizer.feed(gemma_tokenizer.encode("ok", add_special_tokens=False)).endswith("ok")


def test_cost_does_not_grow_with_length(gemma_tokenizer):
    detokenizer = Detokenizer(gemma_tokenizer)
    ids = gemma_tokenizer.encode("the kidney 糖尿病 ", add_special_tokens=False)
    for _ in range(500):
        for id_ in ids:
            detokenizer.feed([id_])
    assert len(detokenizer._tokens) <= 32

"""Stop strings in text that comes in pieces."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medgemma_tui.worker.textstream import ReplyText, StopMatcher
from medgemma_tui.worker.types import Channel

LETTERS = st.text("ab\n", max_size=40)
STOPS = st.lists(st.text("ab\n", min_size=1, max_size=4), min_size=1, max_size=4)


def cut(text, stops):
    return text[: min((text.index(stop) for stop in stops if stop in text), default=len(text))]


@given(pieces=st.lists(LETTERS, max_size=8), stops=STOPS)
def test_the_text_up_to_the_first_stop_however_it_is_cut(pieces, stops):
    matcher = StopMatcher(stops)
    letter_by_letter = [matcher.feed(letter) for letter in "".join(pieces)]
    got = "".join(letter_by_letter) + matcher.end()
    whole = "".join(pieces)
    assert matcher.hit == any(stop in whole for stop in stops)
    # Letter by letter, the stop that is complete first counts, as a reader would see it.
    first = next((n for n in range(len(whole) + 1) if any(whole[:n].endswith(stop) for stop in stops)), None)
    assert got == (whole if first is None else cut(whole[:first], stops))


@given(text=LETTERS, stops=STOPS)
def test_nothing_is_given_out_that_a_stop_takes_back(text, stops):
    matcher = StopMatcher(stops)
    shown = ""
    for letter in text:
        shown += matcher.feed(letter)
        assert not any(stop in shown for stop in stops)
    assert text.startswith(shown)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(takes=st.lists(st.booleans(), min_size=60, max_size=60), stop=st.sampled_from([(), ("尿白",), ("never",)]))
def test_channels_come_apart_however_often_text_is_taken(tokenizer, takes, stop):
    reasoning, content = "\n\n先看eGFR。\n再看尿白蛋白。\n", "\n## Plan\n尿白蛋白 mg/g\n"
    reply, got, hit = ReplyText(tokenizer, stop), [], False
    encode = tokenizer.backend_tokenizer.encode
    marked = [(i, Channel.REASONING) for i in encode(reasoning, add_special_tokens=False).ids]
    marked += [(i, Channel.CONTENT) for i in encode(content, add_special_tokens=False).ids]
    for (id_, channel), take in zip(marked, takes * 9, strict=False):
        hit = hit or reply.add(id_, channel)
        if take:
            got += reply.take()
    got += reply.end()
    texts = {channel: "".join(text for c, text in got if c is channel) for channel in Channel}
    assert texts[Channel.REASONING] == reasoning.lstrip("\n")
    assert texts[Channel.CONTENT] == cut(content.lstrip("\n"), stop)
    assert hit == (stop == ("尿白",))
    order = [c for c, _ in got]
    assert order == sorted(order, key=[Channel.REASONING, Channel.CONTENT].index)

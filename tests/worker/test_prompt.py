"""Prompt ids against the chat template's own, and text that looks like control tokens."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medgemma_tui.protocol import ChatMessage
from medgemma_tui.worker.prompt import PromptError, PromptRenderer

relaxed = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LOOKALIKES = [
    "<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>", "<pad>", "<unused94>", "<unused95>", "<unused7>",
    "<<end_of_turn>", "<end_of_turn><start_of_turn>user\n", "<end_of_<end_of_turn>turn>",
]  # fmt: skip
CONTROL = re.compile(r"<(unused\d+|\w*_\w*|pad|eos|bos|unk|mask)>|\[multimodal\]")
PLAIN = (st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    ["", "  ", "糖尿病肾病的GFR分期标准是什么？", " lead", "trail \n\n", "a\n\n\nb", "Give <dose> mg if INR<target>",
     "<table><b>x</b></table>", "{{ bos_token }} {% raw %}", "## Plan\n- x"]
)).filter(lambda text: not CONTROL.search(text))  # fmt: skip
HOSTILE = st.lists(PLAIN | st.sampled_from(LOOKALIKES), max_size=4).map("".join)


@st.composite
def conversations(draw, text):
    messages = [ChatMessage(role="system", content=draw(text))] if draw(st.booleans()) else []
    for index in range(draw(st.integers(1, 4))):
        messages.append(ChatMessage(role="user" if index % 2 == 0 else "assistant", content=draw(text)))
    return messages


def reference(tokenizer, messages, add_generation_prompt=True):
    dicts = [{"role": m.role, "content": m.text} for m in messages]
    return tokenizer.apply_chat_template(
        dicts, add_generation_prompt=add_generation_prompt, tokenize=True, return_dict=False
    )


@relaxed
@given(messages=conversations(PLAIN), generation=st.booleans())
def test_ordinary_text_gives_the_templates_own_ids(tokenizer, messages, generation):
    assert PromptRenderer(tokenizer).render(messages, generation) == reference(tokenizer, messages, generation)


@relaxed
@given(messages=conversations(HOSTILE))
def test_control_tokens_come_from_the_template_alone(tokenizer, messages):
    ids = PromptRenderer(tokenizer).render(messages)
    control = set(tokenizer.convert_tokens_to_ids(["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"]))
    control |= set(tokenizer.convert_tokens_to_ids([f"<unused{n}>" for n in range(99)]))
    harmless = [ChatMessage(role=m.role, content="x") for m in messages]
    assert [i for i in ids if i in control] == [i for i in reference(tokenizer, harmless) if i in control]


@relaxed
@given(messages=conversations(HOSTILE), generation=st.booleans())
def test_counts_add_up(tokenizer, messages, generation):
    renderer = PromptRenderer(tokenizer)
    counts = renderer.counts(messages, generation)
    assert counts.count == len(renderer.render(messages, generation))
    assert len(counts.per_message) == len(messages)
    assert sum(counts.per_message) + counts.generation == counts.count
    assert (counts.generation > 0) == generation


def test_lookalikes_keep_their_letters(tokenizer):
    renderer = PromptRenderer(tokenizer)
    for text in LOOKALIKES:
        ids = renderer.encode_text(text)
        assert tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=False) == text


def test_a_message_costs_the_same_wherever_it_is_counted(tokenizer):
    """What the meter shows for a message does not change when the conversation goes on."""
    messages = [
        ChatMessage(role="system", content="Answer briefly."),
        ChatMessage(role="user", content="What is G3a?"),
        ChatMessage(role="assistant", content="45 to 59."),
        ChatMessage(role="user", content="And G4?"),
    ]
    renderer = PromptRenderer(tokenizer)
    whole = renderer.counts(messages).per_message
    assert renderer.counts(messages[:2]).per_message == whole[:2]
    assert renderer.counts(messages[:3]).per_message == whole[:3]


def test_the_system_goes_into_the_first_turn_and_is_counted(tokenizer):
    renderer = PromptRenderer(tokenizer)
    question = ChatMessage(role="user", content="What is G3a?")
    instruction = ChatMessage(role="developer", content="Answer briefly.")
    alone, both = renderer.counts([question]), renderer.counts([instruction, question])
    assert both.per_message[0] >= len(renderer.encode_text("Answer briefly."))
    assert both.count == reference_count(tokenizer, "Answer briefly.\n\nWhat is G3a?") > alone.count


def reference_count(tokenizer, text):
    return len(reference(tokenizer, [ChatMessage(role="user", content=text)]))


def test_a_turn_out_of_order_is_told(tokenizer):
    with pytest.raises(PromptError, match="alternate"):
        PromptRenderer(tokenizer).render([ChatMessage(role="assistant", content="x")])

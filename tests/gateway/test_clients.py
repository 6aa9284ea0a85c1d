"""The official ``openai`` client, unchanged, against the gateway."""

from __future__ import annotations

import httpx
import openai
import pytest

MESSAGES = [{"role": "user", "content": "n=4"}]


@pytest.fixture
def official(stubbed):
    transport = httpx.HTTPTransport(uds=str(stubbed.gateway.socket))
    with openai.OpenAI(
        base_url="http://localhost/v1", api_key="x", http_client=httpx.Client(transport=transport), max_retries=0
    ) as client:
        yield client


def test_a_whole_reply(official):
    reply = official.chat.completions.create(model="stub", messages=MESSAGES)
    assert reply.choices[0].message.content == "word word word word "
    assert reply.choices[0].message.reasoning == "why"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.completion_tokens == 4
    assert reply.usage.prompt_tokens_details.cached_tokens == 5


def test_a_stream(official):
    chunks = list(official.chat.completions.create(model="stub", messages=MESSAGES, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "w0 w1 w2 w3 "
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_stream_with_usage(official):
    stream = official.chat.completions.create(
        model="stub", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 11


def test_our_extensions_by_extra_body(official):
    stream = official.chat.completions.create(
        model="stub", messages=MESSAGES, stream=True, extra_body={"thinking": "skip", "wait": True}
    )
    assert any(getattr(chunk, "progress", None) for chunk in stream)


def test_the_helper_that_collects_a_stream(official):
    with official.chat.completions.stream(model="stub", messages=MESSAGES) as stream:
        for _event in stream:
            pass
        reply = stream.get_final_completion()
    assert reply.choices[0].message.content == "w0 w1 w2 w3 "


def test_errors_are_the_clients_own_kinds(official):
    with pytest.raises(openai.BadRequestError) as caught:
        official.chat.completions.create(model="stub", messages=MESSAGES, temperature=7)
    assert caught.value.param == "temperature"
    with pytest.raises(openai.APIError, match="boom"):
        list(
            official.chat.completions.create(
                model="stub",
                messages=[{"role": "user", "content": 'n=1 raw={"error":{"type":"x","message":"boom"}}'}],
                stream=True,
            )
        )


def test_the_models(official):
    assert [model.id for model in official.models.list()] == ["stub"]
    assert official.models.retrieve("stub").id == "stub"
    with pytest.raises(openai.NotFoundError):
        official.models.retrieve("google/gemma")


@pytest.mark.parametrize("form", [lambda message: message, lambda message: message.model_dump()])
def test_a_second_turn_with_the_answer_as_it_came(official, stubbed, form):
    first = official.chat.completions.create(model="stub", messages=MESSAGES)
    answer = first.choices[0].message
    assert answer.reasoning == "why"
    second = official.chat.completions.create(model="stub", messages=[*MESSAGES, form(answer), *MESSAGES])
    assert second.choices[0].message.content
    sent = stubbed.engine.seen()["chats"][-1]["messages"]
    assert sent == [*MESSAGES, {"role": "assistant", "content": "word word word word "}, *MESSAGES]


def test_fields_that_say_nothing(official, stubbed):
    official.chat.completions.create(
        model="stub", messages=MESSAGES, store=False, metadata={}, logit_bias={}, tools=[], parallel_tool_calls=False
    )
    assert set(stubbed.engine.seen()["chats"][-1]) == {"model", "messages"}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"store": True}, "store"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
    ],
)
def test_fields_that_say_something_are_refused(official, fields, named):
    with pytest.raises(openai.BadRequestError, match="not supported") as caught:
        official.chat.completions.create(model="stub", messages=MESSAGES, **fields)
    assert caught.value.param == named


def test_tool_calls_are_refused_by_name(official):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [*MESSAGES, {"role": "assistant", "content": "x", "tool_calls": [call]}, *MESSAGES]
    with pytest.raises(openai.BadRequestError, match="not supported") as caught:
        official.chat.completions.create(model="stub", messages=messages)
    assert caught.value.param == "messages.1.tool_calls"


async def test_the_asynchronous_client(stubbed):
    transport = httpx.AsyncHTTPTransport(uds=str(stubbed.gateway.socket))
    async with openai.AsyncOpenAI(
        base_url="http://localhost/v1", api_key="x", http_client=httpx.AsyncClient(transport=transport)
    ) as client:
        reply = await client.chat.completions.create(model="stub", messages=MESSAGES)
        assert reply.choices[0].message.content == "word word word word "
        text = ""
        async for chunk in await client.chat.completions.create(model="stub", messages=MESSAGES, stream=True):
            text += chunk.choices[0].delta.content or ""
        assert text == "w0 w1 w2 w3 "

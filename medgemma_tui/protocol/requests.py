"""What clients send: chat, tokenize, a conversation to park."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, field_validator, model_validator

from medgemma_tui.protocol.base import Wire

MAX_BODY_BYTES = 4 * 1024 * 1024
"""The largest request body taken, in bytes; more gets 413."""


def _neutral(value: JsonValue) -> JsonValue:
    if value:
        raise ValueError("not supported: leave it out, or empty")
    return value


Neutral = Annotated[JsonValue, AfterValidator(_neutral), Field(exclude=True)]
"""A field of OpenAI's that this engine does not have. What says nothing (null, false, empty) is taken and not passed
on: clients send such values along."""


class TextPart(Wire):
    """One text part of a message whose content is a list. Images are not taken by this build."""

    type: Literal["text"]
    text: str


class ChatMessage(Wire):
    """One message. ``content`` is text, or OpenAI's list of text parts (joined).

    An answer may be sent back as it came, as OpenAI's client does with ``reply.choices[0].message``: its reasoning is
    taken and never shown to the model again.
    """

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None
    reasoning: Annotated[str | None, Field(exclude=True)] = None
    reasoning_content: Annotated[str | None, Field(exclude=True)] = None
    refusal: Neutral = None
    annotations: Neutral = None
    audio: Neutral = None
    function_call: Neutral = None
    tool_calls: Neutral = None

    @property
    def text(self) -> str:
        """The message's text in one piece."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class StreamOptions(Wire):
    """OpenAI's ``stream_options``."""

    include_usage: bool = False


class JsonSchemaFormat(Wire):
    """The ``json_schema`` member of a response format."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    name: str = "answer"
    description: str | None = None
    schema_: dict[str, JsonValue] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(Wire):
    """OpenAI's ``response_format``: plain text, any JSON object, or JSON under a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None

    @model_validator(mode="after")
    def _schema_is_given(self) -> ResponseFormat:
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("json_schema is required when type is json_schema")
        return self


class ChatRequest(Wire):
    """``POST /v1/chat/completions``.

    ``thinking``, ``thinking_budget``, ``sections`` and ``wait`` are ours. Sampling settings that this engine
    does not have are accepted at their neutral value only.
    """

    model: str = ""
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    seed: int | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    response_format: ResponseFormat | None = None
    thinking: Literal["auto", "force", "skip"] = "auto"
    thinking_budget: Annotated[int, Field(ge=1)] | None = None
    sections: Annotated[list[Annotated[str, Field(min_length=1, max_length=80)]], Field(max_length=12)] | None = None
    wait: bool = False
    """Wait in the queue while the model loads, instead of 503. Progress comes as ``progress`` chunks."""
    user: str | None = None
    n: Literal[1] | None = None
    presence_penalty: Literal[0] | None = None
    frequency_penalty: Literal[0] | None = None
    logprobs: Literal[False] | None = None
    store: Neutral = None
    metadata: Neutral = None
    logit_bias: Neutral = None
    tools: Neutral = None
    parallel_tool_calls: Neutral = None

    @field_validator("messages")
    @classmethod
    def _roles_alternate(cls, messages: list[ChatMessage]) -> list[ChatMessage]:
        """Gemma's template takes an optional system message, then user and assistant in turn, a user last."""
        turns = [m for m in messages if m.role not in ("system", "developer")]
        if any(m.role in ("system", "developer") for m in messages[1:]):
            raise ValueError("a system message may only come first")
        for index, message in enumerate(turns):
            if message.role != ("user" if index % 2 == 0 else "assistant"):
                raise ValueError("roles must alternate user, assistant, user, …")
        if not turns or turns[-1].role != "user":
            raise ValueError("the last message must be the user's")
        return messages

    @property
    def limit(self) -> int | None:
        """The caller's limit on new tokens under either of its OpenAI names."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings as a tuple."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)


class TokenizeRequest(Wire):
    """``POST /tokenize`` in vLLM's shape: either ``messages`` or ``prompt``.

    ``messages`` here need not end with the user's, so that a part of a conversation can be counted.
    """

    model: str = ""
    messages: list[ChatMessage] | None = None
    prompt: str | None = None
    add_generation_prompt: bool = True

    @model_validator(mode="after")
    def _one_of(self) -> TokenizeRequest:
        if (self.messages is None) == (self.prompt is None):
            raise ValueError("give either messages or prompt")
        return self


class SessionBody(Wire):
    """``PUT /v1/session``: an opaque conversation to keep in the gateway's memory for this uid."""

    payload: str
    ttl_s: Annotated[float, Field(gt=0)] = 1800.0
    id: Annotated[str, Field(max_length=64)] = ""
    """Tells it from another one of the same user."""
    replace: bool = True
    """False: where one with another id is kept, that one stays and this one is refused (409)."""

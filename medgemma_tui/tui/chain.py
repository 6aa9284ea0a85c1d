"""How the model is asked for the causal chain of an answer."""

from __future__ import annotations

from medgemma_tui.clinical import causal
from medgemma_tui.protocol import ChatMessage, ChatRequest, JsonSchemaFormat, ResponseFormat

MAX_TOKENS = 320
"""Enough for the longest chain that the schema allows in either language."""


def request(messages: list[ChatMessage]) -> ChatRequest:
    """A request for the chain as JSON under its schema, without a trace; it does not wait for a model that loads."""
    schema = JsonSchemaFormat(name="causal_chain", schema_=causal.SCHEMA)
    return ChatRequest(
        messages=messages,
        stream=True,
        max_tokens=MAX_TOKENS,
        temperature=0.0,
        thinking="skip",
        response_format=ResponseFormat(type="json_schema", json_schema=schema),
    )

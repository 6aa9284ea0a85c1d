"""A conversation as the text that the gateway keeps for its user: JSON of a fixed, versioned form.

The gateway never looks into it. What comes back is read strictly; another version's is refused, and left where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medgemma_tui.clinical.findings import Analysis
from medgemma_tui.protocol import ChatMessage, ChatRequest, ErrorInfo, Usage
from medgemma_tui.tui.conversation import Entry, Notice, Sent, Turn
from medgemma_tui.tui.desk import Sections, Thinking
from medgemma_tui.tui.keeping import Kept

VERSION: Final = 1
_PLACE = ChatMessage(role="user", content="")


class CannotRead(Exception):
    """What is kept is no conversation that this version can read. ``version``: what it says of itself, if anything."""

    def __init__(self, version: int | None) -> None:
        self.version = version
        super().__init__("a kept conversation of another form")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Message(_Strict):
    role: Literal["system", "developer", "user", "assistant"]
    text: Annotated[int, Field(ge=0)]


class _Sent(_Strict):
    """``messages`` stand for the request's own: each is a place among the texts, which every later turn sends again."""

    request: ChatRequest
    messages: list[_Message]
    instructions: str
    card: str
    left: tuple[str, ...]
    quantization: str


class _Turn(_Strict):
    kind: Literal["turn"] = "turn"
    question: str
    asked_at: datetime
    state: Literal["waiting", "reasoning", "answering", "done"]
    reasoning: str
    answer: str
    finish_reason: str | None
    usage: Usage | None
    error: ErrorInfo | None
    model: str
    unknown_to_demo: bool
    left_context: bool
    analysis: Analysis | None
    sections: list[str] | None
    prompt: str
    sent: _Sent | None


class _Notice(_Strict):
    kind: Literal["notice"] = "notice"
    text: str
    level: Literal["info", "warning", "error"]


class _Parked(_Strict):
    version: Literal[1]
    kept_at: datetime
    texts: list[str]
    entries: list[Annotated[_Turn | _Notice, Field(discriminator="kind")]]
    card: str
    card_is_theirs: bool
    taken_up: tuple[int, ...]
    card_draft: str | None
    draft: str
    set_aside: str
    edited: int | None
    history: tuple[str, ...]
    thinking: Thinking
    sections: Sections
    window_cap: int | None


class _Label(BaseModel):
    """What any version says of itself."""

    version: int


def pack(kept: Kept) -> str:
    """The text to keep. Raises ValueError where a text in it is no Unicode (a lone surrogate)."""
    texts: dict[str, int] = {}
    entries = [_packed(entry, texts) for entry in kept.entries]
    parked = _Parked(
        version=VERSION,
        kept_at=kept.kept_at,
        texts=list(texts),
        entries=entries,
        card=kept.card,
        card_is_theirs=kept.card_is_theirs,
        taken_up=kept.taken_up,
        card_draft=kept.card_draft,
        draft=kept.draft,
        set_aside=kept.set_aside,
        edited=kept.edited,
        history=kept.history,
        thinking=kept.thinking,
        sections=kept.sections,
        window_cap=kept.window_cap,
    )
    return parked.model_dump_json(by_alias=True)


def unpack(payload: str) -> Kept:
    """The conversation. Raises CannotRead, without a word of what is in it."""
    try:
        parked = _Parked.model_validate_json(payload)
        entries = tuple(_unpacked(entry, parked.texts) for entry in parked.entries)
    except (ValidationError, IndexError):
        label = _label(payload)
        raise CannotRead(label.version if label is not None else None) from None
    return Kept(
        entries=entries,
        kept_at=parked.kept_at,
        card=parked.card,
        card_is_theirs=parked.card_is_theirs,
        taken_up=parked.taken_up,
        card_draft=parked.card_draft,
        draft=parked.draft,
        set_aside=parked.set_aside,
        edited=parked.edited,
        history=parked.history,
        thinking=parked.thinking,
        sections=parked.sections,
        window_cap=parked.window_cap,
    )


def _label(payload: str) -> _Label | None:
    try:
        return _Label.model_validate_json(payload)
    except ValidationError:
        return None


def _packed(entry: Entry, texts: dict[str, int]) -> _Turn | _Notice:
    if isinstance(entry, Notice):
        return _Notice(text=entry.text, level=entry.level)
    return _Turn(
        question=entry.question,
        asked_at=entry.asked_at,
        state=entry.state,
        reasoning=entry.reasoning,
        answer=entry.answer,
        finish_reason=entry.finish_reason,
        usage=entry.usage,
        error=entry.error,
        model=entry.model,
        unknown_to_demo=entry.unknown_to_demo,
        left_context=entry.left_context,
        analysis=entry.analysis,
        sections=entry.sections,
        prompt=entry.prompt,
        sent=_packed_sent(entry.sent, texts) if entry.sent is not None else None,
    )


def _packed_sent(sent: Sent, texts: dict[str, int]) -> _Sent:
    messages = sent.request.messages
    return _Sent(
        request=sent.request.model_copy(update={"messages": [_PLACE]}),
        messages=[_Message(role=each.role, text=texts.setdefault(each.text, len(texts))) for each in messages],
        instructions=sent.instructions,
        card=sent.card,
        left=sent.left,
        quantization=sent.quantization,
    )


def _unpacked(entry: _Turn | _Notice, texts: Sequence[str]) -> Entry:
    if isinstance(entry, _Notice):
        return Notice(entry.text, entry.level)
    return Turn(
        entry.question,
        entry.asked_at,
        state=entry.state,
        reasoning=entry.reasoning,
        answer=entry.answer,
        finish_reason=entry.finish_reason,
        usage=entry.usage,
        error=entry.error,
        model=entry.model,
        unknown_to_demo=entry.unknown_to_demo,
        left_context=entry.left_context,
        analysis=entry.analysis,
        sections=entry.sections,
        prompt=entry.prompt,
        sent=_unpacked_sent(entry.sent, texts) if entry.sent is not None else None,
    )


def _unpacked_sent(sent: _Sent, texts: Sequence[str]) -> Sent:
    messages = [ChatMessage(role=each.role, content=texts[each.text]) for each in sent.messages]
    request = sent.request.model_copy(update={"messages": messages})
    return Sent(request, sent.instructions, sent.card, sent.left, sent.quantization)

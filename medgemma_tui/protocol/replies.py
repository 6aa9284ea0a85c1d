"""What the gateway and the worker answer: chat, counts, models, health, sessions, errors."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue, ValidationInfo, field_validator

from medgemma_tui.protocol.base import Reply, null_is_default
from medgemma_tui.protocol.privacy import AuditHead, ProcessSeal


class PromptDetails(Reply):
    """Of the prompt's tokens, those that a prefix checkpoint spared."""

    cached_tokens: int = 0

    @field_validator("*", mode="before")
    @classmethod
    def _null(cls, value: JsonValue, info: ValidationInfo) -> JsonValue:
        return null_is_default(cls, value, info)


class CompletionDetails(Reply):
    """Of the completion's tokens, those of the trace."""

    reasoning_tokens: int = 0

    @field_validator("*", mode="before")
    @classmethod
    def _null(cls, value: JsonValue, info: ValidationInfo) -> JsonValue:
        return null_is_default(cls, value, info)


class Usage(Reply):
    """Token counts and times of one reply; OpenAI's fields, then ours (seconds, tokens per second)."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: PromptDetails = PromptDetails()
    completion_tokens_details: CompletionDetails = CompletionDetails()
    answer_tokens: int = 0
    time_to_first_token: float | None = None
    tokens_per_second: float | None = None
    queue_seconds: float | None = None
    trace_closed: Literal["model", "budget", "repetition", "skipped", "never"] = "never"

    @field_validator("*", mode="before")
    @classmethod
    def _null(cls, value: JsonValue, info: ValidationInfo) -> JsonValue:
        return null_is_default(cls, value, info)


class Delta(Reply):
    """What one chunk adds to the message."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning: str | None = None


class ChunkChoice(Reply):
    """One choice of a chunk. ``finish_reason`` is a worker ``FinishReason`` value."""

    index: int = 0
    delta: Delta = Delta()
    finish_reason: str | None = None


class Progress(Reply):
    """What a reply waits for (``audit``: that the log can be written). ``percent`` is of the load or of the prefill."""

    phase: Literal["queued", "loading", "prefill", "audit"]
    position: int | None = None
    percent: float | None = None


class ChatChunk(Reply):
    """One ``chat.completion.chunk``. ``progress`` comes in chunks without choices, only when ``wait`` was asked."""

    id: str = ""
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int = 0
    model: str = ""
    choices: list[ChunkChoice] = []
    usage: Usage | None = None
    progress: Progress | None = None

    @field_validator("choices", mode="before")
    @classmethod
    def _null(cls, value: JsonValue, info: ValidationInfo) -> JsonValue:
        return null_is_default(cls, value, info)


class AssistantMessage(Reply):
    """The whole reply's message."""

    role: Literal["assistant"] = "assistant"
    content: str | None = ""
    reasoning: str | None = None


class Choice(Reply):
    """One choice of a whole reply."""

    index: int = 0
    message: AssistantMessage
    finish_reason: str


class ChatCompletion(Reply):
    """``chat.completion``: the reply to a request without ``stream``."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class TokenizeReply(Reply):
    """``/tokenize``: vLLM's fields; ``message_counts`` is ours: tokens each message adds, in order.

    Their sum and ``generation_prompt_tokens`` make ``count``.
    """

    count: int
    max_model_len: int
    tokens: list[int] = []
    message_counts: list[int] = []
    generation_prompt_tokens: int = 0


class ModelCard(Reply):
    """One entry of ``/v1/models``; the fields after ``owned_by`` are vLLM's or ours."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "local"
    max_model_len: int | None = None
    quantization: str | None = None
    dtype: str | None = None
    device: str | None = None
    demo: bool = False
    text_only: bool = True
    parameters: int | None = None


class ModelList(Reply):
    """``GET /v1/models``."""

    object: Literal["list"] = "list"
    data: list[ModelCard] = []


HealthReason = Literal[
    "ready", "starting", "loading", "worker_lost", "out_of_memory", "model_invalid", "failed", "audit_full", "unfit"
]


class Health(Reply):
    """``GET /health``: 200 when ``status`` is ok, else 503 with the reason.

    ``percent`` is of the load. ``detail`` is a sentence in English for logs; the screen words ``reason`` itself.
    ``code`` narrows ``model_invalid`` (see ``model_dir.ModelDirError``; ``params`` holds its values as text) and
    ``out_of_memory`` (``gpu_loading``, ``host_loading``), and ``audit_full`` (an ``audit.errors.AuditCode``).
    ``unfit``: by the site's policy nothing is answered, as the health run at ``params``' ``time`` found the box not
    fit; ``failing`` has the ids of the critical results, by commas.
    ``privacy`` is the worker's own, for the gateway; ``audit`` the gateway's log, for a health report to anchor.
    """

    status: Literal["ok", "not_ready"]
    reason: HealthReason
    percent: float | None = None
    detail: str = ""
    code: str = ""
    params: dict[str, str] = {}
    restarts: int = 0
    retry_in_s: float | None = None
    worker_pid: int | None = None
    model: ModelCard | None = None
    privacy: ProcessSeal | None = None
    audit: AuditHead | None = None


class SessionReply(Reply):
    """``GET /v1/session``."""

    payload: str
    expires_in_s: float
    id: str = ""


class ErrorInfo(Reply):
    """OpenAI's error object. ``param`` names the field at fault; ``position``, ``percent`` and ``params`` (values
    of the sentence that ``code`` stands for: file, bytes …) are ours."""

    type: str
    message: str
    code: str | int | None = Field(default_factory=lambda found: found.get("type"))
    """Narrower than ``type`` where there is something narrower to say, else the same."""
    param: str | None = None
    position: int | None = None
    percent: float | None = None
    params: dict[str, str] | None = None


class ErrorBody(Reply):
    """``{"error": {…}}``: every failed call's body, and the last event of a stream that fails midway."""

    error: ErrorInfo


def error_body(
    type_: str,
    message: str,
    *,
    code: str | int | None = None,
    param: str | None = None,
    position: int | None = None,
    percent: float | None = None,
    params: dict[str, str] | None = None,
) -> dict[str, JsonValue]:
    """An error's JSON body."""
    info = ErrorInfo(
        type=type_, message=message, code=code, param=param, position=position, percent=percent, params=params or None
    )
    return ErrorBody(error=info).model_dump(exclude_none=True)

"""The wire: OpenAI chat completions, and what we add to them. Pydantic models only; no logic beyond validation.

Used by every process. Field names follow OpenAI's API reference and, for ``reasoning`` and ``/tokenize``, vLLM's.
Requests refuse unknown fields, so that a typo is told and not ignored; replies from other engines may carry
more than we know, so those models ignore what they do not need.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

MAX_BODY_BYTES = 4 * 1024 * 1024
"""The largest request body taken, in bytes; more gets 413."""


class Wire(BaseModel):
    """A model that refuses unknown fields: for what comes from a client."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Reply(BaseModel):
    """A model that ignores unknown fields: for what comes from an engine."""

    model_config = ConfigDict(extra="ignore", frozen=True)


# --- requests ---------------------------------------------------------------------------------------------


class TextPart(Wire):
    """One text part of a message whose content is a list. Images are not taken by this build."""

    type: Literal["text"]
    text: str


class ChatMessage(Wire):
    """One message. ``content`` is text, or OpenAI's list of text parts (joined)."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = None

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


# --- replies ----------------------------------------------------------------------------------------------


class PromptDetails(Reply):
    """Of the prompt's tokens, those that a prefix checkpoint spared."""

    cached_tokens: int = 0


class CompletionDetails(Reply):
    """Of the completion's tokens, those of the trace."""

    reasoning_tokens: int = 0


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
    """What a reply is waiting for. ``percent`` is of the load or of the prefill."""

    phase: Literal["queued", "loading", "prefill"]
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
    "ready", "starting", "loading", "worker_lost", "out_of_memory", "model_invalid", "failed", "audit_full"
]


class Health(Reply):
    """``GET /health``: 200 when ``status`` is ok, else 503 with the reason.

    ``percent`` is of the load. ``detail`` is a sentence in English for logs; the screen words ``reason`` itself.
    ``code`` narrows ``model_invalid`` (see ``model_dir.ModelDirError``); ``params`` holds its values as text.
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


class SessionReply(Reply):
    """``GET /v1/session``."""

    payload: str
    expires_in_s: float


class ErrorInfo(Reply):
    """OpenAI's error object. ``param`` names the field at fault; ``position`` and ``percent`` are ours."""

    type: str
    message: str
    code: str | int | None = None
    param: str | None = None
    position: int | None = None
    percent: float | None = None


class ErrorBody(Reply):
    """``{"error": {…}}``: every failed call's body, and the last event of a stream that fails midway."""

    error: ErrorInfo


# --- telemetry --------------------------------------------------------------------------------------------
# ``None`` means "this card does not say": the screen shows n/a, never zero.


NvmlErrorCode = Literal[
    "starting", "library_not_found", "driver_not_loaded", "no_permission", "version_mismatch", "no_device",
    "gpu_lost", "reset_required", "timeout", "unknown",
]


class GpuProcess(Reply):
    """A process that holds memory on a card."""

    pid: int
    user: str | None = None
    command: str | None = None
    used_bytes: int | None = None
    is_worker: bool = False


class MigInstance(Reply):
    """One MIG instance of a card."""

    index: int
    name: str | None = None
    uuid: str | None = None
    memory_total: int | None = None
    memory_used: int | None = None


ThrottleReason = Literal[
    "idle",
    "applications_clocks",
    "sw_power_cap",
    "hw_slowdown",
    "sync_boost",
    "sw_thermal",
    "hw_thermal",
    "hw_power_brake",
    "display_clocks",
    "unknown",
]


class GpuSample(Reply):
    """One card at one moment: bytes, percent, degrees Celsius, watts, MHz."""

    index: int
    name: str = ""
    uuid: str | None = None
    utilization: float | None = None
    memory_utilization: float | None = None
    memory_total: int | None = None
    memory_used: int | None = None
    memory_free: int | None = None
    memory_reserved: int | None = None
    """The driver's own share. ``total = used + free + reserved`` where this is told, else ``used`` has it in it."""
    temperature: float | None = None
    temperature_slowdown: float | None = None
    power: float | None = None
    power_limit: float | None = None
    clock_sm: int | None = None
    clock_sm_max: int | None = None
    clock_memory: int | None = None
    clock_memory_max: int | None = None
    fan: float | None = None
    performance_state: int | None = None
    throttle: list[ThrottleReason] | None = None
    ecc_enabled: bool | None = None
    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None
    ecc_corrected_lifetime: int | None = None
    ecc_uncorrected_lifetime: int | None = None
    """ECC counts since the driver was loaded (NVML: volatile), then over the card's life (aggregate)."""
    mig_enabled: bool | None = None
    mig: list[MigInstance] = []
    persistence: bool | None = None
    compute_capability: str | None = None
    processes: list[GpuProcess] | None = None
    error: str | None = None
    """Set when the card was lost mid-run ("GPU is lost"): the figures above are then all ``None``."""
    error_code: NvmlErrorCode | None = None
    """Set with ``error``: the screen words this."""


class HostSample(Reply):
    """The box: percent, bytes."""

    cpu_percent: float | None = None
    load_1m: float | None = None
    memory_total: int | None = None
    memory_used: int | None = None
    memory_available: int | None = None
    swap_total: int | None = None
    swap_used: int | None = None


class PrivacyFacts(Reply):
    """What was measured about leaks: sockets other than Unix ones held open, by process. ``None``: not readable."""

    gateway_inet_sockets: int | None = None
    worker_inet_sockets: int | None = None
    sealed: bool = False


class ServiceSample(Reply):
    """The gateway's own figures. ``tokens_per_second`` is of the reply that ended last."""

    queued: int = 0
    active: int = 0
    parked_sessions: int = 0
    worker_pid: int | None = None
    worker_rss: int | None = None
    tokens_per_second: float | None = None


class Telemetry(Reply):
    """One event of ``GET /v1/telemetry``.

    ``nvml_error`` says, in English for logs, why ``gpus`` is empty or has no figures; the screen words the code.
    """

    time: float
    nvml_version: str | None = None
    driver_version: str | None = None
    nvml_error: str | None = None
    nvml_error_code: NvmlErrorCode | None = None
    gpu_age_s: float | None = None
    """Seconds since NVML last answered; more than a few means the figures of ``gpus`` are not current."""
    gpus: list[GpuSample] = []
    host: HostSample = HostSample()
    service: ServiceSample = ServiceSample()
    privacy: PrivacyFacts = PrivacyFacts()


def error_body(type_: str, message: str, **extra: Any) -> dict[str, Any]:
    """An error's JSON body. ``extra``: ``code``, ``param``, ``position``, ``percent``."""
    return ErrorBody(error=ErrorInfo(type=type_, message=message, **extra)).model_dump(exclude_none=True)

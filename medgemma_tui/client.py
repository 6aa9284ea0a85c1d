"""The one client of the gateway, over a Unix socket: used by the screen, ``ask``, plain mode and batch.

Every failure is a ``ServiceError`` with the gateway's typed reason; none of httpx's errors get out.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TypeVar
from urllib.parse import quote

import httpx
import httpx_sse
from pydantic import BaseModel, ValidationError

from medgemma_tui.closed_socket import group_of
from medgemma_tui.protocol import (
    AuditVerdict,
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    ErrorBody,
    ErrorInfo,
    EventBody,
    Health,
    HealthProgress,
    HealthRecord,
    HealthReport,
    ModelCard,
    ModelList,
    PrivacyReport,
    SessionBody,
    SessionReply,
    Telemetry,
    TokenizeReply,
    TokenizeRequest,
)
from medgemma_tui.protocol.memory import MemoryHelp

_M = TypeVar("_M", bound=BaseModel)


class ServiceError(Exception):
    """A call failed. ``status`` is the HTTP status, 0 when the gateway could not be reached or hung up.

    ``info.type`` is the gateway's typed reason (``loading``, ``queue_full``, ``too_large`` …), or
    ``unreachable`` / ``interrupted`` / ``bad_reply`` from this side, or ``forbidden`` with code ``no_permission``
    where the socket's file is closed to this user.
    """

    def __init__(self, status: int, info: ErrorInfo, retry_after_s: float | None = None) -> None:
        self.status = status
        self.info = info
        self.retry_after_s = retry_after_s
        super().__init__(info.message)


class Client:
    """Calls on one gateway socket. Use as an async context manager, or call ``close``.

    ``health``: the calls are a health run's, whose questions the service's own user may ask also while the box is not
    fit and ``when_unfit`` refuses all others.
    """

    def __init__(self, socket: Path, *, health: bool = False) -> None:
        self.socket = socket
        # One conversation's prefix cache is found again by this, whichever connection a call takes.
        headers = {"X-Medgemma-Session": secrets.token_hex(8)}
        if health:
            headers["X-Medgemma-Health"] = "1"
        self._http = httpx.AsyncClient(
            # A Unix socket knows no TLS, and reading the certificates for it takes 30 ms.
            transport=httpx.AsyncHTTPTransport(uds=str(socket), verify=False),
            base_url="http://gateway",
            timeout=httpx.Timeout(30.0, connect=5.0),
            headers=headers,
            trust_env=False,
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def health(self) -> Health:
        """``GET /health``; a 503 is an answer here, not an error. Raises ServiceError when unreachable."""
        async with _mapped(self.socket):
            response = await self._http.get("/health")
        return _parse(Health, response.text) if response.status_code == 503 else _checked(Health, response)

    async def model(self) -> ModelCard | None:
        """The model that answers, None while there is none."""
        models = await self._get("/v1/models", ModelList)
        return models.data[0] if models.data else None

    async def tokenize(self, request: TokenizeRequest) -> TokenizeReply:
        """Exact token counts. Raises ServiceError."""
        async with _mapped(self.socket):
            response = await self._http.post("/tokenize", content=_body(request), headers=_JSON)
        return _checked(TokenizeReply, response)

    async def chat(self, request: ChatRequest) -> ChatCompletion:
        """The whole reply at once. Raises ServiceError."""
        async with _mapped(self.socket):
            response = await self._http.post(
                "/v1/chat/completions", content=_chat_body(request, stream=False), headers=_JSON, timeout=None
            )
        return _checked(ChatCompletion, response)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk]:
        """The reply as it is written; the last chunk has ``usage``. Leaving the loop cancels the reply.

        Raises ServiceError, also when the stream ends without its last event.
        """
        async with (
            _mapped(self.socket),
            httpx_sse.aconnect_sse(
                self._http,
                "POST",
                "/v1/chat/completions",
                content=_chat_body(request, stream=True),
                headers=_JSON,
                timeout=httpx.Timeout(None, connect=5.0, read=SILENCE_S if request.wait else None),
            ) as source,
        ):
            await _raise_for_status(source.response)
            async for event in source.aiter_sse():
                if event.data == "[DONE]":
                    return
                if '"error"' in event.data[:12] or event.event == "error":
                    raise ServiceError(source.response.status_code, _parse(ErrorBody, event.data).error)
                yield _parse(ChatChunk, event.data)
            raise ServiceError(0, ErrorInfo(type="interrupted", message="the stream ended without its last event"))

    async def telemetry(self) -> AsyncGenerator[Telemetry]:
        """GPU and host samples until the caller leaves or the gateway ends. Raises ServiceError."""
        async with (
            _mapped(self.socket),
            httpx_sse.aconnect_sse(self._http, "GET", "/v1/telemetry", timeout=None) as source,
        ):
            await _raise_for_status(source.response)
            async for event in source.aiter_sse():
                yield _parse(Telemetry, event.data)

    async def privacy(self) -> PrivacyReport:
        """What the gateway and its worker try and read in their processes. Takes seconds. Raises ServiceError."""
        async with _mapped(self.socket):
            response = await self._http.get("/v1/privacy", timeout=_PRIVACY_S)
        return _checked(PrivacyReport, response)

    async def memory_help(self) -> MemoryHelp:
        """What the model needs of memory, who holds it, what would fit: for users and ops. Raises ServiceError."""
        return await self._get("/v1/memory", MemoryHelp)

    async def health_record(self) -> HealthRecord:
        """The last whole health run, those before it, and whether one is going on: for ops. Raises ServiceError."""
        return await self._get("/v1/health/report", HealthRecord)

    async def run_health(self, full: bool = False, new_baseline: bool = False) -> AsyncGenerator[HealthProgress]:
        """Have the gateway run the health checks: for ops. Each result as it arrives; the last event has the report.

        ``full``: hash every byte of the model. ``new_baseline``: take this run's speed as what later runs are compared
        with. Leaving the loop does not end the run. Raises ServiceError: 409
        ``health_running`` while a run is going on, ``health_failed`` (``code`` says how) where it ended without a
        report, also after it has begun.
        """
        timeout = httpx.Timeout(None, connect=5.0, read=SILENCE_S)
        params = {name: "1" for name, asked in (("full", full), ("new_baseline", new_baseline)) if asked}
        async with (
            _mapped(self.socket),
            httpx_sse.aconnect_sse(self._http, "POST", "/v1/health/run", params=params, timeout=timeout) as source,
        ):
            await _raise_for_status(source.response)
            async for event in source.aiter_sse():
                if event.event == "error":
                    raise ServiceError(source.response.status_code, _parse(ErrorBody, event.data).error)
                progress = _parse(HealthProgress, event.data)
                yield progress
                if progress.report is not None:
                    return
            raise ServiceError(0, ErrorInfo(type="interrupted", message="the run's stream ended without its report"))

    async def report_health(self, report: HealthReport) -> None:
        """Tell the gateway what a run found: for the gateway's own user. Raises ServiceError."""
        async with _mapped(self.socket):
            response = await self._http.post("/v1/health/report", content=_body(report), headers=_JSON)
        await _raise_for_status(response)

    async def audit_verdict(self) -> AuditVerdict:
        """The service's audit log, checked by the service: for auditors. Raises ServiceError."""
        async with _mapped(self.socket):
            response = await self._http.get("/v1/audit/verify", timeout=None)
        return _checked(AuditVerdict, response)

    async def audit_lines(self) -> AsyncGenerator[bytes]:
        """The lines of the service's audit log, oldest first, without their newlines: for auditors.

        Raises ServiceError.
        """
        async with _mapped(self.socket), self._http.stream("GET", "/v1/audit", timeout=None) as response:
            await _raise_for_status(response)
            rest = b""
            async for piece in response.aiter_bytes():
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    yield line
            if rest:
                yield rest

    async def park(self, body: SessionBody) -> None:
        """Keep a conversation in the gateway's memory. Raises ServiceError (409, 413, 507: see ``Sessions.park``)."""
        async with _mapped(self.socket):
            response = await self._http.put("/v1/session", content=_body(body), headers=_JSON)
        await _raise_for_status(response)

    async def parked(self) -> SessionReply | None:
        """This user's parked conversation, if there is one."""
        try:
            return await self._get("/v1/session", SessionReply)
        except ServiceError as error:
            if error.status == 404:
                return None
            raise

    async def forget(self) -> None:
        """Drop this user's parked conversation and what the engine keeps of this client's: a new patient."""
        await self._delete("/v1/session")

    async def drop(self, id: str) -> bool:
        """Drop the parked conversation with this id, nothing else. False where it is not there. Raises ServiceError."""
        try:
            await self._delete(f"/v1/session?id={quote(id)}")
        except ServiceError as error:
            if error.status == 404:
                return False
            raise
        return True

    async def leave(self) -> None:
        """Drop what the engine keeps of this client's conversation. A parked one stays: it is there to come back to."""
        await self._delete("/v1/session?parked=keep")

    async def note(self, event: EventBody) -> None:
        """Report what only this side knows, for the audit log: a login, a lock, a guard. Raises ServiceError.

        The first is ``login``; a screen whose telemetry stream ends without a ``logout`` is recorded as lost.
        """
        async with _mapped(self.socket):
            response = await self._http.post("/v1/events", content=_body(event), headers=_JSON)
        await _raise_for_status(response)

    async def _delete(self, path: str) -> None:
        async with _mapped(self.socket):
            response = await self._http.delete(path)
        await _raise_for_status(response)

    async def _get(self, path: str, kind: type[_M]) -> _M:
        async with _mapped(self.socket):
            response = await self._http.get(path)
        return _checked(kind, response)


SILENCE_S = 40.0
"""Seconds after which a gateway that says nothing is given up: one that lives says something every 10 to 20."""
_PRIVACY_S = 90.0
_JSON = {"Content-Type": "application/json"}


def _body(model: BaseModel) -> bytes:
    return model.model_dump_json(exclude_none=True, exclude_defaults=True, by_alias=True).encode()


def _chat_body(request: ChatRequest, *, stream: bool) -> bytes:
    return _body(request.model_copy(update={"stream": stream}))


def _parse(kind: type[_M], text: str) -> _M:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        where = ", ".join(".".join(map(str, item["loc"])) or "body" for item in error.errors()[:3])
        raise ServiceError(
            0, ErrorInfo(type="bad_reply", message=f"the reply is not a valid {kind.__name__}: {where}")
        ) from None


def _checked(kind: type[_M], response: httpx.Response) -> _M:
    if response.is_error:
        raise _error(response)
    return _parse(kind, response.text)


async def _raise_for_status(response: httpx.Response) -> None:
    if response.is_error:
        await response.aread()
        raise _error(response)


def _error(response: httpx.Response) -> ServiceError:
    try:
        info = ErrorBody.model_validate_json(response.text).error
    except ValidationError:
        info = ErrorInfo(type="bad_reply", message=f"HTTP {response.status_code}")
    try:
        retry_after = float(response.headers["Retry-After"])
    except (KeyError, ValueError):
        retry_after = None
    return ServiceError(response.status_code, info, retry_after)


def _is_closed(error: BaseException) -> bool:
    """Whether the file system refused, at the bottom of what httpx makes of it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PermissionError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


@asynccontextmanager
async def _mapped(socket: Path) -> AsyncIterator[None]:
    """Turn what the transport raises into ServiceError."""
    try:
        yield
    except httpx.ConnectError as error:
        if _is_closed(error):
            info = ErrorInfo(
                type="forbidden",
                message="the gateway's socket is closed to this user",
                code="no_permission",
                params={"group": group_of(socket)},
            )
            raise ServiceError(0, info) from None
        raise ServiceError(0, ErrorInfo(type="unreachable", message="the gateway's socket does not answer")) from None
    except httpx.ReadTimeout:
        raise ServiceError(
            0, ErrorInfo(type="interrupted", message="the gateway has said nothing for too long", code="silent")
        ) from None
    except (httpx.TransportError, httpx_sse.SSEError) as error:
        raise ServiceError(
            0, ErrorInfo(type="interrupted", message=f"the connection broke: {type(error).__name__}")
        ) from None

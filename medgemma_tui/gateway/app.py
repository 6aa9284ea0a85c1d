"""The gateway's routes, and what they share."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from medgemma_tui.audit.record import Entry, Event
from medgemma_tui.gateway import chronicle
from medgemma_tui.gateway.admission import Admission
from medgemma_tui.gateway.audit_pages import AuditPages
from medgemma_tui.gateway.auditing import Auditor
from medgemma_tui.gateway.board import Board, Signal
from medgemma_tui.gateway.chat import Chat
from medgemma_tui.gateway.connection import watch
from medgemma_tui.gateway.door import Door, Entrance, RoleGate
from medgemma_tui.gateway.fitness import LastRun
from medgemma_tui.gateway.health_pages import HealthPages
from medgemma_tui.gateway.incidents import Incidents
from medgemma_tui.gateway.logins import Logins
from medgemma_tui.gateway.memory_help import MemoryPage
from medgemma_tui.gateway.metrics import Metrics
from medgemma_tui.gateway.peers import Peer, login_name, of_health_run
from medgemma_tui.gateway.privacy_report import Proof
from medgemma_tui.gateway.roles import EVERY_ROLE, Policy, Role
from medgemma_tui.gateway.sessions import Sessions
from medgemma_tui.gateway.telemetry_stream import TelemetryStream
from medgemma_tui.gateway.upstream import EngineLost, EngineUnreachable, Upstream, refusal
from medgemma_tui.http_errors import ApiError, error_handler, error_response, read_body
from medgemma_tui.protocol import (
    MAX_BODY_BYTES,
    EventBody,
    ModelList,
    PrivacyFacts,
    ServiceSample,
    SessionBody,
    Telemetry,
    TokenizeRequest,
)
from medgemma_tui.quiet import Quiet, answers
from medgemma_tui.settings import Settings
from medgemma_tui.telemetry import host
from medgemma_tui.telemetry.sampler import Sampler

log = logging.getLogger(__name__)

_SAMPLE_S = 2.0
_OTHER_CALLS = 24
"""Calls of one user at once beside the questions that may be answered and wait."""

_USERS = frozenset({Role.USERS})
_OPS = frozenset({Role.OPS})
_USERS_AND_OPS = _USERS | _OPS
_AUDITORS = frozenset({Role.AUDITORS})
_OWN_USER: frozenset[Role] = frozenset()
"""Nobody but the gateway's own user and root."""
_EVENT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Gateway:
    """The parts that the routes use. ``worker_pid`` gives the worker's process id while it runs."""

    settings: Settings
    signal: Signal
    board: Board
    upstream: Upstream
    worker_pid: Callable[[], int | None]
    auditor: Auditor
    socket: Path
    """Our own."""

    def application(self, policy: Policy) -> Application:
        """The application for callers whom ``policy`` allows."""
        return Application(self, policy)


class Application:
    """The ASGI application with its queue, sessions, metrics and sampler. ``start`` and ``stop`` on its loop."""

    def __init__(self, gateway: Gateway, policy: Policy) -> None:
        settings = gateway.settings
        self._gateway = gateway
        self._auditor = auditor = gateway.auditor
        self._upstream = gateway.upstream
        self._board = gateway.board
        self._sessions = Sessions(
            settings.session_max_bytes,
            settings.parked_total_bytes,
            settings.session_ttl_s,
            lambda uid: auditor.later(Entry("wipe", "expired", uid, login_name(uid))),
        )
        self._body_limit = max(MAX_BODY_BYTES, 2 * settings.session_max_bytes)
        self._logins = Logins(auditor)
        self.incidents = Incidents(lambda incident: auditor.later(chronicle.incident_record(incident)))
        """Who is refused and dropped."""
        calls = settings.slots + settings.queue_per_user + _OTHER_CALLS
        self.door = Door(policy, self.incidents, calls_per_user=calls)
        self._admission = Admission(
            settings.slots, settings.queue_limit, settings.queue_per_user, gateway.board, gateway.signal
        )
        self._metrics = Metrics(
            lambda: (self._board.health, self._admission.waiting, self._admission.active, len(self._sessions)),
            lambda: auditor.figures,
            lambda: self._last_run.fitness,
        )
        self._last_run = LastRun(settings, gateway.board)
        self._health_pages = health = HealthPages(settings, gateway.socket, self._last_run, auditor)
        self._proof = Proof(gateway.upstream, gateway.board, gateway.worker_pid, foreign=settings.uses_engine)
        self._sampler = Sampler(settings.telemetry_interval_s, worker_pid=gateway.worker_pid, extra=self._sample)
        chat = Chat(
            self._admission, gateway.board, gateway.signal, gateway.upstream, self._metrics, auditor,
            self._last_run.judged,
        )  # fmt: skip
        pages = AuditPages(settings)
        memory = MemoryPage(settings, self._sampler, gateway.board, gateway.worker_pid)
        routes = [  # who may call what: one line a route
            self._route("POST", "/v1/chat/completions", chat, _USERS),
            self._route("POST", "/tokenize", self._tokenize, _USERS),
            self._route("GET", "/v1/models", self._models, _USERS),
            self._route("GET", "/v1/models/{id:path}", self._model, _USERS),  # another engine's id may be a path
            self._route("GET", "/health", self._health, EVERY_ROLE),
            self._route("GET", "/metrics", self._page, _OPS),
            self._route("GET", "/v1/telemetry", TelemetryStream(self._sampler, self._logins), _USERS_AND_OPS),
            self._route("GET", "/v1/privacy", self._privacy, EVERY_ROLE),
            self._route("PUT GET DELETE", "/v1/session", self._session, _USERS),
            self._route("POST", "/v1/events", self._events, EVERY_ROLE),
            self._route("GET", "/v1/health/report", health.record, _OPS),
            self._route("POST", "/v1/health/report", health.told, _OWN_USER),
            self._route("POST", "/v1/health/run", health.run, _OPS),
            self._route("GET", "/v1/memory", memory.reply, _USERS_AND_OPS),
            self._route("GET", "/v1/audit", pages.lines, _AUDITORS),
            self._route("GET", "/v1/audit/verify", pages.verify, _AUDITORS),
        ]
        handlers = {ApiError: error_handler, HTTPException: _routing_error, Exception: answers("the gateway")}
        inside = Entrance(Starlette(routes=routes, exception_handlers=handlers), self.door)
        self._app: ASGIApp = Quiet(inside, "the gateway", log)

    def _route(self, methods: str, path: str, endpoint: Callable[..., object], roles: frozenset[Role]) -> Route:
        gate = Middleware(RoleGate, self.door, roles)
        return Route(path, endpoint, methods=methods.split(), middleware=[gate])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        await self._app(scope, receive, send)

    def start(self) -> None:
        """Start the sampler, the watch over the connections, and that for health reports."""
        self._sampler.start()
        self._tasks = [asyncio.ensure_future(watch(self.door)), asyncio.ensure_future(self._last_run.run())]

    async def stop(self, *, lost: bool = False) -> None:
        """End telemetry streams, wipe parked conversations. ``lost``: the screen that held us is gone."""
        for task in self._tasks:
            task.cancel()
        await self._health_pages.stop()
        self.incidents.stop()
        self._sessions.drop_all()
        self._logins.end_all("lost" if lost else "service_ended")
        await asyncio.to_thread(self._sampler.stop)

    async def _health(self, request: Request) -> Response:
        known = self._board.health_for_checks if of_health_run(_peer(request), request) else self._board.health
        health = known.model_copy(update={"audit": self._auditor.head})
        return _json(health, status=200 if health.status == "ok" else 503)

    async def _tokenize(self, request: Request) -> Response:
        return await self._pass_on(request, "POST", "/tokenize", await read_body(request, TokenizeRequest))

    async def _models(self, request: Request) -> Response:
        return await self._pass_on(request, "GET", "/v1/models")

    async def _model(self, request: Request) -> Response:
        reply = await self._models(request)
        for card in ModelList.model_validate_json(bytes(reply.body)).data:
            if card.id == request.path_params["id"]:
                return _json(card)
        raise ApiError(404, "not_found", "there is no such model here", code="model_not_found", param="model")

    async def _pass_on(self, request: Request, method: str, path: str, body: BaseModel | None = None) -> Response:
        try:
            answer = await self._upstream.call(method, path, body, owner=_owner(request))
        except (EngineUnreachable, EngineLost):
            raise _lost() if self._board.ready_for(checks=True) else self._board.refusal(checks=True) from None
        if answer.status >= 400:
            raise refusal(answer)
        return Response(answer.body, status_code=answer.status, media_type="application/json")

    async def _page(self, _request: Request) -> Response:
        return Response(self._metrics.text(await self._current()), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _current(self) -> Telemetry | None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SAMPLE_S):
                return await self._sampler.current()
        return None

    async def _privacy(self, _request: Request) -> Response:
        return _json(await self._proof.report())

    async def _session(self, request: Request) -> Response:
        calls = {"PUT": self._put_session, "DELETE": self._delete_session}
        return await calls.get(request.method, self._get_session)(request)

    async def _put_session(self, request: Request) -> Response:
        body = await read_body(request, SessionBody, limit=self._body_limit)
        self._sessions.park(_peer(request).uid, body)
        self._record(request, "park", "ok", {"bytes": len(body.payload.encode("utf-8", "surrogatepass"))})
        return Response(status_code=204)

    async def _get_session(self, request: Request) -> Response:
        reply = self._sessions.get(_peer(request).uid)
        self._record(request, "take_back", "given", {"expires_in_s": round(reply.expires_in_s)})
        return _json(reply)

    async def _delete_session(self, request: Request) -> Response:
        """Forget the parked conversation, and have the worker forget what it keeps of this owner's.

        With ``?parked=keep`` the parked one stays: it is the user's, the other this client's, which leaves. With
        ``?id=`` the parked one with that id is dropped and nothing else; 404 where it is not there.
        """
        if "id" in request.query_params:
            self._sessions.drop_one(_peer(request).uid, request.query_params["id"])
            self._record(request, "wipe", "dropped")
            return Response(status_code=204)
        parked = request.query_params.get("parked", "drop")
        if parked not in ("drop", "keep"):
            raise ApiError(400, "invalid_request_error", "parked: may be drop or keep", param="parked")
        if parked == "drop":
            self._sessions.drop(_peer(request).uid)
        self._record(request, "wipe", "asked" if parked == "drop" else "left")
        if not self._gateway.settings.uses_engine:
            try:
                answer = await self._upstream.call("DELETE", "/v1/session", owner=_owner(request), timeout_s=5.0)
                if answer.status >= 400:
                    raise refusal(answer)
            except (EngineUnreachable, EngineLost):  # a worker that is gone keeps nothing
                log.info("no worker to tell that a conversation is forgotten")
        return Response(status_code=204)

    async def _events(self, request: Request) -> Response:
        """What only the screen knows, for the audit log; whose it is, the kernel says."""
        body = await read_body(request, EventBody, limit=_EVENT_BYTES)
        self._logins.note(_peer(request), _owner(request), body)
        return Response(status_code=204)

    def _record(
        self, request: Request, event: Event, outcome: str, counters: dict[str, int | float | str] | None = None
    ) -> None:
        peer = _peer(request)
        self._auditor.later(Entry(event, outcome, peer.uid, peer.name, counters=counters or {}), _owner(request))

    def _sample(self) -> tuple[ServiceSample, PrivacyFacts]:
        """Our part of a telemetry sample. Called on the sampling thread; reads figures only."""
        pid = self._gateway.worker_pid()
        service = ServiceSample(
            queued=self._admission.waiting,
            active=self._admission.active,
            parked_sessions=len(self._sessions),
            parked_bytes=self._sessions.total_bytes,
            worker_pid=pid,
            worker_rss=None if pid is None else host.rss(pid),
            tokens_per_second=self._metrics.last_speed,
            ready=self._board.ready,
            fitness=self._last_run.fitness,
        )
        return service, self._proof.facts()


def _peer(request: Request) -> Peer:
    peer: Peer = request.scope["state"]["peer"]
    return peer


def _owner(request: Request) -> str:
    return _peer(request).owner(request.headers.get("x-medgemma-session"))


def _json(body: BaseModel, status: int = 200) -> Response:
    return Response(body.model_dump_json(exclude_none=True), status_code=status, media_type="application/json")


def _lost() -> ApiError:
    return ApiError(503, "worker_lost", "the model process does not answer", retry_after_s=1)


async def _routing_error(request: Request, error: Exception) -> Response:
    """404 and 405 in OpenAI's shape."""
    if not isinstance(error, HTTPException):
        raise error
    kind = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request_error")
    what = json.dumps(f"{request.method} {request.url.path}"[:120])
    response = error_response(ApiError(error.status_code, kind, f"there is no {what} here", code=kind))
    response.headers.update(error.headers or {})
    return response

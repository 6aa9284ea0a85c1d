"""What ``ask`` tells the audit log: that the guard fired, and never what it found."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import pytest

from medgemma_tui import ask, i18n, launch
from medgemma_tui.client import ServiceError
from medgemma_tui.clinical.findings import IdentifierKind
from medgemma_tui.protocol import (
    ChatChunk,
    ChatRequest,
    ErrorInfo,
    EventBody,
    Fitness,
    ModelCard,
    ServiceSample,
    Telemetry,
)
from medgemma_tui.settings import Settings

WHO = "患者姓名：王小明，65岁男性，心梗，如何治疗？"


class Client:
    """A service that answers everything alike and keeps the events; ``full``: it takes none."""

    full = False

    def __init__(self, _socket: Path | None = None) -> None:
        self.events: list[EventBody] = []
        self.asked = 0
        self.fitness: Fitness | None = None
        self.late = False  # the reports are looked at after the first figures, as by a service that just started
        self._looked = asyncio.Event()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_what: object) -> None:
        pass

    async def note(self, event: EventBody) -> None:
        if self.full:
            raise ServiceError(503, ErrorInfo(type="audit_full", message="full"))
        self.events.append(event)

    async def telemetry(self) -> AsyncIterator[Telemetry]:
        if self.late:
            yield Telemetry(time=0.0)
        yield Telemetry(time=1.0, service=ServiceSample(fitness=self.fitness))
        self._looked.set()

    async def model(self) -> ModelCard:
        return ModelCard(id="m")

    async def stream(self, _request: ChatRequest) -> AsyncIterator[ChatChunk]:
        self.asked += 1
        if self.late:
            await self._looked.wait()  # the model loads meanwhile
        yield ChatChunk.model_validate({"choices": [{"delta": {"content": "fine"}, "finish_reason": "stop"}]})


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    i18n.set_language("en")
    service = Client()

    @contextlib.asynccontextmanager
    async def started(_settings: Settings) -> AsyncIterator[Client]:
        yield service

    monkeypatch.setattr(launch, "service", started)
    monkeypatch.setattr(ask, "Client", lambda _socket: service)
    return service


def test_every_kind_of_identifier_can_be_counted_in_an_event():
    for kind in get_args(IdentifierKind):
        EventBody.model_validate({"event": "guard", "outcome": "sent", "counts": {kind: 1}})


@pytest.mark.parametrize(("policy", "outcome"), [("warn", "sent"), ("mask", "masked")])
def test_it_is_told_before_the_question_is_sent(client: Client, policy: str, outcome: str) -> None:
    assert ask.run(Settings(engine_socket=Path("/x"), identifiers=policy), WHO, as_json=False) == 0
    assert client.events == [EventBody(event="guard", outcome=outcome, counts={"name": 1})]
    assert client.asked == 1


def test_a_question_that_is_not_sent_is_told_only_where_a_service_is_there(client: Client) -> None:
    assert ask.run(Settings(engine_socket=Path("/x"), identifiers="block"), WHO, as_json=True) == 2
    assert client.events == []
    assert ask.run(Settings(socket=Path("/x.sock"), identifiers="block"), WHO, as_json=False) == 2
    assert client.events == [EventBody(event="guard", outcome="blocked", counts={"name": 1})]
    assert client.asked == 0


def test_nothing_found_tells_nothing_and_a_full_log_stops_nobody_here(client: Client) -> None:
    assert ask.run(Settings(engine_socket=Path("/x")), "心梗如何治疗？", as_json=False) == 0
    assert client.events == []
    client.full = True
    assert ask.run(Settings(engine_socket=Path("/x")), WHO, as_json=False) == 0
    assert client.asked == 2


def test_an_unfit_box_is_told_on_stderr_and_the_answer_stays_alone_on_stdout(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    for verdict, refuses, told in (("critical", False, True), ("warning", False, False), ("critical", True, False)):
        client.fitness = Fitness(verdict=verdict, at=1.0, failing=["model.hashes", "gpu.xid"], refuses=refuses)
        assert ask.run(Settings(engine_socket=Path("/x")), "心梗如何治疗？", as_json=False) == 0
        out, err = capsys.readouterr()
        assert out == "fine\n"
        assert ("this box is NOT FIT. First: Model files against their hashes, and 1 more." in err) == told


def test_the_verdict_of_a_service_that_has_just_started_is_told_though_its_first_figures_lack_it(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    client.late = True
    client.fitness = Fitness(verdict="critical", at=1.0, failing=["model.hashes"])
    assert ask.run(Settings(engine_socket=Path("/x")), "心梗如何治疗？", as_json=False) == 0
    assert "this box is NOT FIT. Not fit: Model files against their hashes." in capsys.readouterr().err

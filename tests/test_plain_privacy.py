"""Plain mode's line about privacy: once for each state, and none where all is shut."""

from __future__ import annotations

import asyncio

import pytest

from medgemma_tui import i18n, plain_privacy
from medgemma_tui.client import ServiceError
from medgemma_tui.protocol import ErrorInfo, Fitness, PrivacyFacts, ProcessSeal, ServiceSample, Telemetry

SHUT = ProcessSeal(inet_sockets=0)
OPEN = ProcessSeal(inet_sockets=0, open=["seccomp"], codes={"seccomp": "no_libseccomp"})
SWAP = ProcessSeal(inet_sockets=0, warnings=["swap"], codes={"swap": "swap_plain"})


class Service:
    """A client whose figures a test chooses; ``fails``: one that has none."""

    def __init__(self) -> None:
        self.gateway: ProcessSeal = SHUT
        self.worker: ProcessSeal | None = None
        self.fails = False
        self.fitness: Fitness | None = None

    async def telemetry(self):
        if self.fails:
            raise ServiceError(0, ErrorInfo(type="unreachable", message="gone"))
        running = self.worker is not None
        facts = PrivacyFacts(
            gateway_inet_sockets=0, gateway=self.gateway, worker=self.worker,
            worker_inet_sockets=0 if running else None,
        )  # fmt: skip
        yield Telemetry(
            time=1.0, privacy=facts, service=ServiceSample(worker_pid=7 if running else None, fitness=self.fitness)
        )
        await asyncio.Event().wait()


@pytest.fixture
def notice(monkeypatch):
    i18n.set_language("en")
    own = [SHUT]

    class Watch:
        def __init__(self, process):
            assert process == "screen"

        def read(self):
            return own[0]

    printed: list[str] = []
    monkeypatch.setattr(plain_privacy, "Watch", Watch)
    monkeypatch.setattr(plain_privacy, "tell", printed.append)
    made, service = plain_privacy.Notice(), Service()

    async def told():
        printed.clear()
        await made.tell(service)
        return printed

    return service, own, told


async def test_nothing_is_said_where_all_is_shut_or_not_known_yet(notice):
    service, own, told = notice
    assert await told() == []
    service.worker = SHUT
    assert await told() == []
    service.fails = True
    assert await told() == []
    own[0] = None
    assert await told() == []


async def test_what_is_not_shut_is_said_once_for_each_state(notice):
    service, own, told = notice
    own[0] = service.gateway = SWAP
    assert await told() == ["Privacy: sealed, but swap is not encrypted (screen, gateway) · 0 network sockets"]
    service.worker = SWAP  # the same thing in one process more is no news
    assert await told() == []
    service.worker = OPEN
    assert await told() == ["Privacy: not sealed · worker: no system call filter"]
    assert await told() == []


async def test_the_screens_own_state_is_said_without_a_service(notice):
    service, own, told = notice
    service.fails, own[0] = True, OPEN
    assert await told() == ["Privacy: not sealed · screen: no system call filter"]


async def test_an_unfit_box_is_told_once_and_again_when_it_is_news(notice):
    service, _own, told = notice
    service.fitness = Fitness(verdict="critical", at=1.0, failing=["model.hashes"])
    (line,) = await told()
    assert "this box is NOT FIT. Not fit: Model files against their hashes." in line
    assert "medgemma-tui health --last" in line
    assert await told() == []
    service.fitness = Fitness(verdict="critical", at=1.0, failing=["model.hashes"], refuses=True)
    assert "no question is answered" in (await told())[0]
    service.fitness = Fitness(verdict="warning", at=9.0, failing=["gpu.xid"])
    assert await told() == []

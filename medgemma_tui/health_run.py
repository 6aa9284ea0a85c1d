"""Getting a report: from checks that run in this process, from the gateway, or the last one that was kept."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medgemma_tui import launch, problems, waiting
from medgemma_tui.client import Client, ServiceError
from medgemma_tui.exits import ExitCode
from medgemma_tui.health import registry, run
from medgemma_tui.health.check import Outcome
from medgemma_tui.health.checks.service import settings as settings_check
from medgemma_tui.health.context import Context
from medgemma_tui.health.formats.view import View, without_report
from medgemma_tui.health.store import Store, StoreError, directory_of
from medgemma_tui.health_progress import Progress
from medgemma_tui.health_service import GONE, as_served, by_us, meant, record, remembered, served
from medgemma_tui.i18n import _
from medgemma_tui.protocol import HealthRecord, HealthReport, Phase, worst
from medgemma_tui.safetext import clean_line
from medgemma_tui.settings import SERVICE_SOCKET, Settings, SettingsError

STALE_S: Final = 26 * 3600.0
"""A report that is older tells nothing of today: the timer runs once a day."""
_AHEAD_S: Final = 300.0
"""A report that began so much later than now began under a clock that was wrong, or is now."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be run. ``events``: on the gateway's behalf, which is not told and not asked to run it itself."""

    phase: Phase
    selection: run.Selection
    full: bool = False
    new_baseline: bool = False
    events: bool = False


class LeftRunning(Exception):
    """The user left while the service's run goes on. ``code``: the exit code."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__("left")


def get(settings: Settings, wanted: Wanted, progress: Progress) -> View:
    """A fresh report, saved and told where it is a whole one of the running system. Raises LeftRunning."""
    if wanted.phase == "health":
        settings = meant(settings)
    socket = launch.service_socket(settings)
    ours = by_us(socket)
    by_gateway = socket is not None and not ours and wanted.phase == "health" and not wanted.events
    if by_gateway and not (wanted.selection.partial and os.geteuid() == 0):
        assert socket is not None
        if wanted.selection.timeout_s is not None:
            remark(_("The service runs the checks, each in its own time: --timeout does not count."))
        found = _by_gateway(socket, wanted, progress)
        if found is not None:
            return found
        progress.clear()
        remark(_("The service does not answer. The checks run in this process instead."))
    keep = ours or os.geteuid() == 0
    if socket is not None and keep and wanted.phase == "health" and not wanted.events:
        settings = as_served(settings, served(settings, socket))
    return View(_here(settings, wanted, socket, progress, keep=keep))


def last(settings: Settings) -> View:
    """The last whole report without running anything, UNKNOWN where it is old. A service tells it, which knows it also
    where it could not be kept; its store is read where it does not."""
    settings = meant(settings)
    socket = launch.service_socket(settings)
    demo = settings.uses_demo and socket is None
    looks = _may_read_store(settings, socket)
    told: HealthRecord | None = None
    try:
        told = record(socket) if socket is not None else None
    except ServiceError as error:
        if not looks or error.info.type not in GONE:
            return without_report(problems.sentence(error.info), "health", demo=demo)
    known = told.report if told is not None else None
    kept = _kept(settings, socket, told) if looks else None
    report = max((each for each in (known, kept) if each is not None), key=lambda each: each.started, default=None)
    if report is None:
        return without_report(_("There is no report yet: run medgemma-tui health."), "health", demo=demo)
    age = time.time() - report.started
    if age < -_AHEAD_S:
        return View(report, _("the last report is from the future by this box's clock; set the clock: timedatectl"))
    if age > STALE_S:
        old = _("the last report is {hours} hours old; look at the timer: systemctl status medgemma-health.timer")
        return View(report, old.format(hours=f"{age / 3600:.0f}"))
    return View(report)


def remark(text: str) -> None:
    """What is not part of the report: on stderr."""
    with contextlib.suppress(OSError):
        print(clean_line(text), file=sys.stderr)


# --- the gateway's run ---


def _by_gateway(socket: Path, wanted: Wanted, progress: Progress) -> View | None:
    """The report of a run by the gateway; None where it does not answer, or died over it."""
    try:
        report = asyncio.run(_followed(socket, wanted, progress))
    except ServiceError as error:
        if error.info.type in GONE:
            return None
        return without_report(_why_not(error), wanted.phase, demo=False)
    except KeyboardInterrupt:
        raise LeftRunning(ExitCode.INTERRUPTED) from None
    except SystemExit as stop:
        raise LeftRunning(int(stop.code or 0)) from None
    if not wanted.selection.partial:
        return View(report)
    chosen = {check.id for check in registry.CHECKS if wanted.selection.wants(check)}
    results = [result for result in report.results if result.id in chosen]
    verdict = worst([result.status for result in results])
    return View(report.model_copy(update={"results": results, "verdict": verdict, "partial": True}))


def _why_not(error: ServiceError) -> str:
    if error.info.type == "health_running":
        return _("Another health run is going on. Look at its report in a moment: medgemma-tui health --last")
    return problems.sentence(error.info)


async def _followed(socket: Path, wanted: Wanted, progress: Progress) -> HealthReport:
    async with (
        Client(socket) as client,
        contextlib.aclosing(client.run_health(wanted.full, wanted.new_baseline)) as events,
    ):
        async for event in events:
            if event.report is not None:
                return event.report
            progress.event(event)
    raise AssertionError("run_health raises where there is no report")


# --- a run of our own ---


def _here(settings: Settings, wanted: Wanted, service: Path | None, progress: Progress, *, keep: bool) -> HealthReport:
    store = Store(directory_of(settings))
    with _asked(settings, wanted, service) as socket:
        context = Context(
            settings,
            store,
            phase=wanted.phase,
            socket=socket,
            full=wanted.full,
            new_baseline=wanted.new_baseline,
            told=progress.told,
        )
        report = run.run(context, registry.CHECKS, wanted.selection, progress.arrived)
    if keep and wanted.phase == "health" and not report.partial:
        progress.clear()
        _save(store, report)
        if service is not None and not wanted.events:
            _tell(service, report)
    progress.finished(report)
    return report


@contextlib.contextmanager
def _asked(settings: Settings, wanted: Wanted, service: Path | None) -> Iterator[Path | None]:
    """The socket that the checks ask: the service's, else for a run of the running system a private gateway's."""
    if service is not None or wanted.phase == "preflight":
        yield service
        return
    gateway = launch.PrivateGateway(settings)
    try:
        asyncio.run(_started(gateway))
        yield gateway.socket
    finally:
        gateway.stop()


async def _started(gateway: launch.PrivateGateway) -> None:
    """Start it, and wait for its model. Where that fails the checks will say so, and we say why."""
    gateway.start()
    clock = asyncio.get_running_loop().time
    end = clock() + launch.STARTING_GRACE_S
    while not gateway.socket.exists():
        if gateway.exit_code() is not None or clock() > end:
            remark(_("The service on this box could not be started: {detail}").format(detail=gateway.last_error()))
            return
        await asyncio.sleep(0.05)
    try:
        async with Client(gateway.socket, health=True) as client:
            health = await waiting.loaded(client)
    except ServiceError as error:
        remark(problems.sentence(error.info))
        return
    if why := problems.health_sentence(health):
        remark(why)


def _may_read_store(settings: Settings, socket: Path | None) -> bool:
    """Whether the reports of the service at ``socket`` lie where we can look, or there is no service."""
    if socket == SERVICE_SOCKET:
        return os.access(directory_of(settings), os.R_OK | os.X_OK)
    return by_us(socket) or (os.geteuid() == 0 and settings.health_dir is not None)


def _kept(settings: Settings, service: Path | None, told: HealthRecord | None) -> HealthReport | None:
    """The newest report on the model that is asked for: a try of the demo is none on the site's model. Where a service
    is meant that model is the service's; while it is not known which that is, the newest on any."""
    reports = Store(directory_of(settings)).reports()
    if service is None:
        demo: bool | None = settings.uses_demo
    else:
        what = remembered(settings, told)
        demo = what.demo if what is not None else None
    ours = [report for report in reports if demo is None or report.demo == demo]
    return max(ours, key=lambda report: report.started, default=None)


def _save(store: Store, report: HealthReport) -> None:
    try:
        store.save(report)
    except StoreError as error:
        remark(_("The report could not be kept, so --last and the history lack it: {reason}").format(reason=error))


def _tell(socket: Path, report: HealthReport) -> None:
    """The gateway shows the report to everybody. That it could not be told changes no verdict."""

    async def told() -> None:
        async with Client(socket) as client:
            await client.report_health(report)

    try:
        asyncio.run(told())
    except ServiceError as error:
        remark(_("The service could not be told of this report: {reason}").format(reason=problems.sentence(error.info)))


# --- settings that are not valid ---


def without_settings(phase: Phase, error: SettingsError) -> View:
    """The report where the settings cannot be read: that is critical, and nothing else could be looked at."""
    problems_ = [each if error.source == "settings" else f"{error.source}: {each}" for each in error.problems]
    found = run.result_of("service.settings", settings_check.invalid(problems_))
    results = [
        found if check.id == found.id else run.result_of(check.id, Outcome("no_settings"))
        for check in registry.CHECKS
        if phase in check.phases
    ]
    empty = without_report("", phase, demo=False).report
    return View(empty.model_copy(update={"results": results, "verdict": worst([each.status for each in results])}))

"""The members of a support bundle, and what could not be had of them."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel

from medgemma_tui import launch
from medgemma_tui.audit import places
from medgemma_tui.audit.verify import verify
from medgemma_tui.client import Client, ServiceError
from medgemma_tui.health import store
from medgemma_tui.health.bundle import facts, masking, units
from medgemma_tui.i18n import N_, _
from medgemma_tui.protocol import ErrorInfo, Health, HealthReport
from medgemma_tui.settings import Settings, SettingsError, run_dir

_T = TypeVar("_T")

TOP: Final = "medgemma-support"
"""The directory that everything lies in."""
SERVICE_REPORTS: Final = Path("/var/lib/medgemma/health")
"""Where the installed service's runs leave their reports."""
_ASK_S: Final = 15.0
_AUDIT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Member:
    """One file. ``about``: what it is, as a message id."""

    name: str
    data: bytes
    about: str


@dataclass(slots=True)
class Contents:
    """The files, and what is missing with the reason in a few words."""

    members: list[Member] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, about: str, data: str | BaseModel) -> None:
        """One more file."""
        text = data if isinstance(data, str) else data.model_dump_json(indent=1) + "\n"
        self.members.append(Member(f"{TOP}/{name}", text.encode("utf-8", "replace"), about))

    def attempt(self, name: str, about: str, make: Callable[[], str | BaseModel]) -> None:
        """One more file, if it can be had."""
        try:
            self.add(name, about, make())
        except units.NotTold as reason:
            self.missing.append((name, str(reason)))
        except ServiceError as error:
            self.missing.append((name, f"the service does not tell ({error.info.type})"))
        except SettingsError as error:
            self.missing.append((name, "; ".join(error.problems)))
        except Exception as error:  # its text may quote what it was about
            self.missing.append((name, type(error).__name__))


def collect(settings: Settings) -> Contents:
    """Everything that this user may see of it. Blocks for some seconds."""
    found = Contents()
    socket = launch.service_socket(settings)
    found.attempt("versions.json", N_("versions of system, driver and packages"), lambda: _in_time(facts.versions))
    found.attempt("settings.json", N_("the settings in use"), lambda: facts.settings_in_use(settings))
    _add_reports(found, settings, socket)
    if socket is not None:
        found.attempt("service/health.json", N_("the service's state now"), lambda: _health(socket))
    found.attempt("service/units.txt", N_("the state of the systemd units"), units.status)
    found.attempt("service/journal.txt", N_("the service's own log"), lambda: units.journal().text())
    for number, log in enumerate(_private_logs(), 1):
        told = partial(_text_of, log)
        found.attempt(f"service/private-gateway-{number}.txt", N_("the log of a gateway started for one user"), told)
    about = N_("whether the audit log is whole; nothing that is in it")
    found.attempt("audit-verdict.json", about, lambda: _verdict(settings, socket))
    found.members.insert(0, _readme(found))
    return found


def _add_reports(found: Contents, settings: Settings, socket: Path | None) -> None:
    """The reports that are kept here; else the newest one, of the service."""
    reports: list[HealthReport] = []
    first, *others = _report_directories(settings, socket)
    reports = store.Store(first).reports()
    if not reports and socket is not None:
        try:
            record = _asked(socket, lambda client: client.health_record())
            reports = [record.report] if record.report is not None else []
        except ServiceError:
            reports = []
    for directory in others:  # whoever asks about the service wants its report before his own tries
        reports = reports or store.Store(directory).reports()
    if not reports:
        found.missing.append(("reports/", "no report can be read; make the bundle as the service's user, or as root"))
    for number, report in enumerate(reports):
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(report.started))
        found.add(f"reports/{number + 1:02d}-{stamp}.json", N_("a health report"), masking.report(report))


def _report_directories(settings: Settings, socket: Path | None) -> list[Path]:
    """Where reports may be: where a service is meant, the installed one's before this user's own."""
    try:
        own = store.directory_of(settings)
    except SettingsError:
        return [SERVICE_REPORTS]
    return [own] if settings.health_dir is not None or socket is None else [SERVICE_REPORTS, own]


def _asked(socket: Path, ask: Callable[[Client], Awaitable[_T]], seconds: float = _ASK_S) -> _T:
    """What the service answers. Raises ServiceError, also where it says nothing in time."""

    async def asked() -> _T:
        try:
            async with asyncio.timeout(seconds), Client(socket, health=True) as client:
                return await ask(client)
        except TimeoutError:
            raise ServiceError(0, ErrorInfo(type="interrupted", message="no answer in time", code="silent")) from None

    return asyncio.run(asked())


def _health(socket: Path) -> Health:
    health = _asked(socket, lambda client: client.health())
    return health.model_copy(update={"detail": masking.line(health.detail), "params": masking.params(health.params)})


def _verdict(settings: Settings, socket: Path | None) -> str:
    """The service's own verdict, else over the log that the settings name."""
    if socket is not None:
        found = _asked(socket, lambda client: client.audit_verdict(), _AUDIT_S)
    else:
        where = places.of(settings)
        found = verify(where.directory, where.key, where.anchors)
    return masking.data(found.model_dump_json(indent=1)) + "\n"


def _text_of(log: Path) -> str:
    return units.of_file(log).text()


def _private_logs() -> list[Path]:
    """The logs of private gateways of this user that live now."""
    try:
        return sorted(run_dir().glob("*/gateway.log"))
    except (SettingsError, OSError):
        return []


def _in_time(make: Callable[[], _T]) -> _T:
    """What ``make`` makes, on a thread that is left behind where it hangs. Raises NotTold."""
    made: queue.SimpleQueue[_T | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            made.put(make())
        except Exception as error:
            made.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        result = made.get(timeout=_ASK_S)
    except queue.Empty:
        raise units.NotTold("the driver does not answer") from None
    if isinstance(result, Exception):
        raise result
    return result


def _readme(found: Contents) -> Member:
    """What is in the bundle, for who opens it and for who decides whether it may leave the box."""
    lines = [
        _("Support bundle of medgemma-tui"),
        "",
        _("In it:"),
        *(f"  {member.name.removeprefix(f'{TOP}/')}: {_(member.about)}" for member in found.members),
        *([""] if found.missing else []),
        *([_("Could not be had:")] if found.missing else []),
        *(f"  {name}: {reason}" for name, reason in found.missing),
        "",
        _(
            "Not in it, on purpose: conversations, questions and answers, parked sessions, the audit log and its key, "
            "the environment, files that the settings name, command lines of other programs, login names of persons."
        ),
        _("The name of the box, of its groups and of its files' places are in it."),
        _("Look through it before you hand it on: it is text only (tar -xzf FILE)."),
        "",
    ]
    return Member(f"{TOP}/README.txt", "\n".join(lines).encode(), N_("this list"))

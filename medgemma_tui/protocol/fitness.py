"""What a health run found: the report that ``health --format json``, the gateway and the screen share.

The documented schema of ``--format json`` is ``HealthReport``. Ids and codes are stable; a reader words them by
``health.meanings``. A field may be added; none is renamed or taken away within one ``schema_version``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from medgemma_tui.protocol.base import Reply
from medgemma_tui.protocol.privacy import AuditHead

Status = Literal["ok", "warning", "unknown", "critical", "skipped"]
"""``unknown``: could not be measured, and so not ok. ``skipped``: does not apply here, or was left out on request."""
Phase = Literal["preflight", "health"]
"""``preflight``: nothing is loaded yet. ``health``: the running system."""
Unit = Literal["", "B", "s", "%", "C", "W", "MHz", "tok/s"]


class Figure(Reply):
    """One measured number, with the thresholds it was judged by. ``label`` tells several of one name apart: a card's
    index, a place. ``below``: the thresholds are passed downwards (free space), not upwards (temperature)."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    value: FiniteFloat
    unit: Unit = ""
    label: str = ""
    warning: FiniteFloat | None = None
    critical: FiniteFloat | None = None
    below: bool = False


class Item(Reply):
    """One line under a result: a process that holds memory, an event in the kernel's log, a missing fact."""

    code: str
    params: dict[str, str] = {}


class CheckResult(Reply):
    """What one check found. ``id`` is ``group.name``. ``code`` names the outcome, ``params`` the values its words
    need, as text. ``seconds``: how long it took."""

    id: str
    status: Status
    code: str
    params: dict[str, str] = {}
    figures: list[Figure] = []
    items: list[Item] = []
    seconds: float = 0.0

    @property
    def group(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]


class HealthReport(Reply):
    """A whole run. ``verdict`` is never greener than its results."""

    schema_version: Literal[1] = 1
    phase: Phase
    started: float
    """Seconds since 1970."""
    seconds: float
    version: str
    """Of this program."""
    box: str
    """The name of the box."""
    demo: bool
    """True where the demo model answers: DEMO, NOT MEDICAL."""
    full: bool = False
    """True where every byte of the model was hashed."""
    partial: bool = False
    """True where checks were left out on request: no verdict about the box."""
    verdict: Status
    results: list[CheckResult]
    audit: AuditHead | None = None
    """The newest record of the audit log at the time of the run: the report anchors it."""


class Fitness(Reply):
    """The verdict in short, for the status bar: of the last whole run. ``failing``: ids of results that are not ok, the
    worst first. ``refuses``: by the site's policy no question is answered until a run finds the box fit."""

    verdict: Status
    at: float
    """When that run started, in seconds since 1970."""
    failing: list[str] = []
    refuses: bool = False


class RunBrief(Reply):
    """One run of the history: its verdict, each check's status by id, and the figures that are drawn over time."""

    started: float
    verdict: Status
    statuses: dict[str, Status] = {}
    tokens_per_second: float | None = None
    vram_free: float | None = None
    """Bytes, of the card with least."""


class Served(Reply):
    """What the service serves, by its command line and settings: a run that does not come from it must look at the same
    model. ``model``: its directory; empty for the demo's own, and for another engine."""

    demo: bool
    model: str = ""
    engine_socket: str = ""
    max_model_len: int | None = None
    slots: int


class HealthRecord(Reply):
    """``GET /v1/health/report``: the last whole run, None before the first; the last 30 runs, oldest first; whether
    one is going on; and what is served."""

    report: HealthReport | None = None
    history: list[RunBrief] = []
    running: bool = False
    served: Served | None = None


class HealthProgress(Reply):
    """One event of ``POST /v1/health/run``: a result as it arrives, or the report at the end. ``total``: of checks."""

    done: int
    total: int
    result: CheckResult | None = None
    doing: str = ""
    """The id of a check that takes long, with ``percent`` of it done."""
    percent: float | None = None
    report: HealthReport | None = None


_ORDER: dict[Status, int] = {"skipped": 0, "ok": 1, "warning": 2, "unknown": 3, "critical": 4}


def worst(statuses: list[Status]) -> Status:
    """The verdict over these: the worst of them. Nothing measured at all is ``unknown``, never ``ok``."""
    found: Status = max(statuses, key=_ORDER.__getitem__, default="skipped")
    return "unknown" if found == "skipped" else found

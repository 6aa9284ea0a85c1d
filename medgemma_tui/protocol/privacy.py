"""What was tried to get out of a process and what the kernel said; and the events that a screen reports."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from medgemma_tui.protocol.base import Reply, Wire

Verdict = Literal["shut", "open", "warning", "absent", "unknown"]
"""``shut``: closed, by the kernel's answer. ``open``: it succeeded, or the kernel says it would. ``warning``: shut in
part, or by luck. ``absent``: a second layer that is not to be had here, while the first one holds. ``unknown``: could
not be tried."""

ProcessName = Literal["screen", "gateway", "worker"]


class Finding(Reply):
    """One thing tried (``probe``) or read (``kernel``) in one process. The screen words ``id`` and ``code``."""

    id: str
    kind: Literal["probe", "kernel"]
    tried: str
    """In English and exact: ``socket(AF_INET, SOCK_STREAM)``, ``/proc/self/status Seccomp``."""
    said: str
    """The kernel's answer: ``EPERM``, ``2``, ``lo only``."""
    verdict: Verdict
    code: str = ""
    """Why, narrower than the verdict, where there is something narrower to say."""


class ProcessPrivacy(Reply):
    """All that was tried and read in one process."""

    process: ProcessName
    pid: int
    findings: list[Finding] = []


class PrivacyReport(Reply):
    """``GET /v1/privacy``: the gateway's own findings and its worker's, tried when asked.

    ``medgemma-tui privacy --json`` prints the same with the screen's in front. A process that could not be asked is in
    ``missing``.
    """

    processes: list[ProcessPrivacy] = []
    missing: list[ProcessName] = []
    foreign_engine: bool = False
    """True where another program answers in the worker's place: it is missing, because it is not ours to seal."""
    shut: bool = False
    """True where everything is: no ``open``, no ``warning``, no ``unknown``, nobody missing."""


class ProcessSeal(Reply):
    """The short form for each second's telemetry: ids of findings that are not ``shut``, and sockets held open."""

    inet_sockets: int | None = None
    open: list[str] = []
    warnings: list[str] = []
    absent: list[str] = []
    codes: dict[str, str] = {}
    """Of those ids, the codes: why, where there is something narrower to say."""


class AuditHead(Reply):
    """The newest record of the audit log: what a health report anchors. ``mac``: hex."""

    seq: int
    mac: str
    key_id: str
    anchored: bool = False
    """True where a second place that the gateway's user cannot rewrite has it (append-only file, journal)."""


_COUNTED: Final = "^(name|id_number|phone|record_number|address|birth_date|email|tries|pid|signal)$"


class EventBody(Wire):
    """``POST /v1/events``: what only the screen knows, for the audit log. Words of these sets and counts, no text."""

    event: Literal["login", "logout", "lock", "unlock", "unlock_failed", "guard", "take_back", "end_process"]
    outcome: Literal["ok", "idle", "asked", "sent", "masked", "edited", "blocked", "wiped", "parked", "failed"]
    counts: dict[Annotated[str, Field(pattern=_COUNTED)], Annotated[int, Field(ge=0, le=2**22)]] = {}
    """How many identifiers of each kind, how many ``tries`` of a PIN; which ``pid`` was sent which ``signal``. At most
    the largest pid that Linux has."""

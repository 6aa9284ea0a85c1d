"""Which audit log a health run looks at: the one that the gateway which answers writes, and no other.

The settings and the environment of this process name a log. It is the gateway's where its key has the id of the newest
record that the gateway tells: a key is 32 random bytes, made with its log. Where it is not, as for somebody whose
environment is not the service's, the gateway is asked to check its own, and nothing is said of the other one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from medgemma_tui.audit import key, places
from medgemma_tui.audit.errors import AuditError
from medgemma_tui.audit.places import Places
from medgemma_tui.client import ServiceError
from medgemma_tui.protocol import AuditVerdict, Health
from medgemma_tui.settings import SettingsError, run_dir

if TYPE_CHECKING:
    from medgemma_tui.health.context import Context

Why = Literal["log_not_yours", "log_elsewhere"]
"""``log_not_yours``: it is not for this user. ``log_elsewhere``: the service that has it does not answer."""


@dataclass(frozen=True, slots=True)
class AuditPlace:
    """``places`` None: not to be looked into from here, and ``why``; ``verdict`` is then what the gateway found, where
    it told. ``uid``: the user that the log belongs to. ``health``: the gateway's, None where none answers.
    """

    places: Places | None
    uid: int
    health: Health | None = None
    verdict: AuditVerdict | None = None
    why: Why | None = None


def find(context: Context) -> AuditPlace:
    """Find it. May ask the gateway to check its log, which blocks. Raises SettingsError, ServiceError."""
    own = places.of(context.settings)
    socket = context.socket
    if socket is None:
        return AuditPlace(own, _owner(own.directory))
    uid = _owner(socket)
    try:
        health = context.health()
    except ServiceError:
        if context.settings.audit_dir is not None or os.environ.get("LOGS_DIRECTORY") or _is_private(socket):
            return AuditPlace(own, uid)
        return AuditPlace(None, uid, why="log_elsewhere")
    if health.audit is not None and health.audit.key_id == _key_id(own.key):
        return AuditPlace(own, uid, health)
    try:
        verdict = context.call(lambda client: client.audit_verdict())
    except ServiceError as error:
        if error.status == 403:
            return AuditPlace(None, uid, health, why="log_not_yours")
        raise
    if _same(Path(verdict.directory), own.directory):  # its key is gone, exchanged, or there never was a record
        return AuditPlace(own, uid, health)
    return AuditPlace(None, uid, health, verdict)


def _owner(path: Path) -> int:
    """Whose a place is; ours where it is not there, or not to be seen."""
    try:
        return path.stat().st_uid
    except OSError:
        return os.geteuid()


def _key_id(path: Path) -> str:
    try:
        return key.read(path)[0].id
    except AuditError:
        return ""


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one == other


def _is_private(socket: Path) -> bool:
    """Whether this is a gateway that this user's own program started for itself."""
    try:
        return socket.is_relative_to(run_dir())
    except SettingsError:
        return False

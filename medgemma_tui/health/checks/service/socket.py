"""``service.socket``: the gateway's socket is its own, open to whom the settings say, where nobody else can put one."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket as sockets
import stat
import struct
from pathlib import Path
from typing import Final

from medgemma_tui import launch
from medgemma_tui.gateway import roles
from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.context import Context
from medgemma_tui.settings import SERVICE_SOCKET, SettingsError, run_dir

_CONNECT_S: Final = 3.0
_RUNTIME_DIRECTORY: Final = SERVICE_SOCKET.parent
"""The service manager makes it when it starts the service."""


def run(context: Context) -> Outcome:
    """In health the socket that answers; in preflight the directory where it will be."""
    place = context.socket or context.settings.socket or SERVICE_SOCKET
    if context.phase == "health" and context.socket is None:
        return Outcome("no_service")
    if context.phase == "preflight" and context.settings.socket is None and not context.installed:
        return Outcome("private_later")
    wrong = _directory_problem(place, context)
    if wrong is not None:
        return wrong
    if context.phase == "preflight" and not place.exists():
        return Outcome("directory_ok", {"path": str(place.parent)})
    return _socket(place, context)


def _socket(place: Path, context: Context) -> Outcome:
    where = {"path": str(place)}
    try:
        status = place.lstat()
    except FileNotFoundError:
        return Outcome("missing", where)
    if not stat.S_ISSOCK(status.st_mode):
        return Outcome("not_a_socket", where)
    mode = stat.S_IMODE(status.st_mode)
    params = {**where, "mode": f"{mode:04o}", "owner": _user(status.st_uid)}
    try:
        listener = _listener(place)
    except ConnectionRefusedError:
        return Outcome("dead", params)
    except PermissionError:
        return Outcome("closed", params)
    if listener is not None and listener not in (0, status.st_uid):
        return Outcome("replaced", {**params, "listener": _user(listener)})
    try:
        wanted = roles.PRIVATE.mode if _is_private(place, context) else roles.access(context.settings).mode
    except SettingsError:
        return Outcome("settings_invalid", params)
    params["wanted"] = f"{wanted:04o}"
    if mode & ~wanted:
        return Outcome("too_open", params)
    if wanted & ~mode:
        return Outcome("too_closed", params)
    return Outcome("ok", params)


def _listener(place: Path) -> int | None:
    """The uid of who listens, by the kernel; None where it takes no connection in time (``service.gateway`` tells).

    Raises OSError where nobody listens.
    """
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as probe:
        probe.settimeout(_CONNECT_S)
        try:
            probe.connect(str(place))
        except TimeoutError:
            return None
        told = probe.getsockopt(sockets.SOL_SOCKET, sockets.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", told)[1])


def _is_private(place: Path, context: Context) -> bool:
    """Whether a gateway that a screen or command has started for itself is meant: whatever the settings say of the
    service's socket, that one is for its own user."""
    if place == SERVICE_SOCKET:
        return False
    with contextlib.suppress(SettingsError):
        if place.parent.parent == run_dir():
            return True
    return launch.service_socket(context.settings) != place


def _directory_problem(place: Path, context: Context) -> Outcome | None:
    """Whether somebody else could put a socket of theirs there: by the directory, or by one above it."""
    directory = place.parent
    try:
        real = directory.resolve(strict=True)
    except FileNotFoundError:
        missing = {"path": str(directory)}
        if context.phase == "preflight" and directory == _RUNTIME_DIRECTORY:
            return Outcome("directory_later", missing)
        return Outcome("no_directory", missing)
    sticky = None
    for each in (real, *real.parents):
        status = each.stat()
        params = {"path": str(each), "mode": f"{stat.S_IMODE(status.st_mode):04o}", "owner": _user(status.st_uid)}
        if status.st_uid not in (0, os.geteuid(), _owner_of(place)):
            return Outcome("directory_foreign", params)
        by_others = status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and status.st_gid != 0)
        if by_others and not status.st_mode & stat.S_ISVTX:
            return Outcome("directory_open", params)
        if by_others and each == real:
            sticky = params
    if sticky is not None and context.installed:
        return Outcome("directory_shared", sticky)
    return None


def _owner_of(place: Path) -> int:
    """The uid that the socket belongs to, or will: who has the service's own directory, which root alone can give."""
    for each in (place, *([place.parent] if place.parent == _RUNTIME_DIRECTORY else [])):
        with contextlib.suppress(OSError):
            return each.lstat().st_uid
    return os.geteuid()


def _user(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} ({uid})"
    except KeyError:
        return str(uid)


CHECK = Check("service.socket", run)

"""``audit.key``: the log's key is there, is a key, and nobody but its owner can read or replace it."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path

from medgemma_tui.audit import key
from medgemma_tui.audit.errors import AuditError
from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.audit import log_files
from medgemma_tui.health.context import Context


def run(context: Context) -> Outcome:
    """Look at the key's file and at the directories above it and the log."""
    place = context.audit_place()
    if place.places is None:
        if place.verdict is not None and any(each.kind == "key_readable" for each in place.verdict.findings):
            file = next(each.file for each in place.verdict.findings if each.kind == "key_readable")
            return Outcome("exposed", {"path": file, "mode": "?"})
        return Outcome("not_from_here" if place.verdict is not None else place.why or "log_elsewhere")
    path = place.places.key
    params = {"path": str(path)}
    try:
        status = path.stat()
    except FileNotFoundError:
        missing = log_files.there(place.places.directory)
        return Outcome("missing" if missing else "none_yet", {**params, "log": str(place.places.directory)})
    except OSError as error:
        return Outcome("unreadable", {**params, "reason": error.strerror or "I/O error"})
    if status.st_uid not in (place.uid, 0) or (status.st_uid == 0 and place.uid != 0):
        return Outcome("wrong_owner", {**params, "owner": _name(status.st_uid), "service": _name(place.uid)})
    if stat.S_IMODE(status.st_mode) & 0o077:  # an access control list shows in the group's bits
        return Outcome("exposed", {**params, "mode": f"{stat.S_IMODE(status.st_mode):04o}"})
    for directory in (path.parent, place.places.directory):
        loose = _open_to_others(directory, place.uid)
        if loose is not None:
            return Outcome("directory_open", {**params, "directory": str(loose[0]), "mode": f"{loose[1]:04o}"})
    try:
        key.read(path)
    except AuditError as error:
        if error.code == "bad_key":
            return Outcome("bad", params)
        return Outcome("unreadable", {**params, "reason": str(error).rpartition(": ")[2]})
    return Outcome("private", {**params, "owner": _name(status.st_uid)})


def _open_to_others(directory: Path, uid: int) -> tuple[Path, int] | None:
    """The first of this directory and those above it in which another user may rename or replace what lies there: its
    group or everybody may write to it, without the sticky bit, or it is somebody else's; and its mode.
    """
    for each in (directory, *directory.parents):
        try:
            status = os.stat(each)  # noqa: PTH116
        except FileNotFoundError:
            continue
        mode = stat.S_IMODE(status.st_mode)
        others = mode & 0o002 or (mode & 0o020 and not _private_group(status))
        if (others and not mode & stat.S_ISVTX) or status.st_uid not in (uid, 0):
            return each, mode
    return None


def _private_group(status: os.stat_result) -> bool:
    """Whether nobody but its owner is in a directory's group, as where each user has a group of their own."""
    try:
        owner, group = pwd.getpwuid(status.st_uid), grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return owner.pw_gid == group.gr_gid and set(group.gr_mem) <= {owner.pw_name}


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


CHECK = Check("audit.key", run, timeout_s=60.0)

"""Why a socket's file cannot be opened: which Unix group its permissions are for."""

from __future__ import annotations

import grp
import stat
from pathlib import Path


def group_of(socket: Path) -> str:
    """The group whose members the file system lets through to this socket; empty where that helps nobody.

    Where a directory on the way is closed, it is that one's group.
    """
    for place in (socket, *socket.parents):
        try:
            status = place.stat()
        except OSError:  # behind a directory that is closed to us: look at that one
            continue
        needed = stat.S_IXGRP if stat.S_ISDIR(status.st_mode) else stat.S_IWGRP
        if status.st_gid == 0 or not status.st_mode & needed:
            return ""
        try:
            return grp.getgrgid(status.st_gid).gr_name
        except KeyError:
            return str(status.st_gid)
    return ""

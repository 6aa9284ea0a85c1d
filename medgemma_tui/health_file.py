"""A report in a file: written beside its place and renamed, so that a reader sees the old one or the new one, whole."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def write(file: Path, text: str, mode: int) -> None:
    """Write ``text`` to ``file`` with these permissions. Where that fails the old file stays as it was.

    Raises OSError, with ``filename`` set, also where the place is something other than a file: a device or a pipe
    must not be replaced by one.
    """
    place = Path(os.path.realpath(file))
    if os.path.lexists(place) and not place.is_file():
        raise OSError(0, "it is there and is not a file", str(file))
    # No suffix that a collector looks for: it must not read what is half written.
    fresh = place.with_name(f".{place.name[:200]}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), mode)  # whatever the umask
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(place)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise OSError(error.errno, error.strerror, str(file)) from None

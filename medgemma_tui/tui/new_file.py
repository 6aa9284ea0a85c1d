"""Writing a new file that a person asked for by name: never over another one, readable by them alone."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from medgemma_tui.i18n import N_, _

_REASONS = {
    errno.EEXIST: N_("there is something of that name already; nothing was overwritten"),
    errno.ENOENT: N_("there is no such directory"),
    errno.ENOTDIR: N_("a part of the path is no directory"),
    errno.EACCES: N_("you may not write there"),
    errno.EPERM: N_("you may not write there"),
    errno.EROFS: N_("that place is read-only"),
    errno.ENOSPC: N_("the disk is full; nothing was kept"),
    errno.EDQUOT: N_("your quota is used up; nothing was kept"),
    errno.ENAMETOOLONG: N_("the name is too long"),
    errno.ELOOP: N_("the path goes round in a circle of links"),
    errno.EISDIR: N_("that is a directory"),
}


class NotWritten(Exception):
    """The file was not written; the text is a plain sentence in the language in use."""


def place(typed: str) -> Path:
    """The absolute path of what was typed; ``~`` is the home directory. Raises NotWritten where it names no file."""
    name = typed.strip()
    if not name or "\0" in name or name.endswith("/"):
        raise NotWritten(_("That is no file name."))
    try:
        return Path(os.path.abspath(Path(name).expanduser()))  # noqa: PTH100 - links in it stay as they are
    except RuntimeError:
        raise NotWritten(_("There is no home directory for that name.")) from None


def write(path: Path, text: str) -> None:
    """Make the file (0600) and write the text. Raises NotWritten; a file that could not be finished is taken away."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise NotWritten(_sentence(path, error)) from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise NotWritten(_sentence(path, error)) from None


def _sentence(path: Path, error: OSError) -> str:
    reason = _(_REASONS[error.errno]) if error.errno in _REASONS else error.strerror or type(error).__name__
    return _("Not written to {path}: {reason}").format(path=path, reason=reason)

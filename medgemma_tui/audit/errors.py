"""Why the audit log cannot be written or used."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

AuditCode = Literal[
    "disk_full", "read_only", "io_error", "no_permission", "no_directory", "no_key", "key_readable", "bad_key",
    "wrong_key", "broken_chain",
]  # fmt: skip

_CODES: Final[Mapping[int, AuditCode]] = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EFBIG: "disk_full",
    errno.EROFS: "read_only",
    errno.EACCES: "no_permission",
    errno.EPERM: "no_permission",
    errno.ENOENT: "no_directory",
    errno.ENOTDIR: "no_directory",
}


WRITING: Final = "the audit log cannot be written"


class AuditError(Exception):
    """The log cannot be used. ``code`` says why, ``path`` where; the message is one plain sentence in English."""

    def __init__(self, code: AuditCode, path: str, message: str) -> None:
        self.code: AuditCode = code
        self.path = path
        super().__init__(message)

    @property
    def sentence(self) -> str:
        """That the log cannot be written, and why; the one once where the other says it too."""
        return str(self) if str(self).startswith(WRITING) else f"{WRITING}: {self}"


def for_os_error(error: OSError, path: Path, what: str) -> AuditError:
    """The AuditError for an OSError: ``what`` ("the audit log cannot be written") and the system's reason."""
    return AuditError(_CODES.get(error.errno or 0, "io_error"), str(path), f"{what}: {error.strerror or 'I/O error'}")

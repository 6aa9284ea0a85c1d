"""Why the audit log cannot be written or used."""

from __future__ import annotations

from typing import Literal

AuditCode = Literal[
    "disk_full", "read_only", "io_error", "no_permission", "no_directory", "no_key", "key_readable", "bad_key",
    "wrong_key", "broken_chain",
]  # fmt: skip


class AuditError(Exception):
    """The log cannot be used. ``code`` says why, ``path`` where; the message is one plain sentence in English."""

    def __init__(self, code: AuditCode, path: str, message: str) -> None:
        self.code: AuditCode = code
        self.path = path
        super().__init__(message)

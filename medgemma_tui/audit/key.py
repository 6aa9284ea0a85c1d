"""The audit log's key: 32 bytes in a file that only its owner may read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """A key and its public name. Never printed."""

    secret: bytes
    id: str
    """The first 16 hex digits of a hash of the key: tells keys apart and gives nothing away."""

    def digest(self, text: str) -> str:
        """HMAC-SHA-256 of a text, in hex: tells whether two texts are the same, to nobody without the key."""
        raise NotImplementedError


def load(path: Path) -> Key:
    """The key of a file. Raises AuditError: ``no_key``, ``key_readable`` (others may read it), ``bad_key``."""
    raise NotImplementedError


def create(path: Path) -> Key:
    """A new random key in a new file (0400, synced), made whole or not at all. Raises AuditError."""
    raise NotImplementedError

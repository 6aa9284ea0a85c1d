"""The PIN of this session: set by the person, kept in memory as a scrypt hash, gone when the program ends."""

from __future__ import annotations

import hashlib
import hmac
import os
import unicodedata
from dataclasses import dataclass, field

LEAST = 4
"""Characters that a PIN has at least."""
MOST = 64


@dataclass(frozen=True, slots=True)
class Pin:
    """A salted hash."""

    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)


def hashed(text: str) -> Pin:
    """The hash of a PIN. Takes some 50 ms and 16 MiB: call it in a thread.

    Raises ValueError where this system's OpenSSL has no scrypt.
    """
    salt = os.urandom(16)
    return Pin(salt, _scrypt(text, salt))


def same(one: str, other: str) -> bool:
    """Whether two texts are the same PIN."""
    return hmac.compare_digest(_typed(one), _typed(other))


def matches(pin: Pin, text: str) -> bool:
    """Whether this is the PIN. As slow as ``hashed``."""
    return hmac.compare_digest(_scrypt(text, pin.salt), pin.digest)


def _scrypt(text: str, salt: bytes) -> bytes:
    return hashlib.scrypt(_typed(text), salt=salt, n=2**14, r=8, p=1)


def _typed(text: str) -> bytes:
    # the same keys give full-width digits where an input method is left in that mode
    return unicodedata.normalize("NFKC", text).encode("utf-8", "surrogatepass")

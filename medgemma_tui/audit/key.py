"""The audit log's key: 32 bytes in a file that only its owner may read.

From the one secret a key of its own is derived for each use, so that what one of them signs can never stand for what
another did: the digest of a text is never the hash of a record, whatever the text.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from medgemma_tui.audit.errors import AuditError, for_os_error
from medgemma_tui.audit.files import reader, sync_directory

SECRET_BYTES: Final = 32
_ID_DOMAIN: Final = b"medgemma-tui audit key id 1\0"
_CHAIN_DOMAIN: Final = b"medgemma-tui audit chain 1"
_DIGEST_DOMAIN: Final = b"medgemma-tui audit digest 1"
_ANCHOR_DOMAIN: Final = b"medgemma-tui audit anchor 1"
_FORM: Final = re.compile(rb"[0-9a-f]{64}\n?")
_FILE_MODE: Final = 0o400
_DIRECTORY_MODE: Final = 0o700


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Key:
    """A key and its public name. Never printed. Made by ``of``, ``load`` and ``create``."""

    secret: bytes
    id: str
    """The first 16 hex digits of a hash of the key: tells keys apart and gives nothing away."""
    _chain: bytes = field(init=False)
    _digest: bytes = field(init=False)
    _anchor: bytes = field(init=False)

    def __post_init__(self) -> None:
        for name, domain in (("_chain", _CHAIN_DOMAIN), ("_digest", _DIGEST_DOMAIN), ("_anchor", _ANCHOR_DOMAIN)):
            object.__setattr__(self, name, hmac.digest(self.secret, domain, "sha256"))

    @classmethod
    def of(cls, secret: bytes) -> Key:
        """The key with this secret of 32 bytes."""
        return cls(secret, hashlib.sha256(_ID_DOMAIN + secret).hexdigest()[:16])

    def digest(self, text: str) -> str:
        """HMAC-SHA-256 of a text, in hex: tells whether two texts are the same, to nobody without the key."""
        return hmac.digest(self._digest, text.encode("utf-8", "surrogatepass"), "sha256").hex()

    def hasher(self) -> hmac.HMAC:
        """``digest`` of a text that comes in pieces: each as UTF-8 to ``update``, then ``hexdigest``."""
        return hmac.new(self._digest, digestmod="sha256")

    def chain_mac(self, body: bytes) -> str:
        """The keyed hash of a record's bytes, in hex."""
        return hmac.digest(self._chain, body, "sha256").hex()

    def anchor_mac(self, body: bytes) -> str:
        """The keyed hash of an anchor's bytes, in hex."""
        return hmac.digest(self._anchor, body, "sha256").hex()


def read(path: Path) -> tuple[Key, bool]:
    """The key of a file, and whether others than its owner may read it.

    Raises AuditError: ``no_key``, ``bad_key``, ``no_permission``, ``io_error``.
    """
    try:
        with reader(path) as file:
            status = os.fstat(file.fileno())
            content = file.read(80)
    except FileNotFoundError:
        raise AuditError("no_key", str(path), "the audit log's key is not there") from None
    except OSError as error:
        raise for_os_error(error, path, "the audit log's key cannot be read") from None
    if not _FORM.fullmatch(content):
        raise AuditError("bad_key", str(path), "this is no key: 64 hexadecimal digits are expected")
    # An access control list shows in the group's bits. Of somebody else's file, root aside, that other knows the key.
    foreign = status.st_uid not in (os.geteuid(), 0) and os.geteuid() != 0
    return Key.of(bytes.fromhex(content[:64].decode("ascii"))), bool(status.st_mode & 0o077) or foreign


def load(path: Path) -> Key:
    """The key of a file. Raises AuditError: ``key_readable`` (others may read it), and what ``read`` raises."""
    key, exposed = read(path)
    if exposed:
        message = "others may read the audit log's key: make it 0400, and its owner's, if nobody has read it"
        raise AuditError("key_readable", str(path), message)
    return key


def create(path: Path) -> Key:
    """A new random key in a new file (0400, synced), made whole or not at all; where somebody else was quicker, theirs.

    Directories that are missing are made (0700). A file that is there is never replaced. Raises AuditError.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    secret = secrets.token_bytes(SECRET_BYTES)
    try:
        path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
            with open(descriptor, "wb") as file:  # noqa: PTH123 - made with its mode, before anything is in it
                file.write(secret.hex().encode("ascii") + b"\n")
                file.flush()
                os.fsync(descriptor)
            os.link(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        sync_directory(path.parent)
    except FileExistsError:
        return load(path)
    except OSError as error:
        raise for_os_error(error, path, "the audit log's key cannot be made") from None
    return Key.of(secret)

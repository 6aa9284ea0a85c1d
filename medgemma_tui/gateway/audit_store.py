"""The gateway's log on the disk, for the thread that writes it."""

from __future__ import annotations

import contextlib
import mmap
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from medgemma_tui.audit import files, key, places
from medgemma_tui.audit.errors import AuditError
from medgemma_tui.audit.log import AuditLog, Head
from medgemma_tui.audit.record import Entry
from medgemma_tui.gateway.auditing import Opened, own_entry
from medgemma_tui.gateway.chronicle import policy
from medgemma_tui.settings import Settings, SettingsError

_POLICY = b'"event":"policy"'
_INPUT = re.compile(rb'"input":"([0-9a-f]{64})"')


class AuditStore:
    """The log that the settings name. Blocking; raises AuditError."""

    def __init__(self, settings: Settings, where: Callable[[Settings], places.Places] = places.of) -> None:
        self._settings = settings
        self._where = where
        self._log: AuditLog | None = None
        self._key: key.Key | None = None
        self._key_file = Path()

    def open(self) -> Opened:
        """Open it; the first records are the gateway's start and its policy, compared with the last one's."""
        try:
            found = self._where(self._settings)
        except SettingsError as error:
            raise AuditError("no_directory", "", str(error)) from None
        self._log = places.open_log(self._settings, found)
        self._key_file = found.key
        self._key = loaded = key.load(found.key)
        counters, text = policy(self._settings)
        digest, last = loaded.digest(text), _last_policy(found.directory)
        outcome = "first" if not last else "same" if last == digest else "changed"
        told = own_entry("policy", outcome, counters, digest=digest)
        return Opened(loaded, [own_entry("start", "ok"), told])

    def append(self, entries: Sequence[Entry]) -> Head:
        """Write these, in order; they are on the disk when this returns.

        The key's file is looked at each time: records under a key that is nowhere could never be checked.
        """
        assert self._log is not None
        assert self._key is not None
        if key.load(self._key_file).id != self._key.id:
            raise AuditError("wrong_key", str(self._key_file), "another key has taken the place of the log's own")
        return self._log.append(entries)

    def tick(self) -> None:
        """Anchor the newest record, where that is due."""
        if self._log is not None:
            self._log.anchor()

    def close(self) -> None:
        """Let go of the log."""
        if self._log is not None:
            self._log.close()

    @property
    def anchored(self) -> bool:
        """Whether the newest record is named where this user cannot rewrite it."""
        return self._log is not None and self._log.anchored


def _last_policy(directory: Path) -> str:
    """The keyed hash in the newest policy record of a gateway; empty where there is none.

    Only says whether the policy changed since: what the log is worth, ``audit verify`` says.
    """
    with contextlib.suppress(OSError, ValueError):  # mmap's, of an empty file
        for file in reversed(files.listed(directory)):
            with files.reader(file.path) as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
                at = len(content)
                while (at := content.rfind(_POLICY, 0, at)) >= 0:
                    end = content.find(b"\n", at)
                    if digest := _INPUT.search(content, at, end if end >= 0 else len(content)):
                        return digest[1].decode("ascii")  # a screen's has none
    return ""

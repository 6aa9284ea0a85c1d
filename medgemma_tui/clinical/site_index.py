"""The site's imported terms: ``terms-*.sqlite`` in the site's directory, looked up where a text may hold one.

A file is an SQLite database of expressions and a bit field (a Bloom filter over their beginnings), which says of most
places of a text that no expression begins there, so that the database is asked little. Read-only; like the other
lists it is read where ``tables.use_site_directory`` points. An import replaces the file, which is then opened anew.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zlib import crc32

from medgemma_tui.clinical import tables
from medgemma_tui.clinical.lexicon import Match
from medgemma_tui.clinical.textform import fold

PATTERN: Final = "terms-*.sqlite"
VERSION: Final = 1
COLUMNS: Final = ("expression", "zh", "en", "icd11", "icd10", "system", "code")
_STEPS: Final = (2, 3, 4, 6, 8, 12, 16, 24, 40, 64)
_BITS_PER_KEY: Final = 12
_MOST_BITS: Final = 1 << 27
_ASK: Final = 400
_WIDTH: Final = 4  # bytes of a character in UTF-32


@dataclass(frozen=True, slots=True)
class SiteTerm:
    """What an expression stands for in the site's own table."""

    zh: str
    en: str
    icd11: str
    icd10: str
    system: str
    code: str


class SiteIndex:
    """One imported table. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises TableError where it cannot be read or was written by another version."""
        self.path = path
        try:
            self.stamp = _stamp(path)
            self._database = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False
            )
            meta = dict(self._database.execute("select key, value from meta"))
            (self._bits,) = self._database.execute("select bits from filter").fetchone()
        except (sqlite3.Error, OSError, TypeError, ValueError) as error:
            raise tables.TableError(str(path), f"cannot be read: {error}") from None
        if meta.get("version") != str(VERSION):
            raise tables.TableError(str(path), "was imported by another version; import the table again")
        self._longest = int(meta["longest"])
        self._mask = len(self._bits) * 8 - 1

    def find(self, folded: str) -> list[Match[SiteTerm]]:
        """The expressions in a folded text, at each place every one that fits; longest first. Raises TableError."""
        places: dict[str, list[int]] = {}
        for start, end in self._candidates(folded):
            places.setdefault(folded[start:end], []).append(start)
        wanted, found = list(places), []
        try:
            for at in range(0, len(wanted), _ASK):
                some = wanted[at : at + _ASK]
                marks = ",".join("?" * len(some))
                query = f"select {', '.join(COLUMNS)} from term where expression in ({marks})"  # noqa: S608
                for expression, *values in self._database.execute(query, some):
                    term = SiteTerm(*values)
                    found += [Match(start, start + len(expression), term) for start in places[expression]]
        except sqlite3.Error as error:
            raise tables.TableError(str(self.path), f"cannot be read: {error}") from None
        return sorted(found, key=lambda match: (match.start, -match.end))

    def _candidates(self, folded: str) -> Iterator[tuple[int, int]]:
        data = folded.encode("utf-32-le", "surrogatepass")
        letters = [char.isalnum() and char < "\u2e80" for char in folded]
        size, bits, mask = len(folded), self._bits, self._mask
        for start in range(size - 1):
            if start and letters[start] and letters[start - 1]:
                continue
            at, reach = start * _WIDTH, 0
            for index, step in enumerate(_STEPS):
                if start + step > size:
                    reach = size - start
                    break
                key = crc32(data[at : at + step * _WIDTH]) & mask
                if not bits[key >> 3] >> (key & 7) & 1:
                    reach = step - 1 if index else 0
                    break
                reach = self._longest
            for length in range(min(reach, self._longest, size - start), 1, -1):
                end = start + length
                if end < size and letters[end] and letters[end - 1]:
                    continue
                key = crc32(data[at : end * _WIDTH], 1) & mask
                if bits[key >> 3] >> (key & 7) & 1:
                    yield start, end


def bit_field(expressions: Iterable[str], count: int) -> bytes:
    """The filter over these folded expressions, ``count`` in all."""
    size = 1 << 13
    while size < min(count * _BITS_PER_KEY * 6, _MOST_BITS):
        size *= 2
    bits, mask = bytearray(size // 8), size - 1
    for expression in expressions:
        data = expression.encode("utf-32-le", "surrogatepass")
        for step in _STEPS:
            if step * _WIDTH > len(data):
                break
            key = crc32(data[: step * _WIDTH]) & mask
            bits[key >> 3] |= 1 << (key & 7)
        key = crc32(data, 1) & mask
        bits[key >> 3] |= 1 << (key & 7)
    return bytes(bits)


def key_of(expression: str) -> str:
    """The form in which an expression is stored and looked for."""
    return fold(expression).strip()


_open: dict[Path, SiteIndex] = {}


def indexes() -> list[SiteIndex]:
    """The imported tables of the site's directory, by name. Raises TableError where one cannot be read."""
    directory = tables.site_directory()
    if directory is None:
        return []
    with contextlib.suppress(OSError):
        paths = sorted(directory.glob(PATTERN))
        for gone in [path for path in _open if path not in paths]:
            del _open[gone]
        return [_current(path) for path in paths]
    return []


def _current(path: Path) -> SiteIndex:
    known = _open.get(path)
    if known is None or known.stamp != _stamp(path):
        known = _open[path] = SiteIndex(path)
    return known


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns

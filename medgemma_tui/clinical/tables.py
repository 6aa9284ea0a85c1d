"""The reviewed lists: TOML tables in ``data/``, and a site's own beside them.

Every file names its ``source`` and its ``reviewer``; a row may have its own. A site extends a list with a file of the
same name in its directory: rows there are read after the packaged ones, and a later row for the same expression
counts.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")
Row = dict[str, object]

_site: Path | None = None
_compiled: list[Callable[[], None]] = []


class TableError(Exception):
    """A list cannot be used. ``path`` is the file, ``problem`` what is wrong with it, in one plain line."""

    def __init__(self, path: str, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"{path}: {problem}")


def use_site_directory(directory: Path | None) -> None:
    """Read the site's lists from this directory from now on; None: the packaged ones alone."""
    global _site
    if directory != _site:
        _site = directory
        for forget in _compiled:
            forget()


def site_directory() -> Path | None:
    """Where the site's lists are read from."""
    return _site


def compiled(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Like ``functools.cache``, for what is made of tables: made anew when the site's directory changes."""
    cached = cache(function)
    _compiled.append(cached.cache_clear)
    return cached  # type: ignore[return-value]


@compiled
def documents(name: str) -> list[tuple[str, Row]]:
    """The packaged document of this name (``"labs"`` is ``data/labs.toml``), then the site's where there is one.

    Each with its path. Read once, so not to be changed by who reads it. Raises TableError where a file is not TOML, or
    lacks ``source`` or ``reviewer``.
    """
    found = []
    for place in (resources.files("medgemma_tui.clinical") / "data", _site):
        path = place / f"{name}.toml" if place is not None else None
        if isinstance(path, Path) and path.is_dir():
            raise TableError(str(path), "is a directory, not a file")
        if path is not None and path.is_file():
            found.append((str(path), _read(str(path), path.read_bytes())))
    return found


def rows(name: str, key: str) -> list[Row]:
    """The rows of ``[[key]]`` in every document of this name, the site's last; each has ``source`` and ``reviewer``.

    Raises TableError.
    """
    found: list[Row] = []
    for path, document in documents(name):
        listed = document.get(key, [])
        if not isinstance(listed, list) or not all(isinstance(row, dict) for row in listed):
            raise TableError(path, f"[[{key}]] is no list of tables")
        head = {"source": document["source"], "reviewer": document["reviewer"]}
        found += [{**head, **row} for row in listed]
    return found


def _read(path: str, data: bytes) -> Row:
    try:
        document: Row = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise TableError(path, f"is not UTF-8: byte {error.start + 1}") from None
    except ValueError as error:  # no TOML; or a number of too many digits
        raise TableError(path, str(error)) from None
    except RecursionError:
        raise TableError(path, "is nested too deeply") from None
    for needed in ("source", "reviewer"):
        if not isinstance(document.get(needed), str) or not document[needed]:
            raise TableError(path, f"{needed} is missing")
    return document

"""The log's directory: the names of its files, the newest record on the disk, what a power loss left behind."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

_NAME: Final = re.compile(r"audit-([0-9]{12})\.jsonl")
_TORN: Final = re.compile(r"torn-([0-9]{12})-[0-9]{8}T[0-9]{12}\.bin")
FILE_MODE: Final = 0o640
DIRECTORY_MODE: Final = 0o750


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file of the log. ``first``: the number of its first record, by its name."""

    path: Path
    first: int


def name_of(first: int) -> str:
    """The name of the file that begins with this record."""
    return f"audit-{first:012}.jsonl"


def first_of(name: str) -> int | None:
    """The number in a file's name, None where it is no file of the log."""
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else None


def listed(directory: Path) -> list[LogFile]:
    """The log's files, oldest first. Raises OSError."""
    with os.scandir(directory) as entries:
        found = [(first_of(entry.name), entry.name) for entry in entries]
    return [LogFile(directory / name, first) for first, name in sorted((f, n) for f, n in found if f is not None)]


def torn_files(directory: Path) -> list[tuple[int, Path]]:
    """What was set aside: the number that the next record had then, and the file. Raises OSError."""
    with os.scandir(directory) as entries:
        found = [(_TORN.fullmatch(entry.name), entry.name) for entry in entries]
    return sorted((int(match[1]), directory / name) for match, name in found if match)


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a file. Raises OSError, also where something else lies there: a pipe would be waited for for ever."""
    descriptor = os.open(path, flags | os.O_NONBLOCK, FILE_MODE)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return descriptor


def reader(path: Path) -> BinaryIO:
    """The same for reading, as a file object. Raises OSError."""
    return open(open_regular(path), "rb")


def read_at(descriptor: int, offset: int, count: int) -> bytes:
    """``count`` bytes from ``offset``, fewer at the end of the file. Raises OSError."""
    parts = []
    while count > 0 and (part := os.pread(descriptor, count, offset)):
        parts.append(part)
        offset += len(part)
        count -= len(part)
    return b"".join(parts)


def make_directory(directory: Path) -> None:
    """The log's directory (0750) and those above it, synced. Raises OSError."""
    if directory.is_dir():
        return
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    directory.chmod(DIRECTORY_MODE)  # whatever the umask took
    sync_directory(directory.parent)


def sync_directory(directory: Path) -> None:
    """Put a directory's entries on the disk. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that has no such thing
            raise
    finally:
        os.close(descriptor)


def append(path: Path, size: int, data: bytes) -> None:
    """Write at the end of a file that has ``size`` bytes, and sync.

    Raises OSError; what was written of it is then cut off again, where that can be done.
    """
    descriptor = open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
    try:
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, size)
                os.fsync(descriptor)
            raise
    finally:
        os.close(descriptor)


def write_new(path: Path, data: bytes) -> int:
    """A new file (0640) with this in it, synced; its inode. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)  # whatever the umask took
        _write_all(descriptor, data)
        os.fsync(descriptor)
        return os.fstat(descriptor).st_ino
    finally:
        os.close(descriptor)


def same(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one that has this name now. Raises OSError."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _write_all(descriptor: int, data: bytes) -> None:
    """In one call; where the system took less, the next one says why. Raises OSError."""
    while data:
        data = data[os.write(descriptor, data) :]

"""A model directory's manifest: ``manifest.json`` names every file with its size and SHA-256, and where they are from.

``write`` makes it where a model is prepared; ``health`` compares a directory with it. Hashing streams in blocks of
1 MiB, tells its progress, and can be stopped. Torch-free.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

FILE: Final = "manifest.json"
BLOCK: Final = 1024 * 1024
_MAX_BYTES = 16 * 1024 * 1024

Done = Callable[[int], None]
"""Called with the number of bytes that were hashed since the last call."""


class Stopped(Exception):
    """The hashing was stopped on request."""


class ManifestError(Exception):
    """A manifest cannot be used. ``code``: ``unreadable``, ``damaged``, or ``newer`` (made by a later program)."""

    def __init__(self, code: Literal["unreadable", "damaged", "newer"], problem: str) -> None:
        self.code = code
        self.problem = problem
        super().__init__(f"{FILE}: {problem}")


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or str(PurePosixPath(path)) != path or not path.isprintable():
        raise ValueError("not a path inside the directory")
    return path


class ManifestFile(BaseModel):
    """One file: its path inside the directory with ``/``, its size in bytes, its SHA-256 in small hexadecimal."""

    model_config = ConfigDict(frozen=True)
    path: Annotated[str, AfterValidator(_inside)]
    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """What a model directory should hold. ``source`` and ``revision``: what it was made from. ``quantization``:
    ``nf4``, or None for weights in 16 or 32 bits. ``versions``: of the programs that made it, by name."""

    schema_version: Literal[1] = 1
    created: AwareDatetime
    source: str = ""
    revision: str = ""
    quantization: str | None = None
    versions: dict[str, str] = {}
    files: Annotated[list[ManifestFile], Field(min_length=1)]


class _Version(BaseModel):
    schema_version: int


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells, without reading it, that a file is still the one that was hashed. ``changed_ns`` is the inode's own
    time, which no ``touch`` puts back."""

    size: int
    mtime_ns: int
    changed_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Hashed:
    """A file's SHA-256, and the stamp that it had while it was read."""

    sha256: str
    stamp: Stamp


def read(directory: Path) -> Manifest | None:
    """The directory's manifest, None where it has none. Raises ManifestError."""
    try:
        with (directory / FILE).open("rb") as stream:
            raw = stream.read(_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ManifestError("unreadable", error.strerror or type(error).__name__) from None
    if len(raw) > _MAX_BYTES:
        raise ManifestError("damaged", f"longer than {_MAX_BYTES} bytes")
    try:
        manifest = Manifest.model_validate_json(raw)
    except ValidationError as error:
        with contextlib.suppress(ValidationError):
            version = _Version.model_validate_json(raw).schema_version
            if version > 1:
                raise ManifestError("newer", f"schema_version {version}") from None
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ManifestError("damaged", f"{where}: {first['type']}" if where else first["type"]) from None
    if len({file.path for file in manifest.files}) != len(manifest.files):
        raise ManifestError("damaged", "files: a path is listed twice")
    return manifest


def write(
    directory: Path,
    *,
    source: str,
    revision: str = "",
    quantization: str | None = None,
    versions: Mapping[str, str] | None = None,
    percent: Callable[[float], None] = lambda _percent: None,
    stop: threading.Event | None = None,
) -> Manifest:
    """Hash every file of ``directory`` and write its manifest, beside its place and renamed.

    Raises OSError, Stopped; whatever was there before is then still there.
    """
    found = listing(directory)
    total, done, files = sum(stamp.size for stamp in found.values()), 0, []

    def hashed(count: int) -> None:
        nonlocal done
        done += count
        percent(100 * done / max(total, 1))

    for path in found:
        sum_ = hash_file(directory / path, hashed, stop)
        files.append(ManifestFile(path=path, size=sum_.stamp.size, sha256=sum_.sha256))
    manifest = Manifest(
        created=datetime.now(UTC).replace(microsecond=0),
        source=source,
        revision=revision,
        quantization=quantization,
        versions=dict(versions or {}),
        files=files,
    )
    fresh = directory / f".{FILE}.{os.getpid()}"
    try:
        with fresh.open("w", encoding="utf-8") as stream:
            stream.write(manifest.model_dump_json(indent=1) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(directory / FILE)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
    return manifest


def listing(directory: Path) -> dict[str, Stamp]:
    """Every file below ``directory`` by its path in it, in order: links to files count as files, what is hidden and the
    manifest do not. Raises OSError."""
    found: dict[str, Stamp] = {}
    waiting = [directory]
    while waiting:
        here = waiting.pop()
        with os.scandir(here) as entries:
            for entry in entries:
                path = Path(entry.path)
                name = path.relative_to(directory).as_posix()
                if entry.name.startswith(".") or name == FILE:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                elif not entry.is_dir():
                    found[name] = _stamp(_status(path))
    return dict(sorted(found.items()))


def hash_file(path: Path, done: Done = lambda _count: None, stop: threading.Event | None = None) -> Hashed:
    """One file's SHA-256, read once in blocks. Raises OSError, also where it is no regular file or was changed
    meanwhile, and Stopped."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not be waited for
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        digest, block = hashlib.sha256(), memoryview(bytearray(BLOCK))
        while count := stream.readinto(block):
            digest.update(block[:count])
            done(count)
            if stop is not None and stop.is_set():
                raise Stopped
        stamp = _stamp(os.fstat(descriptor))
    if stamp != _stamp(before):
        raise OSError(errno.EBUSY, "changed while it was read", str(path))
    return Hashed(digest.hexdigest(), stamp)


def fingerprint(directory: Path) -> str:
    """A few characters that tell these weights from others without reading them: by the manifest's hashes, else by the
    files' sizes and times. Raises OSError."""
    try:
        manifest = read(directory)
    except ManifestError:
        manifest = None
    if manifest is not None:
        parts = [f"{file.path} {file.sha256}" for file in manifest.files]
    else:
        parts = [f"{path} {stamp.size} {stamp.mtime_ns}" for path, stamp in listing(directory).items()]
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:16]


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError:  # a link to nowhere: it is there by name, and cannot be read
        return path.lstat()


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)

"""Where a marker may have got to: files that changed, files that are deleted and still open, processes, the journal."""

from __future__ import annotations

import base64
import mmap
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

PLACES = ("/tmp", "/var/tmp", "/var/log", "/var/spool", "/var/lib/systemd", "/var/crash", "/run", "/dev/shm")
"""Where any program may write; the test adds homes, working directories and its own."""
_PASSED_OVER = {".git", ".venv", ".pyenv", ".rustup", ".cargo", ".npm", ".m2", "site-packages", "node_modules"}
"""Directories of hundreds of thousands of installed files, which no program of ours has a path to."""
_SLACK_S = 2.0
"""A file system's clock may lag behind the process's."""


class Search:
    """For one marker, an ASCII text, from one moment on. ``extra``: places besides ``PLACES``."""

    def __init__(self, marker: str, extra: Iterable[Path] = ()) -> None:
        self._began = time.time() - _SLACK_S
        self._marker = marker
        self._forms = forms(marker)
        self._places = [*map(Path, PLACES), *extra]

    def found(self) -> list[str]:
        """Every place that holds the marker in some form."""
        return [*self.in_files(), *self.in_processes(), *self.in_journal()]

    def holds(self, data: bytes | mmap.mmap) -> bool:
        """Whether these bytes have it."""
        return any(data.find(form) >= 0 for form in self._forms)

    def in_files(self) -> Iterator[str]:
        """Files, and names of files, that changed since this search was made."""
        seen: set[tuple[int, int]] = set()
        for place in self._places:
            for entry in _walk(place):
                if self._marker in entry.name:
                    yield f"the name {entry.path}"
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                changed = max(status.st_mtime, status.st_ctime) >= self._began
                if changed and stat.S_ISREG(status.st_mode) and (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    if self._in_file(Path(entry.path)):
                        yield f"the file {entry.path}"

    def in_processes(self) -> Iterator[str]:
        """Command lines, environments, names, and what is open without a name: deleted files, memory files."""
        for process in Path("/proc").iterdir():
            if not process.name.isdigit():
                continue
            for name in ("cmdline", "environ", "comm"):
                data = _read(process / name)
                if self.holds(data) or self._marker.encode() in data.replace(b"\0", b""):
                    yield f"{name} of process {process.name} ({_name(process)})"
            try:
                descriptors = list((process / "fd").iterdir())
            except OSError:  # it has ended meanwhile
                continue
            for descriptor in descriptors:
                try:
                    target, status = os.readlink(descriptor), descriptor.stat()
                except OSError:
                    continue
                unnamed = target.endswith(" (deleted)") or target.startswith("/memfd:")
                if unnamed and stat.S_ISREG(status.st_mode) and self._in_file(descriptor):
                    yield f"{target}, open in process {process.name} ({_name(process)})"

    def in_journal(self) -> Iterator[str]:
        """What journald and the kernel's log took since."""
        since = datetime.fromtimestamp(self._began, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        for command in (["journalctl", "--no-pager", "-q", "-o", "export", "--since", since], ["dmesg"]):
            if shutil.which(command[0]) is None:
                continue
            done = subprocess.run(command, capture_output=True, check=False, timeout=30)
            if self.holds(done.stdout):
                yield command[0]

    def _in_file(self, path: Path) -> bool:
        try:
            with path.open("rb") as file:
                if not os.fstat(file.fileno()).st_size:
                    return False
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    return self.holds(data)
        except (OSError, ValueError):  # gone, empty by now, or not to be mapped
            return self.holds(_read(path))


def forms(marker: str) -> list[bytes]:
    """The marker's bytes in the encodings that programs write by themselves: UTF-8, UTF-16, UTF-32, base64, hex."""
    plain = marker.encode()
    shifted = [base64.b64encode(b"\0" * shift + plain) for shift in range(3)]
    inner = [code[4:-4] for code in shifted]  # what does not depend on the neighbours
    wide = [marker.encode("utf-16-le"), marker.encode("utf-32-le")]
    return [plain, *wide, *inner, plain.hex().encode(), plain.hex().upper().encode(), plain[::-1]]


def _walk(place: Path) -> Iterator[os.DirEntry[str]]:
    waiting = [os.fspath(place)]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        for entry in entries:
            yield entry
            if entry.is_dir(follow_symlinks=False) and entry.name not in _PASSED_OVER:
                waiting.append(entry.path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes() if not path.is_fifo() else b""
    except OSError:
        return b""


def _name(process: Path) -> str:
    return _read(process / "comm").decode(errors="replace").strip()

"""The gateway's socket: bound with its final permissions, one live gateway a path, a dead one's file replaced."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import stat
from pathlib import Path
from types import TracebackType

_PATH_LIMIT = 107
"""Bytes of a socket's path that Linux takes."""


class ListenError(Exception):
    """The socket cannot be had; the message is one sentence for whoever starts the gateway."""


class Listener:
    """A bound socket and, beside it, a private directory (0700) for the worker's. Use as a context manager.

    The directory is locked while the gateway lives, so that of two gateways started at once for one path
    exactly one gets it. It is named after the socket and used again, so a killed gateway leaves no litter.
    """

    def __init__(self, path: Path, mode: int) -> None:
        self.path = path
        self.directory = path.with_name(path.name + ".d")
        self.worker_socket = self.directory / "worker.sock"
        self._mode = mode

    def __enter__(self) -> Listener:
        """Bind. Raises ListenError."""
        if len(os.fsencode(self.worker_socket)) > _PATH_LIMIT:
            room = _PATH_LIMIT - len(os.fsencode(self.worker_socket)) + len(os.fsencode(self.path))
            raise ListenError(f"the socket's path {self.path} is too long: at most {room} bytes")
        try:
            self._lock = _locked_directory(self.directory)
        except FileNotFoundError:
            raise ListenError(f"there is no directory {self.path.parent}: make it, for this user to write in") from None
        except OSError as error:
            raise ListenError(f"cannot make {self.directory}: {error.strerror}") from None
        try:
            self._remove_stale()
            self.socket = self._bind()
        except OSError as error:
            self._unlock()
            raise ListenError(f"cannot listen on {self.path}: {error.strerror}") from None
        except ListenError:
            self._unlock()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the socket, remove its file and the worker's directory."""
        self.socket.close()
        self.path.unlink(missing_ok=True)
        self._unlock()

    @property
    def group(self) -> int:
        """The group that the socket belongs to."""
        return self.path.stat().st_gid

    def _bind(self) -> socket.socket:
        """Listen under another name first: whoever sees the socket's file can connect to it.

        The umask is set before the bind, so that the file never has wider permissions than it should.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        unborn = self.path.with_name(f".{self.path.name}.new")
        unborn.unlink(missing_ok=True)
        before = os.umask(0o777 & ~self._mode)
        try:
            listener.bind(str(unborn))
            listener.listen(128)
            unborn.rename(self.path)
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(before)
        listener.setblocking(False)
        return listener

    def _remove_stale(self) -> None:
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(status.st_mode):
            raise ListenError(f"{self.path} is there and is not a socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(2.0)
            try:
                probe.connect(str(self.path))
            except OSError as error:
                if error.errno not in (errno.ECONNREFUSED, errno.ENOENT):
                    raise
            else:
                raise ListenError(f"another gateway answers here: {self.path}")
        self.path.unlink(missing_ok=True)

    def _unlock(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        os.close(self._lock)


def _locked_directory(directory: Path) -> int:
    """An open, locked descriptor of the private directory, made where it is missing."""
    while True:
        directory.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.fstat(descriptor)
            if held.st_uid != os.geteuid() or held.st_mode & 0o077:
                raise ListenError(f"{directory} is not a private directory of this user")
            if directory.stat().st_ino == held.st_ino:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise ListenError(f"another gateway answers here: {directory.with_suffix('')}") from None
        except FileNotFoundError:  # its last owner removed it as it left
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)

"""The gateway's socket: its permissions, a dead one's file, a live one's refusal."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
import time

import pytest
from gateway_running import short_directory

from medgemma_tui.gateway.listen import Listener, ListenError


@pytest.fixture
def directory():
    path = short_directory()
    yield path
    for name in path.iterdir():
        name.unlink() if not name.is_dir() else name.rmdir()
    path.rmdir()


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_the_socket_has_its_mode_whatever_the_umask(directory, mode):
    before = os.umask(0)
    try:
        with Listener(directory / "g.sock", mode) as listener:
            assert stat.S_IMODE(listener.path.stat().st_mode) == mode
            assert stat.S_IMODE(listener.directory.stat().st_mode) == 0o700
            assert listener.group == os.getegid()
    finally:
        assert os.umask(before) == 0  # and the umask is as it was
    assert list(directory.iterdir()) == []


def test_the_socket_never_has_wider_permissions(directory):
    """Looked at all the while by a second thread, over many binds."""
    path, modes, stop = directory / "g.sock", set(), threading.Event()

    def look():
        while not stop.is_set():
            with contextlib.suppress(FileNotFoundError):
                modes.add(stat.S_IMODE(os.stat(path).st_mode))

    before = os.umask(0)
    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(200):
            with Listener(path, 0o600):
                time.sleep(0.0005)  # lets the watcher have its turn
    finally:
        os.umask(before)
        stop.set()
        watcher.join()
    assert modes == {0o600}


def test_whoever_sees_the_file_can_connect(directory, monkeypatch):
    seen = []
    listen = socket.socket.listen
    monkeypatch.setattr(
        socket.socket, "listen", lambda self, *more: (seen.append((directory / "g.sock").exists()), listen(self, *more))
    )
    (directory / ".g.sock.new").touch()  # left by one that was killed in between
    with Listener(directory / "g.sock", 0o600) as listener, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(listener.path))
    assert seen == [False]
    assert list(directory.iterdir()) == []


def test_a_dead_gateways_file_is_replaced(directory):
    path = directory / "g.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    (directory / "g.sock.d").mkdir(mode=0o700)
    with Listener(path, 0o600), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_live_gateway_is_left_alone(directory):
    path = directory / "g.sock"
    with Listener(path, 0o600) as first:
        with pytest.raises(ListenError, match="another gateway answers here"), Listener(path, 0o600):
            pass
        assert first.directory.exists()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_any_other_live_server_is_left_alone(directory):
    path = directory / "g.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(ListenError, match="another gateway answers here"), Listener(path, 0o600):
            pass
        assert path.exists()
    assert not (directory / "g.sock.d").exists()


def test_a_file_that_is_no_socket_is_left_alone(directory):
    path = directory / "g.sock"
    path.write_text("notes")
    with pytest.raises(ListenError, match="is not a socket"), Listener(path, 0o600):
        pass
    assert path.read_text() == "notes"


def test_a_path_that_is_too_long_is_told_with_the_limit(tmp_path):
    with pytest.raises(ListenError, match=r"too long: at most \d+ bytes"), Listener(tmp_path / ("x" * 120), 0o600):
        pass


def test_a_directory_that_is_not_there(directory):
    with (
        pytest.raises(ListenError, match=f"there is no directory {directory / 'no'}"),
        Listener(directory / "no" / "g.sock", 0o600),
    ):
        pass


def test_a_private_directory_that_others_can_read_is_refused(directory):
    (directory / "g.sock.d").mkdir(mode=0o755)
    with pytest.raises(ListenError, match="not a private directory"), Listener(directory / "g.sock", 0o600):
        pass

"""``service.socket``: whose it is, who may come in, and whether another could take its place."""

from __future__ import annotations

import os
import socket as sockets
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_running import Running, short_directory
from other_users import needs_root

from medgemma_tui.health.checks.service import socket as check
from tests.health.looking import Seen, as_user, context, look


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    started = Running(engine_socket="/nowhere/e.sock", users_group="0").listening()
    yield started
    started.stop()


def seen(socket: Path, **settings: object) -> Seen:
    given = {"socket": socket, "users_group": "0", "model": Path("/m"), **settings}
    return look(check.CHECK, context(socket.parent, socket, **given))


def test_as_the_gateway_makes_it(running: Running) -> None:
    told = seen(running.socket)
    assert told.told == ("ok", "ok")
    assert "mode 0666" in told.text


def test_modes(running: Running) -> None:
    try:
        running.socket.chmod(0o660)
        told = seen(running.socket)
        assert told.told == ("too_closed", "warning")
        assert "0660" in told.text
        assert "0666" in told.text
        running.socket.chmod(0o777)
        assert seen(running.socket).told == ("too_open", "critical")
    finally:
        running.socket.chmod(0o666)
    assert seen(running.socket, users_group="no-such-group").told == ("settings_invalid", "unknown")
    assert seen(running.socket, users_group=None).told == ("too_open", "critical")  # 0600 would be right


def test_a_directory_that_others_may_write_in(running: Running) -> None:
    directory = running.socket.parent
    try:
        directory.chmod(0o777)
        told = seen(running.socket)
        assert told.told == ("directory_open", "critical")
        assert f"chmod go-w {directory}" in told.advice
        directory.chmod(0o1777)
        assert seen(running.socket).told == ("directory_shared", "warning")
        assert seen(running.socket, model=None, demo=True).told == ("ok", "ok")  # of a demo, nobody is a patient
    finally:
        directory.chmod(0o700)


@needs_root
def test_a_directory_of_somebody_else(running: Running) -> None:
    directory = running.socket.parent
    os.chown(directory, 12345, 12345)
    try:
        told = seen(running.socket)
        assert told.told == ("directory_foreign", "critical")
        assert "12345" in told.text
    finally:
        os.chown(directory, 0, 0)


@needs_root
def test_closed_to_this_user(running: Running) -> None:
    running.socket.parent.chmod(0o711)
    running.socket.chmod(0o600)
    try:
        surroundings = context(running.socket.parent, running.socket, socket=running.socket, users_group="0")
        assert as_user(12345, check.CHECK, surroundings) == ("closed", "unknown")
    finally:
        running.socket.chmod(0o666)
        running.socket.parent.chmod(0o700)


def test_none_a_file_and_a_dead_one() -> None:
    directory = short_directory()
    path = directory / "gateway.sock"
    assert seen(path).told == ("missing", "critical")
    path.touch()
    assert seen(path).told == ("not_a_socket", "critical")
    path.unlink()
    with sockets.socket(sockets.AF_UNIX) as dead:
        dead.bind(str(path))
    told = seen(path)
    assert told.told == ("dead", "critical")
    assert "journalctl -u medgemma" in told.advice
    path.unlink()
    directory.rmdir()
    told = seen(path)
    assert told.told == ("no_directory", "critical")


@needs_root
def test_one_that_somebody_else_listens_on() -> None:
    directory = short_directory()
    path = directory / "gateway.sock"
    directory.chmod(0o777)
    ready, write_ready = os.pipe()
    end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.setresuid(12345, 12345, 12345)
        with sockets.socket(sockets.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            os.write(write_ready, b"x")
            os.read(end, 1)
        os._exit(0)
    os.read(ready, 1)
    try:
        directory.chmod(0o700)
        os.chown(path, 0, 0)
        told = seen(path)
        assert told.told == ("replaced", "critical")
        assert "12345" in told.text
        assert "ss -xlp" in told.advice
    finally:
        os.write(write_end, b"x")
        os.waitpid(child, 0)
        path.unlink()
        directory.rmdir()


def before(tmp_path: Path, **settings: object) -> tuple[str, str]:
    return look(check.CHECK, context(tmp_path, phase="preflight", **settings)).told


def test_before_anything_runs(tmp_path: Path) -> None:
    assert before(tmp_path, demo=True) == ("private_later", "skipped")
    if not Path("/run/medgemma").exists():
        assert before(tmp_path, model=Path("/m")) == ("directory_later", "skipped")
    directory = short_directory()
    there = {"socket": directory / "s", "model": Path("/m")}
    assert before(tmp_path, **there) == ("directory_ok", "ok")
    directory.chmod(0o770)
    os.chown(directory, -1, 12345) if os.geteuid() == 0 else None
    if os.geteuid() == 0:
        assert before(tmp_path, **there) == ("directory_open", "critical")
    directory.rmdir()
    assert before(tmp_path, **there) == ("no_directory", "critical")


def test_a_private_gateways_socket_is_its_users_alone(running: Running, tmp_path: Path, monkeypatch) -> None:
    """Whatever groups the settings name for the service."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(running.socket.parent.parent))
    running.socket.chmod(0o600)
    try:
        told = look(check.CHECK, context(tmp_path, running.socket, demo=True, users_group="0")).told
        assert told == ("ok", "ok")
    finally:
        running.socket.chmod(0o666)


@needs_root
def test_the_services_own_directory_is_its_users_also_while_the_service_is_down(monkeypatch) -> None:
    """Root looks at the box before the service is started, or where it has died."""
    base = short_directory()
    base.chmod(0o755)
    place = base / "medgemma" / "gateway.sock"
    place.parent.mkdir()
    os.chown(place.parent, 12345, 12345)
    monkeypatch.setattr(check, "SERVICE_SOCKET", place)
    assert look(check.CHECK, context(base, phase="preflight", model=Path("/m"))).told[0] == "directory_foreign"
    monkeypatch.setattr(check, "_RUNTIME_DIRECTORY", place.parent)
    told = look(check.CHECK, context(base, phase="preflight", model=Path("/m")))
    assert told.told == ("directory_ok", "ok")
    with sockets.socket(sockets.AF_UNIX) as bound:
        bound.bind(str(place))  # root's, in a directory of somebody else: that one can replace it
        told = look(check.CHECK, context(base, phase="preflight", model=Path("/m")))
        assert told.told == ("directory_foreign", "critical")

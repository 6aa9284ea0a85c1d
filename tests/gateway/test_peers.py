"""Who may call: other users, for real, through a socket that the file system would let them reach."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
from gateway_running import Engine, Running, short_directory

from medgemma_tui.gateway import peers
from medgemma_tui.gateway.peers import Peer
from medgemma_tui.gateway.roles import EVERY_ROLE, Group, Policy, Role

NOBODY = 65534
CLINIC = 4711  # a group of its own

CALL = """
import os, socket, sys
path, uid, groups = sys.argv[1], int(sys.argv[2]), [int(g) for g in sys.argv[3].split(",") if g]
os.setgroups(groups); os.setgid(uid); os.setuid(uid)
with socket.socket(socket.AF_UNIX) as s:
    try:
        s.connect(path)
    except PermissionError:
        print("closed"); raise SystemExit
    s.sendall(b"GET /health HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
    reply = b""
    while data := s.recv(65536):
        reply += data
print(reply.decode())
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def call_as(path, uid, *groups):
    """The reply to a call by another user, or "closed" where the file system refuses."""
    arguments = [str(path), str(uid), ",".join(map(str, groups))]
    # The system's Python where ours is in root's home: the other user must be able to run it.
    python = next(name for name in ("/usr/bin/python3", sys.executable) if os.path.exists(name))
    done = subprocess.run([python, "-I", "-c", CALL, *arguments], capture_output=True, text=True, cwd="/", check=True)
    return done.stdout


@pytest.fixture
def reachable():
    """A directory that everybody may enter, with a stub engine."""
    directory = short_directory()
    directory.chmod(0o755)
    engine = Engine(directory)
    yield directory, engine
    engine.stop()
    shutil.rmtree(directory, ignore_errors=True)


@needs_root
def test_another_user_is_refused_by_the_file_and_by_the_gateway(reachable):
    directory, engine = reachable
    gateway = Running(engine_socket=engine.socket, directory=directory).ready()
    try:
        assert call_as(gateway.socket, NOBODY).strip() == "closed"
        gateway.socket.chmod(0o666)  # as a mistake would
        reply = call_as(gateway.socket, NOBODY)
        assert reply.startswith("HTTP/1.1 403")
        assert '"type":"forbidden"' in reply
        assert '"code":"peer_not_allowed"' in reply
        assert call_as(gateway.socket, NOBODY, CLINIC, 0).startswith("HTTP/1.1 403")  # no group in private mode
        assert "refused a call by nobody (uid 65534" in gateway.log.read_text()
        assert gateway.http.get("/health").status_code == 200
    finally:
        gateway.stop()


@needs_root
def test_the_service_lets_its_groups_members_in_and_nobody_else(reachable):
    directory, engine = reachable
    os.chown(directory, 0, CLINIC)
    directory.chmod(0o2755)  # files made here belong to the group
    gateway = Running(engine_socket=engine.socket, directory=directory, socket_mode="0660").ready()
    try:
        status = gateway.socket.stat()
        assert (status.st_gid, status.st_mode & 0o777) == (CLINIC, 0o660)
        assert call_as(gateway.socket, NOBODY, CLINIC).startswith("HTTP/1.1 200")
        assert call_as(gateway.socket, NOBODY).strip() == "closed"
        gateway.socket.chmod(0o666)
        assert call_as(gateway.socket, NOBODY).startswith("HTTP/1.1 403")
        assert call_as(gateway.socket, CLINIC).startswith("HTTP/1.1 200")  # by its primary group
    finally:
        gateway.stop()


def test_a_private_gateway_is_private_whatever_the_sites_settings_say():
    running = Running("--demo", private=True, socket_mode="0660").listening()
    try:
        assert running.socket.stat().st_mode & 0o777 == 0o600
    finally:
        running.stop()


def peer(uid, connection=7):
    return Peer(1, uid, 0, frozenset(), connection, lambda: None)


def test_the_policy():
    groups = {Role.USERS: Group(50, "clinic"), Role.OPS: Group(60, "ops")}
    private, service = Policy(1000), Policy(1000, groups)
    assert private.roles(1000, frozenset()) == private.roles(0, frozenset()) == EVERY_ROLE
    assert not private.roles(1001, frozenset({1000, 50}))
    assert service.roles(1001, frozenset({7, 50})) == {Role.USERS}
    assert service.roles(1001, frozenset({60, 50})) == {Role.USERS, Role.OPS}
    assert not service.roles(1001, frozenset({7}))
    assert service.group_names(EVERY_ROLE) == "clinic, ops"


def test_owners():
    assert peer(5).owner("a-b_c.1") == "5:s.a-b_c.1"
    assert peer(5).owner(None) == peer(5).owner("") == f"5:c.{peers._LIFE}.7"
    odd = [peer(5).owner(name) for name in ("::", "ab:", "ab", "x\r\nX-Evil: 1", "y" * 64, "y" * 65, "y" * 66, "c.7")]
    assert len(set(odd)) == len(odd)  # nothing is dropped from a name: two must not become one
    assert all(re.fullmatch(r"5:[sh]\.[A-Za-z0-9._-]{1,64}", owner) for owner in odd)

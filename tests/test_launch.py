"""The private gateway's run directory."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess

import pytest
from gateway_running import short_directory

from medgemma_tui import launch
from medgemma_tui.settings import Settings, run_dir


@pytest.fixture
def base(monkeypatch):
    path = short_directory()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(path))
    yield path
    shutil.rmtree(path)


def test_what_a_dead_process_of_the_same_id_left_is_cleared(base, monkeypatch):
    """Its socket would be taken for the new gateway's, and asked before that one is there."""
    left = run_dir() / str(os.getpid())
    left.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(left / "gateway.sock"))
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda _command, **options: popen(["cat"], **options))
    with launch.PrivateGateway(Settings(demo=True)) as gateway:
        assert gateway.directory == left
        assert gateway.exit_code() is None
        assert not gateway.socket.exists()
        assert oct(gateway.directory.stat().st_mode & 0o777) == "0o700"
    assert not left.exists()

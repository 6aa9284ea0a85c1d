"""File descriptors: a limit that was lowered, in this process and in a gateway that runs."""

from __future__ import annotations

import os
import resource

import pytest
from other_users import needs_root

from medgemma_tui.health.checks.host import files
from tests.health.chinese import in_chinese
from tests.health.looking import context, look


@pytest.fixture
def lowered():
    """Lowers this process's soft limit for the test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield lambda value: resource.setrlimit(resource.RLIMIT_NOFILE, (value, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("limit", "told"),
    [(1024, ("enough_own", "ok")), (400, ("few_own", "warning")), (140, ("too_few_own", "critical"))],
)
def test_what_a_gateway_would_inherit(tmp_path, lowered, limit, told):
    lowered(limit)
    seen = look(files.CHECK, context(tmp_path, phase="preflight", demo=True))
    assert seen.told == told
    assert f"may open {limit:,} files" in seen.text
    assert seen.figure("open_files_limit") == limit
    assert ("LimitNOFILE=4096" in seen.advice) == (told[1] != "ok")
    in_chinese(seen.result)


def test_more_slots_need_more(tmp_path, lowered):
    lowered(1024)
    seen = look(files.CHECK, context(tmp_path, phase="preflight", demo=True, slots=64, queue_limit=600))
    assert seen.told == ("too_few_own", "critical")


@needs_root
@pytest.mark.parametrize(("limit", "told"), [(400, ("few_gateway", "warning")), (100, ("too_few_gateway", "critical"))])
def test_a_gateway_that_runs(tmp_path, gateway, limit, told):
    """It is undumpable; its limits can be read all the same. This process's own say nothing of it."""
    before = resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        seen = look(files.CHECK, context(tmp_path, gateway.socket, demo=True))
    finally:
        resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE, before)
    assert seen.told == told
    assert f"(process {gateway.process.pid})" in seen.text
    assert "LimitNOFILE=4096" in seen.advice
    in_chinese(seen.result)


def test_a_service_that_is_down(tmp_path):
    assert look(files.CHECK, context(tmp_path, tmp_path / "none", demo=True)).told[0].endswith("_own")


def test_another_pid_namespace(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_gateway_pid", lambda _context: 2**22 + os.getpid())  # no process has such a number
    seen = look(files.CHECK, context(tmp_path, tmp_path / "socket", demo=True))
    assert seen.told == ("unreadable", "unknown")
    assert "/limits as root" in seen.advice

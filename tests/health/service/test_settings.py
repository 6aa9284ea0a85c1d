"""``service.settings``: every way in which settings that load are still wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from other_users import needs_root

from medgemma_tui.clinical import tables
from medgemma_tui.health.checks.service import settings as check
from tests.health.looking import Seen, as_user, context, look


@pytest.fixture(autouse=True)
def _packaged_lists():
    yield
    tables.use_site_directory(None)


def seen(place: Path, **settings: object) -> Seen:
    return look(check.CHECK, context(place, phase="preflight", **settings))


def test_the_defaults_are_valid(tmp_path) -> None:
    assert seen(tmp_path).told == ("ok", "ok")


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"users_group": "no-such-group"}, "groupadd"),
        ({"socket_mode": "0666"}, "users_group"),
        ({"socket_mode": "0600", "ops_group": "0"}, "lets no group connect"),
        ({"model": Path("models/4b")}, "not an absolute path"),
        ({"golden_file": Path("/nowhere/golden.toml")}, "golden_file: /nowhere/golden.toml cannot be read"),
        ({"instructions": Path("/nowhere/text")}, "instructions: /nowhere/text cannot be read"),
        ({"clinical_dir": Path("/nowhere")}, "clinical_dir: /nowhere cannot be read"),
        ({"socket": Path("/" + "x" * 100)}, "too long"),
        ({"max_tokens": 8192, "context_window": 8192}, "max_tokens: 8192"),
    ],
)
def test_what_cannot_work_is_critical(settings: dict[str, object], word: str, tmp_path) -> None:
    told = seen(tmp_path, **settings)
    assert told.told == ("invalid", "critical")
    assert any(word in line for line in told.lines), told.lines
    assert len(told.lines) == 1  # each problem is told once
    assert "medgemma.toml" in told.advice


def test_a_list_of_the_sites_that_is_broken(tmp_path) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "drugs.toml").write_text("source = [")
    told = seen(tmp_path, clinical_dir=lists)
    assert told.told == ("invalid", "critical")
    assert "drugs.toml" in told.lines[0]


@needs_root
def test_what_the_services_user_may_not_read(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    tmp_path.chmod(0o755)
    secret = tmp_path / "golden.toml"
    secret.touch(mode=0o600)
    for parent in tmp_path.parents:
        if parent.stat().st_mode & 0o001 == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    assert seen(tmp_path, golden_file=secret).told == ("ok", "ok")
    assert as_user(12345, check.CHECK, context(tmp_path, golden_file=secret)) == ("invalid", "critical")


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"model": Path("/m"), "engine_socket": Path("/e.sock")}, "/e.sock"),
        ({"session_max_bytes": 4096, "parked_total_bytes": 1024}, "session_max_bytes"),
        ({"queue_per_user": 9, "queue_limit": 3}, "queue_per_user"),
        ({"thinking_budget": 900, "max_tokens": 512}, "thinking_budget"),
    ],
)
def test_what_contradicts_itself_is_a_warning(settings: dict[str, object], word: str, tmp_path) -> None:
    told = seen(tmp_path, **settings)
    assert told.told == ("doubtful", "warning")
    assert word in told.lines[0]

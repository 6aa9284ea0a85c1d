"""Settings: file < environment < flags; anything unknown or wrong is told by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medgemma_tui import settings


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("MEDGEMMA_"):
            monkeypatch.delenv(name)
    path = tmp_path / "medgemma.toml"
    path.write_text("")
    monkeypatch.setenv("MEDGEMMA_CONFIG", str(path))
    return path


def test_flags_over_environment_over_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("max_tokens = 100\nslots = 3\nfps = 5\n")
    monkeypatch.setenv("MEDGEMMA_SLOTS", "4")
    monkeypatch.setenv("MEDGEMMA_FPS", "6")
    loaded = settings.load(fps=7)
    assert (loaded.max_tokens, loaded.slots, loaded.fps) == (100, 4, 7)


@pytest.mark.parametrize(
    ("text", "named"),
    [("slotts = 3\n", "slotts"), ('slots = "many"\n', "slots"), ("fps = 600\n", "fps"), ("fps = = 3\n", "line 1")],
)
def test_a_wrong_file_is_told_by_key(config: Path, text: str, named: str) -> None:
    config.write_text(text)
    with pytest.raises(settings.SettingsError) as caught:
        settings.load()
    assert named in str(caught.value)
    assert str(config) in str(caught.value)


def test_a_named_file_that_is_not_there_is_an_error(config: Path) -> None:
    config.unlink()
    with pytest.raises(settings.SettingsError):
        settings.load()


def test_run_dir_is_private_and_refuses_another_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert settings.run_dir().stat().st_mode & 0o777 == 0o700
    (tmp_path / "medgemma").chmod(0o755)
    with pytest.raises(settings.SettingsError, match="private"):
        settings.run_dir()

"""``history.timer``: by what ``systemctl show`` prints; where systemd runs the box, by the real one, too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medgemma_tui.health.checks.history import timer
from tests.health.looking import Seen, context, look

LOADED = "LoadState=loaded\nActiveState={active}\nUnitFileState={file}\n"


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a ``systemctl`` that prints this, and ends so, before the system's."""
    monkeypatch.setattr(timer, "_BOOTED", tmp_path)

    def put(text: str, code: int = 0) -> None:
        program = tmp_path / "systemctl"
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}END\nexit {code}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return put


def seen(place: Path, **settings: object) -> Seen:
    return look(timer.CHECK, context(place, **(settings or {"model": Path("/m")})))


@pytest.mark.parametrize(
    ("text", "told", "word"),
    [
        (LOADED.format(active="active", file="enabled"), ("ok", "ok"), ""),
        (LOADED.format(active="inactive", file="enabled"), ("inactive", "warning"), "enable --now"),
        (LOADED.format(active="active", file="disabled"), ("not_enabled", "warning"), "enable --now"),
        ("LoadState=not-found\nActiveState=inactive\nUnitFileState=\n", ("missing", "warning"), "provisioning/systemd"),
        ("", ("no_answer", "unknown"), "systemctl status"),
    ],
)
def test_what_systemd_says(text: str, told: tuple[str, str], word: str, says, tmp_path: Path) -> None:
    says(text)
    found = seen(tmp_path)
    assert found.told == told
    assert word in found.advice


def test_a_bus_that_does_not_answer(says, tmp_path: Path) -> None:
    says("", 1)
    assert seen(tmp_path).told == ("no_answer", "unknown")


def test_where_systemd_does_not_run_the_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timer, "_BOOTED", tmp_path / "none")
    assert seen(tmp_path).told == ("no_systemd", "skipped")
    assert seen(tmp_path, demo=True).told == ("demo", "skipped")

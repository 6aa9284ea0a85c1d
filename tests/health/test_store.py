"""Where reports are kept, and whose they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from medgemma_tui import state_dirs
from medgemma_tui.health.store import directory_of
from medgemma_tui.settings import SERVICE_SOCKET, Settings


def test_who_asks_about_the_installed_service_looks_at_its_reports_and_not_at_his_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_dirs, "SERVICE_STATE", tmp_path / "service")
    user = {"XDG_STATE_HOME": str(tmp_path / "user")}
    service = Settings(socket=SERVICE_SOCKET)
    assert directory_of(service, user) == tmp_path / "user/medgemma/health", "nothing is installed"
    (tmp_path / "service").mkdir()
    assert directory_of(service, user) == tmp_path / "service/health"
    assert directory_of(Settings(socket=tmp_path / "own.sock"), user) == tmp_path / "user/medgemma/health"
    assert directory_of(service, user | {"STATE_DIRECTORY": str(tmp_path / "unit")}) == tmp_path / "unit/health"
    named = Settings(socket=SERVICE_SOCKET, health_dir=tmp_path / "named")
    assert directory_of(named, user) == tmp_path / "named"

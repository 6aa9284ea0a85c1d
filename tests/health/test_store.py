"""Where reports are kept, and whose they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from other_users import needs_root

from medgemma_tui import state_dirs
from medgemma_tui.health.store import Store, directory_of
from medgemma_tui.protocol import HealthReport
from medgemma_tui.settings import SERVICE_SOCKET, Settings


def _report(started: float) -> HealthReport:
    box = "b" * 6000  # more than a page
    return HealthReport(
        phase="health", started=started, seconds=1, version="1", box=box, demo=True, verdict="unknown", results=[]
    )


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


@needs_root
def test_on_a_full_disk_the_newest_report_takes_the_place_of_older_ones(small_disk) -> None:
    """Were it missing, the one before it would pass for the last: green, perhaps."""
    store = Store(small_disk.path / "health")
    for number in range(30):
        store.save(_report(number))
    small_disk.disk_full()
    store.save(_report(30))
    kept = [report.started for report in store.reports()]
    assert kept[-1] == 30
    assert 10 <= len(kept) < 30
    assert kept == sorted(kept)[-len(kept) :]

"""No process of ours may leave a core file with a patient's text in it: asked of the kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import psutil
import pytest

from medgemma_tui.protocol import Health


class Gateway(Protocol):
    """The session's gateway on the demo model."""

    socket: Path

    def health(self) -> Health: ...


def _core_limit(pid: int) -> list[str]:
    line = next(line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "core file" in line)
    return line.split()[4:6]


@pytest.mark.engine
def test_gateway_and_worker_have_no_room_for_a_core(gateway: Gateway) -> None:
    health = gateway.health()
    pid = health.worker_pid if isinstance(health, Health) else health["worker_pid"]
    assert pid is not None
    assert _core_limit(pid) == ["0", "0"]
    parent = psutil.Process(pid).ppid()
    assert _core_limit(parent) == ["0", "0"]

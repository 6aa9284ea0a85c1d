"""``medgemma-tui privacy`` on real processes, sealed and deliberately not; and what the screen says of them."""

from __future__ import annotations

import json
import os
import socket as sockets
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest
from gateway_running import Running

from medgemma_tui.privacy_words import noted_in
from medgemma_tui.protocol import PrivacyReport, ProcessName, ProcessPrivacy

pytestmark = pytest.mark.e2e

BIN = Path(sys.executable).parent / "medgemma-tui"
UNSEALED = "import medgemma_tui.privacy.seal as s; s.seal = lambda role: s.Seal(role, ())"


class Gateway(Protocol):
    """The session's gateway on the demo model."""

    socket: Path


def privacy(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MEDGEMMA_", "PYTHON"))}
    return subprocess.run(
        [str(BIN), "privacy", *arguments], capture_output=True, text=True, timeout=120, check=False,
        env={**environment, "LANG": "en_US.UTF-8", "OMP_NUM_THREADS": "1"}, **more,  # type: ignore[call-overload]
    )  # fmt: skip


def report(done: subprocess.CompletedProcess[str]) -> PrivacyReport:
    return PrivacyReport.model_validate_json(done.stdout)


def one(found: PrivacyReport, name: ProcessName) -> ProcessPrivacy:
    return next(each for each in found.processes if each.process == name)


def verdicts(process: ProcessPrivacy, *kinds: str) -> dict[str, str]:
    return {each.id: each.verdict for each in process.findings if not kinds or each.kind in kinds}


@pytest.mark.engine
def test_everything_is_shut_in_the_demo_on_this_machine() -> None:
    """For real: a private gateway and a worker with the demo model, each tried from inside."""
    done = privacy("--json", "--demo")
    found = report(done)
    assert json.loads(done.stdout).keys() == {"processes", "missing", "foreign_engine", "shut"}
    assert [each.process for each in found.processes] == ["screen", "gateway", "worker"]
    assert found.missing == []
    assert len({each.pid for each in found.processes}) == 3
    for process in found.processes:
        of = verdicts(process)
        probes = {id_: verdict for id_, verdict in of.items() if id_ in verdicts(process, "probe")}
        # Some machines have a resolver on a Unix socket, swap, or a core pattern with a program: told, and not shut.
        of_the_box = {"dns", "swap", "core_pattern", *(id_ for id_ in probes if id_.startswith("resolver_"))}
        assert {id_ for id_, verdict in of.items() if verdict not in ("shut", "absent")} <= of_the_box, done.stdout
        assert {"tcp", "udp", "tcp6", "raw", "netlink", "io_uring", "dns", "http_client", "hub"} <= probes.keys()
        assert "absent" not in probes.values()
        assert {of[id_] for id_ in ("seccomp", "no_new_privs", "open_sockets", "dumpable", "core_limit")} == {"shut"}
    assert done.returncode == (0 if found.shut else 1)
    assert done.stderr == ""


@pytest.fixture(scope="module")
def unsealed(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A gateway that does not seal itself, before an engine that is not there."""
    running = Running(engine_socket=tmp_path_factory.mktemp("e") / "none.sock", patch=UNSEALED).listening()
    yield running
    running.stop()


def test_a_gateway_that_is_not_sealed_is_found_out(unsealed: Running) -> None:
    done = privacy("--json", "--socket", str(unsealed.socket))
    assert done.returncode == 1
    found = report(done)
    assert not found.shut
    assert (found.missing, found.foreign_engine) == (["worker"], True)
    gateway = verdicts(one(found, "gateway"))
    assert {gateway[id_] for id_ in ("tcp", "udp", "seccomp", "no_new_privs", "dumpable")} == {"open"}
    assert verdicts(one(found, "screen"))["tcp"] == "shut"
    for_people = privacy("--socket", str(unsealed.socket))
    assert for_people.returncode == 1
    assert "NOT everything is shut (screen, gateway)" in for_people.stdout
    assert "- Open (gateway): The system call filter is not in force" in for_people.stdout
    assert "- Not asked (worker): Another program answers" in for_people.stdout
    assert "\x1b" not in for_people.stdout


@pytest.mark.engine
def test_a_network_socket_that_is_handed_in_is_found_out(gateway: Gateway) -> None:
    with sockets.socket(sockets.AF_INET, sockets.SOCK_STREAM) as handed:
        done = privacy("--json", "--socket", str(gateway.socket), pass_fds=[handed.fileno()])
    assert done.returncode == 1
    found = report(done)
    (open_,) = noted_in([one(found, "screen")], "open")
    assert open_.ids == ("open_sockets",)
    for name in ("gateway", "worker"):  # theirs are shut all the same
        assert set(verdicts(one(found, name), "probe").values()) == {"shut"}


def test_without_a_service_the_screens_own_findings_are_printed(tmp_path: Path) -> None:
    done = privacy("--json", "--socket", str(tmp_path / "none.sock"))
    assert done.returncode == 5
    found = report(done)
    assert [each.process for each in found.processes] == ["screen"]
    assert (found.missing, found.shut) == (["gateway", "worker"], False)
    assert verdicts(one(found, "screen"))["seccomp"] == "shut"
    assert "does not answer" in done.stderr


def test_a_model_that_cannot_be_loaded_leaves_the_worker_unproved(tmp_path: Path) -> None:
    done = privacy("--model", str(tmp_path / "nothing"))
    assert done.returncode == 1
    assert "NOT everything is shut (screen, gateway)" in done.stdout
    assert "- Not asked (worker): There is no model directory" in done.stdout.replace("\n  ", " ")

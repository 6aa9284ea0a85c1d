"""Sealing: proved by the service's processes; before there is one, what this process could close."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from gateway_running import Engine, Running, short_directory

from medgemma_tui import i18n
from medgemma_tui.health import wording
from medgemma_tui.health.checks.privacy import seal
from medgemma_tui.health.run import result_of
from medgemma_tui.privacy.probes import probe
from medgemma_tui.privacy.watch import report_of
from medgemma_tui.protocol import Finding, ProcessPrivacy
from tests.health.chinese import in_chinese
from tests.health.looking import context, look


def told(*processes: ProcessPrivacy, missing=(), foreign_engine=False):
    """The result for a report on these."""
    outcome = seal.of_report(report_of(processes, missing, foreign_engine=foreign_engine))
    result = result_of("privacy.seal", outcome)
    in_chinese(result)
    return result


def lines(result) -> list[str]:
    return [line for item in result.items for line in wording.item_lines(item)]


def test_a_running_service_is_sealed(tmp_path, gateway):
    seen = look(seal.CHECK, context(tmp_path, gateway.socket, demo=True))
    if seen.result.code == "in_part":  # by this box's swap, say: still told
        assert seen.result.status == "warning"
        assert seen.lines
        return
    assert seen.told == ("sealed", "ok")
    assert seen.figure("seal_open") == seen.figure("seal_warnings") == seen.figure("seal_unknown") == 0
    assert "gateway and worker" in seen.text


def test_a_process_that_was_never_sealed(tmp_path):
    """This one: its sockets open, and the kernel says so."""
    result = told(probe("gateway", quick=True))
    assert (result.code, result.status) == ("open", "critical")
    assert any(line.startswith("Open (gateway): The system call filter is not in force") for line in lines(result))
    assert wording.advice(result).startswith("Take no patient's data on this box")
    assert "开放" in in_chinese(result)


def finding(verdict: str, code: str = "", id_: str = "swap") -> ProcessPrivacy:
    one = Finding(id=id_, kind="kernel", tried="", said="", verdict=verdict, code=code)
    return ProcessPrivacy(process="gateway", pid=1, findings=[one])


@pytest.mark.parametrize(
    ("processes", "more", "expected"),
    [
        ([finding("shut")], {}, ("sealed", "ok")),
        ([finding("absent")], {}, ("sealed", "ok")),
        ([finding("warning", "swap_plain")], {}, ("in_part", "warning")),
        ([finding("unknown")], {}, ("unknown", "unknown")),
        ([finding("warning", "swap_plain"), finding("unknown")], {}, ("unknown", "unknown")),
        ([finding("shut")], {"missing": ["worker"]}, ("not_asked", "unknown")),
        ([finding("open")], {"missing": ["worker"]}, ("open", "critical")),
        ([finding("shut")], {"missing": ["worker"], "foreign_engine": True}, ("foreign_engine", "warning")),
        ([finding("open")], {"missing": ["worker"], "foreign_engine": True}, ("open", "critical")),
        ([], {}, ("unknown", "unknown")),
        ([ProcessPrivacy(process="gateway", pid=1)], {}, ("unknown", "unknown")),
    ],
)
def test_never_better_than_the_worst_finding(processes, more, expected):
    result = told(*processes, **more)
    assert (result.code, result.status) == expected
    assert bool(wording.advice(result)) == (expected[1] != "ok")


def test_lines_are_those_of_the_privacy_command():
    result = told(finding("warning", "swap_plain"))
    assert lines(result) == [
        "Warning (gateway): The system may write memory, and so what was asked, to swap space that is not encrypted. "
        "Switch swap off (swapoff -a), encrypt it, or run the service under a unit with MemorySwapMax=0."
    ]
    i18n.set_language("zh")
    try:
        assert lines(result)[0].startswith("警告（网关）")
    finally:
        i18n.set_language("en")


def test_a_worker_that_does_not_run(tmp_path):
    """Its model cannot be loaded."""
    running = Running("--model", str(tmp_path), private=True)
    try:
        running.listening()
        seen = look(seal.CHECK, context(tmp_path, running.socket, model=tmp_path))
    finally:
        running.stop()
    assert seen.told == ("not_asked", "unknown")
    assert any(line.startswith("Not asked (worker)") for line in seen.lines)
    assert "Wait until the model is loaded" in seen.advice


def test_another_programs_engine(tmp_path):
    directory = short_directory()
    engine = Engine(directory)
    running = Running(engine_socket=engine.socket)
    try:
        running.listening()
        seen = look(seal.CHECK, context(tmp_path, running.socket, engine_socket=engine.socket))
    finally:
        running.stop()
        engine.stop()
    assert seen.told == ("foreign_engine", "warning")
    assert "writes no prompt to a disk" in seen.advice


def test_a_service_that_is_down(tmp_path):
    assert look(seal.CHECK, context(tmp_path, tmp_path / "none", demo=True)).told == ("no_service", "skipped")


# --- before there is a service ---

_LOOK = """
import json, sys
from pathlib import Path
{before}
from medgemma_tui.health.checks.privacy import seal as check
from tests.health.looking import context, look
surroundings = context(Path(sys.argv[1]), phase="preflight", demo=True)
if {sealed}:
    from medgemma_tui.privacy.seal import seal
    seal("command")
seen = look(check.CHECK, surroundings)
print(json.dumps([*seen.told, seen.advice, *seen.lines]))
"""
_NO_LIBSECCOMP = """
import ctypes.util
real, find = ctypes.CDLL, ctypes.util.find_library
def none(name, *more, **options):
    if name and "seccomp" in name:
        raise OSError("no such library")
    return real(name, *more, **options)
ctypes.CDLL = none
ctypes.util.find_library = lambda name: None if name == "seccomp" else find(name)
"""


def preflight(tmp_path, *, sealed=True, before="") -> list[str]:
    code = _LOOK.format(before=before, sealed=sealed)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_box_that_lets_us_seal(tmp_path):
    code, status, _advice, *said = preflight(tmp_path)
    assert (code, status) in (("can_seal", "ok"), ("can_seal_in_part", "warning")), said


def test_a_box_without_libseccomp(tmp_path):
    code, status, advice, *said = preflight(tmp_path, before=_NO_LIBSECCOMP)
    assert (code, status) == ("cannot_seal", "critical")
    assert any("Install it (package libseccomp2)" in line for line in said)
    assert "before the service is started" in advice


def test_a_run_that_was_not_started_as_our_command(tmp_path):
    code, status, advice, *_said = preflight(tmp_path, sealed=False)
    assert (code, status, advice) == ("not_tried", "unknown", "Run medgemma-tui preflight.")

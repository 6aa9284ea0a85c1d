"""The support bundle: what is in it, what must not be, and how it is written."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from gateway_running import Engine, Running, short_directory

from medgemma_tui import health_bundle
from medgemma_tui.exits import ExitCode
from medgemma_tui.health.bundle import contents, masking, units
from medgemma_tui.health.store import Store
from medgemma_tui.protocol import CheckResult, Figure, HealthReport, Item
from medgemma_tui.settings import Settings
from tests.benchmarks.terminal import Terminal
from tests.e2e.search import forms

PROGRAM = [sys.executable, "-m", "medgemma_tui"]


def members(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as archive:
        entries = archive.getmembers()
        assert all((entry.uid, entry.gid, entry.uname, entry.gname) == (0, 0, "", "") for entry in entries)
        return {entry.name: archive.extractfile(entry).read() for entry in entries}  # type: ignore[union-attr]


@pytest.fixture(autouse=True)
def _no_reports_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(contents, "SERVICE_REPORTS", tmp_path / "service-reports")


def settings(tmp_path: Path, **more: object) -> Settings:
    return Settings(demo=True, health_dir=tmp_path / "health", audit_dir=tmp_path / "audit", **more)  # type: ignore[arg-type]


def report(**params: str) -> HealthReport:
    figures = [Figure(name="disk_free", value=1, label=params.get("path", ""))]
    held = Item(code="holder", params={"pid": "7", "gib": "3.1", **params})
    found = CheckResult(
        id="gpu.holders", status="warning", code="held", params=dict(params), items=[held], figures=figures
    )
    return HealthReport(
        phase="health",
        started=time.time(),
        seconds=1,
        version="0",
        box="b",
        demo=True,
        verdict="warning",
        results=[found],
    )


def make(file: Path, used: Settings) -> ExitCode:
    return health_bundle.make(used, file, yes=True)


# --- what is in it, and what is not ---


def test_a_conversation_and_the_key_are_nowhere_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real gateway that was asked, that answered, that keeps a parked conversation and knows of a lock."""
    marker = "zq" + secrets.token_hex(11)
    directory = short_directory()
    monkeypatch.setenv("MARKED", marker)
    engine = Engine(directory)
    key = tmp_path / "audit.key"
    own = {"audit_dir": tmp_path / "audit", "audit_key": key, "health_dir": tmp_path / "health"}
    gateway = Running(engine_socket=engine.socket, **own)
    try:
        gateway.ready()
        assert gateway.ask(f"n=3 {marker}").status_code == 200
        assert gateway.ask(f"refuse=413 {marker}").status_code == 413
        assert gateway.http.put("/v1/session", json={"payload": marker}).status_code == 204
        for event in ("login", "lock", "unlock_failed"):
            assert gateway.http.post("/v1/events", json={"event": event, "outcome": "ok"}).status_code == 204
        assert gateway.http.post("/v1/chat/completions", json={"messages": marker}).status_code == 400
        Store(tmp_path / "health").save(report(user="zhang", command=f"python {marker}.py", path=f"/home/{marker}/x"))
        # as if this gateway were a screen's own: its log is taken in
        monkeypatch.setattr(contents, "_private_logs", lambda: [gateway.log])
        used = Settings(socket=gateway.socket, engine_socket=engine.socket, **own)  # type: ignore[arg-type]
        file = tmp_path / "bundle.tar.gz"
        assert make(file, used) == ExitCode.OK
    finally:
        gateway.stop()
        engine.stop()
    found = members(file)
    secret = bytes.fromhex(key.read_text())
    for name, data in found.items():
        assert not any(form in data for form in forms(marker)), name
        assert secret not in data, name
        assert not any(form in data for form in forms(secret.hex())), name
        assert b"word word" not in data  # the answer
    names = {name.removeprefix("medgemma-support/") for name in found}
    assert {"README.txt", "versions.json", "settings.json", "service/health.json", "audit-verdict.json"} <= names
    assert "service/private-gateway-1.txt" in names
    assert b"listening on" in found["medgemma-support/service/private-gateway-1.txt"]
    assert json.loads(found["medgemma-support/audit-verdict.json"])["whole"] is True
    assert json.loads(found["medgemma-support/service/health.json"])["reason"] == "ready"
    (kept,) = [data for name, data in found.items() if "/reports/" in name]
    masked = HealthReport.model_validate_json(kept)
    assert masked.results[0].figures[0].label == "/home/(user)/x"
    assert masked.results[0].items[0].params == {
        "pid": "7", "gib": "3.1", "user": "(withheld)", "command": "(withheld)", "path": "/home/(user)/x",
    }  # fmt: skip


def test_the_settings_are_in_it_and_no_content_of_what_they_name(tmp_path: Path) -> None:
    text = tmp_path / "instructions.txt"
    text.write_text("INSIDE")
    file = tmp_path / "b.tar.gz"
    used = settings(tmp_path, instructions=text, slots=3, keymap={"trace.toggle": "f2"})
    assert make(file, used) == ExitCode.OK
    found = members(file)
    assert not any(b"INSIDE" in data for data in found.values())
    told = json.loads(found["medgemma-support/settings.json"])
    assert set(told["values"]) == set(Settings.model_fields)
    assert told["values"]["slots"] == 3
    assert told["values"]["keymap"] == 1
    assert "slots" in told["given"]
    packages = json.loads(found["medgemma-support/versions.json"])["packages"]
    assert "textual" in packages


def test_the_list_names_every_member_and_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "b.tar.gz"
    for number in range(3):
        Store(tmp_path / "health").save(report(number=str(number)))
    assert make(file, settings(tmp_path)) == ExitCode.OK
    out, shown = capsys.readouterr()
    for name in members(file):
        short = name.removeprefix("medgemma-support/")
        assert short.startswith("reports/") or short in shown
    assert "3 health reports" in shown
    assert str(file) in out
    readme = members(file)["medgemma-support/README.txt"].decode()
    if not units.BOOTED.is_dir():
        assert "service/journal.txt" in shown
        assert "systemd does not run this box" in shown
        assert "service/journal.txt: systemd does not run this box" in readme
    assert "Not in it, on purpose" in readme


def test_only_our_own_lines_of_a_journal_are_taken() -> None:
    own = "2026-11-24 06:30:00,123 WARNING medgemma_tui.gateway.incidents: refused a call by zhang (uid 1001, pid 7): x"
    entries = [
        {"MESSAGE": own, "_PID": "77"},
        {"MESSAGE": "medgemma.service: Main process exited", "_PID": "1"},
        {"MESSAGE": "患者男，65岁，胸痛", "_PID": "77"},  # whatever a library printed
        {"MESSAGE": "2026-11-24 06:30:00,123 WARNING py.warnings: 患者", "_PID": "77"},
        {"MESSAGE": [230, 130], "_PID": "77"},
        {"_PID": "77"},
    ]
    lines = units.of_journal([*map(json.dumps, entries), "no json"])
    assert lines.kept == (own.replace("zhang", "uid-1001"), "medgemma.service: Main process exited")
    assert lines.left_out == 5
    assert "患者" not in lines.text()


def test_logins_are_masked_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    entry = pwd.struct_passwd(("wang.li", "x", 1007, 1007, "", "/home/wang.li", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwall", lambda: [entry])
    masking._logins.cache_clear()
    try:
        assert (
            masking.line("wang.li: refused; /data/wang.li/x; xwang.li")
            == "uid-1007: refused; /data/uid-1007/x; xwang.li"
        )
        assert masking.line("/home/wang.li/a b \x1b[2J") == "/home/(user)/a b [2J"
    finally:
        masking._logins.cache_clear()


# --- how it is written ---


def test_it_is_for_its_owner_alone_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert make(out / "b.tar.gz", settings(tmp_path)) == ExitCode.OK
    assert [path.name for path in out.iterdir()] == ["b.tar.gz"]
    assert (out / "b.tar.gz").stat().st_mode & 0o777 == 0o600


def test_one_that_is_there_is_replaced_and_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "b.tar.gz"
    file.write_text("before")
    assert make(file, settings(tmp_path)) == ExitCode.OK
    assert "is there already and will be replaced" in capsys.readouterr().err
    assert members(file)


def test_one_that_appears_meanwhile_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "b.tar.gz"
    collect = health_bundle.collect

    def slow(used: Settings) -> contents.Contents:
        file.write_text("somebody's")
        return collect(used)

    monkeypatch.setattr(health_bundle, "collect", slow)
    assert make(file, settings(tmp_path)) == ExitCode.FAILED
    assert file.read_text() == "somebody's"
    assert "left as it is" in capsys.readouterr().err
    assert [path.name for path in tmp_path.glob(".b*")] == []


@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_what_is_no_file_is_not_replaced(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "there"
    place.mkdir() if kind == "directory" else os.mkfifo(place)
    assert make(place, settings(tmp_path)) == ExitCode.USAGE
    assert "Name another" in capsys.readouterr().err


def test_a_full_disk_leaves_nothing(small_disk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_disk.disk_full()
    before = sorted(path.name for path in small_disk.path.iterdir())
    assert make(small_disk.path / "b.tar.gz", settings(tmp_path)) == ExitCode.FAILED
    assert "No space left" in capsys.readouterr().err
    assert sorted(path.name for path in small_disk.path.iterdir()) == before


def test_a_file_system_without_second_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stick's: link(2) says EPERM there."""

    def refuse(*_names: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert make(tmp_path / "b.tar.gz", settings(tmp_path)) == ExitCode.OK
    assert members(tmp_path / "b.tar.gz")
    assert list(tmp_path.glob(".b*")) == []


# --- asking ---


def command(tmp_path: Path, *more: str) -> list[str]:
    return [*PROGRAM, "health", "--demo", "--lang", "en", "--bundle", str(tmp_path / "b.tar.gz"), *more]


def test_in_a_pipe_it_needs_yes(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path), input="y\n", capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "--yes" in done.stderr
    assert not (tmp_path / "b.tar.gz").exists()
    done = subprocess.run(command(tmp_path, "--yes"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "README.txt" in done.stderr
    assert members(tmp_path / "b.tar.gz")


@pytest.mark.parametrize(("key", "written"), [("y\r", True), ("\r", False)])
def test_on_a_terminal_the_list_is_shown_and_asked_for(key: str, written: bool, tmp_path: Path) -> None:
    terminal = Terminal(command(tmp_path), columns=100, env={})
    assert terminal.read(60, until=b"[y/N]") is not None
    assert b"settings.json" in terminal.seen
    assert not (tmp_path / "b.tar.gz").exists()
    terminal.type(key)
    _, status = os.waitpid(terminal.pid, 0)
    assert (tmp_path / "b.tar.gz").exists() is written
    assert (os.waitstatus_to_exitcode(status) == 0) is written

"""``medgemma-tui health`` and ``preflight`` from outside: exit codes, pipes, files, signals, and whom they ask."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from gateway_running import short_directory
from other_users import needs_root
from prometheus_client.parser import text_string_to_metric_families

from medgemma_tui import cli, i18n
from medgemma_tui.gateway import health_child
from medgemma_tui.health.store import Store
from medgemma_tui.protocol import CheckResult, HealthProgress, HealthReport
from medgemma_tui.settings import Settings

EXITS = {"ok": 0, "warning": 1, "critical": 2, "unknown": 3}
PATCH = """
import sys, threading, time
from medgemma_tui.health import registry, meanings
from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.meanings import Meaning
def hangs(context):
    print("hanging", file=sys.stderr, flush=True)
    threading.Event().wait(120)
def works(context):
    context.told("host.b", 43.0)
    return Outcome("good")
for name in ("host.a", "host.b"):
    meanings.MEANINGS[name] = {"good": Meaning("ok", "It is good.")}
registry.CHECKS = tuple(Check(f"host.{name[0]}", globals()[name[1]]) for name in {checks})
from medgemma_tui.cli import run
sys.exit(run())
"""
GOOD = PATCH.replace("{checks}", '[("a", "works"), ("b", "works")]')
HANGING = PATCH.replace("{checks}", '[("a", "hangs"), ("b", "works")]')


@pytest.fixture
def home(tmp_path) -> Path:
    """A directory for reports of one's own, and settings that say no more."""
    (tmp_path / "settings.toml").write_text(f'health_dir = "{tmp_path}/health"\n')
    return tmp_path


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEDGEMMA_")}
    return {**kept, "LANG": "en_US.UTF-8", "MEDGEMMA_CONFIG": str(home / "settings.toml"), **more}


def command(*arguments: str, patch: str = "") -> list[str]:
    return [sys.executable, *(["-c", patch] if patch else ["-m", "medgemma_tui"]), *arguments]


def run(home: Path, *arguments: str, patch: str = "", env: dict[str, str] | None = None, **more):
    return subprocess.run(
        command(*arguments, patch=patch), capture_output=True, text=True, timeout=120,
        env=environment(home, **(env or {})), **more,
    )  # fmt: skip


@pytest.fixture
def here(home, monkeypatch):
    """Run a command in this process: ``here("health", "--last")`` gives its exit code."""
    monkeypatch.setenv("MEDGEMMA_CONFIG", str(home / "settings.toml"))
    before = signal.getsignal(signal.SIGTERM)

    def ran(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["medgemma-tui", *arguments])
        return cli._command()

    yield ran
    signal.signal(signal.SIGTERM, before)
    i18n.set_language("en")
    i18n.set_ascii(False)


def a_report(age_s: float = 60.0, status="ok", **more) -> HealthReport:
    result = CheckResult(id="host.ram", status=status, code="left_out")
    fields = {"phase": "health", "started": time.time() - age_s, "seconds": 9.0, "version": "0.1.0", "box": "box-3",
              "demo": True, "verdict": status, "results": [result]}  # fmt: skip
    return HealthReport(**{**fields, **more})


# --- a real run ---


def test_preflight_on_the_demo_says_the_same_in_each_form_and_in_its_exit_code(home):
    done = run(home, "preflight", "--demo", "--format", "json", "--textfile", str(home / "x.prom"))
    assert done.stderr == ""  # no progress in a pipe
    report = HealthReport.model_validate_json(done.stdout)
    assert done.returncode == EXITS[report.verdict]
    assert (report.phase, report.demo, report.partial) == ("preflight", True, False)
    found = {sample.name: sample.value for family in text_string_to_metric_families((home / "x.prom").read_text())
             for sample in family.samples}  # fmt: skip
    assert found["medgemma_health_verdict"] == EXITS[report.verdict]
    assert stat.S_IMODE((home / "x.prom").stat().st_mode) == 0o644
    assert not (home / "health" / "runs").exists()  # the running system's reports are kept, no others


def test_a_part_is_shown_as_such_and_not_kept(home):
    done = run(home, "preflight", "--demo", "--only", "service.settings")
    assert done.returncode == 0, done.stdout
    assert "of the checks asked for: ok" in done.stdout
    assert done.stdout.splitlines()[0] == done.stdout.splitlines()[-1]
    assert list(home.rglob("*.json")) == []


@needs_root
def test_whoever_is_not_the_services_user_has_it_run_by_the_service(gateway, home):
    """The socket's file belongs to somebody else, as an installed service's does for root and for ops."""
    socket_file = Path(gateway.socket)
    os.chown(socket_file, 12345, -1)
    try:
        done = run(
            home, "health", "--socket", str(socket_file), "--new-baseline", "--timeout", "60", "--format", "json"
        )
        report = HealthReport.model_validate_json(done.stdout)
        assert done.returncode == EXITS[report.verdict]
        assert (report.phase, report.partial) == ("health", False)
        assert "--timeout does not count" in done.stderr
        speed = next(each for each in report.results if each.id == "model.speed")
        assert speed.code in ("recorded", "shared")  # shared: another test asks at the same time
        assert not (home / "health").exists()  # kept by the service, in its own place
        again = run(home, "health", "--socket", str(socket_file), "--last", "--format", "json")
        assert HealthReport.model_validate_json(again.stdout).results == report.results
        assert again.returncode == done.returncode
    finally:
        os.chown(socket_file, os.getuid(), -1)


def test_what_is_asked_of_the_service_reaches_the_run_that_it_starts():
    arguments = health_child.command(Settings(demo=True), Path("/x"), full=True, new_baseline=True)
    assert arguments[-5:] == ["--socket", "/x", "--demo", "--full", "--new-baseline"]
    assert health_child.command(Settings(demo=True), Path("/x"), full=False)[-1] == "--demo"


@contextlib.contextmanager
def dead_socket() -> Iterator[Path]:
    """A socket's file with nobody behind it, of another user."""
    directory = short_directory()
    path = directory / "gateway.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
    os.chown(path, 12345, -1)
    yield path
    path.unlink()
    directory.rmdir()


@needs_root
def test_where_the_service_does_not_answer_the_checks_run_here_and_are_critical(home):
    with dead_socket() as path:
        done = run(home, "health", "--socket", str(path), "--format", "json")
    assert "The service does not answer. The checks run in this process instead." in done.stderr
    report = HealthReport.model_validate_json(done.stdout)
    assert done.returncode == 2
    assert {each.id for each in report.results if each.status == "critical"} >= {"service.gateway"}


@needs_root
def test_root_keeps_a_report_for_the_owner_of_the_directory(home):
    theirs = home / "health"
    theirs.mkdir()
    os.chown(theirs, 12345, 12346)
    Store(theirs).save(a_report())
    made = list(theirs.rglob("*"))
    assert len(made) == 2
    assert {(each.stat().st_uid, each.stat().st_gid) for each in made} == {(12345, 12346)}


AS_NOBODY = """
import os, sys
from medgemma_tui import cli, health_command
from medgemma_tui.tui import wrap
import encodings.idna, httpcore, anyio, anyio._backends._asyncio
os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
sys.exit(cli._command())
"""


@needs_root
@pytest.mark.parametrize("more", [[], ["--last"]])
def test_whoever_may_not_gets_told_why_and_unknown(gateway, home, more):
    """The gateway lets its own user and root in; this user is neither, though the file system lets it through."""
    directory, file = Path(gateway.socket).parent, Path(gateway.socket)
    modes = directory.stat().st_mode, file.stat().st_mode
    directory.chmod(0o711)
    file.chmod(0o666)
    try:
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, "health", *more, "--socket", str(file), "--format", "nagios"],
            capture_output=True, text=True, timeout=60,
            env=environment(home, MEDGEMMA_CONFIG="", XDG_CONFIG_HOME="/nonexistent"),
        )  # fmt: skip
    finally:
        directory.chmod(modes[0] & 0o7777)
        file.chmod(modes[1] & 0o7777)
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("MEDGEMMA UNKNOWN - not known to be fit; "), done.stderr
    assert "may not use the service" in done.stdout


def test_a_run_of_the_services_user_is_kept_and_told(gateway, home):
    done = run(home, "health", "--socket", str(gateway.socket), patch=GOOD)
    assert (done.returncode, done.stderr) == (0, "")
    kept = Store(home / "health").last()
    assert kept is not None
    assert [each.id for each in kept.results] == ["host.a", "host.b"]
    record = gateway.http.get("/v1/health/report").json()
    assert record["report"]["started"] == kept.started
    assert record["report"]["verdict"] == "ok"


def test_a_service_that_cannot_be_told_changes_no_verdict(home):
    done = run(home, "health", "--socket", str(home / "nobody.sock"), patch=GOOD)
    assert done.returncode == 0
    assert "The service could not be told of this report" in done.stderr
    assert Store(home / "health").last() is not None


def test_events_are_one_a_line_and_the_last_has_the_report(home):
    done = run(home, "health", "--events", "--demo", "--socket", str(home / "nobody.sock"), patch=GOOD)
    assert (done.returncode, done.stderr) == (0, "")
    events = [HealthProgress.model_validate_json(line) for line in done.stdout.splitlines()]
    assert [(each.doing, each.percent) for each in events if each.doing] == [("host.b", 43.0)] * 2
    assert [each.result.id for each in events if each.result] in (["host.a", "host.b"], ["host.b", "host.a"])
    assert [each.report is not None for each in events] == [False] * 4 + [True]
    assert (events[-1].done, events[-1].total) == (2, 2)


# --- settings and options that are wrong ---


@pytest.mark.parametrize("name", ["health", "preflight"])
def test_settings_that_are_not_valid_are_critical_and_named_and_nothing_else_is_looked_at(home, here, capsys, name):
    (home / "settings.toml").write_text('slots = "many"\ncolour = "blue"\n')
    assert here(name, "--format", "json") == 2
    told = json.loads(capsys.readouterr().out)
    results = {each["id"]: each for each in told["results"]}
    assert results["service.settings"]["status"] == "critical"
    lines = "\n".join(results["service.settings"]["lines"])
    assert "slots" in lines
    assert "colour" in lines
    assert str(home / "settings.toml") in lines
    assert {each["status"] for id_, each in results.items() if id_ != "service.settings"} == {"skipped"}
    assert here(name) == 2
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == out.splitlines()[-1]
    assert "NOT FIT" in out.splitlines()[0]
    assert err == ""


def test_settings_that_cannot_be_read_at_all_are_no_traceback(home, here, capsys):
    (home / "settings.toml").write_bytes(b"\xff\x00 = [")
    assert here("health", "--format", "nagios") == 2
    assert capsys.readouterr().out.startswith("MEDGEMMA CRITICAL - NOT FIT; 1 critical")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["health", "--only", "gpu.drivr"], "gpu.driver"),
        (["health", "--skip", "goldn"], "golden"),
        (["preflight", "--only", "host,zzzzzz"], "Groups: audit, golden, gpu"),
        (["preflight", "--only", ","], "names no check"),
        (["preflight", "--only", "golden"], "no check of preflight is left"),
        (["health", "--skip", "gpu,host,model,service,golden,privacy,audit,history"], "no check of health is left"),
        (["health", "--timeout", "0"], "--timeout takes seconds"),
        (["health", "--timeout", "nan"], "--timeout takes seconds"),
        (["health", "--timeout", "1e9"], "--timeout takes seconds"),
        (["health", "--timeout", "soon"], "--timeout"),
        (["health", "--format", "xml"], "'nagios'"),
        (["health", "--nonsense"], "--nonsense"),
        (["health", "word"], "words too many"),
        (["health", "--output"], "requires an argument"),
        (["preflight", "--demo", "--only"], "requires an argument"),
        (["preflight", "--last"], "--last"),
        (["health", "--last", "--only", "gpu"], "--last runs nothing"),
        (["health", "--last", "--full"], "--last runs nothing"),
        (["health", "--demo", "--model", "/x"], "exclude each other"),
        (["health", "--demo", "--socket", "/x"], "exclude each other"),
        (["--plain", "health"], "--plain is no option of health"),
        (["health", "--lang", "fr"], "lang"),
    ],
)
def test_a_command_line_that_is_wrong_is_unknown_and_never_critical(here, capsys, arguments, said):
    assert here(*arguments) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err


def test_a_wrong_command_line_of_another_command_is_as_it_was(here):
    assert here("ask", "--nonsense") == 2
    assert here("ask", "--thinking") == 2


def test_a_program_that_is_broken_is_unknown_and_never_a_mere_warning(home):
    broken = (
        "import sys; sys.modules['medgemma_tui.health.registry'] = None\n"
        "from medgemma_tui.cli import run\nsys.exit(run())"
    )
    done = run(home, "health", "--demo", patch=broken)
    assert (done.returncode, done.stdout) == (3, "")
    assert "an error in the program" in done.stderr


# --- the last report ---


@pytest.mark.parametrize("form", ["text", "json", "nagios", "prometheus"])
@pytest.mark.parametrize(
    ("reports", "code", "said"),
    [
        ([], 3, "There is no report yet: run medgemma-tui health."),
        ([a_report(60.0, "ok")], 0, ""),
        ([a_report(7200.0, "critical"), a_report(60.0, "warning")], 1, ""),
        ([a_report(60.0, "critical")], 2, ""),
        ([a_report(27 * 3600.0, "ok")], 3, "the last report is 27 hours old"),
        ([a_report(27 * 3600.0, "critical")], 3, "the last report is 27 hours old"),
        ([a_report(60.0, "ok", demo=False)], 3, "There is no report yet"),
        ([a_report(-7200.0, "ok")], 3, "from the future by this box's clock"),
    ],
)
def test_the_last_report_is_shown_without_a_run_and_is_unknown_when_it_is_old(
    home, here, capsys, form, reports, code, said
):
    for each in reports:
        Store(home / "health").save(each)
    assert here("health", "--last", "--format", form) == code
    out, err = capsys.readouterr()
    assert err == ""
    if form == "prometheus":
        found = {sample.name: sample.value for family in text_string_to_metric_families(out)
                 for sample in family.samples}  # fmt: skip
        assert found["medgemma_health_verdict"] == code
        assert ("medgemma_health_timestamp_seconds" in found) == ("no report" not in said)
    elif form == "json":
        told = json.loads(out)
        assert told["verdict"] == {0: "ok", 1: "warning", 2: "critical", 3: "unknown"}[code]
        assert said in told["remark"]
    else:
        assert said in " ".join(out.split())
        assert {0: "OK", 1: "WARNING", 2: "CRITICAL", 3: "UNKNOWN"}[code] in out or form == "text"


# --- files and pipes ---


def test_a_report_goes_whole_into_a_file_and_stdout_is_empty(home, here, capsys):
    Store(home / "health").save(a_report())
    for form, mode in (("text", 0o600), ("json", 0o600), ("nagios", 0o644), ("prometheus", 0o644)):
        file = home / form
        before = os.umask(0o077)
        try:
            assert here("health", "--last", "--format", form, "--output", str(file)) == 0
        finally:
            os.umask(before)
        assert capsys.readouterr() == ("", "")
        assert stat.S_IMODE(file.stat().st_mode) == mode
        assert file.read_text()
    assert sorted(each.name for each in home.iterdir()) == [
        "health", "json", "nagios", "prometheus", "settings.toml", "text",
    ]  # fmt: skip


@pytest.mark.parametrize(("status", "code"), [("ok", 3), ("critical", 2)])
def test_on_a_full_disk_the_old_file_stays_and_the_verdict_is_no_better_than_unknown(
    small_disk, home, here, capsys, status, code
):
    Store(home / "health").save(a_report(60.0, status))
    file = small_disk.path / "report"
    file.write_text("old")
    small_disk.disk_full()
    assert here("health", "--last", "--format", "json", "--output", str(file)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{file} could not be written and is as it was: No space left on device" in err
    assert file.read_text() == "old"
    assert sorted(each.name for each in small_disk.path.iterdir()) == ["filler", "report"]


@pytest.mark.parametrize("place", ["/dev/null", "fifo", "."])
def test_what_is_no_file_is_not_replaced_by_one(home, here, capsys, place):
    Store(home / "health").save(a_report())
    os.mkfifo(home / "fifo")
    assert here("health", "--last", "--output", str(home / place)) == 3
    assert "it is there and is not a file" in capsys.readouterr().err
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_link_is_followed_and_stays(home, here):
    Store(home / "health").save(a_report())
    (home / "real").write_text("old")
    (home / "link").symlink_to(home / "real")
    assert here("health", "--last", "--output", str(home / "link")) == 0
    assert (home / "link").is_symlink()
    assert "fit" in (home / "real").read_text()


def test_whoever_hangs_up_gets_the_verdicts_exit_code_and_no_traceback(home):
    Store(home / "health").save(a_report(60.0, "warning"))
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(command("health", "--last"), stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=60,
                              env=environment(home))  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")


def test_a_full_stdout_is_told_and_unknown(home):
    Store(home / "health").save(a_report(60.0, "ok"))
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command("health", "--last"), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
                              env=environment(home))  # fmt: skip
    assert done.returncode == 3
    assert "The report could not be printed: No space left on device" in done.stderr


def test_a_locale_without_chinese_gets_readable_words_in_ascii(home):
    Store(home / "health").save(a_report(60.0, "ok"))
    done = subprocess.run(
        command("health", "--last", "--lang", "zh"), capture_output=True, timeout=60,
        env=environment(home, LC_ALL="POSIX", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0"),
    )  # fmt: skip
    if done.stdout.isascii():
        assert b"+ box-3: fit" in done.stdout
        assert b"?" not in done.stdout
    else:  # Python made its stdout UTF-8 all the same
        assert "box-3" in done.stdout.decode("utf-8")


# --- being stopped, and not being able to stop ---


@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGINT, 130, "Stopped by you"), (signal.SIGTERM, 143, "Stopped from outside")]
)
def test_a_run_that_is_stopped_says_so_and_keeps_nothing(home, number, code, said):
    process = subprocess.Popen(
        command("health", "--socket", str(home / "nobody.sock"), patch=HANGING),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(home),
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline() == "hanging\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "")
    assert said in err
    assert "Traceback" not in err
    assert not (home / "health" / "runs").exists()


def test_a_check_that_never_returns_does_not_keep_the_program(home):
    begun = time.monotonic()
    done = run(home, "health", "--timeout", "0.3", "--socket", str(home / "nobody.sock"), patch=HANGING)
    assert done.returncode == 3
    assert "No result within 0.3 s: the check hangs." in " ".join(done.stdout.split())
    assert time.monotonic() - begun < 60
    assert Store(home / "health").last() is not None  # it is a whole run, with its result


def test_progress_is_shown_on_a_terminal_and_gone_at_the_end(home):
    child = pexpect.spawn(
        sys.executable, ["-c", HANGING, "health", "--timeout", "1", "--socket", str(home / "nobody.sock")],
        env=environment(home, TERM="xterm"), encoding="utf-8", timeout=60, dimensions=(24, 80),
    )  # fmt: skip
    child.expect_exact("host.b 43 %")
    child.expect_exact("1/2 host.a")
    child.expect_exact("\r\x1b[K")
    child.expect("\x1b\\[3[0-9]m.* box|\x1b\\[3[0-9]m[?] ")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 3


def test_starting_the_command_imports_neither_torch_nor_textual():
    code = (
        "import sys; from medgemma_tui import health_command, health_bundle\n"
        "print([each for each in ('torch', 'transformers', 'textual', 'bitsandbytes') if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"

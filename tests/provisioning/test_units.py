"""systemd's own tools on our units: they are valid, closed, and the timers go off when they should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "provisioning" / "systemd"
NAMES = sorted(path.name for path in UNITS.iterdir())
SERVICES = [name for name in NAMES if name.endswith(".service")]
PROGRAM = "/opt/medgemma/current/bin/medgemma-tui"

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this system has no systemd-analyze")


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=30)


def settings_of(name: str) -> list[tuple[str, str]]:
    """A unit's lines, without comments and sections."""
    text = (UNITS / name).read_text().replace("\\\n", "")
    found = re.findall(r"^([A-Za-z]\w*)=(.*)$", text, re.M)
    return [(key, value.strip()) for key, value in found]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A root directory with our units, and what they start, in their places."""
    places = tmp_path / "etc/systemd/system"
    places.mkdir(parents=True)
    for name in NAMES:
        shutil.copy(UNITS / name, places)
    for service in SERVICES:
        for _key, value in settings_of(service):
            if match := re.match(r"-?(/\S+)", value):
                program = tmp_path / match[1].lstrip("/")
                if "bin/" in match[1]:
                    program.parent.mkdir(parents=True, exist_ok=True)
                    program.write_text("#!/bin/sh\n")
                    program.chmod(0o755)
    system = tmp_path / "usr/lib/systemd/system"
    system.mkdir(parents=True)
    for target in ("sysinit", "basic", "timers", "multi-user", "shutdown"):
        (system / f"{target}.target").write_text("[Unit]\nDescription=a target\n")
    return tmp_path


@needs_systemd
def test_systemd_finds_nothing_to_say_about_any_unit(root: Path) -> None:
    done = analyze("verify", "--man=no", f"--root={root}", *NAMES)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_what_is_wrong_would_have_been_found(root: Path) -> None:
    unit = root / "etc/systemd/system/medgemma-health.service"
    unit.write_text(unit.read_text().replace("ProtectSystem=strict", "ProtectSystem=tight\nProtectSytem=strict"))
    done = analyze("verify", "--man=no", f"--root={root}", unit.name)
    assert "tight" in done.stderr
    assert "ProtectSytem" in done.stderr
    (root / PROGRAM.lstrip("/")).unlink()
    assert analyze("verify", "--man=no", f"--root={root}", unit.name).returncode != 0


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_services_are_closed(name: str) -> None:
    done = analyze("security", "--offline=true", "--no-pager", "--threshold=15", str(UNITS / name))
    told = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert told is not None, done.stderr
    assert float(told[1]) <= 1.5
    assert done.returncode == 0


def test_every_option_left_open_has_its_reason_beside_it() -> None:
    text = (UNITS / "medgemma-health.service").read_text()
    left_open = text[text.index("# Left open") :]
    for option in (
        "ProtectKernelLogs", "ProtectClock", "PrivateDevices", "PrivateUsers", "ProtectProc", "ProcSubset",
        "MemoryDenyWriteExecute", "RemoveIPC", "RootDirectory",
    ):  # fmt: skip
        assert option in left_open
        assert not re.search(rf"^{option}=", text, re.M)


@needs_systemd
@pytest.mark.parametrize(
    ("name", "after"), [("medgemma-health.timer", "06:30:00"), ("medgemma-health-full.timer", "02:30:00")]
)
def test_timers_go_off_when_they_should(name: str, after: str) -> None:
    (when,) = [value for key, value in settings_of(name) if key == "OnCalendar"]
    done = analyze("calendar", "--iterations=2", "--base-time=2026-11-24 12:00:00 UTC", when)
    assert done.returncode == 0
    days = re.findall(rf"(\w{{3}}) (\d{{4}}-\d\d-\d\d) {after}", done.stdout)
    if name == "medgemma-health.timer":
        assert [day for _name, day in days][:2] == ["2026-11-25", "2026-11-26"]
    else:
        assert set(days) == {("Sun", "2026-11-29"), ("Sun", "2026-12-06")}
    assert ("Persistent", "true") in settings_of("medgemma-health.timer")  # and what a timer starts is of its name
    assert name.replace(".timer", ".service") in NAMES


def test_a_warning_is_no_failure_and_a_failure_is_told() -> None:
    for name in ("medgemma-health.service", "medgemma-health-full.service"):
        lines = settings_of(name)
        assert ("SuccessExitStatus", "1") in lines
        assert ("OnFailure", "medgemma-health-alert.service") in lines
        assert all(value.startswith("-") for key, value in lines if key == "ExecStopPost")
        assert ("User", "medgemma") in lines


def test_the_weekly_run_is_the_daily_one_but_for_what_it_says() -> None:
    daily, weekly = (settings_of(f"medgemma-health{more}.service") for more in ("", "-full"))
    differ = {key for key, _value in set(daily) ^ set(weekly)}
    assert differ == {"Description", "ExecStart", "TimeoutStartSec", "Nice", "IOSchedulingClass"}
    (plain,) = [value for key, value in daily if key == "ExecStart"]
    (full,) = [value for key, value in weekly if key == "ExecStart"]
    assert full.replace(" --full", "") == plain


def test_the_commands_of_the_units_are_the_programs() -> None:
    """Every option that a unit gives is one of the command's."""
    helped = subprocess.run(
        [sys.executable, "-m", "medgemma_tui", "health", "--help"], capture_output=True, text=True, timeout=60
    )
    given = {
        option for name in SERVICES for _key, value in settings_of(name) if PROGRAM in value
        for option in re.findall(r"--[a-z-]+", value)
    }  # fmt: skip
    assert given == {"--socket", "--format", "--full", "--last", "--textfile"}
    for option in given:
        assert option in helped.stdout


@needs_systemd
def test_the_score_is_reported_as_json_too() -> None:
    done = analyze("security", "--offline=true", "--json=short", str(UNITS / "medgemma-health.service"))
    open_ones = {row["json_field"] for row in json.loads(done.stdout) if not row["set"]}
    assert "PrivateNetwork" not in open_ones
    assert "CapabilityBoundingSet_CAP_SYSLOG" in open_ones  # the one that is there for the kernel's log
    assert {each for each in open_ones if each.startswith("CapabilityBoundingSet")} == {
        "CapabilityBoundingSet_CAP_SYSLOG"
    }

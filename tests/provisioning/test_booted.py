"""The units under a real systemd, booted in namespaces of its own: what a run's exit codes become, who is told, and
what the sandbox lets a run do. The program is a script that does what a file says: the checks have their own tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
UNITS = HERE.parents[1] / "provisioning" / "systemd"
CGROUPS = Path("/sys/fs/cgroup/systemd")
NEEDED = ("/lib/systemd/systemd", "/usr/bin/unshare", "/usr/bin/journalctl", "/usr/bin/dd")

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not CGROUPS.is_dir() or not all(map(os.path.exists, NEEDED))
    or Path("/proc/1/comm").read_text().strip() == "systemd",
    reason="booting a systemd of one's own needs root, its cgroup hierarchy, and a machine that has none running",
)  # fmt: skip

# A health run, or the words of the last one. ``said`` holds the exit code and whether a report is left.
PROGRAM = """#!/bin/sh
read -r code report < /out/said
case "$*" in
*--last*)
    case "$*" in *--textfile*) echo "medgemma_health_verdict $code" > /run/medgemma-health/medgemma.prom;; esac
    echo "MEDGEMMA CRITICAL - NOT FIT|'figure'=1"; exit 2;;
esac
echo "arguments: $*"; echo "user: $(id -un)"; echo "places: $STATE_DIRECTORY $LOGS_DIRECTORY $RUNTIME_DIRECTORY"
[ "$report" = report ] && mkdir -p "$STATE_DIRECTORY/health/runs" && echo x > "$STATE_DIRECTORY/health/runs/$$.json"
dd if=/dev/kmsg bs=8192 count=1 iflag=nonblock 2>/dev/null | grep -q . && echo "kernel log: readable"
echo x > /etc/medgemma/mine 2>/dev/null || echo "etc: not writable"
[ "$(grep : /proc/net/dev | cut -d: -f1 | tr -d ' ')" = lo ] && echo "network: none"
exit "$code"
"""
PROBE = """
exec > /out/told 2>&1
run() {
    echo "$2 $3" > /out/said
    systemctl reset-failed
    systemctl start "medgemma-health$4.service"
    echo "== $1: $(systemctl show -P Result medgemma-health$4.service)"
    while systemctl is-active medgemma-health-alert.service | grep -q activating; do sleep 0.05; done
    journalctl --sync
    journalctl --no-pager -q -o cat -u "medgemma-health$4.service" > "/out/$1.log"
    journalctl --no-pager -q -o cat -p alert -t medgemma-health > "/out/$1.alert"
}
run fit 0 report
run warned 1 report
cp /run/medgemma-health/medgemma.prom /out/prom
stat -c %a /run/medgemma-health > /out/mode
run broken 1 none
run unfit 2 report
run unknown 3 report
run full 2 report -full
systemctl start medgemma-health.timer medgemma-health-full.timer
systemctl list-timers --no-pager
systemctl poweroff -ff
"""


@pytest.fixture(scope="module")
def booted() -> Iterator[Path]:
    """The directory with what that systemd made of each run."""
    work = Path(tempfile.mkdtemp(prefix="mg-boot-", dir="/tmp"))
    work.chmod(0o755)
    for name, text in {"program": PROGRAM, "probe.sh": PROBE, "on-unfit": "#!/bin/sh\necho site: $(id -un)\n"}.items():
        (work / name).write_text(text)
    own = CGROUPS / work.name
    own.mkdir()
    command = ["unshare", "--fork", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--kill-child"]
    boot = [*command, "bash", str(HERE / "boot.sh"), str(work), str(UNITS)]

    def enter() -> None:
        (own / "cgroup.procs").write_text(str(os.getpid()))

    try:
        done = subprocess.run(boot, capture_output=True, text=True, timeout=90, preexec_fn=enter)
        if not (work / "told").exists():
            pytest.skip(f"no systemd can be booted in namespaces here: {done.stderr.strip()[-200:]}")
        yield work
    finally:
        for directory in sorted((path for path in own.rglob("*") if path.is_dir()), reverse=True):
            directory.rmdir()
        own.rmdir()
        shutil.rmtree(work)


def result(booted: Path, run: str) -> str:
    (line,) = [line for line in (booted / "told").read_text().splitlines() if line.startswith(f"== {run}: ")]
    return line.partition(": ")[2]


def test_fit_and_warned_are_no_failures_and_nobody_is_told(booted: Path) -> None:
    assert result(booted, "fit") == "success"
    assert result(booted, "warned") == "success"
    assert (booted / "warned.alert").read_text() == ""


def test_an_exit_code_without_a_report_is_no_warning(booted: Path) -> None:
    """Python's own exit code for a program that is not there is the same as a warning's."""
    assert result(booted, "broken") == "exit-code"
    assert "medgemma-health.service failed (exit-code" in (booted / "broken.alert").read_text()


@pytest.mark.parametrize(("run", "unit", "code"), [("unfit", "", 2), ("unknown", "", 3), ("full", "-full", 2)])
def test_not_fit_and_not_known_are_told_in_one_line(run: str, unit: str, code: int, booted: Path) -> None:
    assert result(booted, run) == "exit-code"
    told, site = (booted / f"{run}.alert").read_text().splitlines()[-2:]
    assert told == (
        f"medgemma-health{unit}.service failed (exit-code {code}); last verdict: MEDGEMMA CRITICAL - NOT FIT"
    )
    assert site == "site: medgemma"


def test_the_sandbox_leaves_what_a_run_needs(booted: Path) -> None:
    log = (booted / "warned.log").read_text()
    assert "arguments: health --socket /run/medgemma/gateway.sock --format text" in log
    assert "user: medgemma" in log
    assert "places: /var/lib/medgemma /var/log/medgemma /run/medgemma-health" in log
    assert "kernel log: readable" in log
    assert "etc: not writable" in log
    assert "network: none" in log
    assert "--full" in (booted / "full.log").read_text()


def test_the_textfile_is_there_for_other_users_after_the_run(booted: Path) -> None:
    assert (booted / "prom").read_text() == "medgemma_health_verdict 1\n"
    assert (booted / "mode").read_text().strip() == "755"


def test_the_timers_are_waited_for(booted: Path) -> None:
    told = (booted / "told").read_text()
    assert "06:30:00" in told
    assert "02:30:00" in told

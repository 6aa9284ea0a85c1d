"""Where we write: file systems that are full, without inodes, read-only, or not to be looked at."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from gateway_running import short_directory
from other_users import needs_root

from medgemma_tui.health.checks.host import disk, inodes
from tests.health.chinese import in_chinese
from tests.health.looking import as_another, context, look


@pytest.fixture
def place():
    directory = short_directory()
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def mount(place):
    """Mounts a small file system with these options at a new place."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mounted: list[Path] = []

    def at(options: str) -> Path:
        where = place / f"disk{len(mounted)}"
        where.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(where)]).returncode:
            pytest.skip("this system does not let root mount a tmpfs here")
        mounted.append(where)
        return where

    yield at
    for where in mounted:
        subprocess.run(["umount", "-l", str(where)], check=True)


def surroundings(place: Path, audit: Path, phase="preflight"):
    return context(place, phase=phase, demo=True, audit_dir=audit / "audit")


def test_room(place):
    seen = look(disk.CHECK, surroundings(place, place))
    assert [figure.label for figure in seen.result.figures] == ["audit", "health", "sockets"]
    assert any(str(place / "audit") in line for line in seen.lines)
    if min(figure.value for figure in seen.result.figures) > 2**30:
        assert seen.told == ("room", "ok")


@pytest.mark.parametrize(
    ("size", "told"), [("300m", ("low", "warning")), ("40m", ("full", "critical")), ("8m", ("full", "critical"))]
)
def test_a_small_disk_under_the_audit_log(place, mount, size, told):
    small = mount(f"size={size}")
    seen = look(disk.CHECK, surroundings(place, small))
    assert seen.told == told
    assert any(line.startswith(f"Audit log, {small / 'audit'}: ") and "should be" in line for line in seen.lines)
    assert any("make room here first" in line for line in seen.lines)
    assert "du -xh" in seen.advice
    assert "审计日志" in in_chinese(seen.result)


def test_the_same_disk_is_enough_for_reports(place, mount):
    """30 reports take no half gigabyte."""
    small = mount("size=100m")
    assert look(disk.CHECK, context(small, phase="preflight", demo=True, audit_dir=place / "audit")).told[0] == "room"
    (small / "filler").write_bytes(bytes(97 << 20))
    seen = look(disk.CHECK, context(small, phase="preflight", demo=True, audit_dir=place / "audit"))
    assert seen.told == ("full", "critical")
    assert any("Health reports" in line and "should be" in line for line in seen.lines)


def test_a_read_only_disk(place, mount):
    small = mount("size=600m")
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    seen = look(disk.CHECK, surroundings(place, small))
    assert seen.told == ("read_only", "critical")
    assert "dmesg" in seen.advice
    in_chinese(seen.result)


@pytest.mark.parametrize(("count", "told"), [(30, ("none", "critical")), (600, ("few", "warning"))])
def test_a_file_system_without_inodes(place, mount, count, told):
    small = mount(f"size=600m,nr_inodes={count}")
    seen = look(inodes.CHECK, surroundings(place, small))
    assert seen.told == told
    assert f"of {count} inodes left" in seen.lines[0]
    assert "du --inodes -x" in seen.advice
    in_chinese(seen.result)


def test_one_that_was_used_up(place, mount):
    small = mount("size=600m,nr_inodes=2000")
    assert look(inodes.CHECK, surroundings(place, small)).told == ("enough", "ok")
    for number in range(1990):
        (small / str(number)).touch()
    assert look(inodes.CHECK, surroundings(place, small)).told == ("none", "critical")


def test_one_without_a_fixed_number(place, mount, monkeypatch):
    small = mount("size=600m,nr_inodes=0")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(small))
    all_there = context(small, phase="preflight", demo=True, audit_dir=small / "audit")
    assert look(inodes.CHECK, all_there).told == ("unlimited", "ok")


@needs_root
@pytest.mark.parametrize("check", [disk.CHECK, inodes.CHECK])
def test_a_place_that_is_not_there_yet_is_what_is_above_it(place, check):
    """Also where this user may not look into it."""
    (place / "shut").mkdir(mode=0o700)
    place.chmod(0o755)
    told = as_another(61234, check, lambda: surroundings(place, place / "shut" / "deeper"))
    assert told[1] == "ok"

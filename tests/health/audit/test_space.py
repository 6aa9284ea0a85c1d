"""Room for the audit log: a full disk, one that will be full, one that cannot be written to."""

from __future__ import annotations

import os
import subprocess

import pytest
from other_users import needs_root

from medgemma_tui.health.checks.audit import space
from tests.health.looking import as_another


def test_room(box):
    box.write(3)
    seen = box.look("space")
    if seen.figure("audit_free") < 200 * 2**20:
        pytest.skip("there is little room here")
    assert seen.told == ("room", "ok")
    assert "kept for 180 days" in seen.text


def test_before_the_first_record(box):
    assert box.look("space").told == ("room", "ok")


def test_a_full_disk(box, tmpfs):
    place = type(box)(tmpfs("size=40m,mode=700"))
    place.write(3)
    assert place.look("space").told == ("room", "ok")
    with (place.root / "filler").open("wb") as filler:
        filler.write(bytes(20 << 20))
    seen = place.look("space")
    assert seen.told == ("almost_full", "critical")
    assert "Only 20.0 MiB free" in seen.text or "Only 19.9 MiB free" in seen.text
    assert "no question is answered" in seen.advice


def test_a_log_that_grows_too_fast(box, tmpfs):
    """A day's 1.4 MiB need 250 MiB in half a year."""
    place = type(box)(tmpfs("size=100m,mode=700"))
    place.write(700, size=38)
    seen = place.look("space")
    assert seen.told == ("short", "warning")
    assert seen.figure("audit_days") < 180
    assert "needed to keep records for 180 days" in seen.text
    with (place.root / "filler").open("wb") as filler:
        filler.write(bytes(60 << 20))
    assert place.look("space").told == ("short", "warning")
    assert place.look("space").figure("audit_days") < 40


def test_a_file_system_that_has_become_read_only(box, tmpfs):
    place = type(box)(tmpfs("size=40m,mode=700"))
    place.write(3)
    subprocess.run(["mount", "-o", "remount,ro", str(place.root)], check=True)
    seen = place.look("space")
    assert seen.told == ("read_only", "critical")
    assert f"mount it for writing: {place.places.directory}" in seen.advice


@needs_root
def test_a_directory_that_its_user_may_not_write_to(box):
    box.places.directory.mkdir()
    os.chmod(box.root, 0o755)
    os.chmod(box.places.directory, 0o555)
    os.chown(box.places.directory, 61234, 61234)
    assert as_another(61234, space.CHECK, box.context) == ("no_permission", "critical")


@needs_root
def test_another_user_says_nothing_of_the_services_directory(box, monkeypatch):
    for name in ("LOGS_DIRECTORY", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    os.chmod(box.root, 0o755)
    assert as_another(61234, space.CHECK, box.context) == ("not_from_here", "skipped")


def test_the_gateway_says_that_it_cannot_write(box, telling):
    path = str(box.places.directory)
    socket = telling(status="not_ready", reason="audit_full", code="disk_full", params={"path": path})
    seen = box.look("space", socket)
    assert seen.told == ("refused", "critical")
    assert "the disk is full" in seen.lines[0]
    assert f"free space for {path}" in seen.lines[0]

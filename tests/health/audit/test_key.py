"""The audit key: readable by others, somebody else's, gone, replaceable."""

from __future__ import annotations

import os

import pytest
from other_users import needs_root

from medgemma_tui.health.checks.audit import key
from tests.health.looking import as_another


def test_before_the_first_record(box):
    assert box.look("key").told == ("none_yet", "skipped")


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_its_owners_alone(box, mode):
    box.write(1)
    box.places.key.chmod(mode)
    assert box.look("key").told == ("private", "ok")


@pytest.mark.parametrize("mode", [0o644, 0o440, 0o404, 0o420])
def test_readable_by_others(box, mode):
    box.write(1)
    box.places.key.chmod(mode)
    seen = box.look("key")
    assert seen.told == ("exposed", "critical")
    assert f"(mode {mode:04o})" in seen.text
    assert f"chmod 0400 {box.places.key}" in seen.advice
    assert "new key" in seen.advice


@needs_root
def test_somebody_elses(box):
    box.write(1)
    os.chown(box.places.key, 61234, 61234)
    seen = box.look("key")
    assert seen.told == ("wrong_owner", "critical")
    assert "belongs to uid 61234, not to the service's user root" in seen.text


@pytest.mark.parametrize("which", ["root", "log"])
def test_a_directory_that_others_may_write_to(box, which):
    box.write(1)
    directory = box.root if which == "root" else box.places.directory
    directory.chmod(0o777)
    seen = box.look("key")
    assert seen.told == ("directory_open", "critical")
    assert f"{directory} (mode 0777)" in seen.text
    assert f"chmod go-w {directory}" in seen.advice


def test_gone(box):
    box.write(1)
    box.places.key.unlink()
    seen = box.look("key")
    assert seen.told == ("missing", "critical")
    assert str(box.places.directory) in seen.text
    assert "Put it back from its safe copy" in seen.advice


def test_no_key(box):
    box.write(1)
    box.places.key.chmod(0o600)
    box.places.key.write_text("0123")
    assert box.look("key").told == ("bad", "critical")


@needs_root
def test_another_user_cannot_tell(box):
    (box.root / "shut").mkdir(mode=0o700)
    place = type(box)(box.root / "shut")
    place.write(1)
    os.chmod(box.root, 0o755)
    assert as_another(61234, key.CHECK, place.context) == ("unreadable", "unknown")

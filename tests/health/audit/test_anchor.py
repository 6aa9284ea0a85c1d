"""The anchors: gone, behind, out of reach."""

from __future__ import annotations

import os
import subprocess

import pytest
from other_users import needs_root

from medgemma_tui.health.checks.audit import anchor
from tests.health.looking import as_another


def test_no_log_yet(box):
    assert box.look("anchor").told == ("none_yet", "skipped")


def test_a_file_that_its_user_can_rewrite(box):
    box.write(3)
    demo = box.look("anchor")
    assert demo.told == ("rewritable_demo", "ok")
    assert demo.figure("after_anchor") == 0
    installed = box.look("anchor", demo=None, model="/model")
    assert installed.told == ("rewritable", "warning")
    assert f"chattr +a {box.places.anchors}" in installed.advice


def test_removed_anchors(box):
    box.write(3)
    box.places.anchors.unlink()
    seen = box.look("anchor")
    assert seen.told == ("gone", "critical")
    assert f"The log has 3 records and no anchor ({box.places.anchors})" in seen.text
    assert "journalctl -t medgemma-audit" in seen.advice


def test_anchors_of_another_log(box):
    box.write(3)
    box.places.anchors.write_text("nothing\n")
    assert box.look("anchor").told == ("gone", "critical")


def test_anchoring_has_stopped(box):
    box.write(1)
    box.write(31, anchored=False)
    assert box.look("anchor").told == ("rewritable_demo", "ok")
    box.write(1, anchored=False)
    seen = box.look("anchor")
    assert seen.told == ("behind", "warning")
    assert "32 records are newer" in seen.text
    assert str(box.places.anchors) in seen.advice


def test_a_running_gateway_anchors_within_a_minute(box, telling, ago):
    box.write(1, clock=ago(1))
    head = box.write(1, clock=ago(0.5), anchored=False)
    assert box.look("anchor").told == ("rewritable_demo", "ok")  # as it was stopped
    assert box.look("anchor", telling(audit=head.model_dump())).told == ("behind", "warning")


def test_the_journal_counts_where_the_gateway_says_that_it_took_them(box, telling):
    head = box.write(40, anchored=False)
    told = head.model_copy(update={"anchored": True}).model_dump()
    assert box.look("anchor", telling(audit=told)).told == ("journal_only", "ok")
    box.write(1)
    assert box.look("anchor", telling(audit=told), demo=None, model="/model").told == ("anchored", "ok")


def test_a_file_that_can_only_grow(box):
    box.write(3)
    if subprocess.run(["chattr", "+a", str(box.places.anchors)], capture_output=True).returncode:
        pytest.skip("this user or file system knows no append-only attribute")
    try:
        if os.geteuid() == 0:  # whoever runs as root can take it off again
            assert box.look("anchor", demo=None, model="/model").told == ("rewritable", "warning")
            os.chown(box.places.directory, 61234, 61234)  # the service's user is another one
        assert box.look("anchor", demo=None, model="/model").told == ("anchored", "ok")
    finally:
        subprocess.run(["chattr", "-a", str(box.places.anchors)], check=True)


def test_without_the_key(box):
    box.write(3)
    box.places.key.unlink()
    seen = box.look("anchor")
    assert seen.told == ("no_key", "unknown")
    assert seen.advice == "See the result of the audit key."


@needs_root
def test_another_user_may_not_read_it(box):
    box.write(3)
    os.chmod(box.root, 0o755)
    assert as_another(61234, anchor.CHECK, box.context) == ("unreadable", "unknown")

"""The audit chain: each way to be broken, by a real cause; and which log is looked at."""

from __future__ import annotations

import os
import time

import pytest
from gateway_running import Engine, Running, short_directory
from other_users import needs_root

from medgemma_tui.audit import key
from medgemma_tui.health.checks.audit import chain
from tests.health.chinese import in_chinese
from tests.health.looking import as_another, context, look

SOMEBODY = 61234


def test_no_log_yet(box):
    seen = box.look("chain")
    assert seen.told == ("none_yet", "skipped")
    assert "it begins when the service starts" in seen.text


def test_a_whole_log(box):
    box.write(10)
    seen = box.look("chain")
    assert seen.told == ("whole", "ok")
    assert f"records 1 to 10 in {box.places.directory}" in seen.text
    assert (seen.figure("audit_records"), seen.figure("audit_findings")) == (10, 0)


def test_a_flipped_byte(box):
    box.write(10)
    content = bytearray(box.file.read_bytes())
    content[content.index(b'"seq":4,') + 100] ^= 1
    box.file.write_bytes(content)
    seen = box.look("chain")
    assert seen.told == ("broken", "critical")
    assert "NOT WHOLE: 1 findings" in seen.text
    assert "Record 4 is altered" in seen.lines[0]
    assert f"{box.file.name}:4" in seen.lines[0]
    assert "tell the security officer; medgemma-tui audit verify" in seen.advice
    assert "改动" in in_chinese(seen.result) or "更改" in in_chinese(seen.result)


def cut(box, lines: int) -> None:
    kept = box.file.read_bytes().splitlines(keepends=True)[:-lines]
    box.file.write_bytes(b"".join(kept))


def test_records_taken_off_the_end(box):
    box.write(10)
    cut(box, 3)
    seen = box.look("chain")
    assert seen.told == ("broken", "critical")
    assert "Records 8 to 10 are missing: the log is shorter than it was" in seen.lines[0]


def test_what_an_earlier_report_named_cannot_be_taken_off_with_the_anchors(box):
    head = box.write(10)
    box.report(head, time.time() - 3600)
    assert box.look("chain").told == ("whole", "ok")
    cut(box, 3)
    box.places.anchors.unlink()
    seen = box.look("chain")
    assert seen.told == ("broken", "critical")
    assert "Records 8 to 10 are missing" in seen.lines[0]
    assert "Record 10 was anchored at 20" in seen.lines[0]


def test_what_an_earlier_report_named_cannot_be_rewritten(box):
    """By somebody who has the key: all hashes are right, and the record is another one."""
    head = box.write(10)
    box.report(head.model_copy(update={"mac": "0" * 64}), time.time() - 3600)
    seen = box.look("chain")
    assert seen.told == ("broken", "critical")
    assert "Record 10 is replaced" in seen.lines[0]


def test_a_report_under_another_key_says_nothing(box):
    head = box.write(3)
    box.report(head.model_copy(update={"seq": 99, "key_id": "0" * 16}), time.time() - 3600)
    assert box.look("chain").told == ("whole", "ok")


def test_a_half_written_line(box):
    box.write(10)
    with box.file.open("ab") as file:
        file.write(b'{"v":1,"seq":11,"ti')
    seen = box.look("chain")
    assert seen.told == ("torn", "warning")
    assert "half written (19 bytes)" in seen.lines[0]
    assert "Restart the service: it sets the line aside" in seen.advice


@pytest.mark.parametrize(
    ("become", "said"),
    [
        (lambda path: path.unlink(), "The key is not there"),
        (lambda path: path.write_text("no key"), "The file holds no key"),
        (lambda path: (path.unlink(), key.create(path)), "This is not the key of this log"),
    ],
)
def test_without_its_key(box, become, said):
    box.write(5)
    box.places.key.chmod(0o600)
    become(box.places.key)
    seen = box.look("chain")
    assert seen.told == ("no_key", "critical")
    assert said in seen.lines[0]
    assert "Put the log's own key back from its safe copy" in seen.advice


def test_the_worst_comes_first_and_only_so_many(box):
    box.write(80)
    lines = box.file.read_bytes().splitlines(keepends=True)
    lines = [line.replace(b"li.wei", b"li.wex") if n % 2 else line for n, line in enumerate(lines)]
    box.file.write_bytes(b"".join(lines) + b'{"v":1,"se')
    seen = box.look("chain")
    assert seen.told == ("broken", "critical")
    assert seen.figure("audit_findings") == 41
    assert "altered" in seen.lines[0]
    assert seen.lines[20] == "… and 21 more."


def test_what_was_altered_comes_before_what_is_missing(box):
    box.write(10)
    lines = box.file.read_bytes().splitlines(keepends=True)
    box.file.write_bytes(b"".join([*lines[:1], *lines[2:7], lines[7].replace(b"li.wei", b"li.wex"), *lines[8:]]))
    seen = box.look("chain")
    assert "Record 8 is altered" in seen.lines[0]
    assert "Record 2 is missing" in seen.lines[1]


def test_notes_are_told(box, ago):
    box.write(2)
    box.write(2, clock=ago(1))
    seen = box.look("chain")
    assert seen.told == ("whole", "ok")
    assert any("The clock went back once, at record 3" in line for line in seen.lines)


def test_progress_is_told(box):
    box.write(4500)
    surroundings = box.context()
    told = []
    surroundings.told = lambda check, percent: told.append((check, percent))
    assert look(chain.CHECK, surroundings).told == ("whole", "ok")
    assert [check for check, _percent in told] == ["audit.chain"] * 2
    assert 40 < told[0][1] < 50 < told[1][1] < 100


@needs_root
def test_another_user_may_not_read_it(box):
    box.write(3)
    os.chmod(box.root, 0o755)
    assert as_another(SOMEBODY, chain.CHECK, box.context) == ("unreadable", "unknown")


# --- which log: the one that the answering gateway writes ---


def test_a_log_that_is_gone_under_a_gateway(box, telling):
    head = box.write(5)
    for path in box.places.directory.iterdir():
        path.unlink()
    seen = box.look("chain", telling(audit=head.model_dump()))
    assert seen.told == ("gone", "critical")
    assert f"record 5 was written to {box.places.directory}" in seen.text


def test_what_the_gateway_has_written_must_be_there(box, telling):
    """Taken off with the anchors, before any report: the gateway itself still knows."""
    head = box.write(10)
    cut(box, 3)
    box.places.anchors.unlink()
    seen = box.look("chain", telling(audit=head.model_dump()))
    assert seen.told == ("broken", "critical")
    assert "Records 8 to 10 are missing" in seen.lines[0]


def test_a_service_that_is_down_and_settings_that_name_no_log(box, monkeypatch):
    """The log that would be found is this user's own, not the service's."""
    monkeypatch.delenv("LOGS_DIRECTORY", raising=False)
    seen = box.look("chain", box.root / "no.sock", audit_dir=None)
    assert seen.told == ("log_elsewhere", "skipped")
    box.write(3)
    assert box.look("chain", box.root / "no.sock").told == ("whole", "ok")


@pytest.fixture(scope="module")
def service():
    """A real gateway whose log is in a place that only its own settings name."""
    directory = short_directory()
    engine = Engine(directory)
    groups = {"users_group": SOMEBODY, "ops_group": SOMEBODY} if os.geteuid() == 0 else {}
    running = Running(engine_socket=engine.socket, audit_dir=directory / "state" / "audit", **groups)
    try:
        yield running.ready()
    finally:
        running.stop()
        engine.stop()


def test_the_gateways_own_log_is_looked_at_whatever_this_environment_names(box, service):
    box.write(3)
    cut(box, 1)  # this one is not whole, and not asked for
    assert box.look("chain").told == ("broken", "critical")
    seen = box.look("chain", service.socket)
    assert seen.told == ("whole", "ok")
    assert str(box.root) not in seen.text
    for name in ("space", "key"):
        assert box.look(name, service.socket).told == ("not_from_here", "skipped")
    anchored = box.look("anchor", service.socket)
    assert anchored.told == ("rewritable_demo", "ok")


@needs_root
def test_who_is_no_auditor_is_told_so(tmp_path, service):
    """And nothing of a log of their own is taken for the service's."""
    os.chmod(service.socket.parent, 0o755)
    seen = as_another(SOMEBODY, chain.CHECK, lambda: context(tmp_path, service.socket, demo=True))
    assert seen == ("log_not_yours", "skipped")

"""Writing the log: the chain goes on over restarts, torn lines, full files, other processes, and being killed."""

import fcntl
import itertools
import os
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest

from medgemma_tui.audit import anchor, files, key, places
from medgemma_tui.audit.errors import AuditError
from medgemma_tui.settings import Settings


def test_the_chain_goes_on_after_a_restart(site, entry):
    log = site.log()
    assert log.head is None
    first = log.append([entry(1), entry(2)])
    assert (first.seq, log.head) == (2, first)
    log.close()
    log = site.log()
    assert log.head == first
    log.append([entry(3)])
    log.close()
    one, two, three = site.records()
    assert (one.prev, two.prev, three.prev) == ("0" * 64, one.mac, two.mac)
    assert site.verdict().whole
    assert (site.verdict().records, site.verdict().first, site.verdict().last) == (3, 1, 3)


def test_files_and_directory_are_for_the_owner_and_for_its_group_to_read(site, entry):
    before = os.umask(0o077)
    try:
        site.log().append([entry()])
    finally:
        os.umask(before)
    assert site.directory.stat().st_mode & 0o7777 == 0o750
    assert [path.stat().st_mode & 0o7777 for path in site.files()] == [0o640]
    assert (site.directory / ".lock").stat().st_mode & 0o7777 == 0o600  # who may only read must not hold it


def test_a_line_torn_at_any_byte_is_set_aside_and_recorded(site, entry, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # four hundred times
    log = site.log()
    log.append([entry(1), entry(2)])
    log.close()
    (path,) = site.files()
    whole = path.read_bytes()
    start = whole.index(b"\n") + 1
    anchors = site.places.anchors.read_bytes()
    for cut in range(start, len(whole)):
        path.write_bytes(whole[:cut])
        site.places.anchors.unlink()  # it was torn before it was synced, so nothing anchored it
        if cut > start:
            assert site.findings() == [("torn_tail", 2, None)]
        log = site.log()
        log.append([entry(3)])
        log.close()
        told = site.records()
        torn = files.torn_files(site.directory)
        if cut == start:
            assert (len(told), torn) == (2, [])
        else:
            assert [each.event for each in told] == ["question", "torn_tail", "question"]
            assert told[1].counters == {"bytes": cut - start}
            ((seq, aside),) = torn
            assert seq == 2
            assert aside.read_bytes() == whole[start:cut]
            assert aside.stat().st_mode & 0o7777 == 0o640
            aside.unlink()
        assert site.verdict().whole
    site.places.anchors.write_bytes(anchors)


def test_zeros_that_a_power_loss_left_are_set_aside_too(site, entry):
    site.log().append([entry(1)])
    (path,) = site.files()
    with path.open("ab") as file:
        file.write(bytes(5000) + b'half a line"}\n' + bytes(300))
    assert site.findings() == [("torn_tail", 2, None)]
    site.log()
    assert [each.event for each in site.records()] == ["question", "torn_tail"]
    assert site.records()[1].counters == {"bytes": 5000 + 14 + 300}
    assert site.verdict().whole


def test_a_whole_record_behind_zeros_is_not_thrown_away(site, entry):
    site.log().append([entry(1), entry(2), entry(3)])
    (path,) = site.files()
    one, two, three = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(one + bytes(len(two)) + three)
    assert site.findings() == [("altered", 2, 2)]
    log = site.log()
    log.append([entry(4)])
    assert log.head.seq == 4
    assert site.findings() == [("altered", 2, 2)]


def test_who_dies_after_setting_aside_leaves_it_to_the_next_to_record(site, entry, monkeypatch):
    site.log().append([entry(1)])
    (path,) = site.files()
    with path.open("ab") as file:
        file.write(b"half")
    with monkeypatch.context() as patched:
        patched.setattr("medgemma_tui.audit.log.AuditLog._put", lambda self, entries: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            site.log()
    assert len(site.lines()) == 1
    site.log()
    site.log()  # and once is enough
    assert [each.event for each in site.records()] == ["question", "torn_tail"]


def test_a_last_line_that_was_altered_stops_the_log(site, entry):
    site.log().append([entry(1), entry(2)])
    (path,) = site.files()
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"n":2', b'"n":3'))
    for _ in range(2):
        with pytest.raises(AuditError) as told:
            site.log()
        assert (told.value.code, told.value.path) == ("broken_chain", str(path))
    assert path.read_bytes() == content.replace(b'"n":2', b'"n":3')


def test_another_key_is_not_written_with(site, entry):
    site.log().append([entry(1)])
    before = site.lines()
    site.places.key.unlink()
    with pytest.raises(AuditError) as told:
        site.log()
    assert told.value.code == "wrong_key"
    assert site.lines() == before
    assert [each.kind for each in site.verdict().findings] == ["wrong_key"]
    site.places.key.unlink()
    with pytest.raises(AuditError) as told:  # no new key is made beside a log
        places.open_log(Settings(), site.places, journal=None)
    assert told.value.code == "no_key"
    assert not site.places.key.exists()


def test_full_files_are_followed_by_new_ones(site, entry):
    log = site.log(max_bytes=2000)
    for n in range(12):
        log.append([entry(n)])
    log.append([entry(n) for n in range(12, 20)])  # more than a file may have stays together
    log.close()
    paths = site.files()
    assert len(paths) > 3
    assert all(path.stat().st_size <= 2000 for path in paths[:-1])
    assert site.verdict().whole
    told = [each.counters["n"] for each in site.records() if each.event == "question"]
    assert told == list(range(20))
    for before, path in itertools.pairwise(paths):
        first = path.read_bytes().splitlines()[0]
        assert '"event":"rotate","outcome":"ok"' in first.decode()
        assert f'"file":"{before.name}","bytes":{before.stat().st_size}' in first.decode()


def test_what_is_older_than_the_retention_goes_and_a_record_says_so(site, entry):
    day = [datetime(2026, 1, 1, tzinfo=UTC)]
    log = site.log(max_bytes=1500, clock=lambda: day[0])
    for n in range(250):
        day[0] += timedelta(days=1)
        log.append([entry(n)])
    log.close()
    assert len(site.records()) == 250 + len(site.files()) - 1
    day[0] += timedelta(hours=1)
    log = site.log(max_bytes=1500, clock=lambda: day[0])
    log.close()
    last = site.records()[-1]
    assert last.event == "retention"
    left = [each for each in site.records() if each.event == "question"]
    assert min(each.instant for each in left) > day[0] - timedelta(days=190)
    newest_gone = min(each.instant for each in left) - timedelta(days=1)
    assert newest_gone < day[0] - timedelta(days=180)  # never less than was promised
    verdict = site.verdict()
    assert verdict.whole, verdict.findings
    assert verdict.first == last.counters["last"] + 1
    assert [note.kind for note in verdict.notes if note.kind == "retention"] == ["retention"]
    # Who removes one file more has no record for it.
    gone = site.files()[0]
    gone.unlink()
    (found,) = site.verdict().findings
    assert (found.kind, found.seq, found.file) == ("missing", last.counters["last"] + 1, gone.name)


def test_a_clock_that_jumps_ahead_does_not_empty_the_log(site, entry):
    log = site.log(max_bytes=1000)
    log.append([entry(n) for n in range(3)])
    log.append([entry(n) for n in range(3)])
    log.close()
    count = len(site.files())
    site.log(clock=lambda: datetime.now().astimezone() + timedelta(days=20000)).append([entry(9)])
    assert len(site.files()) == count


def test_records_that_vanish_while_it_runs_are_written_again(site, entry):
    log = site.log()
    log.append([entry(1)])
    head = log.append([entry(2)])
    (path,) = site.files()
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    assert log.append([entry(3)]).seq == 3
    assert site.records()[1].mac == head.mac
    assert site.verdict().whole
    path.unlink()
    log.append([entry(4)])
    assert [each.counters["n"] for each in site.records()] == [1, 2, 3, 4]


def test_records_that_vanish_while_it_rests_leave_a_gap_that_can_be_seen(site, entry):
    log = site.log()
    log.append([entry(n) for n in range(5)])
    log.close()
    (path,) = site.files()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    assert site.findings() == [("truncated", 4, 5)]
    log = site.log()
    log.append([entry(9)])
    log.close()
    lost = site.records()[3]
    assert (lost.event, lost.outcome, lost.counters, lost.seq) == ("torn_tail", "lost", {"first": 4, "last": 5}, 6)
    assert site.findings() == [("missing", 4, 5)]


def test_two_processes_take_turns(site, entry):
    site.log().close()
    children = []
    for child in range(2):
        pid = os.fork()
        if pid == 0:
            try:
                log = site.log(max_bytes=6000)
                for n in range(60):
                    log.append([entry(child * 1000 + n)])
                os._exit(0)
            finally:
                os._exit(1)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0]
    assert site.verdict().whole, site.verdict().findings
    told = [each.counters["n"] for each in site.records() if each.event == "question"]
    assert sorted(told) == [*range(60), *range(1000, 1060)]
    assert [n for n in told if n < 1000] == list(range(60))


def test_killed_at_any_moment_no_record_that_counted_is_lost(site, entry):
    """Twenty times kill -9 while it writes; each time the next one goes on, and the chain is whole."""
    counted = 0
    for turn in range(20):
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                log = site.log(max_bytes=8000)
                while True:
                    head = log.append([entry(turn), entry(turn)])
                    os.write(theirs, f"{head.seq}\n".encode())
            finally:
                os._exit(1)
        os.close(theirs)
        with open(ours, "rb") as pipe:
            pipe.readline()  # it is writing
            time.sleep(0.001 * (turn % 7))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            told = pipe.read().split()
        counted = max(counted, int(told[-1])) if told else counted
        if turn % 5 == 4:
            site.log().close()
            verdict = site.verdict()
            assert verdict.whole, verdict.findings
            assert verdict.last >= counted


def test_one_that_stands_still_with_the_lock_is_told(site, entry, monkeypatch):
    monkeypatch.setattr("medgemma_tui.audit.log._LOCK_WAIT_S", 0.05)
    log = site.log()
    other = os.open(site.directory / ".lock", os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(AuditError) as told:
        log.append([entry()])
    assert told.value.code == "io_error"
    os.close(other)
    assert log.append([entry()]).seq == 1


def test_a_directory_that_is_moved_away_is_begun_anew_behind_what_was(site, entry):
    log = site.log()
    log.append([entry(1), entry(2)])
    site.directory.rename(site.root / "away")
    log.append([entry(3)])
    assert [each.seq for each in site.records()] == [1, 2, 3]  # those it still knew


def test_links_are_not_followed(site, entry):
    log = site.log()
    log.append([entry(1)])
    (path,) = site.files()
    path.rename(site.root / "elsewhere")
    path.symlink_to(site.root / "elsewhere")
    with pytest.raises(AuditError):
        log.append([entry(2)])
    assert (site.root / "elsewhere").read_bytes().count(b"\n") == 1


def test_keys_and_anchors_lie_where_the_service_manager_or_the_user_has_them(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    of = places.of(Settings(), {})
    state = tmp_path / ".local/state/medgemma"
    assert (of.directory, of.key, of.anchors) == (state / "audit", state / "audit.key", state / "audit.anchors")
    of = places.of(Settings(), {"XDG_STATE_HOME": f"{tmp_path}/s"})
    assert of.directory == tmp_path / "s/medgemma/audit"
    of = places.of(Settings(), {"LOGS_DIRECTORY": "/var/log/medgemma:/x", "STATE_DIRECTORY": "/var/lib/medgemma"})
    assert [str(each) for each in (of.directory, of.key, of.anchors)] == [
        "/var/log/medgemma/audit", "/var/lib/medgemma/audit.key", "/var/lib/medgemma/audit.anchors",
    ]  # fmt: skip
    of = places.of(Settings(audit_dir=tmp_path / "log", audit_key=tmp_path / "k"), {})
    assert (of.directory, of.key, of.anchors) == (tmp_path / "log", tmp_path / "k", tmp_path / "log.anchors")
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    of = places.of(Settings(), {})
    assert of.directory == tmp_path / "medgemma/audit"
    assert not of.lasting


def test_opened_by_the_settings(site, entry):
    log = places.open_log(Settings(), site.places, journal=None)
    assert log.append([entry()]).seq == 1
    assert log.key_id == key.load(site.places.key).id
    log.close()
    told = anchor.parse(site.places.anchors.read_bytes().splitlines()[-1], key.load(site.places.key))
    assert isinstance(told, anchor.Anchor)

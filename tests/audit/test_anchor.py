"""Anchors: when, where, and whether this user could rewrite the place."""

import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from medgemma_tui.audit import anchor, key
from medgemma_tui.audit.anchor import Anchors
from medgemma_tui.audit.key import Key

KEY = Key.of(bytes(32))
WHEN = datetime(2026, 11, 24, 6, 30, tzinfo=UTC)
SETFLAGS = 0x40006602 | struct.calcsize("l") << 16


def offer(anchors, seq, **more):
    anchors.offer(seq, f"{seq:064x}", KEY, WHEN, **more)


def told(path):
    return [anchor.parse(line, KEY).seq for line in path.read_bytes().splitlines()]


def test_every_sixteen_records_and_when_forced(tmp_path):
    anchors = Anchors(tmp_path / "a", None)
    for seq in range(1, 50):
        offer(anchors, seq)
    offer(anchors, 49, force=True)
    offer(anchors, 49, force=True)
    assert told(tmp_path / "a") == [1, 17, 33, 49]


def test_after_half_a_minute(tmp_path, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(anchor.time, "monotonic", lambda: clock[0])
    anchors = Anchors(tmp_path / "a", None)
    for _ in range(7):
        clock[0] += 10
        offer(anchors, int(clock[0]) // 10 - 100)
    assert told(tmp_path / "a") == [1, 4, 7]


def test_the_log_is_anchored_at_its_first_record_and_at_its_end(site, entry):
    log = site.log()
    log.append([entry()])
    log.close()
    log = site.log()
    log.append([entry()])
    log.append([entry()])
    log.anchor()  # not due
    assert not log.anchored
    log.close()
    secret = key.load(site.places.key)
    seqs = [anchor.parse(line, secret).seq for line in site.places.anchors.read_bytes().splitlines()]
    assert seqs == [1, 2, 3]
    assert site.places.anchors.stat().st_mode & 0o7777 == 0o640


def test_a_torn_anchor_does_not_swallow_the_next(tmp_path):
    path = tmp_path / "a"
    offer(Anchors(path, None), 1)
    path.write_bytes(path.read_bytes() + b'{"v":1,"time')
    offer(Anchors(path, None), 2)
    assert [anchor.parse(line, KEY) is None for line in path.read_bytes().splitlines()] == [False, True, False]
    assert Anchors(path, None).newest(KEY).seq == 2
    assert Anchors(path, None).newest(Key.of(b"1" * 32)) is None


def test_a_place_that_cannot_be_written_stops_nothing(tmp_path, site, entry):
    site.places.anchors.mkdir()
    log = site.log()
    assert log.append([entry()]).seq == 1
    assert not log.anchored


def test_a_file_of_anchors_is_cut_to_its_newer_half(tmp_path, monkeypatch):
    monkeypatch.setattr(anchor, "LARGEST_BYTES", 4000)
    anchors = Anchors(tmp_path / "a", None)
    for seq in range(1, 41):
        offer(anchors, seq, force=True)
    kept = told(tmp_path / "a")
    assert kept == list(range(kept[0], 41))
    assert (tmp_path / "a").stat().st_size <= 4400


# --- a file that can only grow ---


def set_flags(path, flags):
    with open(path, "rb") as file:
        fcntl.ioctl(file, SETFLAGS, struct.pack("l", flags))


@pytest.fixture
def growing():
    """A file with the append-only attribute, in a directory that others may enter."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    path = place / "anchors"
    path.touch()
    os.chmod(path, 0o666)
    try:
        set_flags(path, 0x20)
    except OSError as error:
        shutil.rmtree(place)
        pytest.skip(f"the append-only attribute cannot be set here: {error.strerror}")
    yield path
    set_flags(path, 0)
    shutil.rmtree(place)


def test_an_append_only_file_is_known_for_what_it_is(growing, tmp_path, monkeypatch):
    anchors = Anchors(growing, None)
    offer(anchors, 1)
    assert anchors.file_state == "append_only"
    with pytest.raises(PermissionError):
        growing.write_bytes(b"")
    monkeypatch.setattr(anchor, "LARGEST_BYTES", 10)
    offer(anchors, 2, force=True)
    assert told(growing) == [1, 2]  # never cut
    assert not Anchors(tmp_path / "a", None).covers(1)
    plain = Anchors(tmp_path / "a", None)
    offer(plain, 1)
    assert plain.file_state == "rewritable"
    assert not plain.covers(1)


def test_out_of_reach_only_for_who_cannot_clear_the_attribute(growing, forked):
    anchors = Anchors(growing, None)
    offer(anchors, 1)
    capabilities = Path("/proc/self/status").read_text().split("CapEff:")[1].split()[0]
    assert anchors.covers(1) is not bool(int(capabilities, 16) >> 9 & 1)

    def as_nobody():
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        mine = Anchors(growing, None)
        offer(mine, 2)
        return json.dumps([mine.file_state, mine.covers(2), mine.covers(17), mine.covers(18)]).encode()

    assert json.loads(forked(as_nobody)) == ["append_only", True, True, False]


def test_what_was_cut_off_and_anchored_where_it_cannot_be_taken_back_is_missed(growing, site, entry):
    site.places = type(site.places)(site.places.directory, site.places.key, growing)
    log = site.log()
    log.append([entry(n) for n in range(6)])
    log.close()
    assert site.verdict().append_only
    (path,) = site.files()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    (found,) = site.verdict().findings
    assert (found.kind, found.seq, found.last) == ("truncated", 3, 6)
    assert found.time


# --- the journal ---


@pytest.fixture
def journal(tmp_path):
    """A socket as journald's is: datagrams in its own form."""
    path = tmp_path / "journal"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.settimeout(10)
        yield path, listening


def test_the_journal_is_told_in_its_own_form(journal, site, entry):
    path, listening = journal
    log = site.log(journal=path)
    head = log.append([entry()])
    fields = dict(line.split("=", 1) for line in listening.recv(4096).decode().splitlines())
    assert fields["SYSLOG_IDENTIFIER"] == "medgemma-audit"
    assert (fields["MEDGEMMA_AUDIT_SEQ"], fields["MEDGEMMA_AUDIT_MAC"]) == ("1", head.mac)
    assert fields["PRIORITY"] == "5"
    # ``journalctl -o cat`` prints MESSAGE: that is a file of anchors.
    told = anchor.parse(fields["MESSAGE"].encode(), key.load(site.places.key))
    assert (told.seq, told.head) == (1, head.mac)
    assert log.anchored is (os.geteuid() != 0)  # root could rewrite the journal


def test_a_journal_counts_for_who_is_not_root(journal, forked):
    path, _listening = journal

    def as_nobody():
        if os.geteuid() == 0:
            path.chmod(0o666)
            for each in path.parents:
                if not each.stat().st_mode & 0o001:
                    each.chmod(0o755)
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
        mine = Anchors(None, path)
        offer(mine, 1)
        return json.dumps([mine.journal_told, mine.covers(1)]).encode()

    assert json.loads(forked(as_nobody)) == [True, True]


def test_a_journal_that_is_stuck_or_not_there_holds_nothing_up(journal, tmp_path):
    path, listening = journal
    anchors = Anchors(None, path)
    for seq in range(1, 2000):
        offer(anchors, seq, force=True)
        if not anchors.journal_told:
            break
    else:
        pytest.fail("the socket's buffer was never full")
    listening.close()
    offer(anchors, 5000)
    assert not anchors.journal_told
    nowhere = Anchors(None, tmp_path / "nowhere")
    offer(nowhere, 1)
    assert not nowhere.covers(1)


def test_the_journals_anchors_are_those_that_verify_reads(journal, site, entry, tmp_path):
    path, listening = journal
    log = site.log(journal=path)
    log.append([entry(n) for n in range(3)])
    log.append([entry(n) for n in range(30)])
    log.close()
    listening.setblocking(False)
    messages = []
    try:
        while True:
            messages.append(listening.recv(4096).decode().splitlines()[0].removeprefix("MESSAGE="))
    except BlockingIOError:
        pass
    (tmp_path / "from-journal").write_text("-- No entries --\n" + "\n".join(messages) + "\n")
    (log_file,) = site.files()
    log_file.write_bytes(b"".join(log_file.read_bytes().splitlines(keepends=True)[:-2]))
    site.places.anchors.unlink()
    command = [sys.executable, "-m", "medgemma_tui", "audit", "verify", "--dir", str(site.directory)]
    done = subprocess.run(
        [*command, "--anchors", str(tmp_path / "from-journal"), "--json"], capture_output=True, text=True
    )
    assert done.returncode == 1
    (found,) = json.loads(done.stdout)["findings"]
    assert (found["kind"], found["seq"], found["last"]) == ("truncated", 32, 33)

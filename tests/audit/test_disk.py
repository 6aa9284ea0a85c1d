"""A disk that is full, read-only or failing: the call fails with the reason, nothing is lost or doubled, it resumes."""

import contextlib
import errno
import os
import subprocess

import pytest

from medgemma_tui.audit.errors import AuditError


def refused(call):
    with pytest.raises(AuditError) as told:
        call()
    return told.value.code


def numbers(site):
    return [each.counters["n"] for each in site.records() if each.event == "question"]


@pytest.fixture
def on_small_disk(site, small_disk):
    return type(site)(small_disk)


@pytest.mark.parametrize("size", [1, 9])
def test_a_full_disk(on_small_disk, entry, size, fill):
    """``size`` records in one call: one that does not fit at all, and several of which the first ones do."""
    site = on_small_disk
    log = site.log(max_bytes=9000)
    log.append([entry(n) for n in range(3)])
    filler = fill()
    done = 3
    with contextlib.suppress(AuditError):
        for _ in range(100):  # what is left of the last page
            log.append([entry(done + i) for i in range(size)])
            done += size
    before = site.lines()
    for _ in range(3):
        assert refused(lambda: log.append([entry(done + i) for i in range(size)])) == "disk_full"
        assert site.lines() == before
        assert site.verdict().whole
    assert numbers(site) == list(range(done))
    filler.unlink()
    log.append([entry(done + i) for i in range(size)])
    log.close()
    assert numbers(site) == list(range(done + size))
    assert site.verdict().whole


def test_a_disk_full_from_the_start(on_small_disk, entry, fill):
    site = on_small_disk
    filler = fill()
    assert refused(site.log) == "disk_full"
    filler.unlink()
    log = site.log()
    assert log.append([entry(0)]).seq == 1
    assert site.verdict().whole


def test_a_read_only_disk(on_small_disk, entry):
    site = on_small_disk
    log = site.log()
    log.append([entry(0)])
    # Nothing is held open for writing between two calls, so that the file system can be remounted at all.
    subprocess.run(["mount", "-o", "remount,ro", str(site.root)], check=True)
    for _ in range(2):
        assert refused(lambda: log.append([entry(1)])) == "read_only"
    assert numbers(site) == [0]
    assert site.verdict().whole
    subprocess.run(["mount", "-o", "remount,rw", str(site.root)], check=True)
    assert log.append([entry(1)]).seq == 2
    assert numbers(site) == [0, 1]
    assert site.verdict().whole


def test_no_permission(site, entry, forked):
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    log = site.log()
    log.append([entry(0)])
    os.chmod(site.root, 0o755)

    def as_nobody():
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        try:
            log.append([entry(1)])
        except AuditError as error:
            return error.code.encode()
        return b"written"

    assert forked(as_nobody) == b"no_permission"
    assert log.append([entry(1)]).seq == 2


class Failing:
    """``os.fsync`` and ``os.ftruncate`` that fail while ``on``: no file system here can be made to."""

    def __init__(self, monkeypatch, *names):
        self.on = False
        for name in names:
            monkeypatch.setattr(os, name, self._failing(getattr(os, name)))

    def _failing(self, real):
        def call(*arguments):
            if self.on:
                raise OSError(errno.EIO, "Input/output error")
            return real(*arguments)

        return call


@pytest.mark.parametrize("names", [("fsync",), ("fsync", "ftruncate"), ("ftruncate", "write")])
def test_after_a_failed_sync_nothing_is_believed(site, entry, monkeypatch, names):
    """Also where what was written cannot be cut off again: the second try does not double it."""
    log = site.log()
    log.append([entry(0)])
    disk = Failing(monkeypatch, *names)
    disk.on = True
    for _ in range(3):
        assert refused(lambda: log.append([entry(1), entry(2)])) == "io_error"
    disk.on = False
    assert log.append([entry(1), entry(2)]).seq == 3
    assert numbers(site) == [0, 1, 2]
    assert site.verdict().whole


def test_what_another_could_not_sync_is_not_built_on_before_it_is_sure(site, entry, monkeypatch):
    """One sees the half-failed records of the other, which takes them away and writes others of the same length."""
    log, other = site.log(), site.log()
    log.append([entry(0)])
    disk = Failing(monkeypatch, "fsync", "ftruncate")
    disk.on = True
    assert refused(lambda: log.append([entry(1)])) == "io_error"
    assert refused(lambda: other.append([entry(2)])) == "io_error"
    disk.on = False
    other.open()
    log.append([entry(1)])
    other.append([entry(2)])
    log.close()
    other.close()
    assert numbers(site) == [0, 1, 2]
    assert site.verdict().whole, site.verdict().findings


def test_a_new_file_whose_sync_fails_is_not_believed_either(site, entry, monkeypatch):
    log = site.log(max_bytes=1000)
    log.append([entry(0)])
    log.append([entry(1)])
    disk = Failing(monkeypatch, "fsync", "unlink", "ftruncate")
    monkeypatch.setattr("pathlib.Path.unlink", lambda self, **more: os.unlink(self))
    disk.on = True
    assert refused(lambda: log.append([entry(2)])) == "io_error"
    disk.on = False
    log.append([entry(2)])
    assert numbers(site) == [0, 1, 2]
    assert len(site.files()) == 2
    assert site.verdict().whole


def test_what_the_disk_lost_of_earlier_records_is_written_again(site, entry, monkeypatch):
    """The kernel drops the pages that it could not write; what they held besides can be gone with them."""
    log = site.log()
    log.append([entry(0)])
    log.append([entry(1)])
    (path,) = site.files()
    one = path.read_bytes().splitlines(keepends=True)[0]
    disk = Failing(monkeypatch, "fsync", "ftruncate")
    disk.on = True
    assert refused(lambda: log.append([entry(2)])) == "io_error"
    disk.on = False
    path.write_bytes(one + one[:40])
    log.append([entry(2)])
    log.close()
    assert numbers(site) == [0, 1, 2]
    assert site.verdict().whole, site.verdict().findings


def test_what_cannot_be_set_aside_waits(on_small_disk, entry, fill):
    """A torn line on a full disk: the log does not begin until its bytes can be kept."""
    site = on_small_disk
    site.log().append([entry(0)])
    (path,) = site.files()
    with path.open("ab") as file:
        file.write(b"half a line")
    filler = fill()
    assert refused(site.log) == "disk_full"
    assert path.read_bytes().endswith(b"half a line")
    filler.unlink()
    site.log()
    assert [each.event for each in site.records()] == ["question", "torn_tail"]
    assert [p.read_bytes() for p in site.directory.glob("torn-*")] == [b"half a line"]

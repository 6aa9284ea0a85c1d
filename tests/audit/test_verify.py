"""Whatever is done to a log is found, called what it is, and told with the right number."""

import os
import resource
import shutil
import tempfile
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from medgemma_tui.audit import anchor, key, places
from medgemma_tui.audit.anchor import Anchors
from medgemma_tui.audit.log import AuditLog
from medgemma_tui.audit.record import Entry
from medgemma_tui.audit.verify import verify

tampering = settings(max_examples=150, deadline=None)


class Sample:
    """A whole log of some files, in memory, and what checking gives for a changed one."""

    def __init__(self, root: Path) -> None:
        self.places = places.beside(root / "audit")
        log = AuditLog(
            self.places.directory, key.create(self.places.key), max_bytes=2000, retention_days=180,
            anchors=Anchors(self.places.anchors, None),
        )  # fmt: skip
        log.open()
        for n in range(14):
            log.append([Entry("question", "ok", 1000, "li", "s", counters={"n": n, "say": "x"})])
        log.close()
        self.files = {path.name: path.read_bytes() for path in sorted(self.places.directory.glob("*.jsonl"))}
        self.names = list(self.files)
        self.lines = {name: content.splitlines(keepends=True) for name, content in self.files.items()}
        self.where = [(name, line) for name in self.names for line in range(len(self.lines[name]))]
        self.last = len(self.where)
        assert len(self.names) >= 4
        self.area = Path(tempfile.mkdtemp(dir=root))

    def check(self, files):
        shutil.rmtree(self.area)
        self.area.mkdir()
        (self.area / ".lock").touch()
        for name, content in files.items():
            (self.area / name).write_bytes(content)
        return verify(self.area, self.places.key, self.places.anchors)

    def found(self, files):
        return [(each.kind, each.seq, each.last) for each in self.check(files).findings]

    def with_lines(self, name, lines):
        return {**self.files, name: b"".join(lines)}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return Sample(tmp_path_factory.mktemp("sample"))


def test_whole(sample):
    verdict = sample.check(sample.files)
    assert verdict.whole, verdict.findings
    assert (verdict.records, verdict.first, verdict.last, verdict.files) == (
        sample.last,
        1,
        sample.last,
        len(sample.files),
    )
    assert [each.kind for each in verdict.notes] == ["unanswered"]


@tampering
@given(st.data())
def test_any_byte_changed(sample, data):
    seq = data.draw(st.integers(1, sample.last))
    name, at = sample.where[seq - 1]
    line = sample.lines[name][at]
    byte = data.draw(st.integers(0, len(line) - 1) | st.just(len(line) - 1))
    value = data.draw(st.sampled_from([10, 0, 32, 34, 125]) | st.integers(0, 255))
    changed = line[:byte] + bytes([value]) + line[byte + 1 :]
    if changed == line:
        return
    lines = [*sample.lines[name][:at], changed, *sample.lines[name][at + 1 :]]
    found = sample.found(sample.with_lines(name, lines))
    if seq < sample.last:
        assert found == [("altered", seq, seq)]
    else:  # of the last line it may look like a power loss; but it was anchored
        assert found in (
            [("altered", seq, seq)],
            [("truncated", seq, seq), ("torn_tail", seq, None)],
        )


@tampering
@given(st.data())
def test_any_line_removed(sample, data):
    seq = data.draw(st.integers(1, sample.last))
    name, at = sample.where[seq - 1]
    found = sample.found(sample.with_lines(name, sample.lines[name][:at] + sample.lines[name][at + 1 :]))
    ends_a_file = at == len(sample.lines[name]) - 1
    assert found == [("truncated" if ends_a_file else "missing", seq, seq)]


@tampering
@given(st.data())
def test_any_line_there_twice(sample, data):
    seq = data.draw(st.integers(1, sample.last))
    line = sample.lines[sample.where[seq - 1][0]][sample.where[seq - 1][1]]
    other = data.draw(st.integers(1, sample.last))
    name, at = sample.where[other - 1]
    lines = sample.lines[name]
    found = sample.found(sample.with_lines(name, [*lines[: at + 1], line, *lines[at + 1 :]]))
    assert ("duplicated", seq, seq) in found
    if other >= seq:
        assert found == [("duplicated", seq, seq)]
    else:
        assert {kind for kind, _seq, _last in found} <= {"duplicated", "reordered"}


@tampering
@given(st.data())
def test_any_two_lines_swapped(sample, data):
    one, two = sorted(data.draw(st.lists(st.integers(1, sample.last), min_size=2, max_size=2, unique=True)))
    (name, at), (other, to) = sample.where[one - 1], sample.where[two - 1]
    files = {each: list(lines) for each, lines in sample.lines.items()}
    files[name][at], files[other][to] = files[other][to], files[name][at]
    found = sample.found({each: b"".join(lines) for each, lines in files.items()})
    assert {kind for kind, _seq, _last in found} == {"reordered"}
    assert all(one <= seq <= last <= two for _kind, seq, last in found)


@tampering
@given(st.data())
def test_any_truncation(sample, data):
    name = data.draw(st.sampled_from(sample.names))
    content = sample.files[name]
    cut = data.draw(st.integers(0, len(content) - 1))
    files = {**sample.files, name: content[:cut]}
    whole = content[:cut].count(b"\n")
    lost = sample.where.index((name, whole)) + 1
    found = sample.found(files)
    kinds = {kind for kind, _seq, _last in found}
    assert found[0][1] == lost
    half = bool(cut) and not content[:cut].endswith(b"\n")
    if name == sample.names[-1]:
        assert kinds == ({"truncated", "torn_tail"} if half else {"truncated"})
        assert found[0] == ("truncated", lost, sample.last)
    else:
        assert kinds <= {"truncated", "altered"}
        assert found[-1][2] == sample.where.index((name, len(sample.lines[name]) - 1)) + 1


@pytest.mark.parametrize("index", [0, 1, 2, -1])
def test_any_file_removed(sample, index):
    name = sample.names[index]
    files = {each: content for each, content in sample.files.items() if each != name}
    first = sample.where.index((name, 0)) + 1
    last = first + len(sample.lines[name]) - 1
    (found,) = sample.check(files).findings
    assert (found.kind, found.seq, found.last) == ("truncated" if index == -1 else "missing", first, last)
    assert found.file == ("" if index == -1 else name)


def test_the_whole_log_removed(sample):
    (found,) = sample.check({}).findings
    assert (found.kind, found.seq, found.last) == ("truncated", 1, sample.last)


@tampering
@given(st.binary(min_size=1, max_size=300).filter(lambda b: b"\n" not in b), st.integers(1, 10))
@example(b'{"v":1,"seq":3,"time":"', 5)
@example(b"\0", 3)
def test_a_line_put_in(sample, junk, seq):
    name, at = sample.where[seq - 1]
    lines = sample.lines[name]
    found = sample.found(sample.with_lines(name, [*lines[:at], junk + b"\n", *lines[at:]]))
    assert found == [("inserted", None, None)]


def test_altered_and_removed_side_by_side_are_told_apart(sample):
    name = sample.names[1]
    lines = list(sample.lines[name])
    first = sample.where.index((name, 0)) + 1
    lines[2] = lines[2].replace(b'"li"', b'"ma"')
    del lines[1]
    assert sample.found(sample.with_lines(name, lines)) == [
        ("missing", first + 1, first + 1), ("altered", first + 2, first + 2),
    ]  # fmt: skip


def test_lines_of_another_log_are_no_records_of_this_one(sample, tmp_path):
    other = Sample(tmp_path)
    found = sample.found(
        sample.with_lines(sample.names[1], [*sample.lines[sample.names[1]], other.lines[other.names[0]][0]])
    )
    assert found == [("inserted", None, None)]


def test_another_branch_of_this_log_written_with_the_key_is_told(site, entry):
    """The log cut, continued, and a record of the one put into the other: the key was there, so each is whole alone."""
    log = site.log()
    log.append([entry(1)])
    log.close()
    (path,) = site.files()
    fork = path.read_bytes()
    for n in (2, 3):
        log = site.log()
        log.append([entry(n)])
        log.close()
    first = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(fork)
    anchors = site.places.anchors.read_bytes()
    site.places.anchors.unlink()
    log = site.log()
    log.append([entry(7)])
    log.append([entry(8)])
    second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*second[:2], first[2]]))
    log.close()
    assert ("rewritten", 3, 3) in site.findings()
    with_these = site.places.anchors.read_bytes()
    site.places.anchors.unlink()
    assert site.findings() == [("rewritten", 3, 3)]  # the chain says so alone
    site.places.anchors.write_bytes(with_these)
    # And where the anchors of the first are still there, the second is not what was anchored.
    path.write_bytes(b"".join(second))
    site.places.anchors.write_bytes(anchors)
    assert site.findings() == [("rewritten", 2, 3)]


def test_the_wrong_key_is_one_finding_and_no_hundred(sample, tmp_path):
    wrong = tmp_path / "k"
    key.create(wrong)
    verdict = verify(sample.places.directory, wrong, sample.places.anchors)
    (found,) = verdict.findings
    assert found.kind == "wrong_key"
    assert found.detail == key.load(sample.places.key).id
    assert {each.kind for each in verdict.notes} >= {"foreign_anchors"}


def test_the_key_that_others_may_read_is_a_finding_and_all_else_is_checked(sample, tmp_path):
    copy = tmp_path / "k"
    shutil.copy(sample.places.key, copy)
    copy.chmod(0o444)
    verdict = verify(sample.places.directory, copy, sample.places.anchors)
    assert [each.kind for each in verdict.findings] == ["key_readable"]
    assert verdict.records == sample.last
    assert not verdict.whole


def test_what_cannot_be_read_is_a_finding(sample, tmp_path):
    nowhere = tmp_path / "nowhere"
    assert [each.kind for each in verify(sample.area, nowhere, nowhere).findings] == ["no_key"]
    assert [each.kind for each in verify(nowhere, sample.places.key, nowhere).findings] == ["unreadable"]
    bad = tmp_path / "bad"
    bad.write_bytes(b"x")
    assert [each.kind for each in verify(sample.area, bad, nowhere).findings] == ["bad_key"]


def test_a_pipe_or_a_device_in_place_of_a_file_is_told_and_not_waited_for(sample, tmp_path):
    pipe, device = tmp_path / "pipe", tmp_path / "audit" / "audit-000000000001.jsonl"
    os.mkfifo(pipe)
    device.parent.mkdir()
    for key_file, directory, anchors in (
        (pipe, sample.area, sample.places.anchors),
        (sample.places.key, sample.area, pipe),
        (sample.places.key, device.parent, sample.places.anchors),
    ):
        device.unlink(missing_ok=True)
        os.mkfifo(device)
        assert [each.kind for each in verify(directory, key_file, anchors).findings] == ["unreadable"]
    device.unlink()
    device.symlink_to("/dev/zero")
    assert [each.kind for each in verify(device.parent, sample.places.key, pipe).findings] == ["unreadable"]


def test_a_log_that_was_copied_with_other_line_ends_is_altered_and_not_missing(site, entry):
    log = site.log()
    log.append([entry(n) for n in range(20)])
    log.close()
    (path,) = site.files()
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert site.findings() == [("altered", 1, 20)]
    assert "empty" not in [note.kind for note in site.verdict().notes]


def test_anchors_that_are_altered_forged_or_torn(sample):
    original = sample.places.anchors.read_bytes()
    try:
        line = original.splitlines()[-1]
        sample.places.anchors.write_bytes(original + line.replace(b'"seq":', b'"seq":9') + b"\n")
        (found,) = sample.check(sample.files).findings
        assert (found.kind, found.line) == ("anchor_altered", original.count(b"\n") + 1)
        sample.places.anchors.write_bytes(original + line[:50] + b"\n" + line[:9])
        verdict = sample.check(sample.files)
        assert verdict.whole
        assert [(each.kind, each.count) for each in verdict.notes if each.kind == "anchor_torn"] == [("anchor_torn", 2)]
        sample.places.anchors.unlink()
        verdict = sample.check(sample.files)
        assert verdict.whole
        assert "no_anchors" in {each.kind for each in verdict.notes}
    finally:
        sample.places.anchors.write_bytes(original)


def test_questions_without_an_answer_are_no_fault(site):
    log = site.log()
    question = [Entry("question", "ok", 1, "li", session) for session in ("a", "a", "b", "c")]
    log.append(question)
    log.append([Entry("answer", "stop", 1, "li", "a", counters={"question": 2})])
    log.append([Entry("answer", "stop", 1, "li", "c"), Entry("answer", "stop", 1, "li", "d")])
    verdict = site.verdict()
    assert verdict.whole
    (note,) = [each for each in verdict.notes if each.kind == "unanswered"]
    assert (note.count, note.seq) == (2, 1)
    log.append([Entry("answer", "stop", 1, "li", "a", counters={"question": 2})])  # which has one: it is not 1's
    (note,) = [each for each in site.verdict().notes if each.kind == "unanswered"]
    assert (note.count, note.seq) == (2, 1)


def test_how_many_records_could_be_taken_off_unseen(site, entry):
    log = site.log()
    log.append([entry(n) for n in range(20)])
    for n in range(5):
        log.append([entry(n)])
    (note,) = [each for each in site.verdict().notes if each.kind == "after_anchor"]
    assert (note.count, note.seq) == (5, 21)


def test_a_clock_that_went_back_is_noted(site, entry):
    log = site.log()
    log.append([entry(1)])
    log.close()
    log = site.log(clock=lambda: datetime.now().astimezone() - timedelta(days=1))
    log.append([entry(2)])
    assert [(each.kind, each.seq) for each in site.verdict().notes if each.kind == "clock_back"] == [("clock_back", 2)]


def test_checking_beside_a_writer_finds_nothing(site, entry):
    log = site.log(max_bytes=4000)
    log.append([entry(0)])
    pid = os.fork()
    if pid == 0:
        try:
            other = site.log(max_bytes=4000)
            for n in range(300):
                other.append([entry(n)])
        finally:
            os._exit(0)
    checked = 0
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        verdict = site.verdict()
        assert verdict.whole, verdict.findings
        checked += 1
    assert checked
    assert site.verdict().records > 300


def test_a_line_that_is_being_written_is_waited_for(site, entry):
    """Who may read the log, and may not take the writers' lock."""
    site.log().append([entry(0), entry(1)])
    (site.directory / ".lock").unlink()
    (path,) = site.files()
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])

    def write_the_rest():
        with path.open("ab") as file:
            file.write(whole[-50:])

    writer = threading.Timer(0.05, write_the_rest)
    writer.start()
    assert site.verdict().whole
    writer.join()


def test_a_hundred_thousand_records_are_checked_in_seconds_and_not_kept_in_memory(site, entry, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    log = site.log(max_bytes=16 << 20)
    batch = [entry(n) for n in range(500)]
    for _ in range(40):
        log.append(batch)
    log.close()
    monkeypatch.undo()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    verdict = site.verdict()
    used = time.process_time() - started
    assert verdict.whole
    assert verdict.records >= 20_000
    assert used < 4  # a fifth of a hundred thousand; 0.4 s where this was written
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000


def test_many_findings_are_cut_short(site, entry):
    log = site.log()
    log.append([entry(n) for n in range(3000)])
    log.close()
    (path,) = site.files()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for n, line in enumerate(lines) if n % 2 == 0))
    verdict = site.verdict()
    assert len(verdict.findings) == 1000
    assert verdict.more_findings > 400
    path.write_bytes(b"".join(lines[::-1]))
    started = time.process_time()
    assert not site.verdict().whole
    assert time.process_time() - started < 10


def test_an_anchor_is_known_by_its_own_key_only(sample):
    secret = key.load(sample.places.key)
    line = sample.places.anchors.read_bytes().splitlines()[-1]
    told = anchor.parse(line, secret)
    assert isinstance(told, anchor.Anchor)
    assert anchor.parse(line.replace(told.head.encode(), b"0" * 64), secret) == "altered"

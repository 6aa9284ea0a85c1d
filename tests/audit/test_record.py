"""One record: its one written form, and that no text gets into it."""

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from medgemma_tui.audit.key import Key
from medgemma_tui.audit.record import (
    GENESIS,
    LONGEST_LINE,
    MOST_COUNTERS,
    NOT_A_WORD,
    OUT_OF_RANGE,
    Entry,
    Record,
    authentic,
    parse,
    write,
)  # fmt: skip
from medgemma_tui.safetext import clean_line

KEY = Key.of(bytes(32))
TIME = datetime(2026, 11, 24, 14, 2, 1, 5, tzinfo=UTC)
WORD = set("abcdefghijklmnopqrstuvwxyz0123456789_.-")

words = st.text(max_size=60) | st.from_regex(r"[a-z0-9_.-]{1,40}", fullmatch=True)
counters = st.dictionaries(words, words | st.integers() | st.floats() | st.booleans(), max_size=60)


def written(entry, seq=7):
    line, mac = write(entry, seq=seq, time=TIME, prev=GENESIS, key=KEY)
    assert line.endswith(b"\n")
    return line[:-1], mac


def test_the_form_is_one_line_with_its_fields_in_order():
    line, mac = written(Entry("answer", "stop", 1000, "li", "s1", KEY.digest("in"), KEY.digest("out"), {"tokens": 3}))
    assert list(json.loads(line)) == [
        "v", "seq", "time", "uid", "login", "session", "event", "outcome", "key", "input", "output", "counters", "prev",
        "mac",
    ]  # fmt: skip
    record = Record.model_validate_json(line)
    assert (record.seq, record.mac, record.key, record.prev) == (7, mac, KEY.id, GENESIS)
    assert record.time == "2026-11-24T14:02:01.000005+00:00"
    assert record.instant == TIME
    assert (record.input, record.output) == (KEY.digest("in"), KEY.digest("out"))


@given(words, words, words, words, words, counters)
def test_no_text_gets_in(outcome, session, digest, login, event, numbers):
    """Whatever it is given: what is no word, number or hash is not written, and no part of it."""
    line, _mac = written(Entry(event, outcome, 1, login, session, digest, digest, numbers))
    assert len(line) < LONGEST_LINE
    assert line.isascii()
    assert b"\n" not in line
    record = Record.model_validate_json(line)  # its patterns hold for every field
    texts = [record.event, record.outcome, record.session, *record.counters]
    texts += [value for value in record.counters.values() if isinstance(value, str)]
    given_texts = [event, outcome, session, *numbers, *(v for v in numbers.values() if isinstance(v, str))]
    for text in texts:
        assert set(text.lower()) <= WORD
        assert text in (*given_texts, NOT_A_WORD, OUT_OF_RANGE)
    assert len(record.counters) <= MOST_COUNTERS
    assert record.input in ("", digest)
    assert all(abs(v) <= 10**15 for v in record.counters.values() if not isinstance(v, str))


@given(st.text(max_size=200))
def test_a_login_name_is_made_safe_and_short(login):
    line, _mac = written(Entry("login", "ok", 1, login))
    told = json.loads(line)["login"]
    assert len(told) <= 64
    assert clean_line(told) == told
    assert "\n" not in told
    assert "\x1b" not in told


@given(st.integers(0, 10**6), st.integers(0, 255))
def test_any_byte_changed_is_seen(at, byte):
    line, _mac = written(Entry("answer", "stop", 1000, "李", "s1", counters={"tokens": 3, "seconds": 1.5}))
    at %= len(line)
    parsed = parse(line)
    assert parsed is not None
    assert authentic(parsed, KEY)
    changed = line[:at] + bytes([byte]) + line[at + 1 :]
    again = parse(changed)
    assert changed == line or again is None or not authentic(again, KEY)


def test_another_form_of_the_same_record_is_not_taken():
    line, _mac = written(Entry("login", "ok", 1, "li"))
    for other in (
        json.dumps(json.loads(line)).encode(),
        line + b" ",
        b" " + line,
        line.replace(b'"li"', b'"\\u006ci"'),
    ):
        parsed = parse(other)
        assert parsed is None or not authentic(parsed, KEY)


def test_a_digest_is_no_mac_of_a_record():
    line, mac = written(Entry("login", "ok", 1, "li"))
    parsed = parse(line)
    assert parsed is not None
    assert KEY.digest(parsed.body.decode()) != mac

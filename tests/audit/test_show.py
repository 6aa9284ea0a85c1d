"""Choosing records, and what CSV and JSON make of them."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgemma_tui.audit.key import Key
from medgemma_tui.audit.record import GENESIS, Entry, Record, write
from medgemma_tui.audit.show import COLUMNS, CsvWriter, Filter, Selection, json_line, moment

KEY = Key.of(bytes(32))
START = datetime(2026, 11, 24, 6, 0, tzinfo=timezone(timedelta(hours=8)))


def line(seq, entry, when=START):
    return write(entry, seq=seq, time=when, prev=GENESIS, key=KEY)[0]


LINES = [
    line(1, Entry("start", "ok", 990, "medgemma")),
    line(2, Entry("question", "ok", 1000, "li.wei", "aa11"), START + timedelta(hours=1)),
    line(3, Entry("answer", "stop", 1000, "li.wei", "aa11", counters={"tokens": 40}), START + timedelta(hours=2)),
    line(4, Entry("question", "ok", 1001, "chen", "bb22"), START + timedelta(hours=3)),
    line(5, Entry("refused", "queue_full", 1001, "chen"), START + timedelta(days=1)),
]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(), [1, 2, 3, 4, 5]),
        (Filter(who="li.wei"), [2, 3]),
        (Filter(who="1001"), [4, 5]),
        (Filter(who="li"), []),
        (Filter(events=frozenset({"question", "refused"})), [2, 4, 5]),
        (Filter(outcome="ok"), [1, 2, 4]),
        (Filter(session="aa"), [2, 3]),
        (Filter(since=START + timedelta(hours=1), until=START + timedelta(hours=3)), [2, 3]),
        (Filter(since=datetime(2026, 11, 24, 0, 0, tzinfo=UTC)), [3, 4, 5]),  # an instant, not a string
        (Filter(who="chen", events=frozenset({"question"})), [4]),
    ],
)
def test_filters(wanted, expected):
    assert [each.seq for each in Selection(wanted).of(LINES)] == expected


def test_lines_that_are_no_records_are_counted():
    selection = Selection(Filter())
    assert len(list(selection.of([*LINES, b"", b"{", b'{"v":1}\n', b"\xff\n"]))) == 5
    assert selection.unreadable == 3


def test_moments():
    assert moment("2026-11-24") == datetime(2026, 11, 24).astimezone()
    assert moment("2026-11-24", end=True) == datetime(2026, 11, 25).astimezone()
    assert (
        moment("2026-11-24T06:30") == moment("2026-11-24T06:30", end=True) == datetime(2026, 11, 24, 6, 30).astimezone()
    )
    assert moment("2026-11-24T06:30:00+08:00") == datetime(2026, 11, 23, 22, 30, tzinfo=UTC)
    for wrong in ("yesterday", "2026-13-01", "24.11.2026", "2026-11-24T99"):
        with pytest.raises(ValueError, match=r"."):
            moment(wrong)


def rows(records):
    output = io.StringIO(newline="")
    writer = CsvWriter(output)
    for each in records:
        writer.write(each)
    assert output.getvalue().endswith("\r\n")
    assert "\n" not in output.getvalue().replace("\r\n", "")
    return list(csv.reader(io.StringIO(output.getvalue(), newline=""), strict=True))


def test_csv_has_names_and_one_row_a_record():
    names, *told = rows(Selection(Filter()).of(LINES))
    assert tuple(names) == COLUMNS
    assert [row[0] for row in told] == ["1", "2", "3", "4", "5"]
    assert told[2][names.index("counters")] == "tokens=40"


@given(st.sampled_from(["", "=", "+", "-", "@", "\t=", "\r@", "＝", "=cmd|' /C calc'!A0"]), st.text(max_size=40))
def test_no_cell_is_a_formula(sign, rest):
    """Logins come from the system's user database: a directory service may hold anything."""
    record = Record.model_validate_json(line(1, Entry("login", "ok", -2, sign + rest, counters={"-a": "=b", "=x": 1})))
    _names, row = rows([record])
    for name, cell in zip(COLUMNS, row, strict=True):
        if name not in ("uid", "seq"):
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"))


def test_json_is_the_record_as_it_is_in_the_log():
    (record,) = Selection(Filter(who="chen", outcome="ok")).of(LINES)
    assert json.loads(json_line(record)) == json.loads(LINES[3])
    assert json_line(record).isascii()

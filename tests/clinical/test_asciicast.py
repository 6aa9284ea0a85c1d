"""The file that asciinema plays: its form, and that nothing in it can steer a terminal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgemma_tui.clinical.asciicast import cast

CLEAR = "\x1b[H\x1b[2J"


def read(text: str) -> tuple[dict[str, object], list[list[object]]]:
    head, *events = text.removesuffix("\n").split("\n")
    return json.loads(head), [json.loads(event) for event in events]


def test_header_and_frames_are_those_of_version_2() -> None:
    head, events = read(cast([(0, "┌──┐\n│斑块│"), (1.25, "血栓")], 80, 24, "STEMI：机制"))
    assert head == {"version": 2, "width": 80, "height": 24, "title": "STEMI：机制"}
    assert events == [[0, "o", f"{CLEAR}┌──┐\r\n│斑块│"], [1.25, "o", f"{CLEAR}血栓"]]


def test_chinese_is_written_as_it_is_and_no_frames_is_a_header_alone() -> None:
    assert "机制" in cast([], 10, 2, "机制")
    assert cast([], 10, 2, "").count("\n") == 1


def test_what_does_not_fit_is_cut_by_cells_and_lines() -> None:
    _head, events = read(cast([(0, "斑块破裂x\nabcdefg\nthird")], 5, 2, ""))
    assert events[0][2] == f"{CLEAR}斑块\r\nabcde"


def test_nothing_in_a_frame_or_a_title_steers_the_terminal() -> None:
    hostile = "a\x1b]52;c;eA==\x07b\x9b31mc\x00\r\u202ed\u2028e\tf\ud800"
    text = cast([(0, hostile)], 80, 5, hostile)
    text.encode("utf-8")
    head, events = read(text)
    assert events[0][2] == f"{CLEAR}a]52;c;eA==b31mc�d e f�"
    assert head["title"] == "a]52;c;eA==b31mc�d e f�"


@pytest.mark.parametrize(
    ("frames", "width"),
    [
        ([(0, "x")], 0),
        ([(-1, "x")], 5),
        ([(2, "x"), (1, "y")], 5),
        ([(float("nan"), "x")], 5),
        ([(float("inf"), "x")], 5),
    ],
)
def test_a_screen_or_a_time_that_cannot_be_is_refused(frames: list[tuple[float, str]], width: int) -> None:
    with pytest.raises(ValueError, match=r"screen|frame"):
        cast(frames, width, 5, "")


@settings(max_examples=60)
@given(st.lists(st.text(max_size=40), max_size=4), st.text(max_size=20), st.integers(1, 30), st.integers(1, 5))
def test_every_text_gives_a_file_that_can_be_read(texts: list[str], title: str, width: int, height: int) -> None:
    head, events = read(cast([(at * 0.5, text) for at, text in enumerate(texts)], width, height, title))
    assert head["version"] == 2
    assert len(events) == len(texts)
    for _at, kind, data in events:
        assert kind == "o"
        assert isinstance(data, str)
        shown = data.removeprefix(CLEAR)
        assert len(shown.split("\r\n")) <= height
        assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in shown.replace("\r\n", ""))

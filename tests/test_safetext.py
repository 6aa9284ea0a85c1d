"""The terminal boundary: by property, over all of Unicode, and against a terminal emulator."""

from __future__ import annotations

import itertools
import json
import time
import unicodedata

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgemma_tui.safetext import clean, clean_line, escape_json

EVERYTHING = "".join(map(chr, range(0x110000)))
BIDI = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}

ATTACKS = [
    "\x1b[2J", "\x1b]52;c;cHduZWQ=\x07", "\x1b]0;title\x1b\\", "\x1bP+q\x1b\\", "\x9b31m", "\x90x\x9c", "\x9d0;t\x9c",
    "\x1b[?1049h", "\x1b(0", "\x0e", "\x0f", "\x08", "\x7f", "\x1bc", "\x1b[6n", "\x05", "\x07", "\x00",
    "\u202e", "\u2066", "\u2069", "\u200f", "\u061c", "\u200b", "\u2060", "\ufeff", "\U000e0041", "\ufe0f", "\u00ad",
    "\ufffa", "\ud800", "\udfff", "\uffff", "\r", "\r\n", "\n", "\t", "\x0b", "\x0c", "\x85", "\u2028", "\u2029",
]  # fmt: skip
HARMLESS = ["a", "[31m", "65岁男性", "µ²≥⁹", "👍", "é", "e\u0301", "]52;c;", "؀", "א", " "]

foreign = st.one_of(
    st.text(st.characters(codec=None)),
    st.lists(st.sampled_from(ATTACKS + HARMLESS)).map("".join),
    st.lists(st.one_of(st.sampled_from(ATTACKS), st.characters(codec=None))).map("".join),
)


def test_of_all_code_points_none_that_a_terminal_obeys_is_left():
    left = set(clean(EVERYTHING))
    controls = {char for char in left if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")}
    assert controls == {"\n", "\t"}
    assert not BIDI & set(map(ord, left))
    assert not {char for char in clean_line(EVERYTHING) if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")}


def test_of_the_format_characters_only_visible_signs_are_left():
    """Arabic, Syriac and Kaithi number signs have ink; so do hieroglyph joiners, in a font that has them."""
    left = {char for char in clean(EVERYTHING) if unicodedata.category(char) == "Cf"}
    names = [unicodedata.name(char) for char in sorted(left)]
    assert all(name.startswith(("ARABIC ", "SYRIAC ", "KAITHI ", "EGYPTIAN ")) for name in names), names


INVISIBLE = (
    "\u200b\u200c\u200d\u2060\u2061\u2064\ufeff\u00ad\u034f\u115f\u3164\uffa0\u180e\u180b"
    "\ufe00\ufe0e\ufe0f\ufff9\ufffa\ufffb\U000e0001\U000e0041\U000e007f\U000e0100"
)


@pytest.mark.parametrize("char", INVISIBLE)
def test_invisible_characters_go(char):
    assert clean(f"mor{char}phine") == "morphine"


@given(foreign)
def test_cleaning_twice_changes_nothing_more(text):
    assert clean(clean(text)) == clean(text)
    assert clean_line(clean_line(text)) == clean_line(text)


@given(foreign, foreign)
def test_cutting_the_stream_anywhere_changes_nothing(first, second):
    """Exact but for a CR LF cut in two, which gives an empty line more."""
    both = clean(first + second)
    if first.endswith("\r") and second.startswith("\n"):
        both = clean(first) + "\n" + clean(second[1:])
    assert clean(first) + clean(second) == both


@given(foreign)
def test_one_code_point_at_a_time_gives_the_same(text):
    text = text.replace("\n", "")  # a CR LF cut in two is the exception
    assert "".join(map(clean, text)) == clean(text)


@given(foreign)
def test_one_line_is_one_line(text):
    line = clean_line(text)
    assert len(line.splitlines()) <= 1
    assert "\t" not in line
    assert len(line) == len(clean(text))


@given(foreign)
def test_it_can_be_encoded(text):
    clean(text).encode("utf-8")


@given(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs", "Mn", "Mc", "Co"))))
def test_ordinary_text_is_left_letter_for_letter(text):
    ordinary = text.translate(dict.fromkeys([*range(0xFE00, 0xFE10), *range(0xE0000, 0xE1000), *INVISIBLE_LETTERS]))
    assert clean(ordinary) == ordinary


INVISIBLE_LETTERS = [0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x3164, 0xFFA0]


@pytest.mark.parametrize(
    "text",
    [
        "65岁男性，突发胸痛2小时，V1–V4 ST段抬高，cTnI 8.2 ng/mL",
        "eGFR ≥ 90 mL/min/1.73 m² · 5 µg · 1.2×10⁹/L · ±0.5 °C · Na⁺ · H₂O · α-blocker",
        "Give <dose> mg if INR<target>\n\t- first\n\t- second",
        "👍 🫀 café cafe\u0301 nǐ hǎo ｆｕｌｌ　width\u00a0no-break",
        "[b]not markup[/b] \\x1b[31m ^[ ␛",
    ],
)
def test_clinical_text_is_left_alone(text):
    assert clean(text) == text


def test_line_breaks_are_kept_apart_whatever_their_kind():
    """Dropped, they would make 510 mg out of 5 and 10 mg."""
    for sign in ["\r", "\r\n", "\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]:
        assert clean(f"5{sign}10 mg") == "5\n10 mg"
        assert clean_line(f"5{sign}10 mg") == "5 10 mg"
    assert clean("a\r\n\r\nb\n\rc") == "a\n\nb\n\nc"


def test_what_is_not_a_character_is_marked():
    assert clean("a\ud83d\ude00b\uffff\ufdd0c\U0010fffe") == "a\ufffd\ufffdb\ufffd\ufffdc\ufffd"


@settings(max_examples=200)
@given(st.lists(st.sampled_from(ATTACKS + HARMLESS), max_size=12))
def test_a_terminal_only_writes_what_it_gets(parts):
    """Cut at every place, fed to an emulator: no title, mode, charset, reply or bell, and nothing is overwritten."""
    screen = pyte.Screen(120, 30)
    replies, bells = [], []
    screen.write_process_input = replies.append
    screen.bell = lambda *_: bells.append(1)
    stream = pyte.Stream(screen)
    stream.feed("KEEP ")
    before = (screen.mode.copy(), screen.g0_charset, screen.charset, screen.title, screen.icon_name, screen.margins)
    stream.feed("".join(map(clean_line, parts)))
    after = (screen.mode.copy(), screen.g0_charset, screen.charset, screen.title, screen.icon_name, screen.margins)
    assert after == before
    assert screen.display[0].startswith("KEEP ")
    assert not replies
    assert not bells
    assert screen.cursor.attrs == pyte.screens.Char(" ")


def test_the_emulator_does_obey_the_same_bytes_uncleaned():
    """So that the test above can fail."""
    screen = pyte.Screen(80, 5)
    pyte.Stream(screen).feed("KEEP \x1b]0;title\x07\x1b[2J\x1b[H\x1b[31mgone")
    assert screen.title == "title"
    assert not screen.display[0].startswith("KEEP ")


@pytest.mark.parametrize("text", ["Give <dose> mg if INR<target>\n", "心梗 2小时，\x1b[31mST段\u202e抬高\r\n", "\x1b"])
def test_a_long_text_takes_milliseconds(text):
    long = "".join(itertools.islice(itertools.cycle(text), 100_000))
    best = min(_seconds(long) for _ in range(5))
    assert best < 0.05


def _seconds(text: str) -> float:
    started = time.process_time()
    clean(text)
    return time.process_time() - started


@given(st.text())
def test_json_means_the_same_and_holds_nothing_unsafe(text):
    document = escape_json(json.dumps({"answer": text}, ensure_ascii=False))
    assert json.loads(document) == {"answer": text}
    assert clean(document) == document

"""The terminal's input, in any pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from medgemma_tui.tui.driver import PASTE_END, PASTE_START, Splitter


def fed(pieces):
    splitter = Splitter()
    got = [part for piece in pieces for part in splitter.feed(piece)]
    if held := splitter.idle():
        got.append((False, held))
    pastes = [text for is_paste, text in got if is_paste]
    return pastes, "".join(text for is_paste, text in got if not is_paste)


@given(st.lists(st.integers(1, 12), min_size=1), st.text("ab\x1b[20~1\r", max_size=30))
def test_a_paste_is_one_text_wherever_the_reads_cut(sizes, inside):
    if PASTE_END in inside + PASTE_END[:-1]:
        return
    whole = f"x{PASTE_START}{inside}{PASTE_END}\x1b[A"
    pieces, at = [], 0
    while at < len(whole):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(whole[at : at + size])
        at += size
    assert fed(pieces) == ([inside], "x\x1b[A")


def test_an_escape_inside_a_paste_presses_no_keys():
    assert fed([f"{PASTE_START}a\x1bxyz\rrm -rf\x1b[A{PASTE_END}"]) == (["a\x1bxyz\rrm -rf\x1b[A"], "")


def test_a_lone_escape_is_a_key_after_a_moment():
    splitter = Splitter()
    assert list(splitter.feed("\x1b")) == []
    assert splitter.holding
    assert splitter.idle() == "\x1b"
    assert not splitter.holding

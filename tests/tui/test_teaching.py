"""The teaching view: how a chain is drawn, how it is played, where it comes from, what of it may be written."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from medgemma_tui.tui import teaching
from medgemma_tui.tui.teaching import ASCII, LINES, draw

CHAIN = ("斑块破裂", "血栓形成", "冠脉闭塞", "透壁缺血", "ST段抬高")
LONG = tuple(f"step {n} of a chain with rather long words in it" for n in range(8))


def text(lines) -> str:
    return "\n".join("".join(part for part, _ink in line) for line in lines)


# --- drawing ---


def test_a_narrow_screen_has_the_chain_downward_and_a_wide_one_across():
    down = text(draw(CHAIN, 5, 80, 18))
    across = text(draw(CHAIN, 5, 120, 18))
    assert [down.index(step) for step in CHAIN] == sorted(down.index(step) for step in CHAIN)
    assert down.count("▼") == 4
    assert all(step in next(row for row in across.split("\n") if "斑块破裂" in row) for step in CHAIN)
    assert across.count("►") == 4


def test_only_the_steps_so_far_are_drawn_and_the_last_of_them_is_marked():
    for width in (80, 120):
        shown = text(draw(CHAIN, 3, width, 18))
        assert "冠脉闭塞" in shown
        assert "透壁缺血" not in shown
        assert "║ 冠脉闭塞 ║" in shown
        assert "│ 血栓形成 │" in shown
        assert shown.count("▼" if width == 80 else "►") == 2


def test_nothing_moves_when_a_step_comes():
    for width in (80, 120):
        places = []
        for shown in range(1, 6):
            rows = text(draw(CHAIN, shown, width, 18)).split("\n")
            places.append(next((y, row.index("斑块破裂")) for y, row in enumerate(rows) if "斑块破裂" in row))
        assert len(set(places)) == 1


def test_rows_of_a_wide_screen_are_joined_by_an_arrow():
    rows = text(draw(LONG, 8, 120, 30)).split("\n")
    assert any(row.strip().startswith("└─►") for row in rows)


def test_where_boxes_do_not_fit_there_are_brackets_and_then_a_window_over_the_step():
    assert "[[ST段抬高]]" in text(draw(CHAIN, 5, 80, 9))
    small = text(draw(CHAIN, 4, 80, 5))
    assert "[[透壁缺血]]" in small
    assert "▲" in small
    assert "斑块破裂" not in small


def test_ascii_draws_with_ascii_alone():
    for width, height in ((80, 18), (80, 9), (80, 5), (120, 18)):
        for shown in range(1, 9):
            assert text(draw(LONG, shown, width, height, ASCII)).isascii()


WORDS = st.text(alphabet=st.sampled_from("ab 中文→0é"), min_size=1, max_size=40).filter(lambda each: each.strip())


@settings(max_examples=150, deadline=None)
@given(
    st.lists(WORDS, min_size=1, max_size=12), st.integers(-2, 15), st.integers(1, 160), st.integers(0, 40),
    st.sampled_from([LINES, ASCII]),
)  # fmt: skip
def test_it_always_fits(chain, shown, width, height, boxes):
    lines = draw([step.strip() for step in chain], shown, width, height, boxes)
    assert len(lines) <= height
    assert all(cell_len("".join(part for part, _ink in line)) <= width for line in lines)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(0, 11), st.integers(20, 130), st.integers(1, 30))
def test_the_step_that_is_shown_is_always_seen(count, at, width, height):
    chain = [f"step{n}" for n in range(count)]
    shown = min(at, count - 1) + 1
    assert chain[shown - 1] in text(draw(chain, shown, width, height))


def test_no_chain_and_no_room_are_no_lines():
    assert draw((), 1, 80, 20) == []
    assert draw(CHAIN, 1, 4, 20) == []
    assert draw(CHAIN, 1, 80, 0) == []
    assert teaching.WIDE == 100

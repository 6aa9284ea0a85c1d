"""The transcript in a running app: what it shows, what stays put, and what it costs."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from time import perf_counter

import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.strip import Strip

from medgemma_tui import i18n
from medgemma_tui.protocol import CompletionDetails, ErrorInfo, Usage
from medgemma_tui.tui import themes
from medgemma_tui.tui.conversation import Notice, Turn
from medgemma_tui.tui.profile import choose
from medgemma_tui.tui.widgets.pieces import steps
from medgemma_tui.tui.widgets.transcript import JUMP, Transcript

STYLES = Path(__file__).parents[2] / "styles"
NOON = datetime(2026, 11, 24, 14, 1)


class House(App[None]):
    """A transcript and nothing else."""

    CSS_PATH = [STYLES / "inks.tcss", STYLES / "transcript.tcss"]  # noqa: RUF012

    def __init__(self, profile: str = "color") -> None:
        self.console_profile = choose(profile, {"TERM": "xterm-256color"})
        super().__init__()
        for theme in themes.THEMES:
            self.register_theme(theme)
        self.theme = self.console_profile.theme
        self.add_class(self.console_profile.css_class)
        self.heard: list[Turn | None] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.variable_defaults(self.console_profile)

    def compose(self) -> ComposeResult:
        yield Transcript(self.console_profile)

    @property
    def transcript(self) -> Transcript:
        return self.query_one(Transcript)

    def on_transcript_selected(self, message: Transcript.Selected) -> None:
        self.heard.append(message.turn)

    def screen_text(self) -> list[str]:
        """What is painted, row by row, without the scrollbar."""
        widget = self.transcript
        return [widget.render_line(y).text.rstrip() for y in range(widget.size.height)]

    def strips(self) -> list[Strip]:
        """What the compositor would send to the terminal, row by row."""
        return self.screen._compositor.render_strips()

    def painted(self) -> list[str]:
        return [strip.text.rstrip() for strip in self.strips()]


def turn(question: str = "问题", answer: str = "回答", **more: object) -> Turn:
    made = Turn(question, NOON, answer=answer, state="done", finish_reason="stop", model="medgemma-1.5-4b-it")
    for name, value in more.items():
        setattr(made, name, value)
    return made


@pytest.fixture(autouse=True)
def _english():
    i18n.set_language("en")


async def settled(pilot) -> None:
    """Long enough for one batch."""
    await pilot.pause(0.15)
    await pilot.pause()


async def shown(
    *entries: Turn | Notice, size: tuple[int, int] = (80, 30), profile: str = "color", trace: bool = False
) -> str:
    app = House(profile)
    async with app.run_test(size=size) as pilot:
        for entry in entries:
            app.transcript.append(entry)
        app.transcript.trace_open = trace
        await settled(pilot)
        for row in app.painted():
            assert cell_len(row) <= size[0]
        return "\n".join(app.screen_text())


USAGE = Usage(
    tokens_per_second=41.3, completion_tokens_details=CompletionDetails(reasoning_tokens=1312), trace_closed="model"
)


async def test_a_turn_has_its_parts_in_order() -> None:
    text = await shown(turn("65岁男性", "## 定义\n答案 <dose>", reasoning="1. a\n2. b\n3. c", usage=USAGE))
    rows = text.split("\n")
    assert rows[0].strip() == "You  14:01"
    assert rows[1].strip() == "65岁男性"
    assert rows[2].strip() == "▸ Reasoning · 3 steps · 1,312 tok  (F2 shows)"
    assert rows[3].strip() == "medgemma-1.5-4b-it  14:01 · 41 tok/s · verify before use"
    assert "<dose>" in text
    assert "1. a" not in text


async def test_an_open_trace_has_a_rule_beside_it() -> None:
    text = await shown(turn(reasoning="1. first\n2. second", usage=USAGE), trace=True)
    assert "▾ Reasoning" in text
    assert "│ 1. first" in text
    assert "│ 2. second" in text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"finish_reason": "length"}, "length limit"),
        ({"finish_reason": "cancelled"}, "Stopped"),
        ({"finish_reason": "second_trace"}, "second time"),
        ({"finish_reason": "next_speaker"}, "next question"),
        ({"finish_reason": "repetition"}, "loop"),
        ({"finish_reason": "non_finite"}, "Do not use this answer"),
        ({"usage": Usage(trace_closed="budget")}, "cut at its budget"),
        ({"usage": Usage(trace_closed="repetition")}, "reasoning went round in a loop"),
        ({"usage": Usage(trace_closed="skipped")}, "less safe"),
        ({"error": ErrorInfo(type="worker_lost", message="x")}, "kept"),
        ({"error": ErrorInfo(type="strange", message="odd \x1b[31m thing")}, "odd [31m thing"),
        ({"left_context": True}, "Left the context"),
        ({"unknown_to_demo": True}, "only knows"),
        ({"answer": "", "finish_reason": "stop"}, "wrote no answer"),
        ({"model": "medgemma-tui-demo"}, "DEMO, NOT MEDICAL"),
    ],
)
async def test_what_must_be_said_is_said(more: dict[str, object], words: str) -> None:
    text = await shown(turn(**more))
    assert words in " ".join(text.split())


async def test_an_ordinary_turn_says_nothing_more() -> None:
    rows = [row for row in (await shown(turn(usage=USAGE))).split("\n") if row.strip()]
    assert len(rows) == 4


async def test_waiting_is_told() -> None:
    waiting = Turn("q", NOON, waiting_for="waiting: 2 in the queue")
    assert "waiting: 2 in the queue" in await shown(waiting)


async def test_notices_carry_their_level_as_a_sign() -> None:
    text = await shown(Notice("said", "info"), Notice("careful", "warning"), Notice("lost", "error"))
    assert all(each in text for each in ("· said", "! careful", "✗ lost"))


@pytest.mark.parametrize("profile", ["ascii", "console16"])
async def test_other_profiles_say_the_same(profile: str) -> None:
    text = await shown(turn("q", "- a\n- b", reasoning="x", finish_reason="length"), profile=profile, trace=True)
    assert "length limit" in text
    if profile == "ascii":
        assert text.isascii()


async def test_signs_of_an_answer_are_ascii_where_the_terminal_is() -> None:
    made = turn("≥ 38 °C?", "**150–300 mg**, ≤ 5 μg\n– 2×`10⁹`/L\n\n|a|\n|-|\n|→|", reasoning="1. ≥ 90")
    text = await shown(made, profile="ascii", trace=True)
    assert text.isascii()
    for part in ("150-300 mg, <= 5 ug", "- 2x10^9/L", ">= 38 deg C?", "->", ">= 90"):
        assert part in text
    assert "150–300 mg" in await shown(made)


@pytest.mark.parametrize("size", [(20, 8), (24, 24), (80, 24), (200, 60)])
async def test_every_size_shows_everything_once(size: tuple[int, int]) -> None:
    answer = "| a | b |\n|---|---|\n| 长长长长长长长长长长 | x |\n\n" + "y" * 300 + "\n\n" + "末尾"
    text = await shown(turn("q" * 100, answer), size=size)
    assert "末尾" in text


async def test_text_that_grows_appears_within_a_batch_and_follows() -> None:
    app = House()
    async with app.run_test(size=(60, 20)) as pilot:
        live = Turn("q", NOON, state="answering")
        app.transcript.append(live)
        for number in range(60):
            live.answer += f"line {number}\n"
            app.transcript.changed(live)
        await settled(pilot)
        assert app.transcript.following
        assert "line 59" in "\n".join(app.screen_text())
        rows = app.screen_text()
        assert 0 <= len(rows) - 1 - max(at for at, row in enumerate(rows) if row) <= JUMP


async def test_output_does_not_move_what_is_read() -> None:
    app = House()
    async with app.run_test(size=(60, 20)) as pilot:
        for number in range(20):
            app.transcript.append(turn(f"question {number}", "answer\n" * 5))
        live = Turn("q", NOON, state="answering")
        app.transcript.append(live)
        await settled(pilot)
        app.transcript.focus()
        await pilot.press("pageup", "up", "up")
        await settled(pilot)
        before = app.screen_text()
        assert not app.transcript.following
        for number in range(40):
            live.answer += f"line {number}\n\n"
            app.transcript.changed(live)
            await pilot.pause(0.01)
        await settled(pilot)
        after = app.screen_text()
        assert after[:-1] == before[:-1]
        assert "new lines below (End)" in after[-1]
        await pilot.press("end")
        await settled(pilot)
        assert app.transcript.following
        assert "line 39" in "\n".join(app.screen_text())
        assert "below" not in app.screen_text()[-1]


async def test_scrolling_moves_by_the_lines_asked_for_through_what_was_never_seen() -> None:
    """Heights above are estimates: one line up must be one line up all the same."""
    app = House()
    async with app.run_test(size=(40, 15)) as pilot:
        for number in range(60):
            app.transcript.append(turn(f"question {number}", "糖尿病 kidney " * (number % 7 * 5 + 1)))
        await settled(pilot)
        last = app.screen_text()
        for by in [-1] * 150 + [-3] * 30 + [1] * 40 + [7] * 5:
            app.transcript.scroll_relative(y=by, animate=False)
            now = app.screen_text()
            assert now[-by:] == last[:by] if by < 0 else now[:-by] == last[by:]
            last = now
        app.transcript.focus()
        await pilot.press("home")
        await settled(pilot)
        assert app.screen_text()[0].strip().startswith("You")
        assert "question 0" in app.screen_text()[1]
        assert app.transcript.scroll_y == 0
        await pilot.press("down", "pagedown", "up")
        assert app.transcript.scroll_y == 15


async def test_what_is_painted_is_what_the_rows_are() -> None:
    """Only changed rows are refreshed: the screen must still be right after any of it."""
    app = House()
    async with app.run_test(size=(60, 20)) as pilot:
        live = Turn("q", NOON, state="reasoning")
        app.transcript.append(turn("first", "x\n\ny\n\nz"))
        app.transcript.append(live)
        app.transcript.focus()
        for number in range(30):
            if number < 10:
                live.reasoning += f"{number}. step\n"
            else:
                live.state = "answering"
                live.answer += f"**word** {number}" + ("\n\n" if number % 3 else " ")
            app.transcript.changed(live)
            if number % 7 == 0:
                await pilot.press("enter" if number % 2 else "up")
            await settled(pilot)
            width = app.transcript.scrollable_content_region.width
            assert [strip.crop(1, 1 + width).text.rstrip() for strip in app.strips()] == app.screen_text()


async def test_a_growing_line_repaints_one_row() -> None:
    app = House()
    async with app.run_test(size=(60, 20)) as pilot:
        live = Turn("q", NOON, state="answering", answer="a")
        app.transcript.append(live)
        await settled(pilot)
        rows: list[int] = []
        refresh = app.transcript.refresh

        def watched(*regions, **more):
            rows.extend(region.y for region in regions)
            return refresh(*regions, **more)

        app.transcript.refresh = watched
        live.answer += " b"
        app.transcript.changed(live)
        await settled(pilot)
        assert rows == [3]


async def test_selection_and_own_trace() -> None:
    app = House()
    async with app.run_test(size=(60, 24)) as pilot:
        turns = [turn(f"question {n}", "answer", reasoning="1. thought") for n in range(12)]
        for each in turns:
            app.transcript.append(each)
        await settled(pilot)
        app.transcript.focus()
        await pilot.press("left")
        assert app.transcript.selected is turns[-1]
        await pilot.press("left", "enter")
        assert app.transcript.selected is turns[-2]
        await settled(pilot)
        text = "\n".join(app.screen_text())
        assert text.count("▌ You") == 1
        assert text.count("│ 1. thought") == 1
        for _ in range(10):
            await pilot.press("left")
        assert app.transcript.selected is turns[0]
        await settled(pilot)
        assert "question 0" in "\n".join(app.screen_text()[:3])
        await pilot.press("right")
        assert app.transcript.selected is turns[1]
        assert app.heard[-1] is turns[1]
        app.transcript.remove_entry(turns[1])
        await settled(pilot)
        assert app.transcript.selected is None
        assert "question 1\n" not in "\n".join(app.screen_text()) + "\n"


async def test_a_trace_is_shown_while_it_is_written_and_folds_when_the_answer_begins() -> None:
    app = House()
    async with app.run_test(size=(60, 20)) as pilot:
        live = Turn("q", NOON, state="reasoning", reasoning="1. first thought")
        app.transcript.append(live)
        await settled(pilot)
        assert "first thought" in "\n".join(app.screen_text())
        live.state, live.answer = "answering", "the answer"
        app.transcript.changed(live)
        await settled(pilot)
        text = "\n".join(app.screen_text())
        assert "the answer" in text
        assert "first thought" not in text


async def test_the_trace_being_written_can_be_hidden_and_stays_open_for_who_reads_in_it() -> None:
    app = House()
    async with app.run_test(size=(60, 12)) as pilot:
        live = Turn("q", NOON, state="reasoning", reasoning="\n".join(f"{n}. thought" for n in range(1, 40)))
        app.transcript.append(live)
        await settled(pilot)
        app.transcript.toggle_traces()
        await settled(pilot)
        assert "thought" not in "\n".join(app.screen_text())
        app.transcript.toggle_traces()
        await settled(pilot)
        app.transcript.focus()
        await pilot.press("pageup")
        await settled(pilot)
        before = app.screen_text()[:-1]
        assert "thought" in "\n".join(before)
        live.state, live.answer = "answering", "the answer"
        app.transcript.changed(live)
        await settled(pilot)
        assert app.screen_text()[:-1] == before


@pytest.mark.parametrize("size", [(80, 12), (60, 7)])
async def test_opening_traces_shows_one_and_closing_goes_back_to_the_end(size: tuple[int, int]) -> None:
    app = House()
    async with app.run_test(size=size) as pilot:
        app.transcript.append(turn("before", reasoning="1. an older thought"))
        answer = "\n".join(f"line {'abcdefghij'[n % 10]}" for n in range(40))
        app.transcript.append(turn("question", answer, reasoning="1. first thought\n2. second thought"))
        await settled(pilot)
        end = app.screen_text()
        assert not any("Reasoning" in row for row in end)
        app.transcript.toggle_traces()
        await settled(pilot)
        rows = app.screen_text()
        assert rows[0].startswith("▾ Reasoning")
        assert "first thought" in rows[1]
        assert not app.transcript.following
        app.transcript.toggle_traces()
        await settled(pilot)
        assert app.screen_text() == end
        assert app.transcript.following


async def test_opening_traces_does_not_carry_away_who_reads_one_further_up() -> None:
    app = House()
    async with app.run_test(size=(60, 10)) as pilot:
        for number in range(6):
            app.transcript.append(turn(f"question {number}", "a\n\n" * 6, reasoning="1. thought"))
        await settled(pilot)
        app.transcript.focus()
        await pilot.press("home")
        app.transcript.toggle_traces()
        await settled(pilot)
        assert "question 0" in app.screen_text()[1]
        assert "1. thought" in app.screen_text()[3]
        app.transcript.toggle_traces()
        await settled(pilot)
        assert "question 0" in app.screen_text()[1]
        assert not app.transcript.following


async def test_an_answer_that_ended_leaves_no_more_rows_blank_than_the_last_one() -> None:
    app = House()
    async with app.run_test(size=(60, 12)) as pilot:
        live = Turn("q", NOON, state="answering", model="gemma-3-4b-it")
        app.transcript.append(live)
        for number in range(14):
            live.answer += f"line {'abcdefghijklmn'[number]}\n"
            app.transcript.changed(live)
            await settled(pilot)
            live.state = "done" if number == 13 else "answering"
        live.finish_reason = "stop"
        app.transcript.changed(live)
        await settled(pilot)
        rows = app.screen_text()
        assert rows[-2] == "line n"


async def test_the_answer_carries_the_name_of_the_model_that_wrote_it() -> None:
    text = await shown(turn(model="gemma-3-4b-pt"))
    assert "gemma-3-4b-pt  14:01" in text
    assert "MedGemma" not in text


async def test_a_click_on_the_reasoning_line_opens_it() -> None:
    app = House()
    async with app.run_test(size=(60, 24)) as pilot:
        app.transcript.append(turn(reasoning="1. thought"))
        await settled(pilot)
        await pilot.click(Transcript, offset=(5, 2))
        await settled(pilot)
        assert "│ 1. thought" in "\n".join(app.screen_text())


async def test_clear_leaves_nothing() -> None:
    app = House()
    async with app.run_test(size=(60, 24)) as pilot:
        for number in range(5):
            app.transcript.append(turn(f"secret {number}", "secret"))
        await settled(pilot)
        app.transcript.clear()
        await settled(pilot)
        assert not any(app.screen_text())
        assert "secret" not in "\n".join(app.painted())
        assert app.transcript.virtual_size.height <= 24


async def test_the_language_changes_what_was_said() -> None:
    app = House()
    async with app.run_test(size=(60, 24)) as pilot:
        app.transcript.append(turn(finish_reason="length"))
        await settled(pilot)
        before = app.screen_text()
        i18n.set_language("zh")
        app.transcript.relabel()
        await settled(pilot)
        i18n.set_language("en")
        app.transcript.relabel()
        await settled(pilot)
        assert app.screen_text() == before


async def test_a_resize_keeps_the_place_and_is_quick_with_a_thousand_turns() -> None:
    app = House()
    async with app.run_test(size=(100, 30)) as pilot:
        answer = "## 定义\n\n" + "糖尿病肾病的分期 with words in between，" * 20 + "\n\n- a\n- b\n"
        for number in range(1000):
            app.transcript.append(turn(f"question {number}", answer, reasoning="1. a\n2. b"))
        await settled(pilot)
        app.transcript.focus()
        app.transcript.scroll_relative(y=-140, animate=False)
        top = next(row for row in app.screen_text() if row)
        start = perf_counter()
        app.transcript.styles.width = 70
        await pilot.pause()
        app.transcript._arrange()
        assert perf_counter() - start < 5.0  # generous: the machine is shared
        assert app.screen_text()[0][:8] == top[:8] or top[:8] in "\n".join(app.screen_text())
        start = perf_counter()
        for width in (60, 61, 62, 63, 64):
            app.transcript._flow.width = width
            app.transcript._anchor = app.transcript._flow.settle(app.transcript._anchor)
            app.transcript._flow.rows(app.transcript._anchor, 30)
            _ = app.transcript._flow.total
        assert (perf_counter() - start) / 5 < 0.5


async def test_a_large_answer_is_laid_out_where_it_is_seen() -> None:
    app = House()
    async with app.run_test(size=(80, 24)) as pilot:
        big = turn("q", ("段落 paragraph " * 20 + "\n\n") * 700)  # about 200 kB
        start = perf_counter()
        app.transcript.append(big)
        await pilot.pause()
        assert perf_counter() - start < 5.0
        app.transcript.focus()
        await pilot.press("pageup", "pageup", "home")
        await settled(pilot)
        assert app.screen_text()[0].startswith("You")


async def test_memory_of_a_thousand_turns_is_bounded() -> None:
    app = House()
    async with app.run_test(size=(80, 24)) as pilot:
        for number in range(300):
            app.transcript.append(turn(f"question {number}"))
        await settled(pilot)
        for _ in range(100):
            app.transcript.scroll_page_up(animate=False)
        assert sum(bool(view.pieces) for view in app.transcript._flow.views) <= 64


async def test_a_thousand_turns_come_back_at_once() -> None:
    """A parked conversation is restored in one go."""
    app = House()
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        start = perf_counter()
        for number in range(1000):
            app.transcript.append(turn(f"question {number}", "answer " * 100, reasoning="1. a"))
        assert perf_counter() - start < 3.0
        await settled(pilot)
        assert "question 999" in "\n".join(app.screen_text())
        assert sum(bool(view.pieces) for view in app.transcript._flow.views) < 20


async def test_another_theme_paints_in_its_own_colours() -> None:
    app = House()
    async with app.run_test(size=(60, 12)) as pilot:
        app.transcript.append(turn("q", "an answer"))
        await settled(pilot)

        def ink() -> str:
            segments = [segment for segment in app.strips()[3] if "answer" in segment.text]
            return segments[0].style.color.name

        assert ink() == "#e6e8eb"
        app.theme = "clinic-light"
        await settled(pilot)
        assert ink() == "#1b1f24"


@pytest.mark.parametrize(
    ("trace", "count"),
    [("1. a\n2. b", 2), ("- a\n- b\n- c", 3), ("a\n\nb\nc", 2), ("", 0), ("步骤1：x\n步骤2：y", 2)],
)
def test_steps(trace: str, count: int) -> None:
    assert steps(trace) == count

"""The teaching view: how a chain is drawn, how it is played, where it comes from, what of it may be written."""

from __future__ import annotations

import json
import resource
import signal
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from answering import Answering
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from medgemma_tui.client import ServiceError
from medgemma_tui.clinical import causal
from medgemma_tui.protocol import ErrorInfo
from medgemma_tui.tui import new_file, teaching
from medgemma_tui.tui.screens.teaching import TeachingScreen
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


# --- the view -----------------------------------------------------------------------------------------------

QUESTION = "急性ST段抬高型心肌梗死的发病机制是什么？"
ANSWER = "## 定义\n心肌坏死。\n## 机制\n" + " → ".join(CHAIN) + "\n## 鉴别\n夹层。\n## 建议\n再灌注。"


def service_of(reply: str = "", *, demo: bool = False, answer: str = ANSWER) -> Answering:
    """A service that answers a question with ``answer`` and the request for the chain with ``reply``."""
    return Answering(answer, chain=reply, demo=demo)


def reply(*steps: str) -> str:
    return json.dumps({"chain": steps}, ensure_ascii=False)


@pytest.fixture
def rounds(screen, tmp_path):
    """A screen with one answer, and the teaching view over it."""

    @asynccontextmanager
    async def opened(service: Answering, question: str = QUESTION, **how):
        async with screen(tmp_path / "x.sock", connector=lambda _socket: service, **{"size": (80, 24), **how}) as it:
            await it.connected()
            await it.ask(question)
            await it.press("f12")
            it.view = it.app.screen
            assert isinstance(it.view, TeachingScreen)
            yield it

    return opened


async def test_the_models_chain_is_shown_where_its_steps_are_in_the_answer(rounds):
    service = service_of(reply(*CHAIN[:4]))
    async with rounds(service) as it:
        await it.until(lambda: not it.view.waiting)
        assert it.view.stage.chain == CHAIN[:4]
        assert "The model gave this chain" in it.text()
        assert "step 1 of 4" in it.text()
        asked = service.requests[-1]
        assert asked.thinking == "skip"
        assert asked.response_format.json_schema.schema_ == causal.SCHEMA
        assert [message.role for message in asked.messages][-3:] == ["user", "assistant", "user"]
        assert asked.messages[-1].text == causal.request_text("zh")
        assert asked.messages[-2].text == ANSWER


async def test_a_chain_that_is_not_in_the_answer_gives_way_to_the_programs(rounds):
    for wrong in ("no json", reply("吸烟", "肺癌"), reply()):
        async with rounds(service_of(wrong)) as it:
            await it.until(lambda it=it: not it.view.waiting)
            assert it.view.stage.chain == CHAIN
            assert "The program took this chain" in it.text()


async def test_where_the_service_fails_or_is_not_waited_for_the_program_finds_the_chain(rounds):
    service = service_of()
    service.error = ServiceError(503, ErrorInfo(type="loading", message="x"))
    async with rounds(service) as it:
        await it.until(lambda: it.view.stage.source == "answer")
    service = service_of("hang")
    async with rounds(service) as it:
        await it.until(service.hung.is_set)
        assert "The model is asked" in it.text()
        await it.press("space")
        assert it.view.stage.chain == CHAIN
        await it.until(lambda: service.left)


async def test_leaving_cancels_the_request_and_nothing_of_it_is_in_the_conversation(rounds):
    service = service_of("hang")
    async with rounds(service) as it:
        await it.until(service.hung.is_set)
        before = list(it.controller.conversation.entries)
        await it.press("escape")
        await it.until(lambda: service.left)
        assert it.app.screen is it.chat
        assert it.controller.conversation.entries == before
        await it.ask("接下来？")
        assert [message.text for message in service.requests[-1].messages if message.role == "user"][1:] == ["接下来？"]


async def test_it_plays_pauses_and_goes_back_and_has_no_timer_while_it_stands(rounds):
    async with rounds(service_of(reply(*CHAIN))) as it:
        await it.until(lambda: not it.view.waiting)
        stage = it.view.stage
        assert it.view._timer is None
        await it.press("right", "right", "left")
        assert stage.step == 2
        await it.press("end")
        assert stage.step == 5
        await it.press("right")
        assert stage.step == 5
        await it.press("plus", "plus", "plus", "plus", "plus")
        assert "0.5 s a step" in it.text()
        await it.press("minus")
        assert "1 s a step" in it.text()
        await it.press("plus", "space")
        assert stage.playing
        assert stage.step == 1
        await it.until(lambda: stage.step == 3)
        await it.press("space")
        assert not stage.playing
        assert it.view._timer is None
        held = stage.step
        await it.pilot.pause(0.8)
        assert stage.step == held
        await it.press("space")
        await it.until(lambda: stage.step == 5)
        await it.until(lambda: not stage.playing)
        assert it.view._timer is None


async def test_an_answer_without_a_chain_says_so_and_what_to_do(rounds):
    async with rounds(service_of("{}", answer="多休息。")) as it:
        await it.until(lambda: not it.view.waiting)
        assert "No causal chain was found" in it.text()
        assert "Ask for the mechanism" in it.text()
        await it.press("space", "right", "w")
        assert "There is no chain to write" in it.text()


async def test_its_help_speaks_of_it(rounds):
    async with rounds(service_of(reply(*CHAIN)), size=(100, 40)) as it:
        await it.press("f1")
        assert "You are in the teaching view" in it.text()
        await it.press("escape")
        assert it.app.screen is it.view


async def test_without_an_answer_there_is_nothing_to_show(screen, tmp_path):
    async with screen(tmp_path / "x.sock") as it:
        await it.press("f12")
        assert it.app.screen is it.chat
        assert any("no answer yet" in each for each in it.notices)


async def test_the_demo_model_is_named_on_it(rounds):
    async with rounds(service_of(reply(*CHAIN), demo=True)) as it:
        assert "DEMO, NOT MEDICAL" in it.text()


async def test_the_question_is_masked_for_the_room(rounds):
    async with rounds(service_of(reply(*CHAIN)), "电话13800138000的患者，为什么？", lang="zh") as it:
        assert "13800138000" not in it.text()
        assert "患者，为什么" in it.text()


async def test_an_ascii_terminal_gets_ascii(rounds):
    english = "## Mechanism\nplaque rupture → thrombus → ischaemia"
    async with rounds(service_of("", answer=english), "Why?", term="vt220", size=(120, 36)) as it:
        await it.until(lambda: not it.view.waiting)
        await it.press("end")
        assert it.text().isascii()
        assert "ischaemia" in it.text()


@pytest.mark.parametrize("size", [(20, 6), (40, 10), (100, 20), (200, 60)])
async def test_every_size_shows_the_step(rounds, size):
    async with rounds(service_of(reply(*CHAIN)), size=size) as it:
        await it.until(lambda: not it.view.waiting)
        await it.press("end")
        assert size[1] < 7 or "ST段抬高" in it.text()


# --- the file ------------------------------------------------------------------------------------------------


async def written(it, path: str) -> str:
    """Ask for the file; what the foot of the view says then."""
    await it.press("w")
    await it.until(lambda: it.app.screen is not it.view)
    for char in path:
        it.app.screen.query_one("Input").insert_text_at_cursor(char)
    await it.press("enter")
    await it.until(lambda: it.app.screen is it.view and it.view.stage.said[0])
    return it.view.stage.said[0]


async def test_a_file_is_written_where_it_was_said_and_never_over_another(rounds, tmp_path):
    target = tmp_path / "chain.cast"
    async with rounds(service_of(reply(*CHAIN), demo=True), "三号床那位老人为什么会这样？") as it:
        await it.until(lambda: not it.view.waiting)
        assert str(target) in await written(it, str(target))
        rows = [json.loads(row) for row in target.read_text(encoding="utf-8").splitlines()]
        assert rows[0]["version"] == 2
        assert (rows[0]["width"], rows[0]["height"]) == (78, 24)
        assert len(rows) == 1 + len(CHAIN) + 1
        assert "ST段抬高" in rows[-1][2]
        assert "DEMO, NOT MEDICAL" in rows[1][2]
        assert "老人" not in target.read_text(encoding="utf-8")  # the question is not in it
        assert target.stat().st_mode & 0o777 == 0o600
        kept = target.read_bytes()
        assert "already" in await written(it, str(target))
        assert target.read_bytes() == kept


async def test_what_cannot_be_written_is_said_in_plain_words(rounds, tmp_path):
    async with rounds(service_of(reply(*CHAIN))) as it:
        await it.until(lambda: not it.view.waiting)
        assert "no such directory" in await written(it, str(tmp_path / "no" / "x.cast"))
        assert "already" in await written(it, str(tmp_path))
        assert "no file name" in await written(it, f"{tmp_path}/")
        assert "too long" in await written(it, str(tmp_path / ("x" * 300)))
        (tmp_path / "loop").symlink_to("nowhere")
        assert "already" in await written(it, str(tmp_path / "loop"))


def test_a_full_disk_leaves_no_half_a_file(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with pytest.raises(new_file.NotWritten, match="already"):
        new_file.write(Path("/dev/full"), "x")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        with pytest.raises(new_file.NotWritten):
            new_file.write(tmp_path / "big", "x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert not (tmp_path / "big").exists()


async def test_a_chain_that_could_tell_who_the_patient_is_is_not_written(rounds):
    steps = ("患者电话13800138000", "血栓形成")
    async with rounds(service_of(reply(*steps), answer="## 机制\n" + " → ".join(steps))) as it:
        await it.until(lambda: not it.view.waiting)
        await it.press("w")
        assert it.app.screen is it.view
        assert "Not written" in it.text()
        assert "phone number" in it.text()


async def test_over_the_real_gateway_and_the_demo_model(screen, gateway):
    async with screen(gateway.socket, size=(80, 24), lang="zh") as it:
        await it.connected()
        await it.ask(QUESTION)
        entries = list(it.controller.conversation.entries)
        await it.press("f12")
        view = it.app.screen
        await it.until(lambda: not view.waiting)
        assert view.stage.chain
        assert all(step in it.last.answer for step in view.stage.chain)
        assert "DEMO" in it.text()
        await it.press("escape")
        assert it.controller.conversation.entries == entries

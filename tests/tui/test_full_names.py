"""The full name behind a bare abbreviation: ours, marked, at its first use in an answer."""

from __future__ import annotations

from datetime import datetime

import pytest
from rich.cells import cell_len

from medgemma_tui import i18n
from medgemma_tui.tui.conversation import Turn
from medgemma_tui.tui.full_names import OURS
from medgemma_tui.tui.profile import ASCII, LINUX_CONSOLE, UNICODE
from medgemma_tui.tui.widgets.pieces import Composer

NOON = datetime(2026, 11, 24, 14, 1)
NAME = "左心室肥厚"
ADDED = f"LVH〔{NAME}〕"


def answered(answer: str, **more: object) -> Turn:
    made = Turn("问题", NOON, answer=answer, state="done", finish_reason="stop", model="medgemma-1.5-4b-it")
    for name, value in more.items():
        setattr(made, name, value)
    return made


def lines(turn: Turn, width: int = 80, glyphs=UNICODE, composer=None, **how):
    how = {"trace_open": True, "selected": False, "full_names": True} | how
    made = [line for piece in (composer or Composer(glyphs)).turn(turn, **how) for line in piece.lines(width)]
    assert all(sum(cell_len(part) for part, _ink in line) <= width for line in made)
    return made


def shown(turn: Turn, *args, **how) -> str:
    return "\n".join("".join(part for part, _ink in line) for line in lines(turn, *args, **how))


@pytest.fixture(autouse=True)
def _chinese():
    i18n.set_language("zh")


def test_the_name_stands_behind_the_abbreviation_in_another_ink():
    turn = answered("心电图提示LVH。")
    assert ADDED in shown(turn)
    added = [part for line in lines(turn) for part, ink in line if ink == OURS]
    assert added == [f"〔{NAME}〕"]
    assert turn.answer == "心电图提示LVH。"


def test_it_can_be_switched_off():
    assert NAME not in shown(answered("心电图提示LVH。"), full_names=False)


@pytest.mark.parametrize("glyphs", [ASCII, LINUX_CONSOLE])
def test_other_consoles_mark_it_with_signs_that_they_have(glyphs):
    text = shown(answered("The ECG shows LVH with strain.", question="What does it show?"), glyphs=glyphs)
    assert "LVH[= left ventricular hypertrophy]" in text


def test_the_first_use_counts_in_whatever_block_it_is():
    answer = "## 心脏\n提示LVH。\n\nLVH需随访。\n\n- LVH\n- **LVH**\n\n|项|值|\n|-|-|\n|LVH|有|"
    text = shown(answered(answer))
    assert text.count(NAME) == 1
    assert f"提示{ADDED}" in text


@pytest.mark.parametrize("block", ["**LVH**明显。", "- 有LVH", "|项|值|\n|-|-|\n|LVH|有|", "## LVH的处理", "*LVH*"])
def test_it_is_added_in_any_kind_of_block(block):
    assert ADDED in shown(answered(f"先说结论。\n\n{block}"))


@pytest.mark.parametrize("block", ["`LVH`是缩写。", "```\nLVH\n```"])
def test_code_is_left_alone(block):
    text = shown(answered(f"{block}\n\n其后有LVH。"))
    assert text.count(NAME) == 1
    assert f"其后有{ADDED}" in text


def test_where_a_link_leads_is_left_alone():
    assert f"{ADDED} (https://x.example/LVH)" in shown(answered("[LVH](https://x.example/LVH)"))


def test_what_the_model_explained_itself_is_not_explained_again():
    for answer in (f"{NAME}（LVH）常见。\n\nLVH需随访。", f"LVH（{NAME}）常见。\n\nLVH需随访。"):
        text = shown(answered(answer))
        assert "〔" not in text


def test_only_whole_words_are_abbreviations():
    assert "〔" not in shown(answered("LVHX、XLVH 与 aLVHb 不是。"))


def test_a_table_with_a_name_in_it_keeps_its_columns():
    answer = "|检查|结果|说明|\n|-|-|-|\n|心电图|LVH|电压高|\n|超声|正常|无|"
    for width in (80, 40, 30):
        rows = shown(answered(answer), width).split("\n")
        bars = {tuple(cell_len(row[:at]) for at, char in enumerate(row) if char == "│") for row in rows if "│" in row}
        assert len(bars) <= 1


def test_nothing_that_was_shown_changes_while_the_answer_grows_but_its_last_block():
    answer = "提示LVH。\n\n再看LVH与房颤。\n\n末尾LVH。"
    composer = Composer(UNICODE)
    turn = answered("", state="answering")
    before: list = []
    for end in range(1, len(answer) + 1):
        turn.answer = answer[:end]
        pieces = list(composer.turn(turn, trace_open=False, selected=False, full_names=True))
        keys = [piece.key for piece in pieces if piece.kind == "a"]
        assert keys[: max(0, len(before) - 1)] == before[:-1] or len(keys) <= len(before)
        before = keys
    growing = shown(turn, composer=composer)
    assert growing.count(NAME) == 1
    turn.state = "done"
    assert shown(turn, composer=composer).count(NAME) == 1


def test_an_answer_that_begins_anew_gets_its_names_anew():
    composer = Composer(UNICODE)
    assert ADDED in shown(answered("提示LVH。\n\n随访。"), composer=composer)
    assert ADDED in shown(answered("另外，LVH。\n\n随访。"), composer=composer)


async def test_a_key_switches_them_where_one_reads(screen, tmp_path):
    from answering import Answering

    service = Answering("心电图提示LVH。")
    async with screen(tmp_path / "x.sock", connector=lambda _socket: service, size=(80, 24), lang="zh") as it:
        await it.connected()
        await it.ask("心电图？")
        await it.until(lambda: ADDED in it.text())
        assert NAME not in it.app.message_in_view()
        await it.press("tab")
        await it.until(lambda: it.chat.focused is it.chat.transcript)
        await it.press("ctrl+k")
        await it.until(lambda: NAME not in it.text())
        assert "LVH" in it.text()
        await it.press("ctrl+k")
        await it.until(lambda: ADDED in it.text())


async def test_the_setting_is_where_it_begins(screen, tmp_path):
    from answering import Answering

    service = Answering("心电图提示LVH。")
    async with screen(tmp_path / "x.sock", connector=lambda _socket: service, lang="zh", full_names=False) as it:
        await it.connected()
        await it.ask("心电图？")
        await it.until(lambda: "提示LVH" in it.text())
        assert NAME not in it.text()

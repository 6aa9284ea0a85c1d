"""The chips under the composer: what is found while one types, where it stands, what it costs."""

from __future__ import annotations

import pytest

from medgemma_tui import i18n
from medgemma_tui.clinical.analysis import analyze
from medgemma_tui.tui import reading
from medgemma_tui.tui.profile import choose
from medgemma_tui.tui.widgets.chips import Chips, chips
from medgemma_tui.tui.wrap import cells

NOTE = "65岁男性，BP 165/95 mmHg，肌酐132μmol/L，体重70kg，服用利伐沙班15mg qd，既往心梗，否认糖尿病，如何治疗？"


def texts(text: str, lang: str = "zh") -> list[str]:
    i18n.set_language(lang)
    return [chip for chip, _ink in chips(analyze(text))]


def test_each_fact_is_a_chip_with_its_other_unit_its_code_its_formula():
    shown = texts(NOTE)
    assert {"65岁", "男", "利伐沙班 15 mg qd", "心梗→急性心肌梗死 BA41.Z / I21.9"} <= set(shown)
    assert "肌酐 132 μmol/L (1.49 mg/dL)" in shown
    assert any(chip.startswith("eGFR 51.6 mL/min/1.73 m² (CKD-EPI 2021)") for chip in shown)
    assert any("Cockcroft–Gault 1976" in chip and "mL/min" in chip for chip in shown)
    assert len(shown) == len(set(shown))


def test_what_is_denied_is_told_to_be():
    assert any(chip.startswith("否认：糖尿病") for chip in texts(NOTE))


@pytest.mark.parametrize(("lang", "asks"), [("zh", "是否有误"), ("en", "is this right?")])
def test_a_value_that_cannot_be_comes_first_and_asks_in_words(lang, asks):
    first = texts("65岁男性，血压1680/95，K 41", lang)[:2]
    assert all(asks in chip for chip in first)
    assert any("1680/95" in chip for chip in first)


def test_full_width_digits_are_read():
    assert "肌酐 132 μmol/L (1.49 mg/dL)" in texts("肌酐１３２μmol/L")


@pytest.mark.parametrize("width", range(8, 140, 7))
@pytest.mark.parametrize("most", [1, 2])
def test_lines_never_exceed_the_width_and_count_what_they_leave_out(width, most):
    i18n.set_language("zh")
    widget = Chips(choose("auto", {"TERM": "xterm-256color"}))
    widget._chips = list(chips(analyze(NOTE)))
    lines = widget._fitted(width, most)
    assert 1 <= len(lines) <= most
    whole = ["".join(text for text, _ink in line) for line in lines]
    assert all(cells(line) <= width for line in whole)
    rest = len(widget._chips) - sum(line.count(" · ") + 1 for line in whole)
    assert (f" +{rest}" in whole[-1]) == (rest > 0) or width < 24  # a chip may hold a dot where it is cut


async def test_chips_come_while_one_types_and_go_with_the_draft(answered):
    async with answered(size=(80, 24), lang="zh") as it:
        assert not it.chat.chips.display
        await it.press(*"65岁男性，肌酐132")
        await it.until(lambda: "肌酐 132" in it.text())
        assert it.chat.chips.size.height == 1
        it.chat.set_draft("")
        await it.until(lambda: not it.chat.chips.display)
        assert not it.chat.coach.display


async def test_the_composer_does_not_move_while_what_is_found_comes_and_goes(answered):
    async with answered(size=(120, 36), lang="zh") as it:
        it.chat.set_draft("感冒怎么治？")
        await it.until(lambda: it.chat.coach.display)
        it.chat.set_draft(NOTE)
        await it.until(lambda: it.chat.chips.size.height == 2)
        for draft in ("你好", "65岁男性", "感冒怎么治？", "x"):
            it.chat.set_draft(draft)
            await it.until(lambda draft=draft: it.controller._reader.has_read(draft))
            await it.pilot.pause()
            assert it.chat.composer.region.bottom == 36 - 2 - 2 - 1, draft  # two lines of chips, one of the coach


async def test_at_most_two_lines_on_a_tall_screen_and_one_on_a_short_one(answered):
    async with answered(size=(80, 24), lang="zh") as it:
        it.chat.set_draft(NOTE)
        await it.until(lambda: it.chat.chips.display)
        assert it.chat.chips.size.height == 1
        await it.until(lambda: " +" in it.text())


async def test_nothing_is_painted_again_where_nothing_new_was_found(answered):
    async with answered(lang="zh") as it:
        it.chat.set_draft("65岁男性，心梗")
        await it.until(lambda: "BA41.Z" in it.text())
        painted = []
        it.chat.chips.refresh = lambda *region, **_more: painted.append(region)
        it.chat.set_draft("65岁男性，心梗。")
        await it.until(lambda: it.controller._reader.has_read("65岁男性，心梗。"))
        assert painted == []


async def test_a_long_draft_is_read_beside_the_screen(answered, monkeypatch):
    async with answered(lang="zh") as it:
        threads = []
        plain = it.app.wire.read
        monkeypatch.setattr(it.app.wire, "read", lambda ticket, work: (threads.append(ticket), plain(ticket, work)))
        it.chat.set_draft("65岁男性，心梗")
        await it.until(lambda: it.controller._reader.has_read("65岁男性，心梗"))
        assert threads == []
        long = "65岁男性，心梗。" + "病史" * (reading.QUICK_CHARS // 2)
        it.chat.set_draft(long)
        await it.until(lambda: it.controller._reader.has_read(long))
        assert len(threads) == 1
        await it.until(lambda: "BA41.Z" in it.text())


async def test_a_late_reading_of_an_older_draft_is_not_taken_for_the_new_one(answered):
    async with answered(lang="zh") as it:
        held, plain = [], it.controller.text_read
        it.controller.text_read = lambda *told: held.append(told)
        it.chat.set_draft("心梗" + "。" * reading.QUICK_CHARS)  # in the thread
        await it.until(lambda: held)
        it.chat.set_draft("")
        await it.pilot.pause()
        it.chat.set_draft("肺炎怎么治？")
        await it.until(lambda: it.chat.chips.display and "肺炎" in it.text().split("╰")[1])
        plain(*held[0])
        await it.pilot.pause()
        assert it.controller._reader.has_read("肺炎怎么治？")
        assert "心梗" not in it.text()


async def test_what_the_draft_would_send_is_what_the_meter_counts(answered):
    async with answered(lang="zh") as it:
        it.chat.set_draft("心梗怎么治？")
        plan = await it.until(lambda: it.app.plan if it.app.plan.exact else None)
        turn = await it.ask("心梗怎么治？")
        assert turn.given == "心梗怎么治？\n\n标准术语：心梗 = 急性心肌梗死"
        assert plan.draft == len(turn.given)  # as this service counts, without the frame
        assert turn.question == "心梗怎么治？"
        assert "标准术语" not in it.text()

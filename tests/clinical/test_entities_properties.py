"""What holds for every text: places, folding, no overlap, no error, linear time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgemma_tui.clinical.entities import find_entities
from medgemma_tui.clinical.findings import Entity
from medgemma_tui.clinical.formulas import derive

PIECES = st.sampled_from([
    "65岁", "男", "女性", "血压", "165/95", "BP", "K 4.1", "mmol/L", "肌酐", "132", "μmol/L", "Scr",
    "利伐沙班", "15", "mg", "qd", "口服", "青霉素", "过敏", "无", "否认", "胸痛", "2小时", "半年", "V1–V4 ",
    "ST段抬高", "体温", "38.5", "℃", "度", "WBC ", "×10⁹/L", "12,500", "<", ">", "-", "～", "→", "升至", "（",
    "）", "，", "。", "、", "/", "%", "65-year-old", " woman ", "for 3 days", "allergic to ", "penicillin",
    "HbA1c", "SpO2", "T", "P", "R", "1.73", "万", "余", "个", "月", "每", "次", "x3d", "孕", "父亲", " ",
])  # fmt: skip
TEXTS = st.lists(PIECES | st.text(max_size=4), max_size=14).map("".join) | st.text(max_size=60)


def facts(entities: tuple[Entity, ...]) -> list[tuple[object, ...]]:
    return [(e.kind, e.span, e.name, e.value, e.unit, e.dose, e.route, e.frequency, e.negated) for e in entities]


@settings(max_examples=250, deadline=None)
@given(TEXTS)
def test_places_are_right_and_do_not_overlap(text: str) -> None:
    found = find_entities(text)
    end = 0
    for entity in found:
        assert entity.text == text[entity.span[0] : entity.span[1]]
        assert entity.text
        assert end <= entity.span[0]
        end = entity.span[1]
    derive(found)


WIDE = {
    ord(char): ord(char) + 0xFEE0 for char in "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/%.:()"
}


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_full_width_signs_give_the_same(text: str) -> None:
    assert facts(find_entities(text.translate(WIDE))) == facts(find_entities(text))


NUMBERS = st.integers(min_value=30, max_value=999)


@settings(max_examples=80, deadline=None)
@given(
    NUMBERS,
    st.sampled_from(["", " ", "：", "为", " = "]),
    st.sampled_from(["μmol/L", " umol/L", "微摩尔每升", " ΜMOL/L"]),
)
def test_a_creatinine_is_read_however_it_is_written(value: int, link: str, unit: str) -> None:
    found = find_entities(f"患者肌酐{link}{value}{unit}，K 4.1")
    assert (found[0].name, found[0].value, found[0].unit) == ("creatinine", value, "μmol/L")
    assert found[0].also[0].value == pytest.approx(value / 88.4, rel=0.01)


@settings(max_examples=60, deadline=None)
@given(st.integers(60, 300), st.integers(30, 59), st.sampled_from(["/", "／", " / "]))
def test_a_blood_pressure_is_read_however_it_is_written(high: int, low: int, stroke: str) -> None:
    for text in (f"血压{high}{stroke}{low}", f"BP:{high}{stroke}{low}mmHg", f"{high}{stroke}{low}mmHg"):
        (found,) = find_entities(text)
        assert (found.value, found.implausible) == (f"{high}/{low}", False)


@pytest.mark.parametrize(
    "piece",
    [
        "1", "血压", "K 4.1,", "(", "过敏", "无过敏", " ", "半", "one ", "V1-", "肌酐(", "a-", "青霉素、",
        "1.", "1/", "x10", "利伐沙班 5mg qd ", "65岁", "for ", "肌酐132→", "V1、", "ST elevation in V1 ",
        "allergic to ", "\n", "9,999", "aged ", "the past ", "mmol / L 1", "每", "口服", "1岁父亲",
    ],
)  # fmt: skip
def test_hostile_texts_take_linear_time(piece: str) -> None:
    def seconds(size: int) -> float:
        text = (piece * (size // len(piece) + 1))[:size]
        started = time.process_time()
        find_entities(text, ())
        return time.process_time() - started

    find_entities(piece, ())
    assert seconds(40_000) < 2.0  # quadratic would be minutes


def test_a_note_of_4000_signs_does_not_stutter() -> None:
    note = (
        "患者男，68岁，突发胸痛3小时，伴大汗、恶心，无发热。既往高血压10年，口服氨氯地平5mg qd，否认药物过敏史。"
        "T36.8℃，P88次/分，BP165/95mmHg，SpO2 96%。心电图示V1-V4导联ST段抬高。WBC 11.2×10⁹/L，肌酐132μmol/L，"
        "cTnI 5.6ng/mL。予阿司匹林300mg口服，低分子肝素4000IU皮下注射q12h。患者家属陪同来诊，诉近日劳累后症状反复，"
        "休息后可缓解，未予重视，今晨再发，程度较前加重，遂来院就诊。"
    )
    text = (note * 20)[:4000]
    find_entities(text, ())
    best = min(_timed(text) for _ in range(12))
    assert best < 0.020  # 8 ms on the slowest machine we know, with room for a busy one


def _timed(text: str) -> float:
    started = time.process_time()
    find_entities(text, ())
    return time.process_time() - started

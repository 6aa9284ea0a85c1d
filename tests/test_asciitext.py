"""Signs in ASCII: no digit and no letter of a dose changes, and nothing runs together."""

from __future__ import annotations

import re

import pytest

from medgemma_tui import i18n
from medgemma_tui.asciitext import to_ascii


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("150–300 mg", "150-300 mg"), ("≥ 90 mL/min", ">= 90 mL/min"), ("eGFR ≤60", "eGFR <=60"), ("50 μg", "50 ug"),
        ("50 µg", "50 ug"), ("36.5 °C", "36.5 deg C"), ("36.5°C", "36.5 deg C"), ("37℃", "37 deg C"),
        ("30°.", "30 deg."), ("5×10⁹/L", "5x10^9/L"), ("1.73 m²", "1.73 m^2"), ("10⁻³", "10^-3"), ("Ca²⁺", "Ca^2+"),
        ("1½ tablets", "1 1/2 tablets"), ("½ tablet", "1/2 tablet"), ("dose—5 mg", "dose -- 5 mg"),
        ("a — b", "a -- b"), ("K⁺ ↑", "K^+ (up)"), ("A→B", "A->B"), ("±2", "+/-2"), ("−5", "-5"),
        ("SpO₂ 92%", "SpO2 92%"),
        ("5 000 IU", "5 000 IU"), ("“x” …", '"x" ...'), ("血钾 ≥ 5.5", "血钾 >= 5.5"), ("α", "α"), ("1·73", "1·73"),
    ],
)  # fmt: skip
def test_signs(text: str, shown: str) -> None:
    assert to_ascii(text) == shown


def test_no_number_changes() -> None:
    text = "150–300 mg, ≥0.5 μg/kg, 2×5 mg, 38.5°C, ±3 %, 10→20 mg, 5 mg — 10 mg, 1–2 次/日, 3½ 片"
    assert re.findall(r"[0-9.]+", to_ascii(text)) == re.findall(r"[0-9.]+", text.replace("½", " 1 2"))


def test_own_words_keep_to_ascii_where_the_terminal_does() -> None:
    i18n.set_ascii(True)
    try:
        for message in ("中文 / English", "Counting the pasted text …", "none · CPU"):
            assert i18n._(message).isascii()
        i18n.set_language("zh")
        assert "中文" in i18n._("中文 / English")
    finally:
        i18n.set_language("en")
        i18n.set_ascii(False)
    assert not i18n._("中文 / English").isascii()

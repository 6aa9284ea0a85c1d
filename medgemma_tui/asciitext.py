"""Text for terminals that have ASCII only: signs in letters, in a way that changes no dose.

What has no such form (Chinese, Greek letters) stays as it is.
"""

from __future__ import annotations

import re

_SIGNS = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
        **dict.fromkeys("\u00a0\u2007\u2009\u202f", " "),
        **dict.fromkeys("\u2018\u2019\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u2033", '"'),
        "≥": ">=", "≤": "<=", "≠": "!=", "≈": "~", "～": "~", "±": "+/-", "×": "x", "÷": "/", "→": "->", "←": "<-",
        "↔": "<->", "⇒": "=>", "↑": "(up)", "↓": "(down)", "μ": "u", "µ": "u", "…": "...", "•": "*",
        "½": "1/2", "¼": "1/4", "¾": "3/4", **{chr(0x2080 + digit): str(digit) for digit in range(10)},
    }
)  # fmt: skip
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_RAISED_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
_FRACTION = re.compile("(?<=[0-9])(?=[½¼¾])")
_DASH = re.compile("[ \u00a0]?[\u2014\u2015]+ ?")
_DEGREE = re.compile("[ \u00a0]?(?:°|(℃))(?=([^\\W_])?)")


def to_ascii(text: str) -> str:
    """``150–300 mg`` as ``150-300 mg``, ``5×10⁹/L`` as ``5x10^9/L``, ``1½`` as ``1 1/2``, ``36 °C`` as ``36 deg C``."""
    if text.isascii():
        return text
    text = _RAISED_RUN.sub(lambda found: "^" + found[0].translate(_RAISED), text)
    text = _FRACTION.sub(" ", text)
    text = _DASH.sub(" -- ", text)
    text = _DEGREE.sub(_degrees, text)
    return text.translate(_SIGNS)


def _degrees(found: re.Match[str]) -> str:
    return " deg" + (" C" if found[1] else "") + (" " if found[2] else "")

"""A result's words in Chinese: that there are any, and nothing is left in English."""

from __future__ import annotations

import re

from medgemma_tui import i18n
from medgemma_tui.health import wording
from medgemma_tui.protocol import CheckResult

_CHINESE = re.compile("[\u4e00-\u9fff]")


def in_chinese(result: CheckResult) -> str:
    """The sentence, the advice and the lines under them; each of the first two is Chinese."""
    before = i18n.language()
    i18n.set_language("zh")
    try:
        text, advice = wording.text(result), wording.advice(result)
        lines = [line for item in result.items for line in wording.item_lines(item)]
    finally:
        i18n.set_language(before)
    for sentence in (text, advice):
        assert not sentence or _CHINESE.search(sentence), sentence
    return " ".join([text, advice, *lines])

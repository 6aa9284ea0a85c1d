"""Numbers in words, as figures are looked for in a trace."""

from __future__ import annotations

import time

import pytest

from medgemma_tui.clinical import spelled


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("三天", [(3.0,)]),
        ("十二小时", [(12.0,)]),
        ("二十四小时", [(24.0,)]),
        ("一百二十分钟", [(120.0,)]),
        ("两千次", [(2000.0,)]),
        ("半年", [(0.5,)]),
        ("百分之五十", [(50.0,)]),
        ("百分之2.5", [(2.5,)]),
        ("三分之一", [(3.0, 1.0)]),
        ("一半", [(50.0,), (0.5,)]),
        ("twenty-four hours", [(24.0,)]),
        ("ninety min", [(90.0,)]),
        ("fourteen", [(14.0,)]),
        ("15mgqd", [(1.0,)]),
        ("bid", [(2.0,)]),
        ("q8h", [(8.0,)]),
        ("half-life", []),
        ("一般认为", []),
        ("often someone bids", []),
        ("", []),
    ],
)
def test_numbers_in_words(text: str, values: list[tuple[float, ...]]) -> None:
    assert [found.values for found in spelled.find(text)] == values


@pytest.mark.parametrize("unit", ["一", "百分之", "分之一", "twenty-", "q", "1", "半", "三分之"])
def test_hostile_texts_take_linear_time(unit: str) -> None:
    begin = time.process_time()
    list(spelled.find(unit * (100_000 // len(unit))))
    assert time.process_time() - begin < 2

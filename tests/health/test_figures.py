"""Figures in words: every one that a check tells has a name, and its number a unit that a person reads."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import medgemma_tui.health.checks
from medgemma_tui import i18n
from medgemma_tui.health import figures
from medgemma_tui.protocol import Figure

CHECKS = Path(medgemma_tui.health.checks.__file__).parent


@pytest.fixture(autouse=True)
def _english():
    i18n.set_language("en")


def literal_names() -> set[str]:
    """The names that stand in the checks' sources as they are."""
    found = set()
    for path in CHECKS.rglob("*.py"):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            named = [word.value for word in call.keywords if word.arg == "name"]
            second = call.args[1:2] if function == "figure" else []
            if function in ("Figure", "figure"):
                found |= {each.value for each in (*named, *second) if isinstance(each, ast.Constant)}
    return found


def test_every_figure_of_a_check_has_a_name():
    names = literal_names()
    assert len(names) > 25
    assert {name for name in names if not figures.is_known(name)} == set()


@pytest.mark.parametrize(
    ("number", "unit", "told"),
    [
        (6.1 * 2**30, "B", "6.1 GiB"), (12 * 2**20, "B", "12.0 MiB"), (0, "B", "0.0 MiB"), (0.4321, "s", "0.432 s"),
        (600, "s", "10 min"), (27 * 3600, "s", "27.0 h"), (9 * 86400, "s", "9.0 d"), (83, "C", "83 °C"),
        (41.234, "tok/s", "41.2 tok/s"), (1890, "MHz", "1,890 MHz"), (3, "", "3"), (99.5, "%", "99.5 %"),
    ],
)  # fmt: skip
def test_values_have_their_unit(number, unit, told):
    assert figures.value(number, unit) == told


def test_thresholds_say_on_which_side_it_gets_bad():
    hot = Figure(name="gpu_temperature", value=84, unit="C", label="0", warning=83, critical=90)
    assert figures.name(hot) == "temperature (0)"
    assert figures.thresholds(hot) == "warning above 83 °C, critical above 90 °C"
    room = Figure(name="disk_free", value=1, unit="B", warning=2**30, below=True, label="/var\x1b[31m")
    assert figures.thresholds(room) == "warning below 1.0 GiB"
    assert "\x1b" not in figures.name(room)
    assert figures.thresholds(Figure(name="gpus", value=1)) == ""

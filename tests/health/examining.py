"""One check, run as a health run does it, and what a person reads of its result."""

from __future__ import annotations

from dataclasses import dataclass
from string import Formatter

from medgemma_tui.health import meanings, run, wording
from medgemma_tui.health.check import Check
from medgemma_tui.health.context import Context
from medgemma_tui.health.run import Selection
from medgemma_tui.protocol import CheckResult


@dataclass(frozen=True)
class Examined:
    """A result, and its words."""

    result: CheckResult

    @property
    def told(self) -> tuple[str, str]:
        """Code and status."""
        return self.result.code, self.result.status

    @property
    def text(self) -> str:
        return wording.text(self.result)

    @property
    def advice(self) -> str:
        return wording.advice(self.result)

    @property
    def lines(self) -> list[str]:
        return [line for item in self.result.items for line in wording.item_lines(item)]

    def figure(self, name: str):
        return next((figure for figure in self.result.figures if figure.name == name), None)


def examine(context: Context, checks: tuple[Check, ...], *ids: str) -> Examined:
    """Run these checks in their order; the last one's result. Whatever is not in order has advice, and every value
    its words need."""
    report = run.run(context, [check for check in checks if check.id in ids], Selection())
    found = Examined(report.results[-1])
    meaning = meanings.of(found.result.id, found.result.code)
    assert meaning is not None, found.told
    assert _names(meaning.text + meaning.advice) <= set(found.result.params), found.result
    for item in found.result.items:
        assert _names(meanings.ITEMS[item.code].text) <= set(item.params), item
    assert bool(found.advice) == (found.result.status in ("warning", "unknown", "critical")), found.told
    return found


def _names(text: str) -> set[str]:
    return {name for _text, name, _spec, _conversion in Formatter().parse(text) if name}

"""Any system call may fail at any time, halfway too: the chain is whole, and what counted as written is there."""

import os
import random
from collections import Counter

import pytest

from medgemma_tui.audit.errors import AuditError


class Trouble:
    """``os.write``, ``os.fsync`` and ``os.ftruncate``, and with ``more`` ``os.open``, failing at a given rate."""

    def __init__(self, monkeypatch, dice, more):
        self.rate, self._dice = 0.0, dice
        self._real = {name: getattr(os, name) for name in ("write", "ftruncate", "open")} | {"fsync": lambda fd: None}
        for name in ("write", "fsync", "ftruncate", *(("open",) if more else ())):
            monkeypatch.setattr(os, name, self._failing(name))

    def _failing(self, name):
        def call(*arguments, **named):
            if self._dice.random() < self.rate:
                if name == "write":
                    descriptor, data = arguments
                    part = self._dice.randrange(len(data) + 1)
                    if part and self._real["write"](descriptor, data[:part]) and self._dice.random() < 0.5:
                        return part
                raise OSError(self._dice.choice([5, 28, 30]), "made up")
            return self._real[name](*arguments, **named)

        return call


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("many", [False, True])
def test_whatever_fails(site, entry, monkeypatch, seed, more, many):
    """``many``: several writers that come and go, and die with what they could not finish left behind."""
    dice = random.Random(seed)
    trouble = Trouble(monkeypatch, dice, more)
    logs, counted, waiting, number, codes = [], [], [], 0, set()
    for _ in range(50):
        trouble.rate = dice.choice([0, 0, 0.05, 0.3, 0.6])
        try:
            if not logs or (many and dice.random() < 0.1):
                logs = [each for each in logs if dice.random() < 0.5]
                logs.append(site.log(max_bytes=dice.choice([1500, 4000, 100_000])))
            if not waiting:
                count = dice.choice([1, 1, 1, 3, 9])
                waiting, number = list(range(number, number + count)), number + count
            dice.choice(logs).append([entry(n) for n in waiting])
            counted, waiting = counted + waiting, []
        except AuditError as error:
            codes.add(error.code)
    trouble.rate = 0.0
    site.log().append([entry(-1)])
    assert codes <= {"io_error", "disk_full", "read_only"}
    verdict = site.verdict()
    assert verdict.whole, verdict.findings
    told = Counter(each.counters["n"] for each in site.records() if each.event == "question")
    assert set(counted) <= set(told)
    if not many:  # one writer, that tries again what failed: nothing is there twice
        assert set(told.values()) == {1}

"""The clinical layer in CPU time, since a machine is rarely idle: a note's analysis, a reply's review, the first use.

And the command from exec to its end, and how much longer a look-up takes with 300,000 imported expressions.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from medgemma_tui import site_import
from medgemma_tui.clinical import tables
from medgemma_tui.clinical.analysis import analyze
from medgemma_tui.clinical.review import review
from medgemma_tui.clinical.terms import find_terms
from tests.benchmarks.figures import Figure
from tests.benchmarks.notes import ANSWER, NOTES, REASONING

ROUNDS = 15
EXPRESSIONS = 300_000
SIGNS = "心肺肝肾胃肠脑急慢性病症炎瘤血管痛热左右上下综合征障碍感染损伤甲乙丙丁戊己庚辛"
_FIRST = """
import time
start = time.process_time()
from medgemma_tui.clinical.analysis import analyze
analyze("男，65岁，否认心梗史，血钾 4.1 mmol/L，患者姓名：某某，利伐沙班15mg qd如何调整？")
print(time.process_time() - start)
"""


def run() -> list[Figure]:
    """Figures of the clinical layer; the targets are those of the issue, for a machine with nothing else to do."""
    question, reasoning, answer = NOTES["zh"][:400], REASONING * 20, ANSWER * 20
    found = {kind: _cpu_ms(lambda note=note: analyze(note)) for kind, note in NOTES.items()}
    figures = [Figure(f"analysis of 4,000 characters, {kind}", ms, "ms", 20, "at most") for kind, ms in found.items()]
    twice = _cpu_ms(lambda: analyze(NOTES["zh"] * 2))
    figures.append(Figure("analysis of twice the text, times as long", twice / found["zh"], "", 2.5, "at most"))
    size = len(question + reasoning + answer)
    figures.append(
        Figure(f"review of a reply, {size:,} characters", _cpu_ms(lambda: review(question, reasoning, answer)), "ms")
    )
    figures += [
        Figure("first use of the lists", _first_ms(), "ms"),
        Figure("analyze, the whole command", _command_s(), "s"),
    ]
    return figures + _imported()


def _cpu_ms(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    best = float("inf")
    for _round in range(rounds):
        start = time.process_time()
        call()
        best = min(best, (time.process_time() - start) * 1e3)
    return best


def _first_ms() -> float:
    runs = [
        subprocess.run([sys.executable, "-c", _FIRST], capture_output=True, text=True, check=True) for _ in range(5)
    ]
    return min(float(done.stdout) for done in runs) * 1e3


def _command_s() -> float:
    """CPU seconds of the least busy of some runs, the interpreter's start included."""
    best = float("inf")
    for _round in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "medgemma_tui", "analyze", "--json", "心梗"], capture_output=True, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


def _imported() -> list[Figure]:
    plain = _cpu_ms(lambda: find_terms(NOTES["zh"]))
    with tempfile.TemporaryDirectory() as folder:
        source, directory = Path(folder, "table.tsv"), Path(folder, "lists")
        with source.open("w", encoding="utf-8") as lines:
            lines.write("expression\tstandard_zh\tstandard_en\tcode\n")
            lines.writelines(f"{_expression(n)}\t术语{n}\tterm {n}\t{n}\n" for n in range(EXPRESSIONS))
        start = time.process_time()
        site_import.import_table(source, directory, "bench")
        took = time.process_time() - start
        tables.use_site_directory(directory)
        try:
            with_table = _cpu_ms(lambda: find_terms(NOTES["zh"]))
        finally:
            tables.use_site_directory(None)
    return [
        Figure(f"terms, with {EXPRESSIONS:,} imported more", with_table - plain, "ms", 10, "at most"),
        Figure("import of that table", took, "s"),
    ]


def _expression(number: int) -> str:
    """A different row of signs for each number."""
    written = ""
    while number or len(written) < 3:
        number, sign = divmod(number, len(SIGNS))
        written += SIGNS[sign]
    return written + f"综{len(written)}"


if __name__ == "__main__":
    os.environ.setdefault("MEDGEMMA_CONFIG", os.devnull)
    for figure in run():
        print(figure.what, figure.shown, figure.against)

"""Plain mode's lines: its commands, what a person who judges an answer should see, the cards."""

from __future__ import annotations

from medgemma_tui import clinical_words as words
from medgemma_tui.clinical.findings import Review
from medgemma_tui.i18n import N_, _, ngettext
from medgemma_tui.protocol import Telemetry
from medgemma_tui.safetext import clean
from medgemma_tui.tui.conversation import Turn
from medgemma_tui.tui.widgets import gpu_words

_COMMANDS = {
    "/help": N_("list the commands"),
    "/trace": N_("show or hide the reasoning"),
    "/new": N_("new patient: forget this conversation here and in the service"),
    "/again": N_("answer the last question again"),
    "/card": N_("patient card: show it; /card TEXT changes it, /card - empties it"),
    "/marks": N_("the steps of the last reasoning, with what can be checked in them and in the answer"),
    "/prompt": N_("exactly what the model was given for the last question"),
    "/mask": N_("send the question that waits, with masks for what could tell who the patient is"),
    "/send": N_("send the question that waits as it is"),
    "/context": N_("how much of the context window is used"),
    "/status": N_("GPU, model and service"),
    "/quit": N_("leave"),
}
_MOST_MARKS = 5  # of an answer's marks that are told without being asked for


def help_lines() -> list[str]:
    """Every command with its meaning."""
    return [f"{command:<10} {_(meaning)}" for command, meaning in _COMMANDS.items()]


def answer_lines(turn: Turn, found: Review) -> list[str]:
    """What a person should look at in an answer, and what is not in it."""
    doubts_first = sorted(found.answer_marks, key=lambda mark: mark.kind in ("guideline", "evidence_level"))
    lines = [_("In the answer: {mark}").format(mark=words.mark(mark)) for mark in doubts_first[:_MOST_MARKS]]
    more = len(found.answer_marks) - _MOST_MARKS
    if more > 0:
        lines.append(ngettext("{n} more: /marks", "{n} more: /marks", more).format(n=f"{more:,}"))
    if turn.sections:
        lines.append(words.missing_sections(found.sections))
    if turn.analysis is not None and turn.analysis.coaching.question_kind == "conduct":
        lines.append(words.prescription())
    return [line for line in lines if line]


def card_lines(sample: Telemetry) -> list[str]:
    """The cards and their memory, or why there is none to tell of."""
    lines = []
    for gpu in sample.gpus:
        total = f"{gpu.memory_total / 2**30:.1f}" if gpu.memory_total is not None else _("n/a")
        used = f"{gpu.memory_used / 2**30:.1f}" if gpu.memory_used is not None else _("n/a")
        lost = gpu.error is not None or gpu.error_code is not None
        state = gpu_words.nvml_sentence(gpu.error_code, gpu.error or "") if lost else f"{used}/{total} GiB"
        lines.append(f"GPU {gpu.index}: {clean(gpu.name)}, {clean(state)}")
    if sample.nvml_error or sample.nvml_error_code:
        lines.append(clean(gpu_words.nvml_sentence(sample.nvml_error_code, sample.nvml_error or "")))
    return lines

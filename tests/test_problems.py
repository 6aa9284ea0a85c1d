"""The sentences say what happened, to whom it happened, and nothing else."""

from __future__ import annotations

from string import Formatter

import pytest

from medgemma_tui import problems
from medgemma_tui.exits import ExitCode
from medgemma_tui.http_errors import prompt_too_long
from medgemma_tui.model_dir import _MESSAGES
from medgemma_tui.protocol import ErrorInfo, Health
from medgemma_tui.worker.faults import OutOfMemory, memory_code


def health(code):
    return problems.health_sentence(Health(status="not_ready", reason="out_of_memory", code=code))


def error(code):
    return problems.sentence(ErrorInfo(type="out_of_memory", message="", code=code))


@pytest.mark.parametrize("say", [health, error])
def test_out_of_memory_is_told_by_whose_memory_and_when(say):
    assert "GPU memory to load the model" in say(OutOfMemory("cuda").code)
    host = say(OutOfMemory("cpu").code)
    assert "to load the model" in host
    assert "GPU" not in host
    assert "GPU has run out" in say(memory_code("cuda", "answering"))
    assert "box has run out" in say(memory_code("cpu", "answering"))
    for unknown in ("", "out_of_memory"):  # a worker that could not say
        assert "Memory has run out" in say(unknown)
        assert "GPU" not in say(unknown)


@pytest.mark.parametrize("code", sorted(_MESSAGES))
def test_every_value_of_a_problem_with_the_model_is_told(code):
    """The screen's sentence has all that the log's has, but for the window that was asked for and where it looked."""
    names = {name for _text, name, _spec, _kind in Formatter().parse(_MESSAGES[code]) if name}
    told = problems.model_sentence(code, {name: f"<{name}>" for name in names})
    assert "?" not in told.replace("copy finished?", "")
    missing = {name for name in names if f"<{name}>" not in told}
    assert missing <= {"asked", "problem", "index"}, told


def test_every_way_a_model_directory_fails_has_its_sentence():
    assert set(problems.MODEL_PROBLEMS) == set(_MESSAGES)


def test_a_code_says_more_than_its_type() -> None:
    error = prompt_too_long(12345, 8191)
    info = ErrorInfo(type=error.type, message="", code=error.code, params=error.params)
    assert "12,345" in problems.sentence(info)
    assert "8,191" in problems.sentence(info)
    bound = prompt_too_long(99, 9, at_least=True)
    assert "at least 99" in bound.message
    assert "99" in problems.sentence(ErrorInfo(type="too_large", message="", code=bound.code, params=bound.params))
    bare = ErrorInfo(type="BadRequestError", message="x", code="context_length_exceeded")  # vLLM's
    assert "?" not in problems.sentence(bare)


def test_a_full_queue_counts_those_before() -> None:
    told = problems.sentence(ErrorInfo(type="queue_full", message="", code="queue_full", position=34))
    assert "33" in told
    assert "34" not in told


def test_a_service_that_ends_is_a_lost_one() -> None:
    info = ErrorInfo(type="shutting_down", message="x")
    assert problems.exit_code(info) == ExitCode.SERVICE_LOST
    assert "x" not in problems.sentence(info).split()


@pytest.mark.parametrize("code", ["peer_not_allowed", "role_needed", "no_permission"])
def test_who_may_not_is_told_which_group_may(code: str) -> None:
    told = problems.sentence(ErrorInfo(type="forbidden", message="", code=code, params={"group": "clinic\x1b[2J"}))
    assert "group clinic" in told
    assert "\x1b" not in told
    bare = problems.sentence(ErrorInfo(type="forbidden", message="", code=code, params={"group": ""}))
    assert "may not use the service" in bare

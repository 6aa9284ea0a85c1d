"""The worker's plan: what it waits for before it loads."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from medgemma_tui import demo  # noqa: E402
from medgemma_tui.model_dir import ModelDirError, inspect  # noqa: E402
from medgemma_tui.worker import loader, process  # noqa: E402

pytestmark = pytest.mark.engine

FULL = ModelDirError("too_small_gpu", {"needed": "4 GiB", "free": "0.0 GiB", "asked": "512", "slots": "8"})
LIMIT = inspect(demo.model_dir()).context_limit


@pytest.fixture
def planned(monkeypatch):
    """The plan after what the GPU had room for, look by look (the last for good), and how many looks it took."""

    def plan(*found, asked=None):
        looks, now = [], [0.0]

        def make_plan(path, *, max_model_len, slots):
            looks.append(found[min(len(looks), len(found) - 1)])
            if isinstance(looks[-1], ModelDirError):
                raise looks[-1]
            return loader.Plan(inspect(path), torch.device("cuda"), looks[-1], slots)

        monkeypatch.setattr(loader, "make_plan", make_plan)
        monkeypatch.setattr(process.time, "monotonic", lambda: now[0])
        monkeypatch.setattr(process.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
        options = process.Options(Path("/w.sock"), demo.model_dir(), demo=True, max_model_len=asked, slots=8, threads=1)
        return process._Process(options)._plan().max_model_len, len(looks)

    return plan


def test_memory_that_a_lost_worker_still_holds_is_waited_for(planned):
    assert planned(FULL, FULL, LIMIT) == (LIMIT, 3)
    assert planned(512, 1024, LIMIT) == (LIMIT, 3)  # a window that nobody would want for good
    assert planned(LIMIT) == (LIMIT, 1)


def test_a_window_that_was_asked_for_is_not_waited_to_grow(planned):
    assert planned(512, LIMIT, asked=512) == (512, 1)


def test_after_the_wait_it_takes_what_there_is_and_says_so(planned, caplog):
    with caplog.at_level(logging.WARNING):
        window, looks = planned(512)
    assert window == 512
    assert 5 < looks < 20
    assert f"cuts the window to 512 tokens; {LIMIT} are usual" in caplog.text
    with pytest.raises(ModelDirError):
        planned(FULL)

"""When a recorded step's logits are those of the plain one."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from medgemma_tui.worker.fastpath import _same  # noqa: E402

pytestmark = pytest.mark.engine


@pytest.mark.parametrize(
    ("recorded", "plain", "same"),
    [
        ([3.0, 1.0, 0.0], [3.0, 1.0, 0.0], True),
        ([3.0, 1.0, 0.0], [3.01, 0.995, 0.0], True),
        ([20.0, 20.1, 0.0], [20.1, 20.0, 0.0], True),  # nearly a tie: rounding may choose either
        ([3.0, 1.0, 0.0], [1.0, 3.0, 0.0], False),
        ([3.0, 1.0, 0.0], [3.0, 1.0, 0.1], False),
        ([3.0, 3.2, 0.0], [3.2, 3.0, 0.0], False),  # further apart than rounding takes them
        ([3.0, float("nan")], [3.0, 1.0], False),
    ],
)
def test_rounding_is_allowed_and_nothing_else(recorded, plain, same):
    everything = torch.ones(1, dtype=torch.bool)
    for dtype in (torch.float32, torch.bfloat16):
        assert _same(torch.tensor([recorded], dtype=dtype), torch.tensor([plain], dtype=dtype), everything) is same

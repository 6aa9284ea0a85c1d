"""The decode step as recorded CUDA graphs: one launch instead of a thousand, checked against the plain path.

A step over all slots has static shapes for a given number of keys, so it is recorded once for each of a few such
numbers (doubling from one bucket) and replayed from then on. At every recording the replay is compared with the
plain step on the same inputs. If recording fails or the numbers differ, decoding goes on plainly and the log says why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch

from medgemma_tui.worker.cache import BUCKET

log = logging.getLogger(__name__)

Step = Callable[[torch.Tensor, int], torch.Tensor]
"""Control [3, slots] int64 (token, position, active) and the number of keys looked at -> logits [slots, vocabulary]."""

Replay = Callable[[], torch.Tensor]
Capture = Callable[[Replay], Replay]
"""Records what a function does to fixed tensors; the result does it again and returns the same output tensor."""


class CudaCapture:
    """Records with ``torch.cuda.CUDAGraph``; all graphs share one memory pool, since one runs at a time."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, run: Replay) -> Replay:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            output = run()

        def replay() -> torch.Tensor:
            graph.replay()
            return output

        return replay


class FastDecode:
    """Runs decode steps from recordings; falls back to ``step`` for good, with ``reason``, when one is wrong."""

    def __init__(self, step: Step, *, slots: int, length: int, device: torch.device, capture: Capture) -> None:
        self.reason: str | None = None
        self._step, self._capture = step, capture
        self._length = length
        self._control = torch.zeros(3, slots, dtype=torch.int64, device=device)
        self._recorded: dict[int, Replay] = {}

    def __call__(self, control: torch.Tensor, longest: int) -> torch.Tensor:
        """Logits [slots, vocabulary] for ``control`` [3, slots]; valid until the next call."""
        keys = self.keys(longest)
        if self.reason is not None:
            return self._step(control, longest)
        self._control.copy_(control)
        replay = self._recorded.get(keys)
        if replay is not None:
            return replay()
        return self._record(keys)

    def keys(self, longest: int) -> int:
        """How many keys the recording that serves ``longest`` looks at."""
        keys = BUCKET
        while keys < longest:
            keys *= 2
        return min(keys, self._length)

    def _record(self, keys: int) -> torch.Tensor:
        """Take a step plainly and record it; the step writes the same rows every time, so repeating it is harmless."""
        plain = self._step(self._control, keys).clone()
        try:
            replay = self._capture(lambda: self._step(self._control, keys))
            again = replay()
            if not _same(again, plain):
                raise RuntimeError("a recorded step gives other numbers than the plain one")
        except Exception as error:  # whatever goes wrong here, the plain path is right
            self.reason = f"{type(error).__name__}: {error}"
            self._recorded.clear()
            log.warning("decoding without recorded steps: %s", self.reason)
            return plain
        self._recorded[keys] = replay
        return plain


def try_fast(
    step: Step, *, slots: int, length: int, device: torch.device, capture: Capture | None
) -> FastDecode | None:
    """The fast path if there is one here, recorded and checked on two different inputs; else None, the reason logged.

    ``capture`` None takes CUDA graphs on a CUDA device. The steps taken here leave marks in the slots: clear them.
    """
    if capture is None:
        if device.type != "cuda":
            log.info("decoding without recorded steps: the model is on %s", device.type)
            return None
        capture = CudaCapture()
    fast = FastDecode(step, slots=slots, length=length, device=device, capture=capture)
    for token in (3, 4):  # recorded with the one, replayed with the other: a recording that froze its input is caught
        control = torch.zeros(3, slots, dtype=torch.int64, device=device)
        control[0], control[2] = torch.arange(slots, device=device) + token, 1
        replayed = fast(control, 1).clone()
        plain = step(control, fast.keys(1))
        if fast.reason is None and not _same(replayed, plain):
            fast.reason = "a replayed step does not follow its input"
            log.warning("decoding without recorded steps: %s", fast.reason)
    if fast.reason is not None:
        return None
    log.info("decoding with recorded steps")
    return fast


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Logits that choose the same tokens and differ by rounding at most."""
    close = torch.allclose(a.float(), b.float(), rtol=1e-2, atol=1e-2, equal_nan=True)
    return close and torch.equal(a.argmax(-1), b.argmax(-1))

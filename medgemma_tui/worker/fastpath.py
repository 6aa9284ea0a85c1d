"""The decode step as recorded CUDA graphs: one launch instead of a thousand, checked against the plain path.

A step over all slots has static shapes for a given number of keys, so it is recorded once for each of a few such
numbers (doubling from one bucket up to the length), all while the model is loaded: no answer waits for a recording.
Each recording is replayed with other inputs than it was made with and compared with the plain step. If recording
fails or the numbers differ, decoding goes on plainly and the log says why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import torch

from medgemma_tui.worker.cache import BUCKET

log = logging.getLogger(__name__)

_TOLERANCE = 1e-2  # between two ways of computing the same logits in bfloat16, relative and absolute

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
        # A recording that fails leaves its own stream the current one; the outer context puts ours back.
        with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph, pool=self._pool):
            output = run()

        def replay() -> torch.Tensor:
            graph.replay()
            return output

        return replay


class FastDecode:
    """Runs decode steps from recordings, all made and checked here.

    The steps taken to make it leave marks in the slots: clear them. Raises whatever goes wrong in recording, and
    RuntimeError where a replay does not give what ``step`` does.
    """

    def __init__(self, step: Step, *, slots: int, length: int, device: torch.device, capture: Capture) -> None:
        self._length = length
        self._control = torch.zeros(3, slots, dtype=torch.int64, device=device)
        # The longest first: the others then find room in what it has allocated.
        lengths = dict.fromkeys(self.keys(longest) for longest in range(length, 0, -BUCKET))
        self._recorded = {keys: self._record(step, capture, keys) for keys in lengths}

    def __call__(self, control: torch.Tensor, longest: int) -> torch.Tensor:
        """Logits [slots, vocabulary] for ``control`` [3, slots]; valid until the next call."""
        self._control.copy_(control)
        return self._recorded[self.keys(longest)]()

    def keys(self, longest: int) -> int:
        """How many keys the recording that serves ``longest`` looks at."""
        keys = BUCKET
        while keys < longest:
            keys *= 2
        return min(keys, self._length)

    def _record(self, step: Step, capture: Capture, keys: int) -> Replay:
        vocabulary = step(self._control, keys).shape[-1]  # also what happens only once, which no recording may hold
        replay: Replay | None = None
        for control in self._trials(keys, vocabulary):
            self._control.copy_(control)
            if replay is None:
                replay = capture(lambda: step(self._control, keys))
            # The replay goes first: after the plain step it would find in the cache what it failed to write.
            replayed = replay().clone()
            if not _same(replayed, step(control, keys), control[2].bool()):
                raise RuntimeError(f"a recorded step over {keys} keys gives other numbers than the plain one")
        assert replay is not None
        return replay

    def _trials(self, keys: int, vocabulary: int) -> Iterator[torch.Tensor]:
        """Inputs to compare with, the first for the recording itself; token, position and active change after it.

        Low positions, since a slip shows most where there is little to look at, and the last one there is.
        """
        slots = self._control.shape[1]
        for number, position in enumerate((0, min(1, keys - 1), keys - 1)):
            chance = torch.Generator().manual_seed(keys + number)
            control = torch.full((3, slots), position, dtype=torch.int64)
            control[0] = torch.randint(vocabulary, (slots,), generator=chance)
            control[2] = 1 if number else torch.arange(slots) % 2 == 0
            yield control.to(self._control.device)


def try_fast(
    step: Step, *, slots: int, length: int, device: torch.device, capture: Capture | None
) -> FastDecode | None:
    """The fast path if there is one here, recorded and checked for every length; else None, the reason logged.

    ``capture`` None takes CUDA graphs on a CUDA device. The steps taken here leave marks in the slots: clear them.
    """
    if capture is None:
        if device.type != "cuda":
            log.info("decoding without recorded steps: the model is on %s", device.type)
            return None
        capture = CudaCapture()
    try:
        fast = FastDecode(step, slots=slots, length=length, device=device, capture=capture)
    except Exception as error:  # whatever goes wrong here, the plain path is right
        log.warning("decoding without recorded steps: %s: %s", type(error).__name__, error)
        return None
    log.info("decoding with recorded steps")
    return fast


def _same(a: torch.Tensor, b: torch.Tensor, rows: torch.Tensor) -> bool:
    """Logits [slots, vocabulary] that, in ``rows``, differ by rounding at most and choose the same tokens.

    Where two of them are as near to each other as that, rounding may decide between them.
    """
    a, b = a[rows].float(), b[rows].float()
    chosen, best = a.argmax(-1, keepdim=True), b.argmax(-1, keepdim=True)
    tie = torch.isclose(b.gather(-1, chosen), b.gather(-1, best), rtol=_TOLERANCE, atol=_TOLERANCE)
    close = torch.allclose(a, b, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)
    return close and bool((tie | (chosen == best)).all())

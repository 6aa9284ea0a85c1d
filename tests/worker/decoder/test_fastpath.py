"""The short cuts: they give the same tokens, and where they would not they are not taken and the log says why."""

from __future__ import annotations

import logging
import random

import pytest

from medgemma_tui.worker.types import DecodeRequest

pytestmark = pytest.mark.engine

PROMPTS = [
    tuple(random.Random(seed).randrange(30, 500) for _ in range(length)) for seed, length in enumerate([5, 100, 180])
]


def requests(count=100):
    return [DecodeRequest(str(n), prompt, count) for n, prompt in enumerate(PROMPTS)]


def exact(bench, decoder):
    replies = bench.run(decoder, *requests(), every=7)
    return all(replies.ids(r.id) == bench.generate(r.prompt_ids, r.max_new_tokens) for r in requests())


class Recorder:
    """Stands in for CUDA graphs: a recording is the function itself, spoilt on demand from the n-th on."""

    def __init__(self, spoil=None, start=0):
        self.recorded, self.replayed, self._spoil, self._start = 0, 0, spoil, start

    def __call__(self, run):
        self.recorded += 1
        if self._spoil is not None and self.recorded > self._start:
            return self._spoil(run)

        def replay():
            self.replayed += 1
            return run()

        return replay


def frozen(run):
    output = run()
    return lambda: output


def wrong(run):
    return lambda: run().roll(1, dims=-1)


def broken(run):
    raise RuntimeError("capture is not permitted here")


def test_recorded_steps_give_the_same_tokens(chaos):
    recorder = Recorder()
    decoder = chaos.decoder(capture=recorder)
    assert exact(chaos, decoder)
    assert recorder.recorded == 4  # 64, 128, 256 and 512 keys
    assert recorder.replayed > 100


@pytest.mark.parametrize(
    ("spoil", "reason"), [(frozen, "does not follow"), (wrong, "other numbers"), (broken, "not permitted")]
)
def test_falls_back_at_the_start(chaos, caplog, spoil, reason):
    with caplog.at_level(logging.WARNING):
        decoder = chaos.decoder(capture=Recorder(spoil))
    assert reason in caplog.text
    assert exact(chaos, decoder)


@pytest.mark.parametrize("spoil", [wrong, broken])
def test_falls_back_in_the_middle(chaos, caplog, spoil):
    """The first recordings are good; the one for longer conversations is not."""
    recorder = Recorder(spoil, start=1)
    decoder = chaos.decoder(capture=recorder)
    with caplog.at_level(logging.WARNING):
        assert exact(chaos, decoder)
    assert "without recorded steps" in caplog.text
    assert recorder.replayed > 2


def test_no_recording_on_the_cpu(chaos, caplog):
    with caplog.at_level(logging.INFO):
        chaos.decoder()
    assert "without recorded steps: the model is on cpu" in caplog.text
    assert "as they are (no Linear4bit layers)" in caplog.text


def test_lean_layers_are_bit_equal(demo):
    """The demo model with and without the short ways, for decode steps and prompt chunks."""
    import torch

    from medgemma_tui.worker.lean import use_lean_linears, use_lean_norms

    lean, plain = demo.fresh(), demo.model
    assert not any("forward" in module.__dict__ for module in plain.modules())
    assert use_lean_norms(lean) is None
    reason = use_lean_linears(lean)
    if reason is not None:
        assert "AVX512" in reason or "fused" in reason  # a CPU or build that lacks the kernel
        pytest.skip(reason)
    assert "replaced already" in use_lean_linears(lean)
    with torch.inference_mode():
        for rows, tokens in ((1, 1), (8, 1), (3, 1), (1, 77), (2, 40)):
            ids = torch.randint(400, 2000, (rows, tokens))
            assert torch.equal(lean(ids).logits, plain(ids).logits)


def test_lean_linears_leave_other_models_alone(chaos, demo):
    import torch
    from bitsandbytes.nn import Linear4bit

    from medgemma_tui.worker.lean import use_lean_linears

    assert use_lean_linears(chaos.model) == "no Linear4bit layers"
    other = demo.fresh()
    other.model.layers[1].mlp.up_proj.compute_dtype = torch.float32
    assert "float32" in use_lean_linears(other)
    assert not any("forward" in module.__dict__ for module in other.modules() if isinstance(module, Linear4bit))

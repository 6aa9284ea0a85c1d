"""The short cuts: they give the same tokens, and where they would not they are not taken and the log says why."""

from __future__ import annotations

import inspect
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


def stuck(part):
    """A recording that follows its input, but for one part of it: 0 token, 1 position, 2 active."""

    def spoil(run):
        control = inspect.getclosurevars(run).nonlocals["self"]._control
        at_first = control[part].clone()

        def replay():
            control[part] = at_first
            return run()

        return replay

    return spoil


def interrupted(run):
    run()
    raise RuntimeError("capture is not permitted here")


def test_recorded_steps_give_the_same_tokens(chaos):
    recorder = Recorder()
    decoder = chaos.decoder(capture=recorder)
    assert recorder.recorded == 5  # 64, 128, 256, 512 and 1024 keys
    before = recorder.replayed
    assert exact(chaos, decoder)
    assert recorder.recorded == 5  # none in the middle of an answer
    assert recorder.replayed > before + 100


@pytest.mark.parametrize("start", range(5))
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (frozen, "other numbers"),
        (stuck(0), "other numbers"),
        (stuck(1), "other numbers"),
        (stuck(2), "other numbers"),
        (wrong, "other numbers"),
        (broken, "not permitted"),
        (interrupted, "not permitted"),
    ],
)
def test_a_bad_recording_is_noticed_at_the_start(chaos, caplog, spoil, reason, start):
    """Whichever it is: the first ones may be good."""
    recorder = Recorder(spoil, start)
    with caplog.at_level(logging.WARNING):
        decoder = chaos.decoder(capture=recorder)
    assert "without recorded steps" in caplog.text
    assert reason in caplog.text
    assert recorder.recorded == start + 1
    if start == 2:  # the plain way is as good as ever
        replayed = recorder.replayed
        assert exact(chaos, decoder)
        assert recorder.replayed == replayed


@pytest.mark.parametrize("slots", [1, 2, 5])
@pytest.mark.parametrize("length", [1, 64, 100, 1000])
def test_any_length_and_number_of_slots(chaos, slots, length):
    recorder = Recorder()
    assert chaos.decoder(capture=recorder, slots=slots, max_model_len=length)._fast is not None
    assert recorder.recorded == {1: 1, 64: 1, 100: 2, 1000: 5}[length]


@pytest.mark.parametrize(("noise_in", "taken"), [("idle", True), ("active", False)])
def test_only_active_rows_are_compared(caplog, noise_in, taken):
    """What a slot without a conversation gives is nobody's, and need not be the same twice."""
    import torch

    from medgemma_tui.worker.fastpath import try_fast

    count = iter(range(10_000))

    def step(control, keys):
        noisy = control[2].bool() if noise_in == "active" else ~control[2].bool()
        logits = torch.nn.functional.one_hot(control[0], 50).float() + control[1][:, None]
        logits[noisy] += next(count)
        return logits

    with caplog.at_level(logging.INFO):
        fast = try_fast(step, slots=4, length=300, device=torch.device("cpu"), capture=Recorder())
    assert (fast is not None) is taken
    assert ("decoding with recorded steps" in caplog.text) is taken


def test_no_recording_on_the_cpu(chaos, caplog):
    with caplog.at_level(logging.INFO):
        chaos.decoder()
    assert "without recorded steps: the model is on cpu" in caplog.text
    assert "as they are (no Linear4bit layers)" in caplog.text


def linears(model):
    from medgemma_tui.worker.four_bit import Linear4bit

    return [module for module in model.modules() if isinstance(module, Linear4bit)]


def without_bf16(model):
    """As on a CPU that lacks AVX512-BF16: bitsandbytes packs nothing for its fused kernel."""
    for module in linears(model):
        module.support_avx512bf16_for_cpu = False
    return model


SHAPES = ((1, 1), (8, 1), (3, 1), (1, 77), (2, 40))


def test_lean_layers_are_bit_equal(demo):
    """The demo model with and without the short ways, for decode steps and prompt chunks."""
    import torch

    from medgemma_tui.worker.lean import use_lean_linears, use_lean_norms

    lean, plain = demo.fresh(), demo.model
    assert not any("forward" in module.__dict__ for module in plain.modules())
    assert use_lean_norms(lean) is None
    if linears(lean)[0].support_avx512bf16_for_cpu:
        assert use_lean_linears(lean) is None
        assert "replaced already" in use_lean_linears(lean)
    with torch.inference_mode():
        for rows, tokens in SHAPES:
            ids = torch.randint(400, 2000, (rows, tokens))
            assert torch.equal(lean(ids).logits, plain(ids).logits)


def test_unpacked_layers_differ_by_rounding_only(demo):
    """Where the fused kernel cannot run, each layer gives what bitsandbytes gives to bfloat16's rounding."""
    import torch

    from medgemma_tui.worker.lean import use_lean_linears

    lean, plain = without_bf16(demo.fresh()), without_bf16(demo.fresh())
    assert use_lean_linears(lean) is None
    assert "replaced already" in use_lean_linears(lean)
    with torch.inference_mode():
        for rows, tokens in SHAPES:
            for short, long in zip(linears(lean), linears(plain), strict=True):
                x = torch.randn(rows, tokens, long.in_features).bfloat16()
                torch.testing.assert_close(short(x), long(x), rtol=2**-7, atol=1e-3)
                x = x.float()  # not what the model feeds them: left to bitsandbytes
                assert torch.equal(short(x), long(x))


def test_a_large_model_is_not_unpacked(demo, monkeypatch):
    from medgemma_tui.worker import lean

    monkeypatch.setattr(lean, "UNPACKED_BYTES", 1000)
    model = without_bf16(demo.fresh())
    assert "too many to be kept unpacked" in lean.use_lean_linears(model)
    assert not any("forward" in module.__dict__ for module in linears(model))


@pytest.mark.parametrize("unpacked", [False, True])
def test_a_short_way_that_gives_other_numbers_is_not_taken(demo, monkeypatch, unpacked):
    from medgemma_tui.worker import lean

    model = without_bf16(demo.fresh()) if unpacked else demo.fresh()
    for way in ("_fused", "_unpacked"):
        monkeypatch.setattr(lean, way, lambda module: lambda x, forward=module.forward: forward(x) * 1.02)
    assert "gives other numbers" in lean.use_lean_linears(model)
    assert not any("forward" in module.__dict__ for module in linears(model))


def test_lean_linears_leave_other_models_alone(chaos, demo):
    import torch

    from medgemma_tui.worker.lean import use_lean_linears

    assert use_lean_linears(chaos.model) == "no Linear4bit layers"
    other = demo.fresh()
    other.model.layers[1].mlp.up_proj.compute_dtype = torch.float32
    assert "float32" in use_lean_linears(other)
    assert not any("forward" in module.__dict__ for module in linears(other))

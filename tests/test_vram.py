"""The memory arithmetic: against the cache, the recorder and what was measured of torch."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgemma_tui.model_dir import ModelDir, ModelDirError
from medgemma_tui.vram import (
    PREFILL_CHUNK,
    check_fit,
    default_window,
    graph_bytes,
    kv_bytes,
    slot_bytes,
    vram_need,
    window_that_fits,
)

GIB = 2**30


def medgemma(**changes) -> ModelDir:
    """MedGemma 1.5 4B's figures."""
    figures = {
        "path": Path("/models/medgemma"), "model_type": "gemma3", "text_only": False, "quantization": None,
        "files": (), "weight_bytes": 8_600_000_000, "loaded_bytes": 2_998_480_896, "parameters": 3_880_263_168,
        "context_limit": 131_072, "vocab_size": 262_208, "hidden_size": 2560, "full_layers": 5,
        "sliding_layers": 29, "sliding_window": 1024, "heads": 8, "head_dim": 256, "kv_row_bytes": 4096,
    }  # fmt: skip
    return ModelDir(**{**figures, **changes})


@pytest.mark.parametrize("tokens", [1, 1000, 1024, 1025, 8192, 32_768, 131_072])
def test_kv_bytes_are_the_designs_formula(tokens):
    assert kv_bytes(medgemma(), tokens) == 20_480 * tokens + 118_784 * min(tokens, 1024)


@pytest.mark.engine
@pytest.mark.parametrize("window", [512, 1000, 8192, 131_072])
def test_the_slots_take_what_the_arithmetic_says(window):
    """A cache of Gemma 3 4B's shape, on no device, against ``slot_bytes``."""
    torch = pytest.importorskip("torch")
    from transformers import Gemma3TextConfig

    from medgemma_tui.worker.cache import SlotCache

    config = Gemma3TextConfig(num_hidden_layers=34, sliding_window=1024, num_key_value_heads=4, head_dim=256)
    cache = SlotCache(
        config, slots=8, length=window, prefill_chunk=PREFILL_CHUNK, dtype=torch.bfloat16, device=torch.device("meta")
    )
    saved = [tensor for pair in cache._saved if pair is not None for tensor in pair]
    taken = sum(tensor.nbytes for tensor in (*cache._keys, *cache._values, *saved))
    trash = 8 * 34 * 4096
    told = 8 * slot_bytes(medgemma(), window)
    assert taken - trash <= told < 1.05 * taken


@pytest.mark.parametrize("free", [22.5, 14.5])
def test_the_default_window_leaves_room_for_a_full_prompt(free):
    """Of Gemma 3 4B with 8 slots on an L4 and a T4, reckoned here from the shapes of the tensors."""
    bf16, chunk, slots = 2, 256, 8
    window = default_window(medgemma(), int(free * GIB), slots)
    row = 2 * 4 * 256 * bf16
    held = 2_998_480_896 + slots * (row * 5 * window + 2 * row * 29 * (1024 + chunk))
    expanded = 2 * 8 * 256 * bf16 * window  # [1, 8, window, 256], keys and values
    masks = 2 * chunk * window * bf16
    graphs, working = 253 * 2**20, 768 * 2**20
    assert held + expanded + masks + graphs + working <= free * GIB
    assert window >= 32_768  # and is still worth having


@given(free=st.integers(0, 200 * GIB), slots=st.integers(1, 64), upcasts=st.booleans())
def test_the_window_that_fits_is_the_largest(free, slots, upcasts):
    model = medgemma()
    window = window_that_fits(free, model, slots, upcasts=upcasts)

    def need(tokens):
        return vram_need(model, tokens, slots, upcasts=upcasts)

    if window:
        assert need(window) <= free
    else:
        assert need(512) > free
    if window < model.context_limit:
        assert need(max(window, 511) + 128) > free


@pytest.mark.parametrize(("window", "slots"), [(8192, 8), (32_768, 1), (131_072, 64)])
def test_attention_in_fp32_is_reckoned_on_an_old_gpu(window, slots):
    """The figures are those measured on torch's math kernel with Gemma 3 4B's shapes."""
    model = medgemma()
    more = vram_need(model, window, slots, upcasts=True) - vram_need(model, window, slots)
    assert more == 43_008 * window + slots * 12_328 * window


@pytest.mark.engine
@pytest.mark.parametrize("window", [1, 64, 65, 100, 1000, 1024, 131_072])
def test_as_many_recordings_are_reckoned_as_are_made(window):
    torch = pytest.importorskip("torch")
    from medgemma_tui.worker.fastpath import FastDecode

    vocabulary, slots, captured = 50, 3, []

    def capture(run):
        captured.append(run)
        return run

    def step(control, _keys):
        return torch.nn.functional.one_hot(control[0], vocabulary).float()

    FastDecode(step, slots=slots, length=window, device=torch.device("cpu"), capture=capture)
    logits = graph_bytes(medgemma(vocab_size=vocabulary), window, slots) - graph_bytes(
        medgemma(vocab_size=0), window, slots
    )
    assert logits == len(captured) * slots * vocabulary * 2


def test_does_not_fit_gives_the_figures_and_what_would():
    with pytest.raises(ModelDirError) as caught:
        check_fit(medgemma(), 131_072, 8, 16 * GIB)
    error = caught.value
    assert error.code == "does_not_fit"
    largest = int(error.params["window"])
    assert 8192 < largest < 131_072
    check_fit(medgemma(), largest, 8, 16 * GIB)
    assert "16.0 GiB" in error.message()


def test_nothing_fits():
    for ask in (lambda: default_window(medgemma(), 2 * GIB, 3), lambda: check_fit(medgemma(), 8192, 3, 2 * GIB)):
        with pytest.raises(ModelDirError) as caught:
            ask()
        needed = f"{vram_need(medgemma(), 512, 3) / GIB:.1f} GiB"
        assert caught.value.code == "too_small_gpu"
        assert caught.value.params == {"needed": needed, "free": "2.0 GiB", "asked": "512", "slots": "3"}
        assert "{" not in caught.value.message()


def test_default_windows():
    assert default_window(medgemma(), None, 8) == 8192
    assert default_window(medgemma(), 80 * GIB, 8) == 131_072
    assert default_window(medgemma(context_limit=2048), None, 8) == 2048

"""Small models and tokenizers of the real kinds, made for the tests of the worker."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

TEXTS = [
    "Chronic kidney disease is staged by GFR: G1 is 90 or more, G5 below 15 mL/min/1.73 m².",
    "糖尿病肾病的GFR分期标准是什么？先看估算的肾小球滤过率，再看尿白蛋白。",
    "What changes with an active peptic ulcer? Hold the second antiplatelet and ask gastroenterology.",
    '{"drug": "metformin", "dose_mg": 500, "stop": false}',
    "## Definition\n\n- one\n- two\n\n## Plan\n",
] * 3

TINY = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 2048,
    "sliding_window": 64,
    "layer_types": ["sliding_attention"] * 3 + ["full_attention"],
    "eos_token_id": [1, 106],
    "bos_token_id": 2,
    "pad_token_id": 0,
}


@pytest.fixture(scope="session")
def byte_level_tokenizer():
    """The demo model's kind of tokenizer."""
    from medgemma_tui.demo.tokenizer import build_tokenizer

    return build_tokenizer(TEXTS, vocab_size=640)


@pytest.fixture(scope="session")
def gemma_tokenizer(byte_level_tokenizer):
    """Gemma 3's kind: spaces as ▁, byte fallback, and newline runs, HTML tags and trace markers as added tokens."""
    from transformers import PreTrainedTokenizerFast

    reserved = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "[multimodal]"]
    reserved += [f"<unused{n}>" for n in range(99)] + ["<start_of_turn>", "<end_of_turn>"]
    text_like = ["\n\n", "\n\n\n", "▁▁", "▁▁▁", "<table>", "</table>", "<b>"]
    characters = sorted(set("".join(TEXTS).replace(" ", "▁")) | set("▁\nabcdefghijklmnopqrstuvwxyz<>_/0123456789"))
    pairs = [("k", "i"), ("d", "n"), ("▁", "i"), ("▁i", "s"), ("糖", "尿"), ("糖尿", "病"), (">", ">"), ("\n", "▁")]
    names = [*reserved, *text_like, *(f"<0x{byte:02X}>" for byte in range(256)), *characters]
    names += [a + b for a, b in pairs]
    vocabulary = {name: index for index, name in enumerate(dict.fromkeys(names))}
    backend = Tokenizer(models.BPE(vocabulary, pairs, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = {"<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"}
    backend.add_tokens([AddedToken(name, normalized=False, special=name in special) for name in reserved + text_like])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
        chat_template=byte_level_tokenizer.chat_template,
    )


@pytest.fixture(scope="session", params=["byte_level", "gemma"])
def tokenizer(request, byte_level_tokenizer, gemma_tokenizer):
    """Both kinds in turn."""
    return byte_level_tokenizer if request.param == "byte_level" else gemma_tokenizer


@pytest.fixture(scope="session")
def tiny_config(byte_level_tokenizer):
    """Configuration of a random Gemma 3 of four layers."""
    from transformers import Gemma3TextConfig

    return Gemma3TextConfig(vocab_size=len(byte_level_tokenizer), **TINY)


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory, tiny_config, byte_level_tokenizer):
    """A whole model directory, unquantised bf16: copy it before changing it."""
    import torch
    from transformers import Gemma3ForCausalLM

    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("tiny")
    Gemma3ForCausalLM(tiny_config).to(torch.bfloat16).save_pretrained(path)
    byte_level_tokenizer.save_pretrained(path)
    return path

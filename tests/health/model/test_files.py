"""The model directory, by its headers: each way in which it can be wrong is told, with what to do."""

from __future__ import annotations

import json
import os

import pytest
from health_examining import examine

from medgemma_tui.health.checks.model import CHECKS
from medgemma_tui.health.meanings import MEANINGS
from medgemma_tui.model_dir import _MESSAGES


def test_a_whole_directory(context):
    found = examine(context(), CHECKS, "model.files")
    assert found.told == ("ok", "ok")
    assert found.figure("weight_bytes").value == 2_763_208
    assert found.figure("parameters").value == 1_378_688


def no_config(model):
    (model / "config.json").unlink()


def cut_short(model):
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").unlink()
    (model / "model.safetensors").write_bytes(weights[:-1000])


def not_gemma(model):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").unlink()
    (model / "config.json").write_text(json.dumps(config | {"model_type": "llama"}))


def pickle(model):
    (model / "pytorch_model.bin").write_bytes(b"")


def pointer(model):
    (model / "model.safetensors").unlink()
    (model / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def no_tokenizer(model):
    (model / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("breaks", "code", "says"),
    [
        (no_config, "no_config", "config.json"),
        (cut_short, "truncated", "2,762,208 of 2,763,208 bytes"),
        (not_gemma, "not_gemma3", "llama"),
        (pickle, "pickle_files", "pytorch_model.bin"),
        (pointer, "lfs_pointer", "git lfs pull"),
        (no_tokenizer, "no_tokenizer", "tokenizer.json"),
    ],
)
def test_what_is_wrong_is_told(context, model, breaks, code, says):
    breaks(model)
    found = examine(context(model=model), CHECKS, "model.files")
    assert found.told == (code, "critical")
    assert says in found.text
    assert "medgemma-tui health --only model" in found.advice


def test_no_directory(context, tmp_path):
    found = examine(context(model=tmp_path / "nothing"), CHECKS, "model.files")
    assert found.told == ("missing", "critical")
    assert str(tmp_path / "nothing") in found.text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_closed_file(context, model):
    (model / "tokenizer.json").chmod(0)
    assert examine(context(model=model), CHECKS, "model.files").told == ("unreadable", "critical")


def test_every_code_has_a_meaning():
    assert set(_MESSAGES) <= set(MEANINGS["model.files"])


@pytest.mark.parametrize("check", ["model.files", "model.hashes"])
def test_another_engines_model_is_not_read(context, tmp_path, check):
    found = examine(context(demo=False, engine_socket=tmp_path / "engine.sock"), CHECKS, check)
    assert found.told == ("foreign_engine", "skipped")

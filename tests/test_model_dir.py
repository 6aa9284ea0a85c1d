"""Every way a model directory can be unusable, made for real."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgemma_tui import demo
from medgemma_tui.model_dir import ModelDirError, inspect
from medgemma_tui.safetensors_header import BrokenFile, read_header


@pytest.fixture
def model(tmp_path):
    """A copy of the demo model to break."""
    path = tmp_path / "model"
    shutil.copytree(demo.model_dir(), path)
    return path


def problem(path) -> ModelDirError:
    with pytest.raises(ModelDirError) as caught:
        inspect(path)
    assert "{" not in caught.value.message()  # every placeholder has its value
    assert all(isinstance(value, str) for value in caught.value.params.values())
    return caught.value


def edit(file: Path, **changes):
    content = json.loads(file.read_text())
    content.update(changes)
    file.write_text(json.dumps(content))


def split_in_two(model: Path) -> Path:
    """The same weights as two shards and an index; returns the second shard."""
    raw = (model / "model.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    header.pop("__metadata__", None)
    names = list(header)
    weight_map = {}
    for part, chosen in enumerate((names[::2], names[1::2]), start=1):
        name = f"model-{part:05d}-of-00002.safetensors"
        at, entries, blobs = 0, {}, []
        for tensor in chosen:
            start, stop = header[tensor]["data_offsets"]
            entries[tensor] = {**header[tensor], "data_offsets": [at, at + stop - start]}
            at += stop - start
            blobs.append(data[start:stop])
            weight_map[tensor] = name
        head = json.dumps(entries).encode()
        (model / name).write_bytes(len(head).to_bytes(8, "little") + head + b"".join(blobs))
    (model / "model.safetensors").unlink()
    (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return model / "model-00002-of-00002.safetensors"


def test_the_demo_model_is_fine():
    found = inspect(demo.model_dir())
    config = json.loads((demo.model_dir() / "config.json").read_text())
    assert (found.model_type, found.text_only, found.quantization) == ("gemma3_text", True, None)
    assert found.weight_bytes == (demo.model_dir() / "model.safetensors").stat().st_size
    assert found.layers == config["num_hidden_layers"]
    assert found.sliding_layers == config["layer_types"].count("sliding_attention")
    assert found.sliding_window == config["sliding_window"]
    assert found.context_limit == config["max_position_embeddings"]
    stored = sum(tensor.size for tensor in read_header(demo.model_dir() / "model.safetensors"))
    assert found.parameters == stored // 2  # bf16, head tied


def test_it_is_quick_and_without_torch():
    code = (
        "import sys, time\nfrom medgemma_tui import demo, model_dir\nmodel_dir.inspect(demo.model_dir())\n"
        "sys.exit(bool({'torch', 'transformers', 'safetensors'} & set(sys.modules)))"
    )
    began = time.monotonic()
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert time.monotonic() - began < 10


def test_relative_path():
    assert problem("models/medgemma").code == "not_absolute"


def test_missing(tmp_path):
    error = problem(tmp_path / "nowhere")
    assert error.code == "missing"
    assert str(tmp_path / "nowhere") in error.message()


def test_a_file_is_not_a_directory(model):
    assert problem(model / "config.json").code == "not_a_directory"
    assert problem(model / "config.json" / "deeper").code in ("missing", "not_a_directory")


def test_empty_directory(tmp_path):
    assert problem(tmp_path).code == "no_config"


@pytest.mark.parametrize(
    "text", ["", "not json", "[1, 2]", '{"model_type": "gemma3_text", "num_hidden_layers": "many"}',
             '{"model_type": "gemma3_text", "head_dim": -1}', '{"model_type": "gemma3", "text_config": 7}']
)  # fmt: skip
def test_garbage_config(model, text):
    (model / "config.json").write_text(text)
    error = problem(model)
    assert error.code == "bad_config"
    assert str(model / "config.json") in error.message()


@pytest.mark.parametrize("kind", ["llama", "gemma3n", "gemma2"])
def test_another_model(model, kind):
    edit(model / "config.json", model_type=kind)
    error = problem(model)
    assert (error.code, error.params["model_type"]) == ("not_gemma3", kind)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "state.PKL", "last.ckpt", "model.pth"])
def test_pickles_are_refused_beside_good_weights(model, name):
    (model / name).write_bytes(b"\x80\x04.")
    error = problem(model)
    assert error.code == "pickle_files"
    assert str(model / name) in error.message()


def test_no_weights(model):
    (model / "model.safetensors").unlink()
    assert problem(model).code == "no_weights"


def test_shards_are_fine_when_all_are_there(model):
    split_in_two(model)
    found = inspect(model)
    assert [name for name, _ in found.files] == ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert found.parameters == inspect(demo.model_dir()).parameters


def test_missing_shard_is_named(model):
    second = split_in_two(model)
    second.unlink()
    error = problem(model)
    assert error.code == "missing_shard"
    assert str(second) in error.message()


def test_shards_without_their_index(model):
    split_in_two(model)
    (model / "model.safetensors.index.json").unlink()
    assert problem(model).code == "missing_shard"


def test_an_index_that_points_outside(model):
    split_in_two(model)
    index = {"weight_map": {"model.embed_tokens.weight": "../../etc/passwd.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert problem(model).code == "bad_weights"


def test_a_broken_index(model):
    split_in_two(model)
    os.truncate(model / "model.safetensors.index.json", 200)
    error = problem(model)
    assert (error.code, error.params["actual"]) == ("damaged", "200")
    assert error.params["file"].endswith("model.safetensors.index.json")


@pytest.mark.parametrize(
    "change", [{"intermediate_size": 256}, {"hidden_size": 96}, {"vocab_size": 300}, {"num_key_value_heads": 1}]
)
def test_weights_of_another_configuration(model, change):
    """transformers loads some of these into 4 bits without a word."""
    edit(model / "config.json", **change)
    error = problem(model)
    assert error.code == "bad_weights"
    assert str(next(iter(change.values()))) in error.message() or "num_key" in next(iter(change))


@pytest.mark.parametrize("share", [0.0, 0.00001, 0.001, 0.5, 0.999999])
def test_half_copied_is_named_with_its_figures(model, share):
    file = model / "model.safetensors"
    os.truncate(file, int(file.stat().st_size * share))
    error = problem(model)
    assert str(file) in error.message()
    assert f"({file.stat().st_size:,} " in error.message()
    if share > 0.01:
        assert error.code == "truncated"
        assert error.params["expected"] == f"{(demo.model_dir() / file.name).stat().st_size:,}"
    else:  # without a whole header nobody knows how long it should be
        assert error.code == "damaged"
    assert "?" not in error.message()


def test_half_copied_shard(model):
    second = split_in_two(model)
    os.truncate(second, second.stat().st_size // 2)
    assert problem(model).params["file"] == str(second)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_pointer_instead_of_the_file(model, name):
    """What `git clone` without LFS leaves."""
    (model / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    error = problem(model)
    assert (error.code, error.params) == ("lfs_pointer", {"file": str(model / name)})


@given(junk=st.binary(max_size=300))
def test_any_bytes_at_all_as_weights(tmp_path_factory, junk):
    file = tmp_path_factory.mktemp("junk") / "model.safetensors"
    file.write_bytes(junk)
    whole = int.from_bytes(junk[:8], "little") == len(junk) - 8 and junk[8:].strip() == b"{}"
    with nullcontext() if whole else pytest.raises(BrokenFile):
        read_header(file)


def test_missing_layer_is_named(model):
    edit(model / "config.json", num_hidden_layers=5, layer_types=["full_attention"] * 5)
    error = problem(model)
    assert error.code == "missing_tensor"
    assert error.params["tensor"] == "model.layers.4.self_attn.q_proj.weight"


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"])
def test_no_tokenizer(model, name):
    (model / name).unlink()
    error = problem(model)
    assert error.code == "no_tokenizer"
    assert name in error.message()


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_broken_tokenizer(model, name):
    (model / name).write_text("{")
    error = problem(model)
    assert (error.code, error.params["file"]) == ("no_tokenizer", name)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"quant_method": "awq"}, "awq"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes 8 bit"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}, "bitsandbytes fp4"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes fp4"),
        ("int4", "unknown"),
    ],
)
def test_other_quantisations(model, settings, named):
    edit(model / "config.json", quantization_config=settings)
    error = problem(model)
    assert (error.code, error.params["quantization"]) == ("unsupported_quantization", named)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
@pytest.mark.parametrize("closed", ["", "config.json", "model.safetensors"])
def test_unreadable(tmp_path, model, closed):
    """Looked at by another user, for whom the file is closed."""
    (model / closed).chmod(0)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.chdir("/")
            for part in (model, *model.parents):  # pytest's own directories are closed to others
                if part.stat().st_uid == 0 and part != model / closed and str(part).startswith("/tmp/"):
                    part.chmod(part.stat().st_mode | 0o011)
            os.setuid(65534)
            inspect(model)
        except ModelDirError as error:
            os.write(writer, f"{error.code} {error.params['file']}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    assert os.read(reader, 4096).decode() == f"unreadable {model / closed}".rstrip("/")


def test_sizes_of_the_real_configuration(model, tmp_path):
    """Google's own config.json leaves most fields to their defaults."""
    text = {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34,
            "sliding_window": 1024}  # fmt: skip
    (model / "config.json").write_text(json.dumps({"model_type": "gemma3", "text_config": text}))
    shapes = {"embed_tokens": [262_208, 2560]}
    for layer in range(34):
        shapes |= {f"layers.{layer}.self_attn.{p}_proj": [2048 if p == "q" else 1024, 2560] for p in "qkv"}
        shapes[f"layers.{layer}.self_attn.o_proj"] = [2560, 2048]
        shapes |= {f"layers.{layer}.mlp.{p}_proj": [10_240, 2560] for p in ("gate", "up")}
        shapes[f"layers.{layer}.mlp.down_proj"] = [2560, 10_240]
    header = {
        f"language_model.model.{name}.weight": {"dtype": "BF16", "shape": shape, "data_offsets": [0, 0]}
        for name, shape in shapes.items()
    }
    raw = json.dumps(header).encode()
    (model / "model.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw)
    found = inspect(model)
    assert not found.text_only
    assert (found.full_layers, found.sliding_layers, found.context_limit) == (5, 29, 131_072)
    assert found.parameters == 3_880_263_168
    assert (found.heads, found.head_dim, found.kv_row_bytes) == (8, 256, 4096)
    assert found.loaded_bytes == pytest.approx(3.00e9, rel=0.002)


def test_a_link_that_points_at_itself_is_told(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(ModelDirError) as caught:
        inspect(loop)
    assert caught.value.code == "unreadable"
    assert caught.value.params["file"] == str(loop)
    assert os.strerror(errno.ELOOP) in caught.value.message()

"""What a model directory holds and whether it can be loaded, told from file headers alone: no torch, milliseconds.

The command line and the gateway ask before a worker is started, and the worker asks again before it loads. Weights
are never read, only the safetensors headers, which give each tensor's dtype, shape and place. That is enough to see a
half-copied file, a missing shard, a missing layer, or weights that belong to another configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from medgemma_tui.safetensors_header import BrokenFile, Tensor, read_header

PICKLE_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"})
MODEL_TYPES = {"gemma3_text": True, "gemma3": False}  # model_type -> text only
TOKENIZER_FILE = "tokenizer.json"
_LFS = b"version https://git-lfs"
_EMBEDDING = "embed_tokens.weight"
_BLOCK_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)  # NF4: half a byte, an 8-bit scale per 64, a 32-bit one per 64 x 256
_MESSAGES = {
    "not_absolute": "{path} is not an absolute path: give the model's directory from / on",
    "missing": "{path} does not exist: check the path, or copy the model there",
    "not_a_directory": "{path} is not a directory: give the directory that holds config.json",
    "unreadable": "{file} cannot be read ({reason}): check its owner and mode, and the disk",
    "no_config": "{path} has no config.json: it is not a model directory, or was not copied whole",
    "bad_config": "{file} is not a valid model configuration ({problem}): copy it again",
    "not_gemma3": "{path} holds a {model_type} model: only Gemma 3 (gemma3, gemma3_text) can be used",
    "pickle_files": "{file} is a pickle file, which can run code when it is opened: "
    "remove it and use safetensors weights",
    "no_weights": "{path} has no model.safetensors and no model.safetensors.index.json: copy the weights there",
    "missing_shard": "{file} is listed in {index} but is not there: copy it",
    "missing_tensor": "the weights lack {tensor}: copy the model again",
    "truncated": "{file} is not whole ({actual} of {expected} bytes): copy it again",
    "damaged": "{file} is not what its name says, or is damaged ({actual} bytes): copy it again",
    "lfs_pointer": "{file} is only a Git-LFS pointer: run git lfs pull where it was cloned, and copy it again",
    "bad_weights": "the weights do not belong to config.json ({problem}): copy both again from one model",
    "no_tokenizer": "{path} has no usable tokenizer ({file}): copy it from the same model",
    "unsupported_quantization": "the weights are quantised as {quantization}: only bitsandbytes NF4 and "
    "unquantised weights can be used",
    "does_not_fit": "the model needs {needed} of GPU memory for a window of {asked} tokens and {free} is free: "
    "the largest window that fits is {window} tokens; choose that, or free memory on the GPU",
    "too_small_gpu": "the model needs {needed} of GPU memory even for a window of {asked} tokens with {slots} slots, "
    "and {free} is free: free memory on the GPU, or set fewer slots",
}


class ModelDirError(Exception):
    """A model directory cannot be used. ``code`` is a key of the table above; ``params`` its values as text."""

    def __init__(self, code: str, params: Mapping[str, str]) -> None:
        self.code = code
        self.params = dict(params)
        super().__init__(self.message())

    def message(self) -> str:
        """One plain English sentence that names the file or the figures and what to do next."""
        return _MESSAGES[self.code].format_map(self.params)


@dataclass(frozen=True, slots=True)
class ModelDir:
    """What an inspected model directory holds. Sizes in bytes; counts of layers, tokens and parameters."""

    path: Path
    model_type: str
    text_only: bool
    quantization: str | None
    """``nf4`` for a checkpoint that is quantised already, None for one in 16 or 32 bits."""
    files: tuple[tuple[str, int], ...]
    """The weight files that will be read, with their sizes."""
    weight_bytes: int
    loaded_bytes: int
    """Weights of the language model once they are loaded in NF4 (embedding and head in bf16)."""
    parameters: int
    """Of the language model, by its configuration."""
    context_limit: int
    vocab_size: int
    hidden_size: int
    full_layers: int
    sliding_layers: int
    sliding_window: int
    heads: int
    """Query heads of a layer."""
    head_dim: int
    kv_row_bytes: int
    """Keys and values of one token in one layer, bf16."""

    @property
    def layers(self) -> int:
        """Layers of the language model."""
        return self.full_layers + self.sliding_layers


class _TextConfig(BaseModel):
    """The fields of Gemma3TextConfig that sizes follow from, with transformers' own defaults."""

    model_config = ConfigDict(extra="ignore")
    vocab_size: int = Field(262_208, gt=0)
    hidden_size: int = Field(2304, gt=0)
    intermediate_size: int = Field(9216, gt=0)
    num_hidden_layers: int = Field(26, gt=0)
    num_attention_heads: int = Field(8, gt=0)
    num_key_value_heads: int = Field(4, gt=0)
    head_dim: int = Field(256, gt=0)
    max_position_embeddings: int = Field(131_072, gt=0)
    sliding_window: int = Field(4096, gt=0)
    sliding_window_pattern: int = Field(6, gt=0)
    layer_types: list[str] | None = None
    tie_word_embeddings: bool = True

    def sliding(self) -> int:
        if self.layer_types is not None:
            return self.layer_types.count("sliding_attention")
        return sum((i + 1) % self.sliding_window_pattern != 0 for i in range(self.num_hidden_layers))

    def linears(self) -> dict[str, tuple[int, int]]:
        """The linear layers of one layer, with their shapes [out, in]."""
        queries, keys = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        return {
            "self_attn.q_proj": (queries, self.hidden_size),
            "self_attn.k_proj": (keys, self.hidden_size),
            "self_attn.v_proj": (keys, self.hidden_size),
            "self_attn.o_proj": (self.hidden_size, queries),
            "mlp.gate_proj": (self.intermediate_size, self.hidden_size),
            "mlp.up_proj": (self.intermediate_size, self.hidden_size),
            "mlp.down_proj": (self.hidden_size, self.intermediate_size),
        }

    def linear_parameters(self) -> int:
        return self.num_hidden_layers * sum(rows * columns for rows, columns in self.linears().values())

    def other_parameters(self) -> int:
        norms = self.num_hidden_layers * (4 * self.hidden_size + 2 * self.head_dim) + self.hidden_size
        return self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2) + norms


_OBJECT = TypeAdapter(dict[str, JsonValue])


class _Index(BaseModel):
    weight_map: dict[str, str]


_INDEX = TypeAdapter(_Index)


def inspect(path: str | Path) -> ModelDir:
    """Look at the model directory ``path``. Raises ModelDirError; reads headers and small JSON files only."""
    path = Path(path)
    try:
        return _inspect(path)
    except OSError as error:  # permissions, a link that points at itself, a failing disk
        reason = error.strerror or type(error).__name__
        raise ModelDirError("unreadable", {"file": str(error.filename or path), "reason": reason}) from None


def _inspect(path: Path) -> ModelDir:
    here = {"path": str(path)}
    if not path.is_absolute():
        raise ModelDirError("not_absolute", here)
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except FileNotFoundError:
        raise ModelDirError("missing", here) from None
    except NotADirectoryError:
        raise ModelDirError("not_a_directory", here) from None
    for name in names:
        if Path(name).suffix.lower() in PICKLE_SUFFIXES:
            raise ModelDirError("pickle_files", {"file": str(path / name)})
    if "config.json" not in names:
        raise ModelDirError("no_config", here)
    config = _json_object(path / "config.json", "bad_config")
    model_type = str(config.get("model_type", "unknown"))
    if model_type not in MODEL_TYPES:
        raise ModelDirError("not_gemma3", {**here, "model_type": model_type[:80]})
    text_only = MODEL_TYPES[model_type]
    text = _text_config(path, config, text_only=text_only)
    quantization = _quantization(config)
    files = _weight_files(path, names)
    tensors = _tensors(files)
    _check_tensors(tensors, text)
    _check_tokenizer(path, names)
    linear, other = text.linear_parameters(), text.other_parameters()
    loaded = other * 2 + int(linear * _BLOCK_BYTES)
    if quantization is not None:
        loaded = sum(tensor.size for tensor in tensors.values() if not is_vision(tensor.name))
    sliding = text.sliding()
    return ModelDir(
        path=path,
        model_type=model_type,
        text_only=text_only,
        quantization=quantization,
        files=tuple((file.name, file.stat().st_size) for file in files),
        weight_bytes=sum(file.stat().st_size for file in files),
        loaded_bytes=loaded,
        parameters=linear + other,
        context_limit=text.max_position_embeddings,
        vocab_size=text.vocab_size,
        hidden_size=text.hidden_size,
        full_layers=text.num_hidden_layers - sliding,
        sliding_layers=sliding,
        sliding_window=text.sliding_window,
        heads=text.num_attention_heads,
        head_dim=text.head_dim,
        kv_row_bytes=2 * text.num_key_value_heads * text.head_dim * 2,
    )


def is_vision(tensor: str) -> bool:
    """True for a tensor of the vision tower or its projector, which this build leaves out."""
    return tensor.removeprefix("model.").startswith(("vision_tower.", "multi_modal_projector."))


def _json_object(file: Path, code: str) -> dict[str, JsonValue]:
    try:
        return _OBJECT.validate_json(file.read_bytes())
    except ValidationError:
        raise ModelDirError(code, {"file": str(file), "problem": "not a JSON object"}) from None


def _text_config(path: Path, config: dict[str, JsonValue], *, text_only: bool) -> _TextConfig:
    try:
        text = _TextConfig.model_validate(config if text_only else config.get("text_config", {}))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "text_config"
        raise ModelDirError("bad_config", {"file": str(path / "config.json"), "problem": where}) from None
    if text.layer_types is not None and len(text.layer_types) != text.num_hidden_layers:
        raise ModelDirError("bad_config", {"file": str(path / "config.json"), "problem": "layer_types"})
    return text


def _quantization(config: dict[str, JsonValue]) -> str | None:
    found = config.get("quantization_config")
    if found is None:
        return None
    if not isinstance(found, dict):
        raise ModelDirError("unsupported_quantization", {"quantization": "unknown"})
    method = str(found.get("quant_method", "unknown"))
    kind = str(found.get("bnb_4bit_quant_type", "fp4"))  # bitsandbytes' default
    if method == "bitsandbytes" and found.get("load_in_4bit") is True and kind == "nf4":
        return "nf4"
    if method == "bitsandbytes":
        method += f" {kind}" if found.get("load_in_4bit") is True else " 8 bit"
    raise ModelDirError("unsupported_quantization", {"quantization": method[:80]})


def _weight_files(path: Path, names: list[str]) -> list[Path]:
    """The safetensors files in the order transformers would choose them: one file, else the index's shards."""
    if "model.safetensors" in names:
        return [path / "model.safetensors"]
    index = "model.safetensors.index.json"
    if index not in names:
        first = next((name for name in names if name.endswith(".safetensors")), None)
        if first is not None:  # shards without their list
            raise ModelDirError("missing_shard", {"file": str(path / index), "index": first})
        raise ModelDirError("no_weights", {"path": str(path)})
    try:
        listed = _INDEX.validate_json((path / index).read_bytes())
    except ValidationError:
        raise _damaged(path / index) from None
    shards = sorted(set(listed.weight_map.values()))
    for shard in shards:
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise ModelDirError("bad_weights", {"problem": f"{index} lists a strange file name"})
        if shard not in names:
            raise ModelDirError("missing_shard", {"file": str(path / shard), "index": index})
    if not shards:
        raise ModelDirError("no_weights", {"path": str(path)})
    return [path / shard for shard in shards]


def _tensors(files: list[Path]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for file in files:
        try:
            found.update((tensor.name, tensor) for tensor in read_header(file))
        except BrokenFile as error:
            if error.expected is None:
                raise _damaged(file) from None
            figures = {"actual": f"{error.actual:,}", "expected": f"{error.expected:,}"}
            raise ModelDirError("truncated", {"file": str(file), **figures}) from None
    return found


def _damaged(file: Path) -> ModelDirError:
    """What to say of a file that has not the form its name promises."""
    if _is_lfs_pointer(file):
        return ModelDirError("lfs_pointer", {"file": str(file)})
    return ModelDirError("damaged", {"file": str(file), "actual": f"{file.stat().st_size:,}"})


def _is_lfs_pointer(file: Path) -> bool:
    """Whether a clone without Git LFS left its note in the file's place."""
    with file.open("rb") as stream:
        return stream.read(len(_LFS)) == _LFS


def _check_tensors(tensors: Mapping[str, Tensor], text: _TextConfig) -> None:
    """Every matrix of the language model is there, under whichever prefix, and of the size the configuration says."""
    prefix = next((name.removesuffix(_EMBEDDING) for name in tensors if name.endswith(_EMBEDDING)), "")
    wanted = {_EMBEDDING: (text.vocab_size, text.hidden_size)}
    for layer in range(text.num_hidden_layers):
        wanted |= {f"layers.{layer}.{linear}.weight": shape for linear, shape in text.linears().items()}
    for name, (rows, columns) in wanted.items():
        tensor = tensors.get(prefix + name)
        if tensor is None:
            raise ModelDirError("missing_tensor", {"tensor": prefix + name})
        packed = tensor.dtype == "U8"  # NF4: two values a byte, in one column
        if tensor.elements * 2 != rows * columns if packed else tensor.shape != (rows, columns):
            problem = f"{prefix + name} is {list(tensor.shape)} where config.json says {[rows, columns]}"
            raise ModelDirError("bad_weights", {"problem": problem})


def _check_tokenizer(path: Path, names: list[str]) -> None:
    for name in (TOKENIZER_FILE, "tokenizer_config.json"):
        if name not in names:
            raise ModelDirError("no_tokenizer", {"path": str(path), "file": name})
        try:
            _OBJECT.validate_json((path / name).read_bytes())
        except ValidationError:
            if _is_lfs_pointer(path / name):
                raise ModelDirError("lfs_pointer", {"file": str(path / name)}) from None
            raise ModelDirError("no_tokenizer", {"path": str(path), "file": name}) from None
    if "chat_template.jinja" in names:
        return
    # chat_template.json is for processors: transformers' tokenizers do not read it.
    if not _json_object(path / "tokenizer_config.json", "bad_config").get("chat_template"):
        raise ModelDirError("no_tokenizer", {"path": str(path), "file": "chat_template.jinja"})

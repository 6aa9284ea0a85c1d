"""Loads a Gemma 3 language model from a local directory, in 4 bits, on the GPU if there is one, else on the CPU.

NF4 with double quantisation and bfloat16 compute through bitsandbytes; embedding and tied head stay in bfloat16.
Never fp16: Gemma 3 overflows in it, so a checkpoint stored in fp16 is loaded as bfloat16. Nothing is fetched, no
code from the directory runs, only safetensors are opened. Of a checkpoint with a vision tower, only the language
model is read.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers.utils.logging as transformers_logging
from transformers import (
    AutoTokenizer,
    BitsAndBytesConfig,
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    PreTrainedTokenizerBase,
)

from medgemma_tui.model_dir import ModelDir, ModelDirError, inspect, is_vision
from medgemma_tui.safetensors_header import read_header
from medgemma_tui.vram import UPCASTS_BELOW, check_fit, default_window
from medgemma_tui.worker.faults import is_out_of_memory, typed_out_of_memory
from medgemma_tui.worker.four_bit import Linear4bit

log = logging.getLogger(__name__)

SKIP = ["lm_head", "model.vision_tower", "model.multi_modal_projector"]
"""Modules that stay unquantised. "vision_tower" alone would match nothing and un-protect lm_head."""

DEVICES = Path("/dev")
"""Where the NVIDIA driver's device nodes are."""

_LANGUAGE_MODEL = {  # names in a checkpoint with a vision tower (Hub layout, then transformers 5's) -> text-only names
    r"^language_model\.model\.": "model.",
    r"^language_model\.lm_head\.": "lm_head.",
    r"^model\.language_model\.": "model.",
}

Progress = Callable[[float], None]
"""Takes the percent that is loaded, 0 to 100, never falling."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be loaded, where, and with which context window (tokens)."""

    directory: ModelDir
    device: torch.device
    max_model_len: int
    slots: int


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to decode, in eval mode, and the token ids that end a turn by its generation config."""

    model: Gemma3ForCausalLM
    eos_ids: tuple[int, ...]


def make_plan(path: Path, *, max_model_len: int | None, slots: int, device: str | None = None) -> Plan:
    """Inspect ``path`` and choose device and window; checks that it fits in free VRAM.

    ``device`` None: CUDA where there is one; a GPU that torch cannot use is told in the log. Raises ModelDirError.
    """
    directory = inspect(path)
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device is None and where.type == "cpu":
        _warn_of_an_unused_gpu()
    if where.type == "cuda":
        where = torch.device("cuda", where.index or 0)
    free = _free_bytes(where) if where.type == "cuda" else None
    upcasts = bool(free) and torch.cuda.get_device_capability(where) < UPCASTS_BELOW
    if max_model_len is None:
        window = default_window(directory, free, slots, upcasts=upcasts)
    else:
        window = min(max_model_len, directory.context_limit)
        if free is not None:
            check_fit(directory, window, slots, free, upcasts=upcasts)
    return Plan(directory=directory, device=where, max_model_len=window, slots=slots)


def _free_bytes(gpu: torch.device) -> int:
    """Free memory of the GPU; 0 where there is so little that CUDA cannot even start there."""
    try:
        return torch.cuda.mem_get_info(gpu)[0]
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return 0


def _warn_of_an_unused_gpu() -> None:
    nodes = sorted(node.name for node in DEVICES.glob("nvidia[0-9]*"))
    if not nodes:
        return
    why = (
        "this PyTorch is built without CUDA (torch.version.cuda is None)"
        if torch.version.cuda is None
        else "PyTorch finds no usable GPU (torch.cuda.is_available() is False): check the driver with nvidia-smi"
    )
    log.warning("the model runs on the CPU although %s is there: %s", DEVICES / nodes[0], why)


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The directory's own tokenizer and chat template. Raises ModelDirError ``no_tokenizer``."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            str(path), local_files_only=True, trust_remote_code=False, use_fast=True
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("the tokenizer cannot be read: %s", type(error).__name__)
        raise ModelDirError("no_tokenizer", {"path": str(path), "file": "tokenizer.json"}) from error
    if not tokenizer.is_fast:
        raise ModelDirError("no_tokenizer", {"path": str(path), "file": "tokenizer.json"})
    if not tokenizer.chat_template:
        raise ModelDirError("no_tokenizer", {"path": str(path), "file": "chat_template.jinja"})
    return tokenizer


def load_model(plan: Plan, progress: Progress = lambda percent: None) -> LoadedModel:
    """Load the language model of ``plan`` in 4 bits.

    Raises ModelDirError (``unsupported_quantization``, ``missing_tensor``, ``bad_weights``) where the result is not
    what it must be, or OutOfMemory.
    """
    if plan.device.type == "cuda":
        # cuDNN's attention builds a plan for each new shape, and a prompt brings one every 64 keys.
        torch.backends.cuda.enable_cudnn_sdp(False)
    config = _text_config(plan.directory)
    with typed_out_of_memory(plan.device.type):
        model = _read(plan, config, progress)
        _check(model, plan.directory)
        if plan.device.type == "cpu":
            _unmap(model)
    # Were it saved, it would be the text-only model that it is, not under the names of the checkpoint it came from.
    model._weight_conversions = []
    model.eval()
    progress(100.0)
    return LoadedModel(model=model, eos_ids=_eos_ids(model))


def _text_config(directory: ModelDir) -> Gemma3TextConfig:
    """The language model's configuration, with a pre-quantised checkpoint's settings on it."""
    kind = Gemma3TextConfig if directory.text_only else Gemma3Config
    whole = kind.from_pretrained(str(directory.path), local_files_only=True)
    config: Gemma3TextConfig = whole.get_text_config()
    quantised = getattr(whole, "quantization_config", None)
    if quantised is not None:
        settings: dict[str, Any] = quantised if isinstance(quantised, dict) else quantised.to_dict()
        config.quantization_config = {
            **settings,
            # What the weights are multiplied in; the weights themselves stay as they are.
            "bnb_4bit_compute_dtype": "bfloat16",
            # The checkpoint's own list speaks of the whole model's names, by the rules of whoever saved it.
            "llm_int8_skip_modules": [*SKIP, *_unquantised(directory)],
        }
    return config


def _unquantised(directory: ModelDir) -> list[str]:
    """The linear layers that a pre-quantised checkpoint holds in 16 bits, by the text-only model's names."""
    found = []
    for file, _size in directory.files:
        for tensor in read_header(directory.path / file):
            name = tensor.name
            for pattern, own in _LANGUAGE_MODEL.items():
                name = re.sub(pattern, own, name)
            if name.startswith("model.layers.") and name.endswith("_proj.weight") and tensor.dtype != "U8":
                found.append(name.removesuffix(".weight"))
    return found


def _read(plan: Plan, config: Gemma3TextConfig, progress: Progress) -> Gemma3ForCausalLM:
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=SKIP,
    )
    with _progress_of_weights(progress):
        model, report = Gemma3ForCausalLM.from_pretrained(
            str(plan.directory.path),
            config=config,
            dtype=torch.bfloat16,
            quantization_config=None if plan.directory.quantization else quantization,
            device_map={"": plan.device.index or 0} if plan.device.type == "cuda" else {"": "cpu"},
            attn_implementation="sdpa",
            key_mapping=None if plan.directory.text_only else _LANGUAGE_MODEL,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    missing = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if missing:
        raise ModelDirError("missing_tensor", {"tensor": missing[0]})
    unexpected = [key for key in report["unexpected_keys"] if not is_vision(key)]
    if unexpected or report["error_msgs"]:
        raise _bad(f"{(sorted(unexpected) or ['a tensor'])[0]} is not of a Gemma 3 language model")
    return model


def _check(model: Gemma3ForCausalLM, directory: ModelDir) -> None:
    """Every linear layer really is NF4 with bfloat16 compute, the head is not, and nothing is in half precision."""
    settings = model.config.quantization_config
    given = settings.get("llm_int8_skip_modules") if isinstance(settings, dict) else settings.llm_int8_skip_modules
    skipped = set(given or []) if directory.quantization else set(SKIP)
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.Linear):
            continue
        quantised = isinstance(module, Linear4bit)
        if quantised == (name in skipped):
            raise _bad(f"{name} is {'in 4 bits' if quantised else 'not in 4 bits'}")
        if not quantised:
            continue
        state = getattr(module.weight, "quant_state", None)
        if state is None or state.quant_type != "nf4" or module.compute_dtype != torch.bfloat16:
            raise _bad(f"{name} is not NF4 with bfloat16 compute")
        if state.dtype != torch.bfloat16:
            found = f"nf4 of {str(state.dtype).removeprefix('torch.')}"
            raise ModelDirError("unsupported_quantization", {"quantization": found})
    for name, parameter in model.named_parameters():
        if parameter.dtype not in (torch.bfloat16, torch.uint8):
            raise _bad(f"{name} is in {parameter.dtype}")


def _unmap(model: Gemma3ForCausalLM) -> None:
    """Copy what still lies in the mapped file: a file that is overwritten would change the weights in use."""
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    for module in model.modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        while state is not None:
            for name, value in vars(state).items():
                if isinstance(value, torch.Tensor):
                    setattr(state, name, value.clone())
            state = state.state2


def _bad(problem: str) -> ModelDirError:
    return ModelDirError("bad_weights", {"problem": problem})


def _eos_ids(model: Gemma3ForCausalLM) -> tuple[int, ...]:
    found: list[int] = []
    for source in (model.generation_config, model.config):
        ids = getattr(source, "eos_token_id", None)
        found += [ids] if isinstance(ids, int) else list(ids or [])
    return tuple(dict.fromkeys(found))


class _progress_of_weights:
    """While entered, transformers' loading loop reports to ``progress``, draws no bar and lists no vision tensors."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __enter__(self) -> None:
        self._hook = transformers_logging.set_tqdm_hook(self._loop)
        self._verbosity = transformers_logging.get_verbosity()
        transformers_logging.set_verbosity_error()
        self._progress(0.0)

    def __exit__(self, *_: object) -> None:
        transformers_logging.set_tqdm_hook(self._hook)
        transformers_logging.set_verbosity(self._verbosity)

    def _loop(self, _factory: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if kwargs.get("desc") == "Loading weights" and args:
            return self._counted(list(args[0]))
        return transformers_logging.EmptyTqdm(*args, **kwargs)

    def _counted(self, items: Iterable[Any]) -> Iterator[Any]:
        """Yield the items; tell each whole percent once. The last one is left for the checks that follow."""
        items = list(items)
        told = 0
        for done, item in enumerate(items):
            percent = 99 * done // len(items)
            if percent > told:
                told = percent
                self._progress(float(percent))
            yield item

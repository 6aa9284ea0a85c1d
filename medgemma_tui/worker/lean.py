"""The same arithmetic on the CPU by a shorter way: 4-bit linears and norms of a Gemma 3.

One decode step of a small model spends more time on the way to its kernels (Python layers, dispatchers) than in
them. A replaced layer is first checked bit for bit against its own forward; where anything is not as expected, the
layers stay as they are.
"""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable
from typing import Any

import torch
from bitsandbytes.cextension import lib
from bitsandbytes.nn import Linear4bit
from transformers import PreTrainedModel
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm

_KERNEL = "gemv_4bit_inference_cpu_nf4_bf16"
_SIZE, _POINTER = ctypes.c_int64, ctypes.c_void_p
_PROTOTYPE = ctypes.CFUNCTYPE(None, _SIZE, _SIZE, _SIZE, _POINTER, _POINTER, _POINTER, _POINTER, _SIZE, _SIZE, _SIZE)

Forward = Callable[[torch.Tensor], torch.Tensor]


@torch.inference_mode()
def use_lean_linears(model: PreTrainedModel) -> str | None:
    """Let every 4-bit linear of a CPU model call bitsandbytes' kernel directly.

    Returns None when done, else the reason why they were left as they are.
    """
    if model.device.type == "cpu" and not hasattr(lib, _KERNEL):
        return "this build of bitsandbytes has no fused CPU kernel"
    return _replace(model, Linear4bit, _lean_linear)


@torch.inference_mode()
def use_lean_norms(model: PreTrainedModel) -> str | None:
    """Let every RMS norm of a CPU model be one call instead of eight.

    Returns None when done, else the reason why they were left as they are.
    """
    with warnings.catch_warnings():  # said once, at the first call: "cannot dispatch to fused implementation"
        warnings.simplefilter("ignore")
        return _replace(model, Gemma3RMSNorm, _lean_norm)


def _replace(model: PreTrainedModel, kind: type[torch.nn.Module], lean: Callable[[Any], Forward | str]) -> str | None:
    if model.device.type != "cpu":
        return f"the model is on {model.device.type}"
    modules = {name: module for name, module in model.named_modules() if isinstance(module, kind)}
    if not modules:
        return f"no {kind.__name__} layers"
    forwards: dict[str, Forward] = {}
    for name, module in modules.items():
        made = "its forward was replaced already" if "forward" in module.__dict__ else lean(module)
        if isinstance(made, str):
            return f"{name}: {made}"
        forwards[name] = made
    for name, module in modules.items():
        module.forward = forwards[name]
    return None


def _lean_linear(module: Linear4bit) -> Forward | str:
    plain: Forward = module.forward
    probe = torch.linspace(-2, 2, 5 * module.in_features).view(5, 1, -1).to(torch.bfloat16)
    plain(probe)  # the first call also packs the weights for the kernel
    state = module.weight.quant_state
    if not getattr(state, "packing_format_for_cpu", False):
        return "its weights are not packed for the fused kernel (this CPU lacks AVX512-BF16)"
    if state.nested or state.quant_type != "nf4" or module.bias is not None:
        return "it is not plain NF4 without bias"
    if module.compute_dtype != torch.bfloat16:
        return f"it computes in {module.compute_dtype}"
    kernel = _PROTOTYPE(ctypes.cast(getattr(lib, _KERNEL), _POINTER).value or 0)
    rows, inner = state.shape
    weight, absmax = module.weight.data, state.absmax.to(torch.bfloat16)
    weight_at, absmax_at, block = weight.data_ptr(), absmax.data_ptr(), state.blocksize

    def forward(x: torch.Tensor, _alive: tuple[torch.Tensor, ...] = (weight, absmax)) -> torch.Tensor:
        # ``_alive`` keeps the tensors: the kernel only has their addresses.
        if x.dtype is not torch.bfloat16:
            return plain(x)
        x = x.contiguous()
        out = torch.empty((*x.shape[:-1], rows), dtype=torch.bfloat16)
        kernel(x.numel() // inner, rows, inner, x.data_ptr(), weight_at, absmax_at, out.data_ptr(), block, inner, rows)
        return out

    return _checked(forward, plain, probe)


def _lean_norm(module: Gemma3RMSNorm) -> Forward | str:
    plain: Forward = module.forward
    weight = 1.0 + module.weight.float()  # Gemma's norms are centred on one, and multiply in fp32
    shape, eps, rms_norm = tuple(weight.shape), module.eps, torch.rms_norm

    def forward(x: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, shape, weight, eps)

    probe = torch.linspace(-90, 90, 5 * weight.numel()).view(5, 1, -1).to(module.weight.dtype)
    return _checked(forward, plain, probe)


def _checked(forward: Forward, plain: Forward, probe: torch.Tensor) -> Forward | str:
    same = all(torch.equal(forward(part), plain(part)) for part in (probe, probe[:1], probe[1:3] * 0.01))
    return forward if same else "the short way gives other numbers"

"""The same arithmetic on the CPU by a shorter way: 4-bit linears and norms of a Gemma 3.

One decode step of a small model spends more time on the way to its kernels (Python layers, dispatchers) than in
them. Where the CPU has AVX512-BF16, bitsandbytes' fused kernel is called directly. Elsewhere bitsandbytes unpacks all
of a layer's weights for every token, and torch multiplies bfloat16 slowly: a small model's weights are unpacked once,
and multiplied in float32. A replaced layer is first checked against its own forward, bit for bit (to bfloat16's
rounding where it multiplies in float32); where anything is not as expected, the layers stay as they are.
"""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm

from medgemma_tui.worker.four_bit import Linear4bit, dequantize_4bit, lib

_KERNEL = "gemv_4bit_inference_cpu_nf4_bf16"
_SIZE, _POINTER = ctypes.c_int64, ctypes.c_void_p
_PROTOTYPE = ctypes.CFUNCTYPE(None, _SIZE, _SIZE, _SIZE, _POINTER, _POINTER, _POINTER, _POINTER, _SIZE, _SIZE, _SIZE)

UNPACKED_BYTES = 64 * 2**20
"""The float32 weights that may be kept beside the 4-bit ones: a small model's, never those of 4 B parameters."""

Forward = Callable[[torch.Tensor], torch.Tensor]


@torch.inference_mode()
def use_lean_linears(model: PreTrainedModel) -> str | None:
    """Let every 4-bit linear of a CPU model take the shortest way that this CPU has.

    Returns None when done, else the reason why they were left as they are.
    """
    linears = [module for module in model.modules() if isinstance(module, Linear4bit)]
    small = 4 * sum(module.in_features * module.out_features for module in linears) <= UNPACKED_BYTES
    return _replace(model, Linear4bit, partial(_lean_linear, small=small))


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


def _lean_linear(module: Linear4bit, *, small: bool) -> Forward | str:
    plain: Forward = module.forward
    probe = torch.linspace(-2, 2, 5 * module.in_features).view(5, 1, -1).to(torch.bfloat16)
    plain(probe)  # the first call also packs the weights for the kernel
    state = module.weight.quant_state
    if state.quant_type != "nf4" or module.bias is not None:
        return "it is not plain NF4 without bias"
    if module.compute_dtype != torch.bfloat16:
        return f"it computes in {module.compute_dtype}"
    if getattr(state, "packing_format_for_cpu", False):
        if state.nested or not hasattr(lib, _KERNEL):
            return "its weights are packed for a kernel that this build of bitsandbytes does not offer"
        return _checked(_fused(module), plain, probe)
    if not small:
        return "this CPU lacks AVX512-BF16, and the weights are too many to be kept unpacked"
    return _checked(_unpacked(module), plain, probe, exact=False)


def _fused(module: Linear4bit) -> Forward:
    """bitsandbytes' kernel on its packed weights, without the layers of Python around it."""
    plain: Forward = module.forward
    state = module.weight.quant_state
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

    return forward


def _unpacked(module: Linear4bit) -> Forward:
    """The very values that bitsandbytes unpacks for every token, kept: products of bfloat16 are exact in float32."""
    plain: Forward = module.forward
    state = module.weight.quant_state
    weight = dequantize_4bit(module.weight.data, state).to(torch.bfloat16).view(state.shape).float()
    linear = torch.nn.functional.linear

    def forward(x: torch.Tensor) -> torch.Tensor:
        if x.dtype is not torch.bfloat16:
            return plain(x)
        return linear(x.float(), weight).to(torch.bfloat16)

    return forward


def _lean_norm(module: Gemma3RMSNorm) -> Forward | str:
    plain: Forward = module.forward
    weight = 1.0 + module.weight.float()  # Gemma's norms are centred on one, and multiply in fp32
    shape, eps, rms_norm = tuple(weight.shape), module.eps, torch.rms_norm

    def forward(x: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, shape, weight, eps)

    probe = torch.linspace(-90, 90, 5 * weight.numel()).view(5, 1, -1).to(module.weight.dtype)
    return _checked(forward, plain, probe)


def _checked(forward: Forward, plain: Forward, probe: torch.Tensor, *, exact: bool = True) -> Forward | str:
    for part in (probe, probe[:1], probe[1:3] * 0.01):
        short, long = forward(part), plain(part)
        if not (torch.equal(short, long) if exact else _rounds_alike(short, long)):
            return "the short way gives other numbers"
    return forward


def _rounds_alike(short: torch.Tensor, long: torch.Tensor) -> bool:
    """Sums in another order may round to the next bfloat16, and differ by float32's own error where they cancel."""
    slack = 2**-7 * long.float().abs() + 1e-5 * long.float().abs().max()
    return bool(((short.float() - long.float()).abs() <= slack).all())

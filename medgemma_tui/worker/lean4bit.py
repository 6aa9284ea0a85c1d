"""4-bit linears on the CPU without the detour: the same bitsandbytes kernel, called directly.

One decode step of a small model spends more time on the way to the kernel (four Python layers and two dispatchers a
linear) than in it. Every replaced linear is first checked bit for bit against bitsandbytes' own forward; where
anything is not as expected, the model stays as it is.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch
from bitsandbytes.cextension import lib
from bitsandbytes.nn import Linear4bit
from transformers import PreTrainedModel

_KERNEL = "gemv_4bit_inference_cpu_nf4_bf16"
_SIZE, _POINTER = ctypes.c_int64, ctypes.c_void_p
_PROTOTYPE = ctypes.CFUNCTYPE(None, _SIZE, _SIZE, _SIZE, _POINTER, _POINTER, _POINTER, _POINTER, _SIZE, _SIZE, _SIZE)

Forward = Callable[[torch.Tensor], torch.Tensor]


@torch.inference_mode()
def use_lean_linears(model: PreTrainedModel) -> str | None:
    """Give every 4-bit linear of a CPU model the short way to its kernel.

    Returns None when done, else the reason why the model was left as it was.
    """
    linears = {name: module for name, module in model.named_modules() if isinstance(module, Linear4bit)}
    if not linears:
        return "no 4-bit layers"
    if model.device.type != "cpu":
        return f"the model is on {model.device.type}"
    if not hasattr(lib, _KERNEL):
        return "this build of bitsandbytes has no fused CPU kernel"
    kernel = _PROTOTYPE(ctypes.cast(getattr(lib, _KERNEL), _POINTER).value or 0)
    lean: dict[str, Forward] = {}
    for name, module in linears.items():
        made = _lean(module, kernel)
        if isinstance(made, str):
            return f"{name}: {made}"
        lean[name] = made
    for name, module in linears.items():
        module.forward = lean[name]
    return None


def _lean(module: Linear4bit, kernel: Callable[..., None]) -> Forward | str:
    """The short way for one linear, checked; or what speaks against it."""
    if "forward" in module.__dict__:
        return "its forward was replaced already"
    plain: Forward = module.forward
    probe = torch.linspace(-2, 2, 5 * module.in_features).view(5, 1, -1).to(torch.bfloat16)
    expected = plain(probe)  # the first call also packs the weights for the kernel
    state = module.weight.quant_state
    if not getattr(state, "packing_format_for_cpu", False):
        return "its weights are not packed for the fused kernel (this CPU lacks AVX512-BF16)"
    if state.nested or state.quant_type != "nf4" or module.bias is not None:
        return "it is not plain NF4 without bias"
    if module.compute_dtype != torch.bfloat16:
        return f"it computes in {module.compute_dtype}"
    rows, inner = state.shape
    weight, absmax = module.weight.data, state.absmax.to(torch.bfloat16)  # held by the closure: the kernel has pointers
    weight_at, absmax_at, block = weight.data_ptr(), absmax.data_ptr(), state.blocksize

    def forward(x: torch.Tensor, _alive: tuple[torch.Tensor, ...] = (weight, absmax)) -> torch.Tensor:
        if x.dtype is not torch.bfloat16:
            return plain(x)
        x = x.contiguous()
        out = torch.empty((*x.shape[:-1], rows), dtype=torch.bfloat16)
        kernel(x.numel() // inner, rows, inner, x.data_ptr(), weight_at, absmax_at, out.data_ptr(), block, inner, rows)
        return out

    for count in (5, 1):
        if not torch.equal(forward(probe[:count]), expected[:count] if count == 5 else plain(probe[:count])):
            return "the short way gives other numbers"
    return forward

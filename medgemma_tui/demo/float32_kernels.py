"""bfloat16 training on a CPU without bfloat16 instructions: the products are made by its float32 kernels.

Torch's own bfloat16 kernels take twice the time there. What goes into a layer and what comes out is rounded to
bfloat16 all the same, so the model learns with the activations that it will have.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from bitsandbytes.functional import has_avx512bf16
from torch.autograd.function import FunctionCtx
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

_NAME = "sdpa_float32"


def use_float32_kernels(model: PreTrainedModel) -> bool:
    """Let a bfloat16 model's linear layers and attention run in float32 kernels where this CPU is quicker with them.

    Returns whether it was done. The layers must have no bias.
    """
    if has_avx512bf16():
        return False
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            setattr(module, "forward", partial(_linear, module))  # noqa: B010 - a method, to mypy
    AttentionInterface.register(_NAME, _attention)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    model.set_attn_implementation(_NAME)
    return True


def _linear(module: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = _Linear.apply(x, module.weight)
    return result


class _Linear(torch.autograd.Function):
    """``x [..., inner]`` times ``weight [rows, inner]``: bfloat16 in and out, in both directions."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return torch.nn.functional.linear(x.float(), weight.float()).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, weight = ctx.saved_tensors
        wide = gradient.float()
        of_x = (wide @ weight.float()).to(x.dtype)
        of_weight = wide.flatten(0, -2).t() @ x.float().flatten(0, -2)
        return of_x, of_weight.to(weight.dtype)


def _attention(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, **more: Any
) -> tuple[torch.Tensor, None]:
    output, _ = sdpa_attention_forward(module, query.float(), key.float(), value.float(), mask, **more)
    return output.to(query.dtype), None

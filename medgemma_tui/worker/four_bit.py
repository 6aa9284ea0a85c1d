"""What is used of bitsandbytes, imported without PyTorch's compiler.

bitsandbytes hands two functions to ``torch.compile`` when it is imported: its kernels for a device that has none of
its own. That loads the whole compiler, a quarter of a worker's start, and a kernel that were compiled would be written
to disk. So they stay as they are written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def _as_written(function: Callable[..., Any] | None = None, **_options: object) -> Callable[..., Any]:
    return function or _as_written


_compile, torch.compile = torch.compile, _as_written  # type: ignore[assignment]
try:
    from bitsandbytes.cextension import lib
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit
    from bitsandbytes.nn import Linear4bit
finally:
    torch.compile = _compile

__all__ = ["Linear4bit", "dequantize_4bit", "lib", "quantize_4bit"]

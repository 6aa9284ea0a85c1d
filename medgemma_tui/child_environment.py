"""Which environment variables a process of ours hands on: what finding libraries and devices needs, nothing else."""

from __future__ import annotations

from collections.abc import Mapping

_NAMES = frozenset({"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "MALLOC_ARENA_MAX"})
_PREFIXES = ("CUDA_", "NVIDIA_", "NCCL_", "MKL_", "OMP_", "KMP_", "OPENBLAS_", "PYTORCH_", "BNB_")


def handed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of ``environ`` that a child process gets to see."""
    return {name: value for name, value in environ.items() if name in _NAMES or name.startswith(_PREFIXES)}

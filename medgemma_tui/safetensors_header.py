"""What a safetensors file lists, from its header alone: 8 bytes of length (little endian), then JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

_MAX_HEADER = 100 * 1024 * 1024  # the format's own limit


class BrokenFile(ValueError):
    """The file is not as long as its header says, or has no header. Sizes in bytes; ``expected`` None: unknown."""

    def __init__(self, actual: int, expected: int | None) -> None:
        super().__init__(f"{actual} of {expected} bytes")
        self.actual, self.expected = actual, expected


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: ``dtype`` in the format's words (``BF16``, ``U8`` …), ``size`` in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int

    @property
    def elements(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)


class _Entry(BaseModel):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


_HEADER = TypeAdapter(dict[str, _Entry | dict[str, str]])


def read_header(file: Path) -> list[Tensor]:
    """The tensors that ``file`` lists. Raises BrokenFile, and OSError where it cannot be read."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or not 2 <= length <= _MAX_HEADER:
            raise BrokenFile(size, None)
        raw = stream.read(length)
    try:
        header = _HEADER.validate_json(raw)
    except ValidationError:
        raise BrokenFile(size, None) from None
    tensors, end = [], 0
    for name, entry in header.items():
        if isinstance(entry, _Entry):
            start, stop = entry.data_offsets
            if not 0 <= start <= stop:
                raise BrokenFile(size, None)
            end = max(end, stop)
            tensors.append(Tensor(name, entry.dtype, entry.shape, stop - start))
        elif name != "__metadata__":
            raise BrokenFile(size, None)
    if size != 8 + length + end:
        raise BrokenFile(size, 8 + length + end)
    return tensors

"""Asking NVML one thing: what a card, driver or login does not get is ``None``, what ends the reading is raised."""

from __future__ import annotations

from typing import Any

import pynvml

CARD_IS_GONE = frozenset({pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED})
NVML_IS_GONE = frozenset({pynvml.NVML_ERROR_UNINITIALIZED, pynvml.NVML_ERROR_DRIVER_NOT_LOADED})
_NOT_A_FIGURE = frozenset({0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF})  # NVML_VALUE_NOT_AVAILABLE in its two widths


def ask(name: str, *args: object) -> Any:
    """What NVML's call ``name`` says, ``None`` where this card, driver or login does not get it.

    By name, because nvidia-ml-py drops calls over the years as the driver does. Its own decoding of strings, which
    raises on bytes that are not UTF-8, is passed by. Raises NVMLError when the card or NVML is gone.
    """
    call = getattr(pynvml, name, None)
    if call is None:
        return None
    try:
        return getattr(call, "__wrapped__", call)(*args)
    except pynvml.NVMLError as error:
        if error.value in CARD_IS_GONE or error.value in NVML_IS_GONE:
            raise
        return None


def figure(value: int) -> int | None:
    """The value, ``None`` for what stands for "not available"."""
    return None if value in _NOT_A_FIGURE else int(value)


def number(name: str, *args: object) -> int | None:
    """A number, as ``ask``."""
    value = ask(name, *args)
    return None if value is None else figure(value)


def text(name: str, *args: object) -> str | None:
    """A text, as ``ask``, without what is not UTF-8."""
    value = ask(name, *args)
    return value.decode("utf-8", "ignore") if isinstance(value, bytes) else None

"""What native libraries write of their own accord, past Python's streams: counted, named where it is known, withheld.

A panic in the tokenizer's Rust quotes the text that it stumbled over; a C library prints what it pleases. So while
there can be a prompt, file descriptor 2 (and 1, in a process that serves) is a pipe. A thread reads it and logs how
much was written, and of its words only what is in a fixed list, or is a place in somebody's source code. Our own log,
faulthandler and the screen's pictures go to a copy of the old descriptor.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import select
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TextIO

log = logging.getLogger(__name__)

_ROOM = 1024 * 1024
"""Bytes that a library may write at once while the thread has no turn (it may hold Python's lock); more is dropped."""
_READ_BYTES = 64 * 1024
_TOGETHER_S = 0.2
_AT_MOST_S = 1.0
_KEPT = 4096
"""Bytes of the last piece that are kept for words that come in two pieces."""

_RUST_PLACE = re.compile(rb"panicked at (?:'[^\n]{0,4000}', )?([A-Za-z0-9_./+-]{1,160}\.rs:\d{1,6}:\d{1,6})")
_STATUS = re.compile(rb"\b(CU(?:BLAS|DNN|SPARSE|SOLVER|FFT)_STATUS_[A-Z_]{3,40}|CUDA_ERROR_[A-Z_]{3,48})\b")
_KNOWN = (
    "an illegal memory access was encountered", "an illegal instruction was encountered", "misaligned address",
    "device-side assert triggered", "unspecified launch failure", "the launch timed out and was terminated",
    "uncorrectable ECC error encountered", "no kernel image is available for execution on the device",
    "invalid device ordinal", "initialization error", "invalid configuration argument", "CUDA error: out of memory",
    "CUDA driver version is insufficient for CUDA runtime version", "no CUDA-capable device is detected",
    "double free or corruption", "corrupted size vs. prev_size", "corrupted double-linked list",
    "malloc(): corrupted top size", "malloc(): invalid size", "malloc(): unaligned tcache chunk detected",
    "malloc(): unsorted double linked list corrupted", "malloc(): mismatching next->prev_size", "malloc(): memory",
    "free(): invalid pointer", "free(): invalid size", "free(): double free detected", "free(): corrupted unsorted",
    "realloc(): invalid pointer", "realloc(): invalid next size", "munmap_chunk(): invalid pointer",
    "stack smashing detected", "buffer overflow detected", "terminate called", "std::bad_alloc", "pure virtual method",
    "Fatal Python error", "OMP: Error", "Assertion", "error while loading shared libraries",
)  # fmt: skip

_log_descriptor = 2


def descriptor() -> int:
    """Where our own log and that of a process of ours belongs: the old descriptor 2, wherever 2 leads by now."""
    return _log_descriptor


def keep_own() -> TextIO:
    """Have Python's stderr write to a copy of descriptor 2 from now on, which ``withhold`` leaves alone.

    Call it before anything keeps hold of ``sys.stderr``. Returns that stream.
    """
    global _log_descriptor
    _log_descriptor = os.dup(2)
    own = os.fdopen(
        os.dup(_log_descriptor), "w", encoding=getattr(sys.stderr, "encoding", None) or "utf-8",
        errors="backslashreplace", newline="\n", buffering=1,
    )  # fmt: skip
    sys.stderr = sys.__stderr__ = own  # type: ignore[misc]
    return own


def withhold(*descriptors: int) -> None:
    """From now on nothing of what is written to these descriptors (2, if none is named) gets anywhere.

    What was withheld is told in the log. For good; after ``keep_own``.
    """
    pipe = _into_pipe(descriptors or (2,))
    threading.Thread(target=_read, args=(pipe, _tell), name="native-output", daemon=True).start()


@contextlib.contextmanager
def withheld() -> Iterator[None]:
    """The same for a time, for a process with a terminal: told on stderr at the end, if there was any."""
    global _log_descriptor
    before, before_own, number = sys.stderr, sys.__stderr__, _log_descriptor
    counted: list[tuple[int, list[str]]] = []
    own = keep_own()
    saved = _log_descriptor
    pipe = _into_pipe((2,))
    reader = threading.Thread(
        target=_read, args=(pipe, lambda *told: counted.append(told)), name="native-output", daemon=True
    )
    reader.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            own.close()
        os.dup2(saved, 2)  # the last writing end of the pipe is gone, unless a child has one
        sys.stderr, sys.__stderr__ = before, before_own  # type: ignore[misc]
        _log_descriptor = number
        os.close(saved)
        reader.join(_AT_MOST_S)
        total = sum(size for size, _ in counted)
        if total:
            words = sorted({word for _, found in counted for word in found})
            with contextlib.suppress(OSError, ValueError):
                print(_at_the_end(total, words), file=sys.stderr)


def sentence(size: int, words: list[str]) -> str:
    """One line on so many bytes, with what is known of them."""
    return f"a native library wrote {size} bytes (withheld)" + (": " + ", ".join(words) if words else "")


def _at_the_end(size: int, words: list[str]) -> str:
    """The same in the person's language."""
    from medgemma_tui.i18n import ngettext

    told = ngettext(
        "A system library wrote {n} byte to the terminal, which was withheld.",
        "A system library wrote {n} bytes to the terminal, which were withheld.",
        size,
    ).format(n=size)
    return " ".join([told, *words])


def known(data: bytes) -> list[str]:
    """What may be told of this output: places in Rust code, names of states of CUDA, and fixed phrases."""
    places = [f"panicked at {place.decode()}" for place in _RUST_PLACE.findall(data)]
    states = [state.decode() for state in _STATUS.findall(data)]
    phrases = [phrase for phrase in _KNOWN if phrase.encode() in data]
    return sorted({*places, *states, *phrases})


def _into_pipe(descriptors: tuple[int, ...]) -> int:
    """Make these the writing end of a new pipe; returns its reading end."""
    reading, writing = os.pipe()
    with contextlib.suppress(OSError):
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _ROOM)
    os.set_blocking(writing, False)  # full: dropped. A library that waited for us, with Python's lock, would for ever
    for number in descriptors:
        os.dup2(writing, number, inheritable=True)
    os.close(writing)
    return reading


def _read(pipe: int, tell: Callable[[int, list[str]], object]) -> None:
    """Until all writers are gone: tell of what came together, at most once a second."""
    with os.fdopen(pipe, "rb", buffering=0):
        while data := os.read(pipe, _READ_BYTES):
            size, words, tail = len(data), set(known(data)), data[-_KEPT:]
            waited = 0.0
            while waited < _AT_MOST_S and select.select([pipe], [], [], _TOGETHER_S)[0]:
                more = os.read(pipe, _READ_BYTES)
                if not more:
                    break
                size += len(more)
                words.update(known(tail + more))
                tail = (tail + more)[-_KEPT:]
                waited += 0.01  # a flood is told in a hundred pieces
            tell(size, sorted(words))


def _tell(size: int, words: list[str]) -> None:
    log.warning("%s", sentence(size, words))

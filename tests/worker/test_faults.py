"""How running out of memory is told apart from everything else."""

from __future__ import annotations

import errno

import pytest

from medgemma_tui.worker.faults import OutOfMemory, is_out_of_memory, typed_out_of_memory


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


NO_MEMORY = [
    MemoryError(),
    OutOfMemoryError("no room"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("unable to mmap 8 bytes from file <model.safetensors>: Cannot allocate memory (12)"),
]
OTHERS = [
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("The tensor has a non-zero number of elements, but its data is not allocated yet."),
    ValueError("out of memory"),  # what somebody typed, perhaps
    FileNotFoundError(errno.ENOENT, "No such file"),
]


@pytest.mark.parametrize("error", NO_MEMORY, ids=repr)
def test_out_of_memory(error):
    assert is_out_of_memory(error)
    with pytest.raises(OutOfMemory, match="GPU"), typed_out_of_memory("cuda"):
        raise error


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_other_errors_stay_what_they_are(error):
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)) as caught, typed_out_of_memory("cuda"):
        raise error
    assert caught.value is error


def test_torch_tells_it_so():
    """By an allocation that no machine can make."""
    torch = pytest.importorskip("torch")
    assert issubclass(torch.OutOfMemoryError, RuntimeError)
    assert is_out_of_memory(torch.OutOfMemoryError("no room"))
    with pytest.raises(OutOfMemory, match="host"), typed_out_of_memory("cpu"):
        torch.empty(2**55)

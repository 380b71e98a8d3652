"""Which errors mean that memory ran out: real ones where this machine can raise them."""

import errno
import sys

import numpy as np
import pytest
import torch
from ray.exceptions import OutOfMemoryError

from trainables.errors import first_line, is_out_of_memory

MORE_THAN_ANY_MACHINE_HAS = 1 << 55


def raised(call):
    with pytest.raises(Exception) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(
    "call",
    [
        lambda: torch.empty(MORE_THAN_ANY_MACHINE_HAS),
        lambda: np.empty(MORE_THAN_ANY_MACHINE_HAS),
        lambda: bytearray(sys.maxsize - 1),
    ],
    ids=["torch", "numpy", "python"],
)
def test_errors_of_memory_allocators_count_as_out_of_memory(call):
    assert is_out_of_memory(raised(call))


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("1 worker(s) were killed due to the node running low on memory."),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: not enough memory: you tried"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_ray_cuda_and_the_host_count_as_out_of_memory(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        None,
        ValueError("not enough memory"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        OSError(errno.ENOSPC, "No space left on device"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_are_not_taken_for_out_of_memory(error):
    assert not is_out_of_memory(error)


def test_a_first_line_that_ends_at_a_colon_goes_on_with_the_next():
    narrow, wide = torch.nn.Linear(2, 1).state_dict(), torch.nn.Linear(3, 1)
    error = raised(lambda: wide.load_state_dict(narrow))
    assert str(error).splitlines()[0].endswith(":")
    assert first_line(error).startswith("Error(s) in loading state_dict for Linear: size mismatch for weight")
    assert first_line(ValueError("boom\nand more")) == "boom"
    assert first_line(ValueError("only:")) == "only:"
    assert first_line(ValueError()) == ""

"""What the machine offers: looked at in one place, and handed to what decides by it."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Machine:
    """The machine that the process runs on; a test states another by overriding what is looked at here.

    Each thing is looked at when it is first asked for: for most of them torch is imported.
    """

    @cached_property
    def cores(self) -> int:
        """CPU cores that this process may use."""
        return len(os.sched_getaffinity(0))

    @cached_property
    def gpus(self) -> int:
        """CUDA devices that this process may use."""
        import torch

        return torch.cuda.device_count()

    def killed_for_memory(self) -> int:
        """Return how many processes Linux has ended for want of memory, in this container or else on this machine."""
        found = [0]
        for path in ("/sys/fs/cgroup/memory.events", "/proc/vmstat"):
            with suppress(OSError):
                words = (line.split() for line in Path(path).read_text().splitlines())
                found += [int(count) for name, count in words if name == "oom_kill"]
        return max(found)

    def multiplies_bf16(self, device: torch.device) -> bool:
        """Say whether the device multiplies bfloat16 in hardware; an emulated product is slower than fp32."""
        import torch

        if device.type == "cuda":
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        if device.type == "cpu":
            return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported() and torch.cpu._is_avx512_bf16_supported())
        return False


THIS_MACHINE = Machine()
"""What is asked where nobody names another."""

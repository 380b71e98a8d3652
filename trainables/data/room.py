"""How much memory is free, and sizes in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

GROUP = Path("/sys/fs/cgroup")
"""Where a container's limit stands (cgroup v2); elsewhere there is none."""


def free_memory() -> int:
    """Return how many bytes can still be taken: of the machine, or of the container if that has fewer."""
    import psutil

    free = int(psutil.virtual_memory().available)
    try:
        most, used = (int((GROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        facts = dict(line.split() for line in (GROUP / "memory.stat").read_text().splitlines())
        return min(free, max(0, most - used + int(facts["inactive_file"])))  # the kernel gives up files' pages
    except (OSError, ValueError, KeyError):  # no cgroup, or no limit, which reads "max"
        return free


@dataclass(frozen=True)
class MemoryLimit:
    """How much memory examples may take.

    Attributes:
        size: in bytes.
        named: whether the user named it; else it is half of what is free.
    """

    size: int
    named: bool

    @classmethod
    def of(cls, memory_mb: int | None) -> Self:
        """Return the limit of so many MiB, or half of the memory that is free now."""
        return cls(free_memory() // 2, False) if memory_mb is None else cls(memory_mb << 20, True)

    def exceeded_by(self, size: int) -> bool:
        """Say whether so many bytes are more."""
        return size > self.size

    def __str__(self) -> str:
        if self.named and not self.size:
            return "--memory-mb 0"
        return f"the {gib(self.size)} of --memory-mb" if self.named else f"half of the free memory ({gib(self.size)})"


def gib(size: int) -> str:
    """Return a number of bytes in words: ``2.0 GiB``."""
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 / 10 else f"{size / 2**20:,.1f} MiB"

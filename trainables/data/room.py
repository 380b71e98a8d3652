"""How much memory is free, and sizes in words."""

from __future__ import annotations

from pathlib import Path

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


def gib(size: int) -> str:
    """Return a number of bytes in words: ``2.0 GiB``."""
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 / 10 else f"{size / 2**20:,.1f} MiB"

"""What the figures were measured on. Prints JSON; a process of its own, so that the caller holds no GPU."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.torch_trial import say

FIELDS = "driver_version,pstate,clocks.sm,utilization.gpu,memory.used"


def describe(device: str) -> dict[str, Any]:
    """Return hardware and versions, for ``cuda`` with the GPU's, its driver's and what else runs on it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found: dict[str, Any] = {
        "device": device,
        "cpu": _cpu(),
        "cores": cores,
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda_available": torch.cuda.is_available(),
        "commit": _said("git", "rev-parse", "--short", "HEAD"),
    }
    if device == "cuda" and torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        found |= {
            "gpu": properties.name,
            "gpu_memory_gib": round(properties.total_memory / 2**30),
            "capability": f"{properties.major}.{properties.minor}",
            "gpus": torch.cuda.device_count(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "nvidia_smi": _said("nvidia-smi", f"--query-gpu={FIELDS}", "--format=csv,noheader"),
        }
    return found


def sentence(found: dict[str, Any]) -> str:
    """Say it in one line."""
    gpu = ""
    if "gpu" in found:
        gpu = (
            f"{found['gpu']}, {found['gpu_memory_gib']} GiB, CUDA {found['cuda']}, cuDNN {found['cudnn']}; "
            f"nvidia-smi ({FIELDS}): {found['nvidia_smi']}; "
        )
    return (
        f"{gpu}{found['cpu']}, {found['cores']} cores, load average {found['load_average']}; "
        f"Python {found['python']}, torch {found['torch']}, lanewise {found['commit']}"
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


def _said(*command: str) -> str:
    """Return what a command printed, or that it told nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return "; ".join(done.stdout.split("\n")).strip("; ")


if __name__ == "__main__":
    say(**describe(sys.argv[1]))

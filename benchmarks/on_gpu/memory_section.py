"""The section about memory: what a lane takes, for each model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.on_gpu.figures import Section
from benchmarks.on_gpu.processes import run_scripts
from benchmarks.on_gpu.workload import Workload

HEADER = ("model", "N", "MiB at N lanes", "MiB at 2N lanes", "MiB a lane", "reserved MiB at N", "reserved MiB at 2N")


def memory(works: Mapping[str, Workload], folder: Path, device: str, *, limit_s: float) -> Section:
    """Measure the peak at half of each model's lanes and at all of them, in one process a model."""
    started = time.perf_counter()
    rows, errors, raw = [], [], {}
    for i, (name, work) in enumerate(works.items()):
        left = max(0.0, limit_s - (time.perf_counter() - started)) / (len(works) - i)
        half = max(1, work.lanes // 2)
        script = ("benchmarks.on_gpu.memory", "--data", str(folder / name), "--model", work.model)
        ended = run_scripts([(*script, "--lanes", str(half), "--device", device)], limit_s=left)
        raw[name] = ended.lines
        if ended.error is not None:
            errors.append(f"{name}: {ended.error}")
            continue
        peak, reserved = ended.values("peak_mib"), ended.values("reserved_mib")
        each = f"{(peak[1] - peak[0]) / half:.2f}"
        rows.append([name, str(half), *(f"{p:.0f}" for p in peak), each, *([f"{r:.0f}" for r in reserved] or ["", ""])])
    note = "The most that torch's allocator had given out in two epochs, the data within; reserved: graphs' pools too."
    if device != "cuda":
        note = "The process's peak, which no second worker lowers; of a GPU's memory it says nothing."
    return Section(
        f"Memory a lane, {device}", HEADER, rows, [f"{note} One run each."], errors, raw, time.perf_counter() - started
    )

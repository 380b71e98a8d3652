"""A user's models in lanes: in turn on one core, side by side with a core each, stacked.

Digits are the real ones; for 28x28 pixels random numbers of MNIST's shape stand in, which cost the same. All sides of a
model take turns, so that a slow minute of the machine touches all alike.

    python -m benchmarks.module_lanes
    python -m benchmarks.module_lanes --models residual_mlp --repetitions 5
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time

import torch

from benchmarks.conv_lanes import advance, examples
from benchmarks.harness import machine_to_itself, spread
from benchmarks.lane_engine import Side, take_turns
from benchmarks.process import progress
from benchmarks.record import add_results, shown_command, table, write_section
from trainables.device_data import DeviceData
from trainables.lanes import LaneWorker
from trainables.lanes.threads import usual_threads
from trainables.user_model import ModelTrainable

RUNS = ("",)
"""What ``python -m benchmarks --all`` runs."""

CPU = torch.device("cpu")
MODELS = {
    "norm_mlp": "digits",
    "residual_mlp": "digits",
    "Transformer": "digits",
    "Lstm": "digits",
    "cnn": "digits",
    "cnn, 28x28": "28x28",
}
MODES = {"in turn": ("looped", 1), "side by side": ("looped", None), "stacked": ("stacked", None)}


def data_of(kind: str) -> DeviceData:
    """Return images of 8x8 or 28x28 pixels."""
    found = examples(kind, CPU)
    x, val = (t.reshape(len(t), 1, 8, 8) if t.ndim == 2 else t for t in (found.x_train, found.x_val))
    return DeviceData(x, found.y_train, val, found.y_val, found.outputs)


def workers_of(name: str, lanes: int) -> dict[str, LaneWorker]:
    """Return a worker for each mode, all lanes seated with trials whose dropout and rates differ."""
    trainable = ModelTrainable(f"benchmarks.module_models:{name.partition(',')[0]}")
    data = data_of(MODELS[name])
    workers = {}
    for label, (mode, threads) in MODES.items():
        worker = LaneWorker(
            data, device=CPU, lanes=lanes, mode=mode, start=trainable.start, threads=threads, modules=trainable
        )
        for number in range(lanes):
            params = {"dropout": 0.1 + 0.02 * number, "learning_rate": 1e-3 * (1 + number % 5), "batch_size": 64}
            worker.seat(number, trainable.configure(params, max_epochs=10**6), seed=number)
        workers[label] = worker
    return workers


def cpu_seconds(worker: LaneWorker) -> float:
    """Return the CPU time of an epoch of all lanes."""
    began = time.process_time()
    advance(worker)()
    return time.process_time() - began


def measure(name: str, lanes: int, repetitions: int) -> tuple[dict[Side, list[float]], dict[str, float]]:
    """Return ms of an epoch of a trial for each mode, and its CPU time."""
    workers = workers_of(name, lanes)
    sides: dict[Side, object] = {(label, lanes): advance(worker) for label, worker in workers.items()}
    with machine_to_itself():
        found = take_turns(sides, repetitions)  # type: ignore[arg-type]
        cpu = {label: min(cpu_seconds(w) for _ in range(3)) / lanes * 1e3 for label, w in workers.items()}
    for worker in workers.values():
        worker.close()
    return found, cpu


def main() -> int:
    """Measure, write the section; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.module_lanes", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--lanes", type=int, default=16)
    parser.add_argument("--repetitions", type=int, default=7)
    add_results(parser)
    arguments = parser.parse_args()
    before = os.getloadavg()[0]
    rows = []
    for name in arguments.models:
        found, cpu = measure(name, arguments.lanes, arguments.repetitions)
        progress(f"{name}: done")
        base = statistics.median(found["in turn", arguments.lanes])
        for label in MODES:
            times = found[label, arguments.lanes]
            ratio = f"{base / statistics.median(times):.2f}"
            rows.append([name, MODELS[name], label, spread(times), f"{cpu[label]:.1f}", ratio])
    body = "\n\n".join(
        [
            f"Milliseconds of an epoch of a trial, {arguments.lanes} lanes, batches of 64, {usual_threads(CPU)} "
            f"threads (in turn: one); median (least - most) of {arguments.repetitions}, and the CPU time of all.",
            table(["model", "images", "mode", "ms", "CPU ms", "in turn / this"], rows),
            f"Load average before and after: {before:.2f}, {os.getloadavg()[0]:.2f}.",
        ]
    )
    write_section("module_lanes", shown_command("benchmarks.module_lanes"), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())

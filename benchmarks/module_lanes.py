"""A user's models in lanes: in turn on one core, side by side with a core each, stacked.

Then two models of Lanewise's own: what their hand-written stacks cost, and the general one of the same layers.

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
from collections.abc import Mapping

import torch

from benchmarks.conv_lanes import advance, examples
from benchmarks.harness import machine_to_itself, spread
from benchmarks.lane_engine import Side, take_turns
from benchmarks.process import progress
from benchmarks.record import add_results, shown_command, table, write_section
from trainables.config import CnnConfig, MlpConfig
from trainables.device_data import DeviceData
from trainables.lanes import LaneWorker
from trainables.lanes.modules.source import ModuleSource
from trainables.lanes.threads import usual_threads
from trainables.user_model import ModelTrainable

RUNS = ("",)
"""What ``python -m benchmarks --all`` runs."""

CPU = torch.device("cpu")
MODELS = {
    "norm_mlp": "digits",
    "residual_mlp": "digits",
    "wide_residual_mlp": "digits",
    "Transformer": "digits",
    "Lstm": "digits",
    "cnn": "digits",
    "cnn, 28x28": "28x28",
}
TWINS: dict[str, type[MlpConfig]] = {"plain_mlp": MlpConfig, "plain_cnn": CnnConfig}
"""Models that are written out in ``module_models`` as Lanewise's own are built."""

OURS: dict[str, dict[str, object]] = {
    "plain_mlp": {"hidden": (64, 64)},
    "plain_cnn": {"hidden": (), "channels": (16, 32), "batch_norm": True},
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
            data,
            device=CPU,
            lanes=lanes,
            mode=mode,
            start=trainable.start,
            threads=threads,
            modules=ModuleSource(trainable),
        )
        for number in range(lanes):
            worker.seat(number, trainable.configure(settings(number), max_epochs=10**6), seed=number)
        workers[label] = worker
    return workers


def settings(number: int) -> dict[str, float]:
    """Return what a trial has of its own."""
    return {"dropout": 0.1 + 0.02 * number, "learning_rate": 1e-3 * (1 + number % 5), "batch_size": 64}


def twins_of(name: str, lanes: int) -> dict[str, LaneWorker]:
    """Return a worker with the stack that is written by hand, and one with that of any module."""
    trainable = ModelTrainable(f"benchmarks.module_models:{name}")
    kind, data = TWINS[name], data_of("digits")
    facts = {"device": CPU, "lanes": lanes, "mode": "stacked"}
    by_hand = LaneWorker(data, **facts)  # type: ignore[arg-type]
    general = LaneWorker(data, start=trainable.start, modules=ModuleSource(trainable), **facts)  # type: ignore[arg-type]
    for number in range(lanes):
        params = settings(number)
        by_hand.seat(number, kind.from_params({**params, **OURS[name]}, max_epochs=10**6), seed=number)
        general.seat(number, trainable.configure(params, max_epochs=10**6), seed=number)
    return {"by hand": by_hand, "general": general}


def cpu_seconds(worker: LaneWorker) -> float:
    """Return the CPU time of an epoch of all lanes."""
    began = time.process_time()
    advance(worker)()
    return time.process_time() - began


def measure(
    workers: Mapping[str, LaneWorker], lanes: int, repetitions: int
) -> tuple[dict[Side, list[float]], dict[str, float]]:
    """Return ms of an epoch of a trial for each worker, and its CPU time; end them."""
    sides: dict[Side, object] = {(label, lanes): advance(worker) for label, worker in workers.items()}
    with machine_to_itself():
        found = take_turns(sides, repetitions)  # type: ignore[arg-type]
        cpu = {label: min(cpu_seconds(w) for _ in range(3)) / lanes * 1e3 for label, w in workers.items()}
    for worker in workers.values():
        worker.close()
    return found, cpu


def within_pairs(a: list[float], b: list[float]) -> str:
    """Return the median of what ``a`` is of ``b``, round by round."""
    return f"{statistics.median(x / y for x, y in zip(a, b, strict=True)):.2f}"


def main() -> int:
    """Measure, write the section; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.module_lanes", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--lanes", type=int, default=16)
    parser.add_argument("--repetitions", type=int, default=7)
    add_results(parser)
    arguments = parser.parse_args()
    before = os.getloadavg()[0]
    rows, twins = [], []
    for name in arguments.models:
        found, cpu = measure(workers_of(name, arguments.lanes), arguments.lanes, arguments.repetitions)
        progress(f"{name}: done")
        for label in MODES:
            ratio = within_pairs(found["in turn", arguments.lanes], found[label, arguments.lanes])
            spent = [spread(found[label, arguments.lanes]), f"{cpu[label]:.1f}", ratio]
            rows.append([name, MODELS[name], label, *spent])
    for name in TWINS:
        found, cpu = measure(twins_of(name, arguments.lanes), arguments.lanes, arguments.repetitions)
        progress(f"{name}: done")
        by_hand, general = found["by hand", arguments.lanes], found["general", arguments.lanes]
        twins.append([name, spread(by_hand), spread(general), within_pairs(general, by_hand)])
    body = "\n\n".join(
        [
            f"Milliseconds of an epoch of a trial, {arguments.lanes} lanes, batches of 64, {usual_threads(CPU)} "
            f"threads (in turn: one); median (least - most) of {arguments.repetitions}, the CPU time of all, and the "
            "median of the ratios within rounds.",
            table(["model", "images", "mode", "ms", "CPU ms", "in turn / this"], rows),
            "The same model of the same layers on digits, stacked by code that is written for it, and as any module.",
            table(["model", "by hand, ms", "general, ms", "general / by hand"], twins),
            f"Load average before and after: {before:.2f}, {os.getloadavg()[0]:.2f}.",
        ]
    )
    write_section("module_lanes", shown_command("benchmarks.module_lanes"), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())

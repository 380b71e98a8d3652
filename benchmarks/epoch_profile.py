"""Where an epoch of a long search in lanes goes: the part of each of its functions, the driver's beside the lanes'."""

from __future__ import annotations

import argparse
import functools
import importlib
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import spread
from benchmarks.record import add_results, shown_command, table, write_section

RUNS = ("",)
"""What ``python -m benchmarks --all`` runs."""

LANES = "lanes"
DRIVER = "driver"

PARTS: tuple[tuple[str, str, str, str], ...] = (
    (LANES, "order of the examples, their labels and rows", "trainables.lanes.feed", "Feed.epoch"),
    (LANES, "random bits for dropout", "trainables.lanes.bits", "Bits.epoch"),
    (LANES, "gathering a batch's inputs", "trainables.lanes.mlp", "TrainingBuffers.load"),
    (LANES, "matrix products", "trainables.lanes.products", "Fp32Products.affine"),
    (LANES, "matrix products", "trainables.lanes.products", "Fp32Products.product"),
    (LANES, "batch norm", "trainables.lanes.batch_norm", "LaneBatchNorm.forward"),
    (LANES, "batch norm", "trainables.lanes.batch_norm", "LaneBatchNorm.backward"),
    (LANES, "the loss and its gradient", "trainables.lanes.losses", "CrossEntropy.gradients"),
    (LANES, "activation, dropout, biases: element by element", "trainables.lanes.mlp", "MlpNetwork.gradients"),
    (LANES, "the optimiser", "trainables.lanes.updates", "FusedAdamW.prepare"),
    (LANES, "the optimiser", "trainables.lanes.updates", "FusedAdamW.step"),
    (LANES, "the optimiser", "trainables.lanes.updates", "StackedSgd.prepare"),
    (LANES, "the optimiser", "trainables.lanes.updates", "StackedSgd.step"),
    (LANES, "validation, its products aside", "trainables.lanes.stack", "Stack._validate"),
    (LANES, "what else a stack does", "trainables.lanes.stack", "Stack.advance"),
    (DRIVER, "seating: lanes, stacks, initial weights", "search.executors.lane_host", "LaneHost._seat"),
    (DRIVER, "seating: lanes, stacks, initial weights", "trainables.lanes.stacked", "Group.place"),
    (DRIVER, "remembering the best models", "trainables.best", "BestModels.observe"),
    (DRIVER, "writing best models and checkpoints", "search.executors.local_pool", "LocalPool.write_best"),
    (DRIVER, "proposing", "search.brain.sampler", "OptunaSampler.ask"),
    (DRIVER, "telling the sampler", "search.brain.sampler", "OptunaSampler.tell"),
    (DRIVER, "deciding and recording", "search.executors.control_loop", "ControlLoop._tell"),
    (DRIVER, "the ledger's transactions", "search.executors.recorder", "Recorder.flush"),
    (DRIVER, "the ledger's transactions", "search.executors.recorder", "Recorder.tick"),
    (DRIVER, "waiting for the stacks (they train meanwhile)", "trainables.lanes.stacked", "StackedLanes.advance"),
    (DRIVER, "what else the driver does", "search.executors.control_loop", "ControlLoop.run"),
)
"""Whose thread, what it is called in the table, the module, and the function of one of its classes."""


class Clock:
    """Sums the seconds of functions, those of the measured functions that they call left out."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)
        self._within = threading.local()

    @contextmanager
    def part(self, key: tuple[str, str]) -> Iterator[None]:
        """Count what is done meanwhile to ``key``."""
        inner: list[float] = self._within.__dict__.setdefault("inner", [])
        inner.append(0.0)
        began = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - began
            self.seconds[key] += took - inner.pop()
            if inner:
                inner[-1] += took

    def timed(self, function: Callable[..., Any], key: tuple[str, str]) -> Callable[..., Any]:
        """Return ``function`` with its seconds counted; those between the items of a generator are its caller's."""

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.part(key):
                result = function(*args, **kwargs)
            return self._items(result, key) if hasattr(result, "__next__") else result

        return call

    def _items(self, items: Iterator[Any], key: tuple[str, str]) -> Iterator[Any]:
        over = object()
        while True:
            with self.part(key):
                item = next(items, over)
            if item is over:
                return
            yield item


@contextmanager
def measured(clock: Clock) -> Iterator[None]:
    """Have ``clock`` count every function of ``PARTS``."""
    before = []
    for where, label, module, path in PARTS:
        name, attribute = path.split(".")
        owner = getattr(importlib.import_module(module), name)
        before.append((owner, attribute, owner.__dict__[attribute]))
        setattr(owner, attribute, clock.timed(owner.__dict__[attribute], (where, label)))
    try:
        yield
    finally:
        for owner, attribute, function in before:
            setattr(owner, attribute, function)


def search(arguments: argparse.Namespace, seed: int, home: Path) -> tuple[float, int]:
    """Search digits in lanes without MLflow; return the seconds of searching and the epochs trained."""
    from search import declare
    from search.drive.engine import conduct
    from search.drive.examples import load_data
    from search.face.live_view import Silent

    study = declare(
        "regularization",
        name="bench",
        seed=seed,
        budget={"trials": arguments.trials, "max_epochs": arguments.epochs},
        sampler=arguments.sampler,
        confirm={"pairs": 0},
        executor="lanes",
        tracking={"enabled": False},
    )
    result = conduct(study, home, load_data, view=Silent())
    return result.search_s, result.answer.epochs_trained


def main() -> int:
    """Measure, write the section; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.epoch_profile", description=__doc__)
    parser.add_argument("--trials", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=30, help="at most, of each trial")
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--pairs", type=int, default=5, help="searches measured part by part, and as many as they are")
    add_results(parser)
    arguments = parser.parse_args()
    bare, whole = [], []
    parts: dict[tuple[str, str], list[float]] = {(where, label): [] for where, label, *_ in PARTS}
    for seed in range(arguments.pairs):
        clock = Clock()
        with tempfile.TemporaryDirectory(prefix="lanewise-bench-") as home:
            seconds, epochs = search(arguments, seed, Path(home) / "bare")
            bare.append(1000 * seconds / epochs)
            with measured(clock):
                seconds, epochs = search(arguments, seed, Path(home) / "timed")
            whole.append(1000 * seconds / epochs)
        for key, values in parts.items():
            values.append(1000 * clock.seconds[key] / epochs)
        print(f"round {seed + 1}: {bare[-1]:.2f} ms an epoch, {whole[-1]:.2f} with clocks")
    totals = {
        where: sum(statistics.median(v) for key, v in parts.items() if key[0] == where) for where in (DRIVER, LANES)
    }
    rows = [
        [where, label, spread(values, 3), f"{100 * statistics.median(values) / totals[where]:.0f}%"]
        for (where, label), values in sorted(parts.items(), key=lambda part: (part[0][0], -statistics.median(part[1])))
        if max(values)
    ]
    body = "\n\n".join(
        [
            f"{arguments.trials} trials of at most {arguments.epochs} epochs on digits, sampler {arguments.sampler}, "
            "ASHA, no MLflow, ledger on SQLite; one search as it is and one with clocks a round.",
            f"Wall ms of search an epoch: {spread(bare)}; with the clocks {spread(whole)}.",
            "Milliseconds by an epoch of one trial, what a part calls of the other parts left out. The lanes' threads "
            "train side by side, one a core, so theirs are summed over all; the driver's are of its one thread.",
            table(["whose", "part", "ms an epoch", "share"], rows),
        ]
    )
    write_section("epoch_profile", shown_command("benchmarks.epoch_profile"), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Whether tpe, which looks at part of a long history, finds what Optuna's own finds: paired seeds, a 95% interval."""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from benchmarks.quality import interval, judgement
from benchmarks.record import add_results, shown_command, table, write_section
from search.brain.sampler import OptunaSampler
from search.declaration.studies import find
from search.declaration.study import Study
from search.ledger.outcome import Outcome, StopReason
from spaces import Point, Space, float_
from trainables.report import EpochReport

SAMPLERS = ("tpe", "optuna_tpe")
AT_ONCE = 32
NEIGHBOURS = 4

HARTMANN = (
    ((10, 3, 17, 3.5, 1.7, 8), (1312, 1696, 5569, 124, 8283, 5886), 1.0),
    ((0.05, 10, 17, 0.1, 8, 14), (2329, 4135, 8307, 3736, 1004, 9991), 1.2),
    ((3, 3.5, 1.7, 10, 17, 8), (2348, 1451, 3522, 2883, 3047, 6650), 3.0),
    ((17, 8, 0.05, 10, 0.1, 14), (4047, 8828, 8732, 5743, 1091, 381), 3.2),
)
"""Widths, centres (in 1/10,000) and depths of the four minima of the Hartmann function of six dimensions."""


@dataclass(frozen=True)
class Task:
    """A loss that costs nothing, lower is better, over a space."""

    name: str
    space: Space
    loss: Callable[[Point], float]


def hartmann() -> Task:
    """Return the Hartmann function (Dixon and Szegoe 1978), its minimum at 0: continuous, without conditions."""
    space = Space(tuple(float_(f"x{i}", 0.0, 1.0, baseline=0.5) for i in range(6)))

    def loss(params: Point) -> float:
        x = [float(params[name]) for name in space.names]
        terms = (
            depth * math.exp(-sum(w * (xi - c / 1e4) ** 2 for w, xi, c in zip(widths, x, centres, strict=True)))
            for widths, centres, depth in HARTMANN
        )
        return 3.32237 - sum(terms)

    return Task("hartmann6", space, loss)


def bowl() -> Task:
    """Return a sum over the parameters in use of their squared distance to a point: the space has conditions."""
    space = find("regularization").space
    best = np.random.default_rng(0).random(len(in_unit_cube(space, {})))

    def loss(params: Point) -> float:
        return float(((in_unit_cube(space, params) - best) ** 2).sum())

    return Task("bowl over regularization", space, loss)


def recorded(file: Path) -> list[Task]:
    """Return the tasks of a file of recorded curves: ``names``, and of each ``curves``, ``params`` and ``space``.

    A configuration comes to the mean rank, from 0 to 1, of the recorded ones that are nearest, by their best epoch.
    """
    tasks = []
    with np.load(file, allow_pickle=False) as arrays:
        for name in map(str, arrays["names"]):
            space = Space.from_dict(json.loads(str(arrays[f"{name}/space"])))
            rows = arrays[f"{name}/params"]
            points = [json.loads(r) if rows.dtype.kind == "U" else dict(zip(space.names, r, strict=True)) for r in rows]
            curves = arrays[f"{name}/curves"]
            best = np.where(np.isfinite(curves), curves, np.inf).min(axis=1)
            ranks = np.argsort(np.argsort(best)) / len(best)
            known = np.array([in_unit_cube(space, point) for point in points])
            tasks.append(Task(f"{file.stem} {name}", space, nearest_rank(space, known, ranks)))
    return tasks


def nearest_rank(space: Space, known: np.ndarray, ranks: np.ndarray) -> Callable[[Point], float]:
    """Return a loss: the ranks [known] of the nearest of ``known`` [known, dimensions], weighted by their distance."""

    def loss(params: Point) -> float:
        squares = ((known - in_unit_cube(space, params)) ** 2).sum(axis=1)
        near = np.argpartition(squares, NEIGHBOURS)[:NEIGHBOURS]
        weights = 1 / (squares[near] + 1e-4)  # a recorded point itself weighs 10,000
        return float((weights * ranks[near]).sum() / weights.sum())

    return loss


def in_unit_cube(space: Space, params: Point) -> np.ndarray:
    """Return a point with every number in [0, 1], a choice as 0 and 1, and what is not in use in the middle."""
    coordinates: list[float] = []
    for p in space:
        d = p.distribution
        if isinstance(d, CategoricalDistribution):
            coordinates += [float(p.name in params and params[p.name] == choice) for choice in d.choices]
        elif p.name not in params:
            coordinates.append(0.5)
        elif isinstance(d, FloatDistribution | IntDistribution):
            scale: Callable[[float], float] = math.log if d.log else float
            value = max(float(params[p.name]), d.low)
            coordinates.append((scale(value) - scale(d.low)) / (scale(d.high) - scale(d.low)))
    return np.array(coordinates)


def search(task: Task, sampler: str, seed: int, trials: int) -> list[float]:
    """Return the losses of a search, ``AT_ONCE`` trials at a time, in the order in which they ended."""
    declared = {
        **find("regularization").model_dump(),
        "sampler": sampler,
        "seed": seed,
        "budget": {"trials": trials, "max_epochs": 1},
        "scheduler": {"name": "none"},
    }
    brain = OptunaSampler(Study.model_validate(declared).model_copy(update={"space": task.space}))
    running: deque[tuple[int, float]] = deque()
    losses = []
    while (order := brain.ask()) is not None or running:
        if order is not None:
            running.append((order.number, task.loss(order.params)))
        if order is None or len(running) == AT_ONCE:
            number, loss = running.popleft()
            losses.append(loss)
            metrics = {"train_loss": loss, "val_loss": loss, "val_accuracy": 0.5, "lr": 0.1}
            brain.observe(number, EpochReport(1, metrics, 0.0, None))
            brain.tell(number, Outcome(StopReason.MAX_EPOCHS))
    return losses


def compared(task: Task, seeds: int, trials: int, share: float) -> tuple[list[str], list[float]]:
    """Return a task's row of the table, and tpe's best loss minus Optuna's own, seed by seed.

    The best loss is compared after a ``share`` of the trials too: whether it was found as early.
    """
    found: dict[str, list[list[float]]] = {sampler: [] for sampler in SAMPLERS}
    for seed in range(seeds):
        for sampler in random.Random(seed).sample(SAMPLERS, len(SAMPLERS)):
            losses = search(task, sampler, seed, trials)
            found[sampler].append([min(losses), min(losses[: round(share * trials)])])
    ours, own = (found[sampler] for sampler in SAMPLERS)
    last, earlier = ([a[i] - b[i] for a, b in zip(ours, own, strict=True)] for i in (0, 1))
    best = [f"{statistics.median(values[0] for values in found[sampler]):.4f}" for sampler in SAMPLERS]
    return [task.name, *best, shown(last), shown(earlier)], last


def shown(differences: list[float]) -> str:
    """Return the mean of differences with its 95% interval."""
    low, high = interval(differences)
    return f"{statistics.mean(differences):+.4f} [{low:+.4f}, {high:+.4f}]"


def main() -> int:
    """Measure, write the section; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampler_quality", description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--curves", type=Path, nargs="*", default=[], help="files of recorded curves (.npz)")
    parser.add_argument("--tasks", type=int, default=3, help="of each file, the first so many")
    add_results(parser)
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error(f"--seeds must be >= 2 for an interval, got {arguments.seeds}")
    missing = [str(file) for file in arguments.curves if not file.is_file()]
    if missing:
        parser.error(f"--curves: no such file: {', '.join(missing)}")
    began = time.monotonic()
    tasks = [hartmann(), bowl(), *(task for file in arguments.curves for task in recorded(file)[: arguments.tasks])]
    rows, differences = [], []
    for task in tasks:
        row, last = compared(task, arguments.seeds, arguments.trials, 0.5)
        rows.append(row)
        differences.append(last)
        print(" | ".join(row), flush=True)
    mean = [statistics.mean(of_seed) for of_seed in zip(*differences, strict=True)]
    header = ["loss", "tpe, best", "optuna_tpe, best", "difference", "after half of the trials"]
    body = "\n\n".join(
        [
            f"{arguments.trials} trials, {AT_ONCE} at a time, {arguments.seeds} seeds: medians of the best loss, and "
            "the mean of tpe's minus Optuna's own with its 95% interval over paired seeds. A recorded loss is a rank, "
            "0 to 1.",
            table(header, rows),
            f"Over all, {shown(mean)}: {judgement(*interval(mean))}",
            f"It took {time.monotonic() - began:.0f} s.",
        ]
    )
    write_section("sampler_quality", shown_command("benchmarks.sampler_quality"), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())

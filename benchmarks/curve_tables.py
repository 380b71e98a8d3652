"""Recorded learning curves as a study: a trainable that reads them, and proposals that are rows of the table."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from search.brain.encoding import encode
from search.brain.optuna_samplers import suggest_params
from search.brain.optuna_study import OptunaStudy
from search.brain.sampler import OptunaSampler
from search.brain.shares import Share
from search.declaration.study import Study
from spaces import BASELINE_TRIAL, Point, Space, Value
from trainables.report import MAX_EPOCHS, PATIENCE, EpochReport

EPOCH_S = 1.0
"""What an epoch is said to have taken: as if it were dear."""


@dataclass(frozen=True, eq=False)
class Table:
    """The curves of one task; lower is better, row 0 is the baseline.

    Attributes:
        params: the configuration of each row.
        curves: NaN after a trial's own end  # [N, E].
        encoded: the configurations as the surrogate sees them  # [N, D].
    """

    space: Space
    params: list[dict[str, Value]]
    curves: NDArray[np.float64]
    encoded: NDArray[np.float64]

    def row(self, point: Point) -> int:
        """Return the row of a configuration: the nearest."""
        return int(np.argmin(((self.encoded - encode(self.space, [point])) ** 2).sum(1)))

    def regret(self, value: Any) -> Any:
        """Return 0 for the best value of the table, 1 for what its median configuration comes to."""
        best = np.nanmin(self.curves, axis=1)
        return (np.asarray(value) - best.min()) / (np.median(best) - best.min())


@functools.cache
def tasks(file: str) -> tuple[str, ...]:
    """Return the names of the tasks in a file of tables; see ``read``."""
    with np.load(file) as found:
        return tuple(str(name) for name in found["names"])


@functools.cache
def read(file: str, task: str) -> Table:
    """Return a task of an ``.npz`` that has ``TASK/space``, ``TASK/params`` and ``TASK/curves``."""
    with np.load(file) as found:
        space = Space.from_dict(json.loads(str(found[f"{task}/space"])))
        rows, curves = found[f"{task}/params"], found[f"{task}/curves"].astype(float)
    if rows.dtype.kind == "U":
        params = [json.loads(str(row)) for row in rows]
    else:
        whole = [p.is_whole for p in space]
        params = [
            {p.name: int(v) if w else float(v) for p, w, v in zip(space, whole, row, strict=True)} for row in rows
        ]
    return Table(space, params, curves, encode(space, params))


class Recorded:
    """Reads its curve from a table; named ``benchmarks.curve_tables:Recorded`` in a study."""

    stacks = True  # it can neither hang nor exit, so its lanes are in the driver's process
    loops = True
    metrics = ("train_loss", "val_loss", "val_accuracy", "lr")

    def configure(self, params: Mapping[str, Any], *, max_epochs: int) -> NDArray[np.float64]:
        """Return the curve."""
        table = read(params["file"], params["task"])
        curve = table.curves[table.row(table.space.active(params))]
        whole: NDArray[np.float64] = curve[: int(np.isfinite(curve).sum())]
        return whole

    def prepare(self, splits: Any, device: Any) -> None:
        """Need no data."""

    def start(self, config: NDArray[np.float64], data: None, *, seed: int, device: Any) -> RecordedRun:
        """Return a trial at epoch 0."""
        return RecordedRun(config)


class RecordedRun:
    """One trial: its state is its epoch."""

    def __init__(self, curve: NDArray[np.float64]) -> None:
        self._curve, self._epoch = curve, 0

    def step(self) -> EpochReport:
        """Read the next value."""
        self._epoch += 1
        value = float(self._curve[self._epoch - 1])
        ended = self._epoch == len(self._curve)
        stop = (PATIENCE if self._epoch < len(self._curve) else MAX_EPOCHS) if ended else None
        metrics = {"train_loss": value, "val_loss": value, "val_accuracy": 0.5, "lr": 0.1}
        return EpochReport(self._epoch, metrics, EPOCH_S, stop)

    def state_dict(self) -> dict[str, Any]:
        """Return the epoch."""
        return {"epoch": self._epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from an epoch."""
        self._epoch = state["epoch"]


class RowCandidates:
    """What freeze_thaw may begin: rows that were not begun yet."""

    def __init__(self, table: Table, seed: int) -> None:
        self._table = table
        self.free = np.ones(len(table.params), bool)
        self.free[0] = False
        self._order = 1 + np.random.default_rng([seed, 1]).permutation(len(table.params) - 1)

    def spread(self, index: int) -> dict[str, Value]:
        """Return one of the rows in an order of chance."""
        return self._table.params[int(self._order[index])]

    def draw(self, count: int, rng: np.random.Generator) -> list[dict[str, Value]]:
        """Return rows from anywhere."""
        free = np.flatnonzero(self.free)
        return [self._table.params[int(i)] for i in rng.choice(free, min(count, len(free)), replace=False)]

    def near(self, point: Point, count: int, rng: np.random.Generator) -> list[dict[str, Value]]:
        """Return the rows nearest to a good one."""
        apart = ((self._table.encoded - encode(self._table.space, [point])) ** 2).sum(1)
        return [self._table.params[int(i)] for i in np.argsort(np.where(self.free, apart, np.inf))[:count]]


class RowSampler(OptunaSampler):
    """The sampler, whose proposals are moved to the nearest row that no trial has; Optuna is told the row.

    Args:
        study: the declaration.
        table: of the curves.
        rows: those that no trial has.
        as_they_come: whether Optuna is shown a trial that runs as one that was pruned where it stands.
    """

    def __init__(self, study: Study, table: Table, rows: RowCandidates, *, as_they_come: bool = False) -> None:
        super().__init__(study)
        self._table, self._rows, self._as_they_come = table, rows, as_they_come
        if as_they_come:
            self._optuna = OptunaStudy(study, shows_running=True)

    def observe(self, number: int, report: EpochReport) -> None:
        """Remember an epoch, and tell Optuna of it where that is measured."""
        super().observe(number, report)
        if self._as_they_come and number in self._open:
            self.pause(number)

    def ask(self, given: Point | None = None) -> Any:
        """Return the next trial; its row is taken."""
        order = super().ask(given)
        if order is not None:
            self._rows.free[self._table.row(order.params)] = False
        return order

    def _suggest(self, number: int, share: Share | None) -> tuple[optuna.Trial, dict[str, Value]]:
        trial, params = super()._suggest(number, share)
        if number == BASELINE_TRIAL:
            return trial, params
        point = self._rows.near(params, 1, np.random.default_rng(0))[0]
        self._optuna.tell_repeat(trial, None)
        trial = self._optuna.ask(point)
        return trial, suggest_params(self._space, trial)

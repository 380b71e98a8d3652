"""What sampling, deciding and recording cost the driver: 1,000 trials of a trainable that costs nothing."""

from __future__ import annotations

import argparse
import cProfile
import pstats
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import spread
from benchmarks.record import add_results, shown_command, table, verdict, write_section
from benchmarks.sampler_cost import TARGET_MS, proposals_ms
from search.brain.sampler import OptunaSampler
from search.brain.scheduler import build_scheduler
from search.declaration.studies import find
from search.declaration.study import Study
from search.executors.control import Control
from search.executors.control_loop import ControlLoop
from search.executors.lane_host import Advance, Orders
from search.executors.pool import WorkerLost
from search.executors.recorder import Recorder
from search.executors.search import Search
from search.ledger import Ledger, LedgerWriter, StudyFacts, sqlite_url
from search.ledger.events import CheckpointNote
from trainables.data import DataSpec, load_splits
from trainables.lanes import LaneEvent
from trainables.report import MAX_EPOCHS, EpochReport

RUNS = ("--runs 5 --tpe-runs 3 --mlflow-runs 5",)
"""What ``python -m benchmarks --all`` runs."""

LANES = 32
RUN_EPOCHS = 10
"""Epochs of each trial whose run is sent to MLflow."""


class FreePool:
    """A worker whose epochs cost nothing: each seated trial reports a number drawn from its own seed."""

    def __init__(self, max_epochs: int) -> None:
        self.lanes, self.reasons, self.starting = [LANES], ["free"], ()
        self._max_epochs = max_epochs
        self._seated: dict[int, tuple[random.Random, int]] = {}
        self._orders = Orders()

    def launch(self, index: int, orders: Orders) -> None:
        """Keep the orders."""
        self._orders = orders

    def wait(self, timeout_s: float) -> tuple[int, Advance | WorkerLost] | None:
        """Report an epoch of every seated trial."""
        for number in self._orders.retire:
            del self._seated[number]
        for order in self._orders.seat:
            self._seated[order.number] = random.Random(order.seed), 0
        return 0, Advance({number: self._step(number) for number in self._seated})

    def _step(self, number: int) -> LaneEvent:
        rng, before = self._seated[number]
        epoch = before + 1
        self._seated[number] = rng, epoch
        metrics = {"train_loss": rng.random(), "val_loss": rng.random(), "val_accuracy": 0.5, "lr": 0.1}
        stop = MAX_EPOCHS if epoch >= self._max_epochs else None
        return LaneEvent(EpochReport(epoch, metrics, 0.0, stop), None)

    def grow(self) -> list[int]:
        """Start nothing."""
        return []

    def replace(self, index: int) -> None:
        """Never called."""
        raise AssertionError("never lost")

    def take_best(self, index: int, numbers: Sequence[int]) -> None:
        """Nothing to keep."""

    def write_best(self, keeps: Callable[[int], bool]) -> list[CheckpointNote]:
        """Nothing was taken."""
        return []

    def save(self, numbers: Mapping[int, list[int]]) -> list[CheckpointNote]:
        """Nothing to keep."""
        return []


@dataclass(frozen=True)
class Searched:
    """A search that ended: its ledger, its seconds, and the epochs that were reported."""

    ledger: Ledger
    seconds: float
    epochs: int


@contextmanager
def searched(
    sampler: str, trials: int, max_epochs: int, *, prune: bool = True, begun: Callable[[Ledger], None] = lambda _: None
) -> Iterator[Searched]:
    """Run one search; its ledger is gone afterwards.

    Args:
        sampler: proposes the trials.
        trials: how many.
        max_epochs: of each.
        prune: whether ASHA stops the weak ones earlier.
        begun: is given the ledger once it holds the study, before the first trial.
    """
    declared = find("regularization").model_dump()
    changes = {
        "name": "bench",
        "sampler": sampler,
        "budget": {"trials": trials, "max_epochs": max_epochs},
        "scheduler": {"name": "asha" if prune and max_epochs > 1 else "none"},
        "tracking": {"enabled": False},
    }
    study = Study.model_validate({**declared, **changes})
    with tempfile.TemporaryDirectory() as folder, Ledger(sqlite_url(Path(folder) / "l.db"), create=True) as ledger:
        facts = StudyFacts(uid="bench", versions={})
        study_id = ledger.create_study("bench", study.model_dump(mode="json"), fingerprint="", facts=facts)
        recorder = Recorder(study, LedgerWriter(ledger, study_id))
        scheduler = build_scheduler(study)
        sampler_ = OptunaSampler(study)
        splits = load_splits(DataSpec())
        begun(ledger)
        search = Search(study, splits, sampler_, scheduler, recorder, Control(), Path(folder))
        started = time.perf_counter()
        ControlLoop(search, FreePool(max_epochs)).run()
        seconds = time.perf_counter() - started
        assert len(ledger.trials(study_id)) == trials
        yield Searched(ledger, seconds, recorder.progress.epochs)


def costs_ms(sampler: str, trials: int) -> tuple[float, float]:
    """Return milliseconds a trial and milliseconds an epoch report.

    Two searches that differ in the epochs alone: t = a * trials + b * epochs.
    """
    with searched(sampler, trials, 1) as short, searched(sampler, trials, 30) as long:
        epoch_s = (long.seconds - short.seconds) / (long.epochs - short.epochs)
        return (short.seconds - epoch_s * short.epochs) / trials * 1000, epoch_s * 1000


def whole_ms(sampler: str, trials: int) -> float:
    """Return milliseconds a trial, with its epochs."""
    with searched(sampler, trials, 30) as search:
        return search.seconds / trials * 1000


def mlflow_ms(trials: int) -> float:
    """Return what the tracker, in a process beside a search, takes for a trial: its run, with ten epochs."""
    from mlflow.tracking import MlflowClient

    from search.tracking.tracker import Tracker

    with searched("random", trials, RUN_EPOCHS, prune=False) as search, tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        MlflowClient(uri).search_experiments()  # its database is made
        tracker = Tracker(search.ledger, search.ledger.study("bench"), uri, artifacts=Path(folder))
        started = time.perf_counter()
        assert tracker.update()
        return (time.perf_counter() - started) / trials * 1000


def where(trials: int) -> str:
    """Return where the driver's time goes, the ten largest of our own and others' functions."""
    profile = cProfile.Profile()
    profile.runcall(whole_ms, "random", trials)
    rows = pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]
    top = sorted(rows, key=lambda item: -item[1][2])[:10]
    total = sum(row[2] for _, row in rows)
    shown = [[f"`{Path(f).name}:{name}`", f"{row[2] / total:.0%}"] for (f, _, name), row in top]
    return table(["function (own time, under the profiler)", "share"], shown)


def main() -> int:
    """Measure, write the section; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.driver_cost", description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tpe-runs", type=int, default=1)
    parser.add_argument("--mlflow-runs", type=int, default=1)
    parser.add_argument("--histories", type=int, nargs="+", default=[1000, 10_000], help="trials before a proposal")
    parser.add_argument("--proposals", type=int, default=100, help="of tpe, timed one at a time, after each history")
    add_results(parser)
    arguments = parser.parse_args()
    whole_ms("random", 50)  # imports and first compilations
    costs = [costs_ms("random", arguments.trials) for _ in range(arguments.runs)]
    trial_ms, epoch_ms = (statistics.median(values) for values in zip(*costs, strict=True))
    whole = {
        name: [whole_ms(name, arguments.trials) for _ in range(runs)]
        for name, runs in (("random", arguments.runs), ("tpe", arguments.tpe_runs))
    }
    mlflow = [mlflow_ms(arguments.trials) for _ in range(arguments.mlflow_runs)]
    proposals = {history: proposals_ms("tpe", history, arguments.proposals) for history in arguments.histories}
    rows = [
        ["a trial, without its epochs, random sampler", spread([trial for trial, _ in costs])],
        ["an epoch report, random sampler", spread([epoch for _, epoch in costs], 3)],
        *([f"a trial with its epochs (ASHA over 30), {name}", spread(values)] for name, values in whole.items()),
        *([f"a proposal of tpe after {history:,} trials", spread(taken)] for history, taken in proposals.items()),
        [f"its run of {RUN_EPOCHS} epochs in MLflow (SQLite), in a process beside the driver", spread(mlflow)],
    ]
    body = "\n\n".join(
        [
            f"{arguments.trials} trials in {LANES} lanes whose training costs nothing, ledger on SQLite.",
            table(["cost", "ms"], rows),
            "A proposal of tpe is timed one at a time; it looks at a bounded part of the history (decision 39).",
            *(
                verdict(f"tpe after {n:,} trials, median", statistics.median(ms), TARGET_MS, at_least=False, unit=" ms")
                for n, ms in proposals.items()
            ),
            verdict("A trial, random sampler, median", trial_ms, 3.0, at_least=False, unit=" ms"),
            verdict("An epoch report, random sampler, median", epoch_ms, 0.3, at_least=False, unit=" ms"),
            verdict("A run in MLflow, median", statistics.median(mlflow), 5.0, at_least=False, unit=" ms"),
            where(arguments.trials),
        ]
    )
    write_section("driver_cost", shown_command("benchmarks.driver_cost"), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Epochs that a search needs to come to what the default comes to, on recorded curves, by the product itself."""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.curve_tables import RowCandidates, RowSampler, read, tasks
from benchmarks.process import progress
from benchmarks.record import add_results, shown_command, table, write_section
from search.brain.decision import Decision
from search.brain.freeze_thaw import FreezeThawScheduler
from search.brain.scheduler import build_scheduler
from search.declaration.study import Study
from search.executors.control import Control
from search.executors.lanes import LanesExecutor
from search.executors.recorder import Recorder
from search.executors.search import Search
from search.ledger import Ledger, LedgerWriter, StudyFacts, sqlite_url
from trainables.data import DataSpec, load_splits
from trainables.report import EpochReport

RUNS = ()
"""``python -m benchmarks --all`` has no tables to run it on."""

DEFAULT = ("asha", 16)
"""What a search is compared with: the product's scheduler and lanes for 64 trials."""

TRIALS = 64
AT = (50, 100, 200, 300, 600)


@dataclass(frozen=True)
class Trace:
    """One search: the best value after each epoch that was trained, and what a choice cost."""

    best: NDArray[np.float64]
    ms: float


class _Tracing(Recorder):
    """Keeps the values in the order in which they came."""

    def __init__(self, study: Study, writer: LedgerWriter) -> None:
        super().__init__(study, writer)
        self.values: list[float] = []

    def reported(self, number: int, report: EpochReport, decision: Decision | None) -> None:
        super().reported(number, report, decision)
        self.values.append(report.metrics["val_loss"])


def searched(file: Path, task: str, scheduler: str, lanes: int, seed: int, cap: int) -> Trace:
    """Run one search in lanes; one that pauses trials may begin any row, and trains ``cap`` epochs."""
    found = read(str(file), task)
    pauses = scheduler in ("promote", "freeze_thaw")
    spec = {"name": scheduler, **({"total_epochs": cap} if pauses else {})}
    study = Study.model_validate(
        {
            "kind": "bench",
            "name": "bench",
            "trainable": "benchmarks.curve_tables:Recorded",
            "space": found.space,
            "settings": {"file": str(file), "task": task},
            "budget": {"trials": len(found.params) - 1 if pauses else TRIALS, "max_epochs": found.curves.shape[1]},
            "scheduler": spec,
            "lanes": {"lanes": lanes},
            "data": {"name": "wine"},
            "tracking": {"enabled": False},
            "keep_checkpoints": 0,
            "seed": seed,
        }
    )
    rows = RowCandidates(found, seed)
    with tempfile.TemporaryDirectory() as folder, Ledger(sqlite_url(Path(folder) / "l.db"), create=True) as ledger:
        facts = StudyFacts(uid="bench", versions={})
        study_id = ledger.create_study("bench", study.model_dump(mode="json"), fingerprint="", facts=facts)
        recorder = _Tracing(study, LedgerWriter(ledger, study_id))
        modelled = scheduler == "freeze_thaw"
        decides = FreezeThawScheduler(study, candidates=rows) if modelled else build_scheduler(study)
        sampler = RowSampler(study, found, rows)
        search = Search(study, load_splits(DataSpec("wine")), sampler, decides, recorder, Control(), Path(folder))
        LanesExecutor().run(search)
        search.janitor.shutdown()
    values = np.minimum.accumulate(recorder.values)
    ms = 1000 * decides.seconds / max(1, decides.choices) if isinstance(decides, FreezeThawScheduler) else 0.0
    return Trace(values[:cap] if pauses else values, ms)


def padded(traces: Sequence[Trace], length: int) -> NDArray[np.float64]:
    """Return the best values of some searches, each held at its last  # [S, length]."""
    return np.array(
        [np.concatenate([t.best, np.full(max(0, length - len(t.best)), t.best[-1])])[:length] for t in traces]
    )


def epochs_to(best: NDArray[np.float64], goal: float) -> float:
    """Return after how many epochs the median of some searches has reached a value; infinity if it never does."""
    there = np.flatnonzero(np.median(best, axis=0) <= goal + 1e-12)
    return float(there[0] + 1) if len(there) else float("inf")


def interval(ratios: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95% bootstrap interval over tasks of the median of some ratios."""
    rng = np.random.default_rng(0)
    medians = [middle(ratios[rng.integers(len(ratios), size=len(ratios))]) for _ in range(1000)]
    low, high = np.quantile(medians, [0.025, 0.975], method="inverted_cdf")
    return float(low), float(high)


def middle(values: NDArray[np.float64]) -> float:
    """Return the median, which is one of the values: some may be infinite."""
    return float(np.quantile(values, 0.5, method="inverted_cdf"))


def main() -> int:
    """Search every task of a file of tables, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, required=True, help="an .npz of recorded curves")
    parser.add_argument("--scheduler", default="freeze_thaw,promote", help="several with commas")
    parser.add_argument("--lanes", default="8", help="several with commas")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--cap", type=int, default=600, help="epochs of a search that pauses trials")
    parser.add_argument("--tasks", type=int, default=None, help="the first so many alone")
    add_results(parser)
    arguments = parser.parse_args()
    if not arguments.tables.is_file():
        parser.error(f"--tables {arguments.tables}: no such file")
    names = tasks(str(arguments.tables))[: arguments.tasks]
    wanted = [(s, int(n)) for s, n in itertools.product(arguments.scheduler.split(","), arguments.lanes.split(","))]
    contenders = list(dict.fromkeys([DEFAULT, *wanted]))
    regrets: dict[tuple[str, int], dict[str, NDArray[np.float64]]] = {}
    ms: dict[tuple[str, int], float] = {}
    own: dict[str, tuple[float, float]] = {}
    for scheduler, lanes in contenders:
        traces = {}
        for name in names:
            progress(f"{arguments.tables.stem} {name}: {scheduler}, {lanes} lanes")
            seeds = range(arguments.seeds)
            traces[name] = [searched(arguments.tables, name, scheduler, lanes, s, arguments.cap) for s in seeds]
        ms[scheduler, lanes] = float(np.median([t.ms for found in traces.values() for t in found]))
        regrets[scheduler, lanes] = {}
        for name in names:
            length = max(arguments.cap, *(len(t.best) for t in traces[name]))
            regret = read(str(arguments.tables), name).regret(padded(traces[name], length))
            regrets[scheduler, lanes][name] = regret
            if (scheduler, lanes) == DEFAULT:
                goal = float(np.median(regret[:, -1]))
                own[name] = goal, epochs_to(regret, goal)
    rows = []
    for contender in contenders:
        found = regrets[contender]
        ratios = np.array([epochs_to(found[name], own[name][0]) / own[name][1] for name in names])
        low, high = np.quantile(ratios, [0.25, 0.75], method="inverted_cdf")
        left, right = interval(ratios)
        at = [float(np.mean([found[name][:, min(e, found[name].shape[1]) - 1].mean() for name in names])) for e in AT]
        rows.append(
            [
                f"{contender[0]}, {contender[1]} lanes",
                f"{middle(ratios):.2f} [{low:.2f}, {high:.2f}]",
                f"{left:.2f} - {right:.2f}",
                f"{int(np.isfinite(ratios).sum())}/{len(names)}",
                *(f"{value:.3f}" for value in at),
                f"{ms[contender]:.1f}",
            ]
        )
    reached = float(np.median([epochs for _, epochs in own.values()]))
    body = "\n\n".join(
        [
            f"{len(names)} tasks of `{arguments.tables.name}`, {arguments.seeds} seeds each; the default is {TRIALS} "
            f"trials of tpe and asha in {DEFAULT[1]} lanes, which has its best after {reached:.0f} epochs (median). "
            "Ratio: epochs until the median over seeds is where the default ends, as a share of the default's own; "
            "median and quartiles over tasks, 95% bootstrap interval of the median. Regret: 0 the best of the table, "
            "1 what its median configuration comes to; the mean.",
            table(["search", "ratio", "95%", "got there", *(f"regret at {e}" for e in AT), "ms a choice"], rows),
        ]
    )
    section = f"search_efficiency: {arguments.tables.stem}"
    write_section(
        section,
        shown_command("benchmarks.search_efficiency", [(str(arguments.tables), "TABLES")]),
        body,
        arguments.results,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

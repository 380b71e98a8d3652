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
from benchmarks.kept_traces import KeptTraces, Trace
from benchmarks.process import progress
from benchmarks.record import add_results, shown_command, table, write_section
from search.brain.decision import Decision
from search.brain.freeze_thaw import FreezeThawScheduler
from search.brain.scheduler import build_scheduler
from search.declaration.parts import PAUSING
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

TRIALS = 64
"""Of the default, which all others are compared with; they may begin any row, until their epochs are trained."""

AT = (50, 100, 200, 300, 600)
WITH_GRACE = ("asha", "median", "promote")


@dataclass(frozen=True)
class Contender:
    """A way to search.

    Attributes:
        grace: epochs until the first rung; None is the product's own.
        as_they_come: whether the sampler is told each value of a trial that runs, not all when it has ended.
        trials: how many begin at the most; None is every row.
        epochs_a_choice: for how many epochs each choice of freeze_thaw is.
    """

    scheduler: str
    lanes: int
    grace: int | None = None
    as_they_come: bool = False
    trials: int | None = None
    epochs_a_choice: int = 1

    def __str__(self) -> str:
        grace = "" if self.grace is None else f", grace {self.grace}"
        trials = "" if self.trials is None else f", {self.trials} trials"
        told = ", told as they come" if self.as_they_come else ""
        each = "" if self.epochs_a_choice == 1 else f", {self.epochs_a_choice} epochs a choice"
        return f"{self.scheduler}, {self.lanes} lanes{grace}{each}{trials}{told}"


DEFAULT = Contender("asha", 16, trials=TRIALS)


class _Tracing(Recorder):
    """Keeps the values in the order in which they came."""

    def __init__(self, study: Study, writer: LedgerWriter) -> None:
        super().__init__(study, writer)
        self.values: list[float] = []

    def reported(self, number: int, report: EpochReport, decision: Decision | None) -> None:
        super().reported(number, report, decision)
        self.values.append(report.metrics["val_loss"])


def declared(file: Path, task: str, by: Contender, seed: int, cap: int) -> Study:
    """Return the study of one search; one that pauses trials trains ``cap`` epochs."""
    found = read(str(file), task)
    spec = {"name": by.scheduler, **({"total_epochs": cap} if by.scheduler in PAUSING else {})}
    spec |= {"epochs_a_choice": by.epochs_a_choice} if by.scheduler == "freeze_thaw" else {}
    return Study.model_validate(
        {
            "kind": "bench",
            "name": "bench",
            "trainable": "benchmarks.curve_tables:Recorded",
            "space": found.space,
            "settings": {"file": str(file), "task": task},
            "budget": {"trials": by.trials or len(found.params) - 1, "max_epochs": found.curves.shape[1]},
            "scheduler": spec if by.grace is None else {**spec, "grace": by.grace},
            "lanes": {"lanes": by.lanes},
            "data": {"name": "wine"},
            "tracking": {"enabled": False},
            "keep_checkpoints": 0,
            "seed": seed,
        }
    )


def searched(file: Path, task: str, by: Contender, seed: int, cap: int) -> Trace:
    """Run one search in lanes."""
    study, found = declared(file, task, by, seed, cap), read(str(file), task)
    rows = RowCandidates(found, seed)
    with tempfile.TemporaryDirectory() as folder, Ledger(sqlite_url(Path(folder) / "l.db"), create=True) as ledger:
        facts = StudyFacts(uid="bench", versions={})
        study_id = ledger.create_study("bench", study.model_dump(mode="json"), fingerprint="", facts=facts)
        recorder = _Tracing(study, LedgerWriter(ledger, study_id))
        modelled = by.scheduler == "freeze_thaw"
        decides = FreezeThawScheduler(study, candidates=rows) if modelled else build_scheduler(study)
        sampler = RowSampler(study, found, rows, as_they_come=by.as_they_come)
        ends = by.trials is None  # by a clock that tells epochs
        control = Control(cap if ends else None, now=lambda: float(len(recorder.values)), grace_s=0.0)
        search = Search(study, load_splits(DataSpec("wine")), sampler, decides, recorder, control, Path(folder))
        LanesExecutor().run(search)
        search.janitor.shutdown()
    values = np.minimum.accumulate(recorder.values)
    took = decides.took if isinstance(decides, FreezeThawScheduler) else None
    ms = 0.0 if took is None else 1000 * took.seconds / max(1, took.choices)
    return Trace(values[:cap] if ends else values, ms)


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


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a contender's searches came to.

    Attributes:
        regrets: by task, after each epoch  # [S, epochs].
        ms: what a choice took, the median over searches.
    """

    regrets: dict[str, NDArray[np.float64]]
    ms: float


def measured(arguments: argparse.Namespace, names: Sequence[str], by: Contender, kept: KeptTraces) -> Outcome:
    """Run a contender's searches, those that were not kept from before."""
    file, cap = arguments.tables, arguments.cap
    traces: dict[str, list[Trace]] = {}
    for name in names:
        progress(f"{file.stem} {name}: {by}")
        traces[name] = []
        for seed in range(arguments.seeds):
            key = {"tables": file.stem, "task": name, "search": str(by), "seed": seed, "cap": cap}
            trace = kept.find(key) or searched(file, name, by, seed, cap)
            kept.add(key, trace)
            traces[name].append(trace)
    regrets = {}
    for name in names:
        length = max(cap, *(len(t.best) for t in traces[name]))
        regrets[name] = read(str(file), name).regret(padded(traces[name], length))
    return Outcome(regrets, float(np.median([t.ms for found in traces.values() for t in found])))


def row(by: Contender, found: Outcome, own: dict[str, tuple[float, float]]) -> list[str]:
    """Return a contender's line: what it needs beside the default, and how far it is after so many epochs."""
    names = list(own)
    ratios = np.array([epochs_to(found.regrets[name], own[name][0]) / own[name][1] for name in names])
    low, high = np.quantile(ratios, [0.25, 0.75], method="inverted_cdf")
    left, right = interval(ratios)
    at = [
        float(np.mean([found.regrets[n][:, min(e, found.regrets[n].shape[1]) - 1].mean() for n in names])) for e in AT
    ]
    return [
        str(by),
        f"{middle(ratios):.2f} [{low:.2f}, {high:.2f}]",
        f"{left:.2f} - {right:.2f}",
        f"{int(np.isfinite(ratios).sum())}/{len(names)}",
        *(f"{value:.3f}" for value in at),
        f"{found.ms:.1f}",
    ]


def parsed() -> argparse.Namespace:
    """Return the command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search_efficiency", description=__doc__)
    parser.add_argument("--tables", type=Path, required=True, help="an .npz of recorded curves")
    parser.add_argument("--scheduler", default="freeze_thaw,promote", help="several with commas")
    parser.add_argument("--lanes", default="8", help="several with commas")
    parser.add_argument("--grace", help="epochs until the first rung, several with commas; by default the product's")
    parser.add_argument("--epochs-a-choice", default="1", help="of freeze_thaw; several with commas")
    parser.add_argument("--as-they-come", action="store_true", help="once more, with values told before trials end")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--cap", type=int, default=600, help="epochs of a search, all trials together")
    parser.add_argument("--tasks", type=int, default=None, help="the first so many alone")
    parser.add_argument("--journal", type=Path, help="keep each search in this file; those that it has are not run")
    add_results(parser)
    arguments = parser.parse_args()
    if not arguments.tables.is_file():
        parser.error(f"--tables {arguments.tables}: no such file")
    return arguments


def contenders(arguments: argparse.Namespace) -> list[Contender]:
    """Return whom the options name, the default first, each once."""
    graces = [None] if arguments.grace is None else [int(g) for g in arguments.grace.split(",")]
    told = (False, True) if arguments.as_they_come else (False,)
    each, lanes = ([int(n) for n in words.split(",")] for words in (arguments.epochs_a_choice, arguments.lanes))
    found = [DEFAULT]
    for scheduler, n in itertools.product(arguments.scheduler.split(","), lanes):
        if scheduler == "freeze_thaw":  # has neither a rung nor a sampler
            found += [Contender(scheduler, n, epochs_a_choice=k) for k in each]
            continue
        of_rungs = graces if scheduler in WITH_GRACE else [None]
        found += [Contender(scheduler, n, g, as_they_come) for g, as_they_come in itertools.product(of_rungs, told)]
    return list(dict.fromkeys(found))


def main() -> int:
    """Search every task of a file of tables, and compare."""
    arguments = parsed()
    names = tasks(str(arguments.tables))[: arguments.tasks]
    kept = KeptTraces(arguments.journal)
    found = {by: measured(arguments, names, by, kept) for by in contenders(arguments)}
    own: dict[str, tuple[float, float]] = {}
    for name, regret in found[DEFAULT].regrets.items():
        goal = float(np.median(regret[:, -1]))
        own[name] = goal, epochs_to(regret, goal)
    reached = float(np.median([epochs for _, epochs in own.values()]))
    rows = [row(by, outcome, own) for by, outcome in found.items()]
    body = "\n\n".join(
        [
            f"{len(names)} tasks of `{arguments.tables.name}`, {arguments.seeds} seeds each; the default (the first "
            f"row) is {TRIALS} trials of tpe and asha, which have their best after {reached:.0f} epochs (median); the "
            f"others begin trials until {arguments.cap} epochs are trained. "
            "Ratio: epochs until the median over seeds is where the default ends, as a share of the default's own; "
            "median and quartiles over tasks, 95% bootstrap interval of the median. Regret: 0 the best of the table, "
            "1 what its median configuration comes to; the mean.",
            table(["search", "ratio", "95%", "got there", *(f"regret at {e}" for e in AT), "ms a choice"], rows),
        ]
    )
    if kept.commits:
        body += f"\n\nSearches that the journal had were run at {', '.join(sorted(kept.commits))}."
    write_section(
        f"search_efficiency: {arguments.tables.stem}: {'; '.join(str(by) for by in found if by != DEFAULT)}",
        shown_command("benchmarks.search_efficiency", [(str(arguments.tables), "TABLES")]),
        body,
        arguments.results,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Epoch rows a second that the ledger takes, on one core: 10,000 trials of 10 epochs, in a search's batches."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import spread
from benchmarks.record import add_results, shown_command, table, verdict, write_section
from search.ledger import Ledger, LedgerWriter, StudyFacts, sqlite_url
from search.ledger.outcome import Outcome, StopReason

EPOCHS = 10
TRIALS_PER_BATCH = 16


def fill(folder: Path, trials: int) -> float:
    """Write a search of ``trials`` trials and return the epoch rows a second."""
    metrics = {"train_loss": 0.123456789, "val_loss": 0.234567891, "val_accuracy": 0.9123456, "lr": 0.000123456}
    with Ledger(sqlite_url(folder / "ledger.db"), create=True) as ledger:
        facts = StudyFacts(uid="bench", versions={})
        writer = LedgerWriter(ledger, ledger.create_study("bench", {}, fingerprint="", facts=facts))
        started = time.perf_counter()
        for first in range(0, trials, TRIALS_PER_BATCH):
            batch = range(first, min(first + TRIALS_PER_BATCH, trials))
            for number in batch:
                params = {"dropout": 0.123, "weight_decay": 1e-4}
                writer.trial_started(
                    number, params, config_hash=f"{number:016x}", seed=number, sampler_attrs={}, repeats=[]
                )
            for epoch in range(1, EPOCHS + 1):
                for number in batch:
                    writer.epoch(number, epoch, seconds=0.01, metrics=metrics)
                writer.flush()  # the lanes executor writes once an epoch of all its lanes
            for number in batch:
                writer.trial_ended(number, Outcome(StopReason.MAX_EPOCHS))
        writer.flush()
        return trials * EPOCHS / (time.perf_counter() - started)


def main() -> int:
    """Measure, write the section; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--target", type=float, default=5000, help="least epoch rows a second")
    add_results(parser)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rates = []
    for _ in range(arguments.runs):
        with tempfile.TemporaryDirectory() as folder:
            rates.append(fill(Path(folder), arguments.trials))
    body = "\n\n".join(
        [
            f"One transaction for each epoch of {TRIALS_PER_BATCH} trials, each synced to disk; one core.",
            table(["trials", "epochs", "rows a second"], [[str(arguments.trials), str(EPOCHS), spread(rates, 0)]]),
            verdict("Epoch rows a second, median", statistics.median(rates), arguments.target, at_least=True),
        ]
    )
    write_section("ledger", shown_command("benchmarks.ledger"), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Seconds until a report is written and until its page can be used, and its size: 1,000 trials of 30 epochs."""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.distributions import CategoricalDistribution

from benchmarks.harness import spread
from benchmarks.page_load import usable_after_s
from benchmarks.record import add_results, shown_command, table, verdict, write_section
from search.declaration.studies import find
from search.declaration.study import Study
from search.declaration.validate import valid_study
from search.drive.report import read_material
from search.drive.report_file import content, write
from search.drive.versions import versions
from search.ledger import Ledger, LedgerWriter, StudyFacts
from search.ledger.outcome import Outcome, SessionEnding, StopReason
from search.ledger.paths import Paths
from spaces import Space, hash_params

DATA: dict[str, Any] = {
    **{"name": "digits", "train": 1079, "validation": 359, "test": 359, "shape": [64], "task": "classification"},
    **{"classes": 10, "labels": [], "target_mean": None, "target_deviation": None},
}


def record_study(
    home: Path,
    name: str,
    *,
    trials: int,
    epochs: int,
    whole: int = 3,
    ending: SessionEnding = SessionEnding.DONE,
    notices: Sequence[Mapping[str, Any]] = (),
    **changes: Any,
) -> Paths:
    """Write a study with made-up curves to a ledger, in a moment.

    Args:
        home: the folder of all studies.
        name: the study's.
        trials: how many.
        epochs: of those that train to their end.
        whole: one in so many trains to its end; the others are pruned at epoch 3.
        ending: of its session.
        notices: of its data.
        changes: fields of the declaration.
    """
    budget = {"trials": trials, "max_epochs": epochs}
    study = valid_study({**find("regularization").model_dump(), "name": name, "budget": budget, **changes})
    paths = Paths(home, name)
    paths.folder.mkdir(parents=True)
    facts = StudyFacts.model_validate({"uid": name, "versions": versions(), "data": {**DATA, "notices": list(notices)}})
    with Ledger(paths.ledger_url, create=True) as ledger:
        study_id = ledger.create_study(name, study.model_dump(mode="json"), fingerprint="f" * 64, facts=facts)
        session = ledger.start_session(study_id)
        _record_trials(LedgerWriter(ledger, study_id), study, whole)
        ledger.end_session(session, ending)
    return paths


def _record_trials(writer: LedgerWriter, study: Study, every: int) -> None:
    rng = random.Random(0)
    for number in range(study.budget.trials):
        params = study.space.baseline if number == 0 else _drawn(study.space, rng)
        writer.trial_started(number, params, config_hash=hash_params(params), seed=0, sampler_attrs={}, repeats=[])
        whole = number % every == 0
        for epoch in range(1, (study.budget.max_epochs if whole else 3) + 1):
            loss = 2.5 * math.exp(-epoch * (0.1 + 0.3 * rng.random())) + 0.05 * rng.random()
            metrics = {"train_loss": 0.8 * loss, "val_loss": loss, "val_accuracy": math.exp(-loss), "lr": 0.1 / epoch}
            writer.epoch(number, epoch, seconds=0.1, metrics=metrics)
        writer.trial_ended(number, Outcome(StopReason.MAX_EPOCHS) if whole else Outcome(StopReason.RUNG, rung=3))
    writer.flush()


def _drawn(space: Space, rng: random.Random) -> dict[str, Any]:
    point: dict[str, Any] = {}
    for parameter in space:
        found: Any = parameter.distribution
        if isinstance(found, CategoricalDistribution):
            point[parameter.name] = rng.choice(found.choices)
            continue
        low, high = (math.log(v) if found.log else v for v in (found.low, found.high))
        value = low + (high - low) * rng.random()
        value = math.exp(value) if found.log else value
        point[parameter.name] = round(value) if isinstance(found.low, int) else value
    return space.active(point)


def main() -> int:
    """Measure, write the section; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report_page", description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--target", type=float, default=10, help="most seconds, and most MB")
    add_results(parser)
    arguments = parser.parse_args()
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        paths = record_study(Path(folder), "bench", trials=arguments.trials, epochs=arguments.epochs, whole=1)
        for _ in range(arguments.runs):
            started = time.perf_counter()
            page = content(read_material(paths), "html")
            write(paths.folder / "report.html", page)
            seconds.append(time.perf_counter() - started)
        loads = usable_after_s(paths.folder / "report.html", arguments.runs)
    size = len(page) / 1e6
    usable = "no browser here" if loads is None else spread(loads)
    row = [str(arguments.trials), str(arguments.epochs), spread(seconds), f"{size:.2f}", usable]
    body = "\n\n".join(
        [
            f"{arguments.trials} trials of {arguments.epochs} epochs, none pruned; from the ledger to the file, "
            "imports of the first run included. *Usable*: headless Chromium has loaded the page, run its "
            "scripts, and has nothing left to do.",
            table(["trials", "epochs", "seconds", "MB", "usable after s"], [row]),
            verdict("Seconds, median", statistics.median(seconds), arguments.target, at_least=False, unit=" s"),
            verdict("Size of the page", size, arguments.target, at_least=False, unit=" MB"),
        ]
    )
    write_section("report_page", shown_command("benchmarks.report_page"), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())

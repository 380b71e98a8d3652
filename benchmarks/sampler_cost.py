"""What a proposal costs, sampler by sampler, by the trials before it."""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time

from benchmarks.harness import spread
from benchmarks.record import add_results, shown_command, table, verdict, write_section
from search.brain.optuna_samplers import suggest_params
from search.brain.optuna_study import OptunaStudy
from search.brain.sampler_cost import estimated_s
from search.declaration.studies import find
from search.declaration.study import SAMPLERS, Study
from search.ledger.outcome import StopReason, TrialState

HISTORIES = (100, 1000, 10_000)
TARGET_MS = 5.0

TOO_SLOW = {"gp": (100, 300, 1000, 2000), "optuna_tpe": (100, 1000)}
"""The histories of samplers that take too long, or too much memory, after the longest of the others."""

BUDGET = 2000
"""Trials of the budget whose proposals are estimated."""


def study_of(sampler: str) -> Study:
    """Return the study whose space the proposals are of: conditional, 12 parameters in 5 groups."""
    return Study.model_validate({**find("regularization").model_dump(), "sampler": sampler})


def proposals_ms(sampler: str, history: int, proposals: int) -> list[float]:
    """Return the milliseconds of proposals after ``history`` trials, of which one in three is complete.

    Each proposal is told at once, so that none runs beside it. The first, which may compile, is left out.
    """
    study, rng = study_of(sampler), random.Random(0)
    drawn, brain = OptunaStudy(study_of("random")), OptunaStudy(study)
    drawn.seed(0)
    for number in range(history):
        params = suggest_params(study.space, drawn.ask())
        state, reason = (TrialState.PRUNED, StopReason.RUNG) if number % 3 else (TrialState.COMPLETE, None)
        brain.add_ended(params, {1 + number % 3: (rng.random(),)}, state, reason, {})
    taken = []
    for number in range(proposals + 1):
        began = time.perf_counter()
        brain.seed(number)
        trial = brain.ask()
        suggest_params(study.space, trial)
        taken.append(1000 * (time.perf_counter() - began))
        brain.tell(trial, {1: (rng.random(),)}, TrialState.COMPLETE, None)
    return taken[1:]


def main() -> int:
    """Measure, write the section; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampler_cost", description=__doc__)
    parser.add_argument("--proposals", type=int, default=30)
    parser.add_argument("--most", type=int, default=HISTORIES[-1], help="trials of the longest history")
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=SAMPLERS)
    add_results(parser)
    arguments = parser.parse_args()
    rows, medians = [], {}
    for sampler in arguments.samplers:
        for history in (n for n in TOO_SLOW.get(sampler, HISTORIES) if n <= arguments.most):
            taken = proposals_ms(sampler, history, arguments.proposals)
            medians[sampler, history] = statistics.median(taken)
            rows.append([sampler, f"{history:,}", spread(taken)])
    lines = [
        verdict(f"tpe after {history:,} trials, median", median, TARGET_MS, at_least=False, unit=" ms")
        for (sampler, history), median in medians.items()
        if sampler == "tpe" and history >= HISTORIES[1]
    ]
    plan = [[sampler, f"{estimated_s(sampler, BUDGET):.0f}"] for sampler in arguments.samplers]
    body = "\n\n".join(
        [
            "One proposal of the space of `regularization`, one at a time, over random trials in memory.",
            table(["sampler", "trials before", "ms a proposal"], rows),
            *lines,
            table(["sampler", f"s of {BUDGET:,} proposals, as a plan estimates them"], plan),
        ]
    )
    write_section("sampler_cost", shown_command("benchmarks.sampler_cost"), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())

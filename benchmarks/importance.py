"""How often importance ranks a known function rightly, at equal epochs of trials that a scheduler pruned."""

from __future__ import annotations

import argparse
import math
import sys
import time
import warnings
from typing import TYPE_CHECKING

from benchmarks.harness import spread
from benchmarks.process import progress
from benchmarks.record import add_results, shown_command, table, verdict, write_section

if TYPE_CHECKING:
    import pandas as pd

    from search.declaration.study import Study
    from spaces import Point

RUNS = ("", "--sampler tpe", "--trials 32")
"""What ``python -m benchmarks --all`` runs."""

EFFECTS = {"learning_rate": 0.60, "dropout": 0.25, "batch_norm": 0.10}
"""The known function: the share of its variance that each parameter has; what is left is noise of the seed."""

FUNNEL = 0.354
"""Deviation of the term of the learning rate: too low and too high are all alike, the best is half a decade to
each side."""

RUNGS = (3, 9)
MAX_EPOCHS = 27
TARGET = 0.9

TREES = 64


def declared(seed: int, trials: int, sampler: str) -> Study:
    """Return the shipped study of regularization: what matters in its space, and what does nothing, is known here."""
    from search.declaration.studies import find
    from search.declaration.study import Study

    changes = {
        "name": "known",
        "seed": seed,
        "sampler": sampler,
        "budget": {"trials": trials, "max_epochs": MAX_EPOCHS},
    }
    return Study.model_validate({**find("regularization").model_dump(), **changes})


def effect(params: Point, *, planted: bool) -> float:
    """Return the loss of a configuration but for noise; each term has variance 1 over the space, times its share."""
    if not planted:
        return 0.0
    rate = (math.log10(float(params["learning_rate"])) + 4) / 3
    terms = {
        "learning_rate": -math.exp(-(((rate - 0.6) / 0.15) ** 2) / 2) / FUNNEL,
        "dropout": -float(params["dropout"]) / 0.6 * math.sqrt(12),
        "batch_norm": -2.0 * bool(params["batch_norm"]),
    }
    return sum(math.sqrt(share) * terms[name] for name, share in EFFECTS.items())


def simulated(study: Study, *, planted: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the frames of a ledger: the study's own sampler proposes, successive halving prunes two of three."""
    import numpy as np
    import pandas as pd

    from search.brain.optuna_samplers import suggest_params
    from search.brain.optuna_study import OptunaStudy
    from search.ledger.outcome import StopReason, TrialState

    brain, rng = OptunaStudy(study), np.random.default_rng([study.seed, 1])
    trials, epochs, at_rung = [], [], {rung: [] for rung in RUNGS}  # type: ignore[var-annotated]
    for number in range(study.budget.trials):
        brain.seed(study.seed * 10_000 + number)
        trial = brain.ask(study.space.clamp(study.space.baseline) if number == 0 else None)
        params = suggest_params(study.space, trial)
        final = effect(params, planted=planted) + np.sqrt(1 - sum(EFFECTS.values())) * rng.normal()
        reason, values = StopReason.MAX_EPOCHS, {}
        for epoch in range(1, MAX_EPOCHS + 1):
            values[epoch] = (float(final + 3 / epoch + 0.1 * rng.normal()),)
            if epoch in at_rung:
                at_rung[epoch].append(values[epoch][0])
                if number and values[epoch][0] > np.quantile(at_rung[epoch], 1 / 3):
                    reason = StopReason.RUNG
                    break
        state = TrialState.COMPLETE if reason is StopReason.MAX_EPOCHS else TrialState.PRUNED
        brain.tell(trial, values, state, reason)
        row = {"number": number, "state": state.value, "stop_reason": reason.value, "message": None, "params": params}
        trials.append(row)
        epochs += [
            {"number": number, "epoch": e, "seconds": 0.1, "at": 0.0, "train_loss": v / 2, "val_loss": v}
            for e, (v,) in values.items()
        ]
    return pd.DataFrame(trials), pd.DataFrame(epochs)


def by_optuna(study: Study, trials: pd.DataFrame, epochs: pd.DataFrame) -> dict[str, list[str]]:
    """Return the parameters as Optuna's own evaluators rank them, of the same trials at the same epoch."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

    from search.report.comparable import comparable

    at = comparable(study, trials, epochs)
    assert at is not None, "no trial of these fails"
    told = optuna.create_study()
    for params, rank in zip(at.params, at.ranks, strict=True):
        distributions = {name: study.space[name].distribution for name in params}
        told.add_trial(optuna.create_trial(value=float(rank), params=dict(params), distributions=distributions))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of conditional parameters that few trials have
        return {
            "Optuna's PED-ANOVA": list(PedAnovaImportanceEvaluator().evaluate(told)),
            "Optuna's fANOVA": list(FanovaImportanceEvaluator(n_trees=TREES, seed=0).evaluate(told)),
        }


def main() -> int:
    from search.report.importance import importance

    parser = argparse.ArgumentParser(prog="python -m benchmarks.importance", description=__doc__)
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--sampler", default="random", choices=("random", "tpe"))
    add_results(parser)
    arguments = parser.parse_args()
    if arguments.studies < 1 or arguments.trials < 10:
        parser.error("--studies must be >= 1 and --trials >= 10")
    planted, n = list(EFFECTS), arguments.studies
    rankings: dict[str, list[list[str]]] = {}
    told, alarms, null_alarms, seconds = dict.fromkeys(planted, 0), 0, 0, []
    for seed in range(n):
        study = declared(seed, arguments.trials, arguments.sampler)
        frames = simulated(study)
        began = time.perf_counter()
        found = importance(study, *frames)
        seconds.append(time.perf_counter() - began)
        nothing = importance(study, *simulated(study, planted=False))
        assert found is not None and nothing is not None
        apart = {row.parameter for row in found.parameters if row.stands_out}
        told = {name: count + (name in apart) for name, count in told.items()}
        alarms += bool(apart - set(planted))
        null_alarms += any(row.stands_out for row in nothing.parameters)
        among_best = sorted(found.parameters, key=lambda row: -row.among_best.value)
        ours = {"variance": found.parameters, "among the best": among_best}
        ranked = {name: [row.parameter for row in rows] for name, rows in ours.items()}
        for name, names in (ranked | by_optuna(study, *frames)).items():
            rankings.setdefault(name, []).append(names)
        progress(f"study {seed + 1}/{n}: {', '.join(ranked['variance'][:3])}")
    rows = [
        [name, *(rate_text(sum(names[:k] == planted[:k] for names in found), n) for k in (1, 2, 3))]
        for name, found in rankings.items()
    ]
    right = sum(names[:3] == planted for names in rankings["variance"]) / n
    effects = ", ".join(f"{name} {share:.0%}" for name, share in EFFECTS.items())
    body = "\n\n".join(
        [
            f"{n} searches of {arguments.trials} trials in the space of `regularization` (12 parameters, 6 of them "
            f"conditional), sampler {arguments.sampler}, two of three trials pruned at epochs 3 and 9. The loss is "
            f"known: shares of its variance {effects}, noise the rest; no other parameter does anything.",
            table(["ranked by", "first right", "first two", "all three, in order"], rows),
            "Told from nothing (p <= 0.05): "
            + ", ".join(f"{name} {rate_text(count, n)}" for name, count in told.items())
            + f"; a search in which a parameter that does nothing was: {rate_text(alarms, n)}, where nothing matters "
            f"at all: {rate_text(null_alarms, n)}.",
            f"Time of one: median {spread(seconds, 3)} s.",
            verdict("All three in order", right, TARGET if arguments.sampler == "random" else None, at_least=True),
        ]
    )
    section = f"importance: {arguments.trials} trials, {arguments.sampler}"
    write_section(section, shown_command("benchmarks.importance"), body, arguments.results)
    return 0


def rate_text(count: int, of: int) -> str:
    """Return a rate with Wilson's 95% interval: ``97/100 [0.92, 0.99]``."""
    z, rate = 1.96, count / of
    centre, scale = rate + z**2 / (2 * of), 1 + z**2 / of
    half = z * math.sqrt(rate * (1 - rate) / of + z**2 / (4 * of**2))
    return f"{count}/{of} [{max(0.0, (centre - half) / scale):.2f}, {min(1.0, (centre + half) / scale):.2f}]"


if __name__ == "__main__":
    sys.exit(main())

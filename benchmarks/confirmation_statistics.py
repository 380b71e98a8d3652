"""Whether a confirmation's intervals hold what they promise: simulated studies whose truth is known.

A study here draws a data set of its own from a population, and its configurations are ridge regressions; pairs are cut
and judged by the product's own functions. The truth of a configuration is its mean squared error over fresh data sets
of that size, which many of them give.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import add_results, shown_command, table, verdict, write_section
from search.report.paired import LEVEL, LOOKS, Interval, holm, interval, level_at
from trainables.data.pair_cut import with_pair
from trainables.data.parts import part_indices

EXAMPLES, FEATURES = 300, 20
PAIRS = 5
FINALISTS = 3
PENALTIES = (1.0, 3.0, 10.0, 30.0)
NOISE = 2.0
TRUTH_FROM = 4000
"""Data sets that give the truth of a configuration."""

Array = NDArray[np.floating[Any]]


def main() -> int:
    """Simulate and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.confirmation_statistics")
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--families", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    add_results(parser)
    arguments = parser.parse_args()
    body = report(arguments.studies, arguments.families, seed=arguments.seed)
    write_section(
        "confirmation: simulated studies", shown_command("benchmarks.confirmation_statistics"), body, arguments.results
    )
    return 0


def report(studies: int, families: int, *, seed: int) -> str:
    """Return the section's text."""
    rows = []
    covered = coverage(studies, seed=seed)
    for penalty, share in zip(PENALTIES, covered, strict=True):
        rows.append([f"ridge, penalty {penalty:g}", f"{share:.1%}", _binomial(share, studies)])
    wrong = false_alarms(families, seed=seed)
    looked = repeated_looks(families, seed=seed)
    return "\n\n".join(
        [
            f"{studies} studies of {EXAMPLES} examples, {PAIRS} pairs each: how often the 95% interval on validation "
            "re-splits holds the mean over fresh data sets.",
            table(["configuration", "covered", "95% interval of that"], rows),
            verdict("least coverage of a configuration", min(covered), 0.90, at_least=True)
            + " "
            + verdict("most", max(covered), 0.99, at_least=False),
            f"{families} families of {FINALISTS} finalists that are as good as the baseline: how often any of them is "
            f"called better or worse after Holm's correction. {wrong:.1%} ({_binomial(wrong, families)}).",
            verdict("family-wise error", wrong, LEVEL + 2 * math.sqrt(LEVEL * (1 - LEVEL) / families), at_least=False),
            f"The same where pairs are added until the verdict is settled (at {', '.join(map(str, LOOKS))} pairs): "
            f"{looked:.1%} ({_binomial(looked, families)}).",
            verdict(
                "family-wise error of many looks",
                looked,
                LEVEL + 2 * math.sqrt(LEVEL * (1 - LEVEL) / families),
                at_least=False,
            ),
        ]
    )


def coverage(studies: int, *, seed: int) -> list[float]:
    """Return, for each penalty, the share of studies whose interval holds the truth."""
    truth = [_truth(penalty, seed=seed) for penalty in PENALTIES]
    hits = np.zeros(len(PENALTIES))
    for study in range(studies):
        x, y = _draw(np.random.default_rng([seed, 1, study]))
        scores = [[_score(x, y, cut, penalty) for cut in _cuts(y, study, PAIRS)] for penalty in PENALTIES]
        found = [interval(values, share=_share()) for values in scores]
        hits += [_holds(one, mean) for one, mean in zip(found, truth, strict=True)]
    return [float(share) for share in hits / studies]


def false_alarms(families: int, *, seed: int) -> float:
    """Return the share of families of true nulls in which any finalist is told from the baseline."""
    return sum(_alarm(family, PAIRS, LEVEL, seed=seed) for family in range(families)) / families


def repeated_looks(families: int, *, seed: int) -> float:
    """Return the same where the verdict is looked for again and again, each time with more pairs."""
    alarms = 0
    for family in range(families):
        differences = _differences(family, LOOKS[-1], seed=seed)
        alarms += any(_told([d[:look] for d in differences], level_at(look)) for look in LOOKS)
    return alarms / families


def _alarm(family: int, pairs: int, level: float, *, seed: int) -> bool:
    return _told(_differences(family, pairs, seed=seed), level)


def _told(differences: list[list[float]], level: float) -> bool:
    corrected = holm([interval(values, share=_share(), level=level).p for values in differences])
    return any(p is not None and p <= level for p in corrected)


def _differences(family: int, pairs: int, *, seed: int) -> list[list[float]]:
    """Return the paired differences of finalists to a baseline: all see other features at random, none is better."""
    x, y = _draw(np.random.default_rng([seed, 2, family]))
    rng = np.random.default_rng([seed, 3, family])
    seen = [rng.permutation(FEATURES)[: FEATURES // 2] for _ in range(FINALISTS + 1)]
    scores = [[_score(x[:, chosen], y, cut, PENALTIES[0]) for cut in _cuts(y, family, pairs)] for chosen in seen]
    return [[a - b for a, b in zip(one, scores[0], strict=True)] for one in scores[1:]]


def _cuts(y: Array, study: int, pairs: int) -> Iterator[list[NDArray[np.int64]]]:
    for pair in range(pairs):
        test, watched, train = part_indices(y, numeric=True, seed=study, recut=pair)
        yield [test[round(EXAMPLES * 0.2) :], watched, train]


def _score(x: Array, y: Array, cut: list[NDArray[np.int64]], penalty: float) -> float:
    scored, _, train = cut
    weights = _ridge(x[train], y[train], penalty)
    return float(np.square(x[scored] @ weights - y[scored]).mean())


def _ridge(x: Array, y: Array, penalty: float) -> Array:
    found: Array = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
    return found


def _draw(rng: np.random.Generator, examples: int = EXAMPLES) -> tuple[Array, Array]:
    """Return a data set of the population: every feature matters as much as any other, in a direction of its own."""
    x = rng.standard_normal((examples, FEATURES))
    return x, x @ _signal() + NOISE * rng.standard_normal(examples)


def _signal() -> Array:
    return np.full(FEATURES, 1 / math.sqrt(FEATURES))


def _truth(penalty: float, *, seed: int) -> float:
    """Return the expected squared error of a configuration trained on a fresh data set of a pair's size."""
    train = EXAMPLES - 2 * round(EXAMPLES * 0.2)
    risks = []
    for i in range(TRUTH_FROM):
        x, y = _draw(np.random.default_rng([seed, 4, i]), train)
        risks.append(NOISE**2 + float(np.square(_ridge(x, y, penalty) - _signal()).sum()))
    return float(np.mean(risks))


def _share() -> float:
    scored = with_pair(part_indices(np.zeros(EXAMPLES), numeric=True, seed=0), None, 0)[0]
    return (len(scored) - round(EXAMPLES * 0.2)) / (EXAMPLES - 2 * round(EXAMPLES * 0.2))


def _holds(found: Interval, mean: float) -> bool:
    return found.low is not None and found.high is not None and found.low <= mean <= found.high


def _binomial(share: float, n: int) -> str:
    from scipy.stats import binomtest

    low, high = binomtest(round(share * n), n).proportion_ci(method="wilson")
    return f"{low:.1%} - {high:.1%}"


if __name__ == "__main__":
    sys.exit(main())

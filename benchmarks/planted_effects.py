"""Whether a confirmation finds what is there, and nothing that is not: whole studies with a planted truth.

Each kind of study is declared, searched and confirmed as a user would, in lanes, once for each seed: with spaces whose
parameters do nothing, with ones in which the baseline is as good as any, and with baselines that are wrong on purpose.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.process import progress
from benchmarks.record import add_results, shown_command, table, verdict, write_section
from search import declare, run
from search.declaration.study import Study
from search.report.answer import Answer
from search.report.confirmation import BETTER, SAME
from spaces import Space, category, float_

ORDER = ("learning_rate", "label_smoothing", "dropout")
"""The parameters of the ablation by what they are worth, most first."""


@dataclass(frozen=True)
class Kind:
    """Studies with one planted truth.

    Attributes:
        name: what was planted.
        space: what is searched.
        wanted: the verdict.
        settings: what every trial shares.
        data: makes the data of a study from its seed.
        epochs: of a trial.
    """

    name: str
    space: Space
    wanted: str
    settings: dict[str, Any]
    data: Callable[[int], Any]
    epochs: int = 12
    trials: int = 24


def noisy_labels(seed: int, share: float = 0.4) -> tuple[Any, Any]:
    """Return 4,000 examples of 60 numbers, of which 5 tell the class, and a share of the classes wrong."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((4000, 60)).astype(np.float32)
    y = (x[:, :5].sum(1) > 0).astype(int)
    wrong = rng.random(len(y)) < share
    return x, np.where(wrong, 1 - y, y)


def digits(seed: int) -> dict[str, Any]:
    """Return the declaration of scikit-learn's digits, split by ``seed``."""
    return {"name": "digits", "seed": seed}


SMALL = {"hidden": "64", "learning_rate": 3e-3}

KINDS = (
    Kind(
        "nothing: momentum, which AdamW does not have",
        Space((float_("momentum", 0.0, 0.9, baseline=0.0),)),
        SAME,
        SMALL,
        digits,
    ),
    Kind("nothing: dropout up to 0.002", Space((float_("dropout", 0.0, 0.002, baseline=0.0),)), SAME, SMALL, digits),
    Kind(
        "40% wrong labels, no weight decay in the baseline",
        Space((float_("weight_decay", 0.3, 30.0, log=True, baseline=0.0),)),
        BETTER,
        {"hidden": "256", "learning_rate": 2e-2, "batch_size": 16},
        noisy_labels,
        epochs=5,
    ),
    Kind(
        "a rate ten times too large in the baseline",
        Space((float_("learning_rate", 5e-4, 3e-3, log=True, baseline=3e-2),)),
        BETTER,
        {"hidden": "256", "batch_size": 16},
        partial(noisy_labels, share=0.3),
        epochs=5,
    ),
)

THREE = Space(
    (
        category("learning_rate", (1e-4, 5e-3), baseline=1e-4),
        category("label_smoothing", (0.0, 0.4), baseline=0.4),
        category("dropout", (0.0, 0.8), baseline=0.8),
    )
)


def main() -> int:
    """Run the studies and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.planted_effects")
    parser.add_argument("--studies", type=int, default=20, help="of each kind")
    parser.add_argument("--ablations", type=int, default=10)
    add_results(parser)
    arguments = parser.parse_args()
    rows, judged = [], []
    for kind in KINDS:
        found = [_verdict(kind, seed) for seed in range(arguments.studies)]
        right = sum(verdict_ == kind.wanted for verdict_ in found)
        counts = ", ".join(f"{found.count(v)} {v}" for v in sorted(set(found)))
        rows.append([kind.name, kind.wanted, counts])
        judged.append(
            verdict(f"{kind.name}: right of {arguments.studies}", right, 0.95 * arguments.studies, at_least=True)
        )
    orders = [_order(seed) for seed in range(arguments.ablations)]
    right = sum(order == ORDER for order in orders)
    body = "\n\n".join(
        [
            f"{arguments.studies} studies of each kind, each with a seed and a split of its own; 3 finalists and the "
            "baseline on 5 pairs, the usual confirmation.",
            table(["planted", "wanted", "verdicts"], rows),
            "  \n".join(judged),
            f"Ablation: three parameters whose order of worth is known ({', '.join(ORDER)}); ranked so in "
            f"{right} of {arguments.ablations} studies.",
            verdict("ablations ranked rightly", right, 0.9 * arguments.ablations, at_least=True),
        ]
    )
    write_section("confirmation: planted effects", shown_command("benchmarks.planted_effects"), body, arguments.results)
    return 0


def _verdict(kind: Kind, seed: int) -> str:
    study = declare(
        "planted",
        trainable="mlp",
        space=kind.space,
        settings=kind.settings,
        data=kind.data(seed),
        budget={"trials": kind.trials, "max_epochs": kind.epochs},
        confirm={"ablate": False},
        tracking={"enabled": False},
        name=f"planted-{seed}",
        seed=seed,
    )
    found = _answer(study).confirmation
    progress(f"{kind.name} {seed}: {'none' if found is None else found.sentence}")
    return "none" if found is None else found.verdict


def _order(seed: int) -> tuple[str, ...]:
    study = declare(
        "ablated",
        trainable="mlp",
        space=THREE,
        settings={"hidden": "64"},
        data=digits(seed),
        budget={"trials": 8, "max_epochs": 8},
        confirm={"ablate": True},
        tracking={"enabled": False},
        name=f"ablated-{seed}",
        seed=seed,
    )
    found = _answer(study).confirmation
    rows = () if found is None or found.ablation is None else found.ablation.rows
    worth = ", ".join(f"{r.parameter} {r.in_place.mean:.3g}" for r in rows if r.in_place is not None)
    progress(f"ablation {seed}: {worth}")
    return tuple(row.parameter for row in rows)


def _answer(study: Study) -> Answer:
    with tempfile.TemporaryDirectory(prefix="lanewise-planted-") as home:
        return run(study, home=Path(home)).answer


if __name__ == "__main__":
    sys.exit(main())

"""What a Ray cluster costs lanes: two workers on a local head beside lanes in the search's process, in pairs."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import (
    HOME,
    SEED,
    BenchmarkError,
    Contender,
    Measurement,
    add_sides,
    cost_rows,
    disturbance,
    field,
    interleaved,
    ratios,
    spread,
)
from benchmarks.record import add_results, shown_command, table, verdict, write_section

TARGET = 1.5
"""Times the seconds in the search's own process that two workers may take, Ray's own start aside."""

WORKERS = 2
NAME = "bench"


def search_once(arguments: argparse.Namespace) -> int:
    """Search in this process or on a head that is started for it; print the seconds and every trial's curve."""
    from contextlib import nullcontext

    from search.declaration.options import Options
    from search.declaration.study import Resources
    from search.drive.engine import conduct
    from search.drive.examples import load_data
    from search.drive.preflight import resolve
    from search.executors.ray_session import ray_session
    from search.face.live_view import Silent

    on_cluster = arguments.one == "cluster"
    where: dict[str, Any] = {"address": "auto", "workers": WORKERS} if on_cluster else {}
    options = Options(
        "regularization",
        home=arguments.home,
        name=NAME,
        seed=arguments.seed,
        trials=arguments.trials,
        max_epochs=arguments.epochs,
        tracking="offline",
        no_confirm=True,
        **where,
    )
    # whoever has started Ray is joined, whatever the address: on loopback, and with a token of its own
    with ray_session(Resources()) if on_cluster else nullcontext():
        result = conduct(resolve(options), arguments.home, load_data, view=Silent())
    print(json.dumps({"search_s": result.search_s, **curves(arguments.home)}))
    return result.exit_code


def curves(home: Path) -> dict[str, Any]:
    """Return the number of epochs, and by trial its parameters and the values of all its epochs."""
    from search.ledger import Ledger
    from search.ledger.paths import Paths

    with Ledger(Paths(home, NAME).ledger_url) as ledger:
        study = ledger.study(NAME).id
        trials: dict[int, dict[str, Any]] = {
            t.number: {"params": t.params, "seed": t.seed, "curve": []} for t in ledger.trials(study)
        }
        epochs = sorted(ledger.epochs(study), key=lambda row: row.epoch)
    for row in epochs:
        trials[row.number]["curve"].append(sorted(row.metrics.items()))
    return {"epochs_trained": len(epochs), "trials": trials}


def compare(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Return how many trials two searches have in common, and which of these differ in an epoch that both trained."""
    alike = [n for n, t in one.items() if n in other and _identity(t) == _identity(other[n])]
    return len(alike), [
        n for n in alike if any(a != b for a, b in zip(one[n]["curve"], other[n]["curve"], strict=False))
    ]


def _identity(trial: Mapping[str, Any]) -> tuple[Any, Any]:
    return trial["params"], trial["seed"]


def main() -> int:
    """Measure the pairs, write the section; return the exit code: 1 where a curve differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster_lanes", description=__doc__)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=30)
    add_sides(parser, "here", "cluster")
    add_results(parser)
    arguments = parser.parse_args()
    if arguments.one is not None:
        return search_once(arguments)
    size = ("--trials", str(arguments.trials), "--epochs", str(arguments.epochs))
    common = (sys.executable, "-m", "benchmarks.cluster_lanes", *size, "--home", HOME, "--seed", SEED, "--one")
    sides = [Contender("in the search's process", (*common, "here"))]
    sides.append(Contender(f"{WORKERS} workers on a local head", (*common, "cluster")))
    try:
        pairs = interleaved(sides[0], sides[1], arguments.pairs, seed=arguments.seed)
    except BenchmarkError as error:
        parser.exit(1, f"{error}\n")
    compared = [compare(here.output["trials"], there.output["trials"]) for here, there in pairs]
    different = sum(len(numbers) for _, numbers in compared)
    write_section(
        f"cluster_lanes, {arguments.trials} trials of {arguments.epochs} epochs",
        shown_command("benchmarks.cluster_lanes"),
        _body(sides, pairs, [common for common, _ in compared], different),
        arguments.results,
    )
    return 1 if different else 0


def _body(
    sides: Sequence[Contender],
    pairs: Sequence[tuple[Measurement, Measurement]],
    in_common: Sequence[int],
    different: int,
) -> str:
    slower = ratios(pairs, lambda run: field(run.output, "search_s"))
    an_epoch = ratios(pairs, lambda run: field(run.output, "search_s") / field(run.output, "epochs_trained"))
    rows = [
        [
            *row,
            spread([field(pair[i].output, "search_s") for pair in pairs]),
            spread([field(pair[i].output, "epochs_trained") for pair in pairs], 0),
        ]
        for i, row in enumerate(cost_rows(sides, pairs))
    ]
    same = f"all {sum(in_common)} bit for bit equal" if not different else f"**{different} of {sum(in_common)} DIFFER**"
    return "\n\n".join(
        [
            "`regularization` on digits with TPE and ASHA. `search s` is from the first trial's start to the end of "
            "the last; Ray's start and that of its workers, which import torch, are in the wall seconds alone. Which "
            "worker is done first decides what TPE knows: the searches part after their first trials.",
            table(["lanes", "wall s", "CPU s", "search s", "epochs trained"], rows),
            verdict(
                f"{sides[1].name} / {sides[0].name}, search s, median of {len(pairs)} pairs",
                statistics.median(slower),
                TARGET,
                at_least=False,
                unit="x",
            )
            + f" Each pair: {', '.join(f'{ratio:.2f}' for ratio in slower)}; "
            f"a trained epoch: {', '.join(f'{ratio:.2f}' for ratio in an_epoch)}.",
            f"Trials of the same number, parameters and seed in both searches of a pair: their epochs are {same}.",
            *disturbance(pairs),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())

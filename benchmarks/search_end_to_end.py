"""Real training: wall time, device time and epochs until a search is where the default ends, with its own seed."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import HOME, SEED, BenchmarkError, Contender, Measurement, disturbance, interleaved, spread
from benchmarks.record import add_journal, add_results, journal, shown_command, table, verdict, write_section

RUNS = (
    "--scheduler freeze_thaw --lanes 8",
    "--scheduler promote --lanes 8",
    "--dataset mnist --train-examples 10000 --max-epochs 20 --scheduler freeze_thaw --lanes 8",
)
"""What ``python -m benchmarks --all`` runs."""

STAGES = ("wall s", "device s", "epochs")
"""What is counted until a value is there; in this order in what a run prints, the value last."""

MORE = 4
"""How many times as many trials may begin where weak ones are paused."""


def parser() -> argparse.ArgumentParser:
    """Return the command's options."""
    found = argparse.ArgumentParser(prog="python -m benchmarks.search_end_to_end", description=__doc__)
    found.add_argument("--study", default="regularization")
    found.add_argument("--dataset", help="of those with a name; the study's own by default")
    found.add_argument("--data", help="as the option of a search: images:FOLDER, say")
    found.add_argument("--data-dir", help="folder with torchvision's data sets")
    found.add_argument("--image-size", type=int)
    found.add_argument("--train-examples", type=int)
    found.add_argument("--set", action="append", default=[], help="as the option of a search; may be repeated")
    found.add_argument("--trials", type=int, default=64, help="of the default")
    found.add_argument("--max-epochs", type=int, help="of a trial; the study's own by default")
    found.add_argument("--scheduler", default="freeze_thaw", help="what is measured beside the default")
    found.add_argument("--lanes", type=int, help="of it; the product's own by default")
    found.add_argument("--grace", type=int, help="likewise")
    found.add_argument(
        "--total-epochs", type=int, help="of it; by default as many as the default trains at the most / 3"
    )
    found.add_argument("--seeds", type=int, default=5)
    found.add_argument("--seed", type=int, default=0, help="of the first; the next has the next")
    found.add_argument("--target", type=float, help="least ratio of wall times")
    found.add_argument("--one", choices=("default", "beside"), help="search once, and print how it went")
    found.add_argument("--home", type=Path)
    add_results(found)
    add_journal(found)
    return found


def words(arguments: argparse.Namespace) -> list[str]:
    """Return the options of a search that both sides have, as they are typed."""
    found = ["--trials", str(arguments.trials)]
    for name in ("dataset", "data", "data_dir", "image_size", "train_examples", "max_epochs"):
        if (value := getattr(arguments, name)) is not None:
            found += [f"--{name.replace('_', '-')}", str(value)]
    return found + [word for value in arguments.set for word in ("--set", value)]


def declared(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the study of one side, as a file has it."""
    if arguments.one == "default":
        return {"kind": arguments.study}
    from search.declaration.parts import PAUSING
    from search.declaration.studies import find

    study = find(arguments.study)
    scheduler: dict[str, Any] = {"name": arguments.scheduler}
    scheduler |= {} if arguments.grace is None else {"grace": arguments.grace}
    found: dict[str, Any] = {"kind": arguments.study, "scheduler": scheduler}
    if arguments.scheduler in PAUSING:
        longest = arguments.max_epochs or study.budget.max_epochs
        scheduler["total_epochs"] = arguments.total_epochs or arguments.trials * longest // 3
    if arguments.scheduler == "freeze_thaw" and study.balanced is not None:
        found |= {"balanced": None, "refits": 0}  # it proposes by itself
    return found


def search_once(arguments: argparse.Namespace) -> None:
    """Search in a process of its own, and print as JSON how the best value fell."""
    from search.ledger import Ledger, sqlite_url

    home: Path = arguments.home
    study = home / "study.json"  # which is YAML too
    study.write_text(json.dumps(declared(arguments)))
    command = [sys.executable, "-m", "search.run", "--config", str(study), "--home", str(home), "--name", "bench"]
    command += ["--no-confirm", "--tracking", "offline", "--executor", "lanes", "--seed", str(arguments.seed)]
    command += words(arguments)
    if arguments.one == "beside":
        more = MORE * arguments.trials if "total_epochs" in declared(arguments)["scheduler"] else arguments.trials
        command += ["--trials", str(more)]
        command += [] if arguments.lanes is None else ["--lanes", str(arguments.lanes)]
    began = time.time()
    subprocess.run(command, check=True, stdout=sys.stderr)
    with Ledger(sqlite_url(home / "bench" / "ledger.db")) as ledger:
        row = ledger.study("bench")
        rows, declaration = ledger.epochs(row.id), row.declaration
    metric, mode = declaration["objective"]["metric"], declaration["objective"]["mode"]
    sign = -1.0 if mode == "max" else 1.0
    device_s, best, falls = 0.0, math.inf, []
    for count, epoch in enumerate(rows, 1):
        device_s += epoch.seconds
        value = sign * float(epoch.values[metric])
        if value < best:
            best = value
            falls.append((epoch.at - began, device_s, count, value))
    print(
        json.dumps({"falls": falls, "epochs_trained": len(rows), "device_s": device_s, "wall_s": time.time() - began})
    )


def reached(run: Measurement, goal: float) -> Sequence[float]:
    """Return what a search took until its best value was as good as ``goal``, by ``STAGES``; infinities else."""
    there = (fall for fall in run.output["falls"] if fall[-1] <= goal)
    return next(there, (math.inf,) * len(STAGES))[: len(STAGES)]


def final(run: Measurement) -> float:
    """Return the best value of a search, lower is better."""
    return float(run.output["falls"][-1][-1])


def side(arguments: argparse.Namespace, which: str, name: str) -> Contender:
    """Return the command of one side, with its seed left open."""
    private = tuple(
        (value, word) for value, word in ((arguments.data_dir, "DATA_DIR"), (arguments.data, "DATA")) if value
    )
    argv = [sys.executable, "-m", "benchmarks.search_end_to_end", "--one", which, "--home", HOME, "--seed", SEED]
    argv += ["--study", arguments.study, *words(arguments)]
    if which == "beside":
        for option in ("scheduler", "lanes", "grace", "total_epochs"):
            if (value := getattr(arguments, option)) is not None:
                argv += [f"--{option.replace('_', '-')}", str(value)]
    return Contender(name, tuple(argv), private)


def compared(arguments: argparse.Namespace, sides: Sequence[Contender], pairs: Sequence[Any]) -> str:
    """Return the section's text."""
    goals = [final(default) for _, default in pairs]
    to_goal = [[reached(run, goal) for run, goal in zip(runs, goals, strict=True)] for runs in zip(*pairs, strict=True)]
    rows = [
        [
            contender.name,
            f"{sum(math.isfinite(found[0]) for found in to_goal[i])}/{len(pairs)}",
            *(spread([found[stage] for found in to_goal[i]], 0 if stage == 2 else 1) for stage in range(len(STAGES))),
            spread([final(pair[i]) for pair in pairs], 4),
            spread([pair[i].output["wall_s"] for pair in pairs], 1),
            spread([pair[i].output["epochs_trained"] for pair in pairs], 0),
        ]
        for i, contender in enumerate(sides)
    ]
    lines = []
    for stage, what in enumerate(STAGES):
        by_seed = [theirs[stage] / ours[stage] for ours, theirs in zip(*to_goal, strict=True)]
        target = arguments.target if stage == 0 else None
        said = verdict(f"{what}, the default's / its", statistics.median(by_seed), target, at_least=True, unit="x")
        lines.append(f"{said} Spread over seeds: {min(by_seed):.2f} - {max(by_seed):.2f} (0: never got there).")
    head = ["", "got there", *(f"{what} to there" for what in STAGES), "best", "whole wall s", "epochs trained"]
    return "\n\n".join(
        [
            "There: the best value that the default, tpe and asha, ends with on the same seed; it counts from the "
            "start of the command, interpreter and data included. Device time: what the epochs took, all trials "
            "together, a trial in a stack its share.",
            table(head, rows),
            *lines,
            *disturbance(pairs),
            "Measured commands:\n\n" + "\n".join(f"- `{contender.shown()}`" for contender in sides),
        ]
    )


def main() -> int:
    """Search in pairs, ours and the default, and compare."""
    options = parser()
    arguments = options.parse_args()
    if arguments.one is not None:
        search_once(arguments)
        return 0
    if arguments.seeds < 1:
        options.error(f"--seeds must be >= 1, got {arguments.seeds}")
    lanes = "" if arguments.lanes is None else f", {arguments.lanes} lanes"
    grace = "" if arguments.grace is None else f", grace {arguments.grace}"
    named = f"{arguments.scheduler}{lanes}{grace}"
    data = f" on {arguments.dataset}" if arguments.dataset else " on images" if arguments.data else ""
    section = f"search_end_to_end: {arguments.study}{data}, {named}"
    sides = side(arguments, "beside", named), side(arguments, "default", f"the default, {arguments.trials} trials")
    kept = journal(arguments.journal, of=section)
    try:
        pairs = interleaved(sides[0], sides[1], arguments.seeds, seed=arguments.seed, inspect=final, journal=kept)
    except BenchmarkError as error:
        options.exit(1, f"{error}\n")
    command = shown_command("benchmarks.search_end_to_end", sides[0].private)
    write_section(section, command, compared(arguments, sides, pairs), arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())

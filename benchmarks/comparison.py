"""One comparison in interleaved pairs: what ``whole_process`` and ``steady_state`` have in common."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence

from benchmarks.contenders import add_workload, check, contender, private_words, workload
from benchmarks.harness import BenchmarkError, Measurement, disturbance, field, interleaved, ratios, spread
from benchmarks.record import add_journal, add_results, journal, shown_command, table, verdict, write_section

Value = Callable[[Measurement], float]


def best_value(output: dict[str, object]) -> float:
    """Return the best validation loss that a contender printed."""
    return field(output, "best.value", "best_val_loss")


def main(module: str, description: str, *, trials: int, pairs: int, what: str, value: Value, note: str) -> int:
    """Read the command line, measure, write the section; return the exit code.

    Args:
        module: the benchmark's module, for the printed command and the section's name.
        description: of the command line.
        trials: the default number.
        pairs: the default number.
        what: the quantity that is compared, as a heading.
        value: takes that quantity from a run.
        note: a sentence on what the quantity holds.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    add_workload(parser, trials=trials)
    parser.add_argument("--pairs", type=int, default=pairs)
    parser.add_argument("--target", type=float, help="least ratio of the other side's time to ours")
    add_results(parser)
    add_journal(parser)
    arguments = parser.parse_args()
    check(parser, arguments)
    if arguments.pairs < 1:
        parser.error(f"--pairs must be >= 1, got {arguments.pairs}")
    section = f"{module.rsplit('.', 1)[-1]}: {arguments.executor} / {arguments.against}, {workload(arguments)}"
    sides = [contender(name, arguments) for name in (arguments.executor, arguments.against)]
    try:
        measured = interleaved(
            sides[0],
            sides[1],
            arguments.pairs,
            seed=arguments.seed,
            inspect=lambda run: (value(run), best_value(run.output), field(run.output, "epochs_trained")),
            journal=journal(arguments.journal, of=section),
        )
        by_pair = ratios(measured, value)
        rows = [_row(side.name, [pair[i] for pair in measured], what, value) for i, side in enumerate(sides)]
    except BenchmarkError as error:
        parser.exit(1, f"{error}\n")
    body = "\n\n".join(
        [
            note,
            table([""] + [name for name, _ in rows[0][1]], [[r[0], *(v for _, v in r[1])] for r in rows]),
            verdict(
                f"{what}, {sides[1].name} / {sides[0].name}, median of {arguments.pairs} pairs",
                statistics.median(by_pair),
                arguments.target,
                at_least=True,
                unit="x",
            )
            + f" Spread of the pairs: {min(by_pair):.2f} - {max(by_pair):.2f}.",
            *disturbance(measured),
            "Measured commands:\n\n" + "\n".join(f"- `{side.shown()}`" for side in sides),
        ]
    )
    write_section(section, shown_command(module, private_words(arguments)), body, arguments.results)
    return 0


def _row(name: str, runs: Sequence[Measurement], what: str, value: Value) -> tuple[str, list[tuple[str, str]]]:
    """Return a contender's name and its (heading, text) cells."""
    epochs = [field(r.output, "epochs_trained") for r in runs]
    cells = {what: spread([value(r) for r in runs])}
    cells.setdefault("wall s", spread([r.wall_s for r in runs]))
    cells |= {
        "CPU s": spread([r.cost.cpu_s for r in runs]),
        "others' CPU s": spread([r.cost.others_cpu_s for r in runs], 1),
        "epochs trained": spread(epochs, 0),
        f"ms of {what.removesuffix(' s')} an epoch": spread(
            [1000 * value(r) / n for r, n in zip(runs, epochs, strict=True)]
        ),
        "largest process MiB": spread([r.cost.largest_process_mib for r in runs], 0),
        "all processes MiB": spread([r.cost.tree_mib for r in runs], 0),
        "best val_loss": spread([best_value(r.output) for r in runs], 4),
    }
    return name, list(cells.items())

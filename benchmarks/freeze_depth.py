"""The freeze-depth curve of a folder of images over several seeds, and what transfer gains over none."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import ENVIRONMENT, ROOT, BenchmarkError, Contender, last_json
from benchmarks.process import progress, run_process
from benchmarks.record import add_results, shown_command, table, write_section

RUNS = ()
"""What ``python -m benchmarks --all`` runs: nothing, for it has no images."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.freeze_depth", description=__doc__)
    parser.add_argument("--images", required=True, help="folder of images by class, as --data images:FOLDER takes it")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--train-examples", type=int)
    parser.add_argument("--trials", type=int, default=36)
    parser.add_argument("--max-epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], dest="sets", help="passed on to the search")
    add_results(parser)
    arguments = parser.parse_args()
    folder = str(Path(arguments.images).absolute())
    try:
        found = [_search(arguments, folder, seed) for seed in range(arguments.seeds)]
    except BenchmarkError as error:
        parser.exit(1, f"{error}\n")
    curves = [output["curve"] for output in found]
    rows = []
    for i, first in enumerate(curves[0]["rows"]):
        rows.append([f"{first['value']} ({first['name']})", *_cells([curve["rows"][i] for curve in curves])])
    rows.append(["from scratch (trial 0)", *_cells([curve["baseline"] for curve in curves])])
    gains = [max(r["best"] for r in c["rows"] if r["best"] is not None) - c["baseline"]["best"] for c in curves]
    heads = ["frozen stages", "best val_accuracy", "each seed", "median of the trials", "seconds an epoch"]
    told = ", ".join(f"{gain:+.4f}" for gain in gains)
    walls = ", ".join(f"{output['wall_s']:.0f}" for output in found)
    body = "\n\n".join(
        [
            f"{arguments.trials} trials of {arguments.max_epochs} epochs on each of {arguments.seeds} study seeds; "
            "every depth gets as many trials as any other, ASHA stops the weak ones. A row has the mean over the "
            "seeds of the best and of the median trial at that depth; the best is chosen by validation, so it "
            "flatters a depth with several trials beside the one trial from scratch.",
            table(heads, rows),
            "Gain of the best depth over training from scratch with the same budget: "
            f"{statistics.mean(gains):+.4f} ({told}).",
            f"Seconds of a search: {walls}.",
            f"Measured command: `{_contender(arguments, folder, 0).shown()}`, seeds 0 to {arguments.seeds - 1}",
        ]
    )
    command = shown_command("benchmarks.freeze_depth", ((arguments.images, "IMAGES"),))
    write_section(f"freeze depth: {Path(folder).parent.name}/{Path(folder).name}", command, body, arguments.results)
    return 0


def _cells(rows: list[dict[str, Any]]) -> list[str]:
    best = [row["best"] for row in rows if row["best"] is not None]
    if not best:
        return ["no trial", "", "", ""]
    medians = statistics.mean(row["median"] for row in rows if row["median"] is not None)
    seconds = statistics.median(row["seconds"] for row in rows if row["seconds"] is not None)
    each = ", ".join(f"{value:.4f}" for value in best)
    return [f"{statistics.mean(best):.4f}", each, f"{medians:.4f}", f"{seconds:.3f}"]


def _contender(arguments: argparse.Namespace, folder: str, seed: int) -> Contender:
    sizes = ("--image-size", str(arguments.image_size), "--trials", str(arguments.trials))
    argv = [sys.executable, "-m", "search.run", "--no-confirm", "transfer", "--data", f"images:{folder}", *sizes]
    argv += ["--max-epochs", str(arguments.max_epochs), "--seed", str(seed), "--tracking", "offline", "--json"]
    if arguments.train_examples is not None:
        argv += ["--train-examples", str(arguments.train_examples)]
    argv += [word for text in arguments.sets for word in ("--set", text)]
    return Contender("transfer", tuple(argv), private=((f"images:{folder}", "images:IMAGES"),))


def _search(arguments: argparse.Namespace, folder: str, seed: int) -> dict[str, Any]:
    """Run one search. Nothing is timed but for information, so the machine need not be quiet."""
    contender = _contender(arguments, folder, seed)
    with tempfile.TemporaryDirectory(prefix="lanewise-bench-", ignore_cleanup_errors=True) as home:
        command = [*contender.command(home), "--home", home]
        ended = run_process(command, cwd=ROOT, environment=ENVIRONMENT, timeout_s=7200)
    if ended.exit_code != 0:
        raise BenchmarkError(f"seed {seed}: exit code {ended.exit_code}: {ended.stderr[-500:]}")
    output = last_json(ended.stdout, contender.name)
    progress(f"seed {seed}: {output['wall_s']:.0f} s, {output['curve']['verdict']}")
    return output


if __name__ == "__main__":
    sys.exit(main())

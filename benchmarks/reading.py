"""Seconds to read a user's own table, and a user's own folder of images, beside another version of Lanewise."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.harness import (
    ROOT,
    BenchmarkError,
    Contender,
    Measurement,
    disturbance,
    field,
    interleaved,
    ratios,
    spread,
)
from benchmarks.record import add_results, shown_command, table, verdict, write_section

RUNS = ("--what table --pairs 5", "--what images --pairs 5")
"""What ``python -m benchmarks --all`` runs."""

CLASSES = 5
ROWS, COLUMNS, IMAGES = 100_000, 50, 12_000

READ = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
import trainables
from trainables.data import DataSpec, load_splits
assert trainables.__file__.startswith(sys.argv[1]), f"{trainables.__file__} is not of {sys.argv[1]}"
spec = DataSpec("data", source=sys.argv[2], path=sys.argv[3], target="plan" if sys.argv[2] == "table" else None)
begun = time.perf_counter()
splits = load_splits(spec)
print(json.dumps({"read_s": time.perf_counter() - begun, "fingerprint": splits.fingerprint}))
"""
"""Reads one source with the version that lies in a given folder; knows of it only what has long been public."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description=__doc__)
    parser.add_argument("--what", choices=tuple(WRITERS), default="table")
    parser.add_argument("--against", type=Path, default=ROOT, help="folder of another version [default: this one]")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--columns", type=int, default=COLUMNS)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--target", type=float, default=1.2, help="most times what the other version takes")
    add_results(parser)
    arguments = parser.parse_args()
    if arguments.pairs < 1:
        parser.error(f"--pairs must be >= 1, got {arguments.pairs}")
    against = str(arguments.against.absolute())
    with tempfile.TemporaryDirectory(prefix="lanewise-reading-") as folder:
        path, size = WRITERS[arguments.what](Path(folder), arguments)
        sides = [_contender(name, tree, arguments.what, path) for name, tree in (("before", against), ("now", ROOT))]
        try:
            measured = interleaved(sides[0], sides[1], arguments.pairs)
        except BenchmarkError as error:
            parser.exit(1, f"{error}\n")
    body = _body(sides, measured, size, arguments.target)
    command = shown_command("benchmarks.reading", ((str(arguments.against), "OTHER_VERSION"),))
    write_section(f"reading: {arguments.what}", command, body, arguments.results)
    return 0


def _body(
    sides: Sequence[Contender], measured: Sequence[tuple[Measurement, Measurement]], size: str, target: float
) -> str:
    by_pair = ratios(measured, lambda run: field(run.output, "read_s"))
    rows = [
        [
            side.name,
            spread([field(pair[i].output, "read_s") for pair in measured]),
            spread([pair[i].cost.cpu_s for pair in measured]),
            spread([pair[i].cost.largest_process_mib for pair in measured], 0),
        ]
        for i, side in enumerate(sides)
    ]
    fingerprints = {run.output["fingerprint"] for pair in measured for run in pair}
    same = "the same" if len(fingerprints) == 1 else "DIFFERENT"
    middle = statistics.median(by_pair)
    return "\n\n".join(
        [
            f"{size}; from the call to the arrays, in a process of its own, its imports of pandas, scikit-learn and "
            f"Pillow among it. The fingerprints are {same}.",
            table(["", "reading s", "whole process CPU s", "largest process MiB"], rows),
            verdict(f"now / before, median of {len(measured)} pairs", middle, target or None, at_least=False, unit="x")
            + f" Spread of the pairs: {min(by_pair):.2f} - {max(by_pair):.2f}.",
            *disturbance(measured),
        ]
    )


def _contender(name: str, tree: str | Path, what: str, path: Path) -> Contender:
    return Contender(name, (sys.executable, "-c", READ, str(tree), what, str(path)))


def write_table(folder: Path, arguments: argparse.Namespace) -> tuple[Path, str]:
    """Write a CSV of numbers, text, dates and true/false with gaps, and a target of five classes."""
    import numpy as np
    import pandas as pd

    rng, rows = np.random.default_rng(0), arguments.rows
    makers: list[Callable[[], object]] = [
        *[lambda: rng.normal(5, 2, rows).round(4)] * 6,
        lambda: rng.integers(0, 1000, rows),
        lambda: rng.random(rows) < 0.4,
        lambda: np.array([f"kind {i}" for i in range(30)])[rng.integers(0, 30, rows)],
        lambda: (np.datetime64("2020-01-01") + rng.integers(0, 1500, rows)).astype(str),
    ]
    frame = pd.DataFrame({f"c{i}": makers[i % len(makers)]() for i in range(arguments.columns - 1)})
    frame.loc[3::17, "c0"] = np.nan
    score = frame["c0"].fillna(5) + rng.normal(0, 1, rows)
    frame["plan"] = np.array([f"plan {i}" for i in range(CLASSES)])[np.digitize(score, [2, 4, 6, 8])]
    path = folder / "table.csv"
    frame.to_csv(path, index=False)
    size = path.stat().st_size / 2**20
    return path, f"{rows:,} rows x {arguments.columns} columns, a CSV of {size:.0f} MiB"


def write_jpegs(folder: Path, arguments: argparse.Namespace) -> tuple[Path, str]:
    """Write JPEGs of 64 x 48 pixels, smooth as photos are, each class with a colour of its own."""
    import numpy as np
    from PIL import Image

    rng, images = np.random.default_rng(0), folder / "images"
    colours = rng.integers(60, 196, (CLASSES, 3))
    for i in range(arguments.images):
        label = i % CLASSES
        target = images / ("test" if i % 6 == 5 else "train") / f"class{label}"
        target.mkdir(parents=True, exist_ok=True)
        coarse = np.clip(rng.normal(colours[label], 40, (6, 8, 3)), 0, 255).astype(np.uint8)
        smooth = Image.fromarray(coarse).resize((64, 48), Image.Resampling.BICUBIC)
        smooth.save(target / f"{i:05}.jpg", quality=85)
    return images, f"{arguments.images:,} JPEGs of 64 x 48 pixels"


WRITERS = {"table": write_table, "images": write_jpegs}

if __name__ == "__main__":
    sys.exit(main())

"""A search over all freeze depths: with the feature cache, without it, and as a plain Ray Tune script."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import HOME, SEED, BenchmarkError, Contender, disturbance, field, interleaved, ratios, spread
from benchmarks.record import add_journal, add_results, journal, shown_command, table, verdict, write_section
from benchmarks.transfer_depths import bound, stage_work

CLASSES = 5
VALIDATION = 1 / 5
"""Validation images for each training image; as many again are for the test."""

TARGETS = {"uncached": 2.0, "ray_tune": 4.0}
LABELS = {"cached": "Lanewise", "uncached": "Lanewise without its cache", "ray_tune": "plain Ray Tune script"}
RUNS = ("--against uncached", "--against ray_tune")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer_search", description=__doc__)
    parser.add_argument("--against", choices=tuple(TARGETS), default="uncached")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--images", type=int, default=2000, help="for training; a fifth as many for validation")
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=5)
    add_results(parser)
    add_journal(parser)
    arguments = parser.parse_args()
    section = f"transfer search: against {arguments.against}, {arguments.images} images"
    with tempfile.TemporaryDirectory(prefix="lanewise-images-") as folder:
        val = int(VALIDATION * arguments.images)
        write_images(Path(folder), train=arguments.images, val=val, size=arguments.image_size)
        sides = [_contender(name, arguments, folder) for name in ("cached", arguments.against)]
        try:
            measured = interleaved(
                sides[0],
                sides[1],
                arguments.pairs,
                inspect=lambda run: epochs(run.output),
                journal=journal(arguments.journal, of=section),
            )
        except BenchmarkError as error:
            parser.exit(1, f"{error}\n")
        shown = [f"- `{side.shown()}`" for side in sides]
    work = stage_work(arguments.backbone, arguments.image_size)
    bounds = [bound(work, epochs_by_depth(ours.output), validation=VALIDATION) for ours, _ in measured]
    by_pair = ratios(measured, lambda run: run.wall_s)
    rows = [
        [side.name, spread([p[i].wall_s for p in measured]), spread([epochs(p[i].output) for p in measured], 0)]
        for i, side in enumerate(sides)
    ]
    body = "\n\n".join(
        [
            f"{arguments.trials} trials of at most {arguments.epochs} epochs, ASHA, TPE, MLflow on SQLite, random "
            f"weights; {arguments.backbone} on {arguments.images} images of {arguments.image_size} pixels, as PNG "
            "files; whole processes, from the command to its end.",
            table(["", "wall s", "epochs trained"], rows),
            verdict(
                f"{sides[1].name} / {sides[0].name}, median of {arguments.pairs} pairs",
                statistics.median(by_pair),
                TARGETS[arguments.against],
                at_least=True,
                unit="x",
            )
            + f" Spread of the pairs: {min(by_pair):.2f} - {max(by_pair):.2f}.",
            f"The bound that arithmetic sets to what the cache saves, of the epochs at each depth: {spread(bounds)}x. "
            "Epochs at depth 0 and from scratch gain nothing; of the others most work is in the stages that train.",
            *disturbance(measured),
            "Measured commands:\n\n" + "\n".join(shown),
        ]
    )
    write_section(section, shown_command("benchmarks.transfer_search"), body, arguments.results)
    return 0


def epochs(output: dict[str, Any]) -> float:
    """Return how many epochs a contender trained."""
    return field(output, "epochs_trained")


def epochs_by_depth(output: dict[str, Any]) -> dict[int, int]:
    """Return how many epochs our search trained at each freeze depth; those of the baseline, from scratch, at 0."""
    curve = output["curve"]
    by_depth = {row["value"]: row["epochs"] for row in curve["rows"]}
    by_depth[0] = by_depth.get(0, 0) + curve["baseline"]["epochs"]
    return by_depth


def write_images(folder: Path, *, train: int, val: int, size: int) -> None:
    """Write images by class, each class with a brightness of its own, so that there is something to learn."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for part, n in (("train", train), ("val", val), ("test", val)):
        for i in range(n):
            label = i % CLASSES
            target = folder / part / f"class{label}"
            target.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(20 * label, 20 * label + 170, size=(size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(target / f"{i:05}.png")


def _contender(name: str, arguments: argparse.Namespace, folder: str) -> Contender:
    common = ["--home", HOME, "--trials", str(arguments.trials), "--seed", SEED]
    size = ["--image-size", str(arguments.image_size), "--backbone", arguments.backbone]
    private = ((folder, "IMAGES"), (f"images:{folder}", "images:IMAGES"))
    if name == "ray_tune":
        peer = [sys.executable, "-m", "benchmarks.peers.ray_tune_transfer", "--images", folder, *size, *common]
        return Contender(LABELS[name], (*peer, "--epochs", str(arguments.epochs)), private)
    argv = [
        sys.executable,
        "-m",
        "search.run",
        "--no-confirm",
        "transfer",
        "--data",
        f"images:{folder}",
        *size,
        "--weights",
        "none",
    ]
    argv += [*common, "--max-epochs", str(arguments.epochs), "--name", "bench", "--json", "--set", "cache_mb=4096"]
    argv += ["--set", "augmentation=none"]  # the script has none
    argv += ["--set", "feature_cache=off"] if name == "uncached" else []
    return Contender(LABELS[name], tuple(argv), private)


if __name__ == "__main__":
    sys.exit(main())

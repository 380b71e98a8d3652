"""What the feature cache saves at each freeze depth, beside what the arithmetic allows."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.harness import machine_to_itself, spread
from benchmarks.process import progress
from benchmarks.record import add_results, shown_command, table, verdict, write_section

CLASSES = 5
RUNS = ("--depths 1,2,3,4,5",)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer_depths", description=__doc__)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--images", type=int, default=2000, help="for training; a fifth as many for validation")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--depths", default="1,2,3,4,5", help="stages that are frozen, one after another")
    parser.add_argument("--pairs", type=int, default=5)
    add_results(parser)
    arguments = parser.parse_args()
    depths = [int(text) for text in arguments.depths.split(",")]
    splits = _images(arguments)
    work = stage_work(arguments.backbone, arguments.image_size)
    rows, heads = [], []
    for depth in depths:
        pairs = []
        for pair in range(arguments.pairs):
            with machine_to_itself():
                fill_s, cached_s = _seconds(arguments, splits, depth, cache="memory")
            with machine_to_itself():
                _, uncached_s = _seconds(arguments, splits, depth, cache="off")
            pairs.append((fill_s, cached_s, uncached_s))
            progress(
                f"depth {depth}, pair {pair + 1}/{arguments.pairs}: {fill_s:.2f} + {cached_s:.2f}, {uncached_s:.2f} s"
            )
        fills, cached, uncached = zip(*pairs, strict=True)
        further = [u / c for _, c, u in pairs]
        first = [u / (f + c) for f, c, u in pairs]
        most = bound(work, {depth: 1}, validation=len(splits.val) / len(splits.train))
        rows.append([str(depth), *map(spread, (uncached, cached, fills, first, further)), f"{most:.2f}"])
        if depth == len(work):
            heads = further
    columns = ["frozen", "uncached s", "cached s", "fill s", "ratio, filling", "ratio, filled", "bound, filled"]
    body = "\n\n".join(
        [
            f"{arguments.backbone}, {arguments.images} random images of {arguments.image_size}x{arguments.image_size}, "
            f"{arguments.epochs} epochs of one trial, training and validation, n = {arguments.pairs} pairs. The trial "
            "that comes first fills the cache (one pass over the images); all later ones of a search find it filled. "
            "The bound is the ratio of multiplications: forward through all stages and backward through those that "
            "train, over both through those that train.",
            table(columns, rows),
            *(
                [verdict("Head-only trials, filled", statistics.median(heads), 20, at_least=True, unit="x")]
                if heads
                else []
            ),
        ]
    )
    name = f"transfer depths: {arguments.backbone}, {arguments.images} images of {arguments.image_size}"
    write_section(name, shown_command("benchmarks.transfer_depths"), body, arguments.results)
    return 0


def _images(arguments: argparse.Namespace) -> Any:
    import numpy as np

    from trainables.data import DataSpec
    from trainables.data.splits import Arrays, Splits

    rng = np.random.default_rng(0)
    size = (3, arguments.image_size, arguments.image_size)

    def part(n: int) -> Arrays:
        return Arrays(rng.integers(256, size=(n, *size), dtype=np.uint8), rng.integers(CLASSES, size=n))

    train, val = part(arguments.images), part(arguments.images // 5)
    return Splits("random", train, val, CLASSES, 0, "random", spec=DataSpec(pixels=True))


def _seconds(arguments: argparse.Namespace, splits: Any, depth: int, *, cache: str) -> tuple[float, float]:
    """Return how long the start (with the filling of the cache) and the epochs of a trial take."""
    import torch

    from trainables.registry import find_trainable

    trainable, device = find_trainable("transfer"), torch.device("cpu")
    params = {"backbone": arguments.backbone, "weights": "none", "freeze_depth": depth, "feature_cache": cache}
    config = trainable.configure({**params, "cache_mb": 4096}, max_epochs=arguments.epochs)
    data = trainable.prepare(splits, device)
    data.shared(config)
    started = time.perf_counter()
    run = trainable.start(config, data, seed=0, device=device)
    ready = time.perf_counter()
    for _ in range(arguments.epochs):
        run.step()
    return ready - started, time.perf_counter() - ready


def stage_work(backbone: str, image_size: int) -> list[int]:
    """Return the floating-point operations of each stage for one image, forward."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from trainables.transfer.backbones import build_backbone

    x = torch.zeros(1, 3, image_size, image_size)
    flops = []
    with torch.no_grad():
        for stage in build_backbone(backbone).stages:
            with FlopCounterMode(display=False) as counter:
                for layer in stage.layers:
                    x = layer.eval()(x)
            flops.append(counter.get_total_flops())
    return flops


def bound(work: Sequence[int], epochs: Mapping[int, int], *, validation: float) -> float:
    """Return how much more arithmetic epochs take without a cache than with one that is filled.

    Args:
        work: of each stage, forward; backward is taken to cost twice as much.
        epochs: how many were trained at each freeze depth.
        validation: validation images for each training image; they go forward alone.
    """
    without, cached = 0.0, 0.0
    for depth, count in epochs.items():
        frozen, trained = sum(work[:depth]), sum(work[depth:])
        without += count * (frozen + 3 * trained + validation * (frozen + trained))
        cached += count * (3 + validation) * trained
    return without / cached if cached else float("inf")


if __name__ == "__main__":
    sys.exit(main())

"""CNNs in lanes: an epoch of a trial as grouped convolutions (stacked) beside loops on a core each (looped).

Digits are the real ones; for 28x28 pixels random numbers of MNIST's shape stand in, which cost the same.
All sides of a model take turns, so that a slow minute of the machine touches all alike.

    python -m benchmarks.conv_lanes
    python -m benchmarks.conv_lanes --device cuda
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable

import torch

from benchmarks.harness import machine_to_itself, spread
from benchmarks.lane_engine import Side, take_turns
from benchmarks.process import progress
from benchmarks.record import add_results, shown_command, table, write_section
from trainables.config import CnnConfig, parse_widths
from trainables.device_data import DeviceData
from trainables.lanes import LaneWorker, usual_mode

RUNS = ("",)
"""What ``python -m benchmarks --all`` runs."""

LANES = (1, 4, 16)
MODELS = (("digits", "8"), ("digits", "8-16"), ("digits", "16-32"), ("28x28", "8-16"), ("28x28", "16-32"))
EXAMPLES = 1024
"""Of 28x28 pixels; a quarter as many to validate with."""


def trial(number: int, channels: str) -> CnnConfig:
    """Return a trial of the space of architectures: half with batch norm, two thirds with dropout."""
    return CnnConfig(
        max_epochs=10**6,
        channels=parse_widths(channels, "channels"),
        hidden=(32,),
        dropout=0.15 * (number % 3),
        batch_norm=number % 2 == 1,
        weight_decay=1e-3,
    )


def examples(shape: str, device: torch.device) -> DeviceData:
    """Return the digits, or random images of 28x28 pixels."""
    if shape == "digits":
        from trainables.data import DataSpec, load_splits

        return DeviceData.of(load_splits(DataSpec("digits")), device)
    rng = torch.Generator().manual_seed(0)
    n = EXAMPLES + EXAMPLES // 4
    x, y = torch.randn(n, 1, 28, 28, generator=rng).to(device), torch.randint(10, (n,), generator=rng).to(device)
    return DeviceData(x[:EXAMPLES], y[:EXAMPLES], x[EXAMPLES:], y[EXAMPLES:], 10)


def measure(shape: str, channels: str, device: torch.device, repetitions: int) -> dict[Side, list[float]]:
    """Return ms of an epoch of a trial for each mode and number of lanes."""
    data = examples(shape, device)
    workers, sides = [], {}
    for mode in ("stacked", "looped"):
        for lanes in LANES:
            worker = LaneWorker(data, device=device, lanes=lanes, mode=mode)
            for number in range(lanes):
                worker.seat(number, trial(number, channels), seed=number)
            workers.append(worker)
            sides[mode, lanes] = advance(worker)
    with machine_to_itself():
        found = take_turns(sides, repetitions)
    for worker in workers:
        worker.close()
    return found


def advance(worker: LaneWorker) -> Callable[[], object]:
    """Return what trains an epoch, and raises what a trial raised."""

    def epoch() -> None:
        for event in worker.advance().values():
            if event.error is not None:
                raise event.error

    return epoch


def main() -> int:
    """Measure, write the section; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conv_lanes", description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", choices=("digits", "28x28"), help="these alone")
    parser.add_argument("--repetitions", type=int, default=7)
    add_results(parser)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    before = os.getloadavg()[0]
    rows, faster = [], 0
    for shape, channels in MODELS:
        if arguments.images not in (None, shape):
            continue
        found = measure(shape, channels, device, arguments.repetitions)
        progress(f"{shape} {channels}: done")
        for lanes in LANES:
            stacked, looped = found["stacked", lanes], found["looped", lanes]
            ratio = statistics.median(looped) / statistics.median(stacked)
            faster += ratio > 1
            rows.append([shape, channels, str(lanes), spread(stacked), spread(looped), f"{ratio:.2f}"])
    body = "\n\n".join(
        [
            "Milliseconds of an epoch of a trial: batches of 64, a head of 32, half with batch norm, two thirds with "
            f"dropout. Torch threads {torch.get_num_threads()}; median (least - most) of {arguments.repetitions}.",
            table(["images", "channels", "lanes", "stacked", "looped", "looped / stacked"], rows),
            f"Stacked was faster in {faster} of {len(rows)} rows. Usual on this device: "
            f"{usual_mode(trial(0, '8'), device)}. Load average before and after: {before:.2f}, "
            f"{os.getloadavg()[0]:.2f}.",
        ]
    )
    section = f"conv_lanes: {device.type}" + (f", {arguments.images} alone" if arguments.images else "")
    write_section(section, shown_command("benchmarks.conv_lanes"), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""An epoch of a trial in lanes, stacked and looped, beside the plain loop, on the CPU; ``--gpu``: on a GPU.

Needs torch and ``trainables`` alone, plus what loads the data set that is asked for (scikit-learn for digits).

    python -m benchmarks.lane_engine
    python -m benchmarks.lane_engine --dataset mnist --data-dir DIR --train-examples 10000 --looped 1,4
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from trainables.config import MlpConfig
from trainables.device_data import DeviceData
from trainables.lanes import LaneWorker, choose_lanes
from trainables.loop import TrainingRun

RUNS = ("",)
"""What ``python -m benchmarks --all`` runs."""

WIDTHS = {"digits": (64, 32), "mnist": (128, 64)}
SCHEDULES = ("none", "step", "cosine", "plateau")
Side = tuple[str, int]
"""What is measured: the plain loop or a mode of lanes, and how many trials."""
BURST_S = 0.2


def trial(number: int, hidden: tuple[int, ...], *, max_epochs: int) -> MlpConfig:
    """Return a trial of the regularization space: half with batch norm, half with an L1 penalty."""
    return MlpConfig(
        max_epochs=max_epochs,
        hidden=hidden,
        dropout=0.1 + 0.05 * (number % 9),
        batch_norm=number % 2 == 1,
        weight_decay=1e-3,
        l1_penalty=1e-5 if number % 4 < 2 else 0.0,
        schedule=SCHEDULES[number % 4],
    )


def main() -> int:
    if "--gpu" in sys.argv:
        from benchmarks import gpu

        sys.argv.remove("--gpu")
        return gpu.main()
    arguments = parse()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    print(f"{machine()}; load average before: {os.getloadavg()[0]:.2f}")
    compare_lanes(arguments)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nPeak memory of this process: {peak_mib:.0f} MiB; load average after: {os.getloadavg()[0]:.2f}")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lane_engine", description=__doc__.split("\n")[0])
    parser.add_argument("--dataset", choices=tuple(WIDTHS), default="digits")
    parser.add_argument("--data-dir", help="folder with MNIST/raw")
    parser.add_argument("--train-examples", type=int)
    parser.add_argument("--lanes", type=numbers, default=(1, 2, 4, 8, 16, 32, 64))
    parser.add_argument("--looped", type=numbers, default=(1, 8), help="numbers of lanes that are also looped")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of stacked lanes")
    parser.add_argument("--threads", type=int, help="torch's threads; by default torch's own choice")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--gpu", action="store_true", help="measure on a GPU as benchmarks/gpu.sh does, by its options")
    parser.add_argument("--choose", action="store_true", help="show what --lanes auto would choose")
    arguments = parser.parse_args()
    if arguments.repetitions < 5:
        parser.error(f"--repetitions must be >= 5, got {arguments.repetitions}")
    return arguments


# --- lanes beside the loop ------------------------------------------------------------------------


def compare_lanes(arguments: argparse.Namespace) -> None:
    """Print ms for an epoch of a lane; all sides take turns, so that a slow minute touches all alike."""
    device = torch.device("cpu")
    data, hidden = load(arguments, device), WIDTHS[arguments.dataset]
    sides: dict[Side, Callable[[], object]] = {}
    for mode, counts in (("stacked", arguments.lanes), ("looped", arguments.looped)):
        for lanes in counts:
            worker = LaneWorker(data, device=device, lanes=lanes, mode=mode, precision=arguments.precision)
            for number in range(lanes):
                worker.seat(number, trial(number, hidden, max_epochs=10**6), seed=number)
            sides[mode, lanes] = worker.advance
    runs = [TrainingRun(trial(i, hidden, max_epochs=10**6), data, seed=i, device=device) for i in range(8)]
    sides["loop", len(runs)] = lambda: [run.step() for run in runs]
    cost = take_turns(sides, arguments.repetitions)
    print(
        f"{arguments.dataset}: N {len(data.x_train)} + {len(data.x_val)} validation, D {data.features}, "
        f"hidden {'-'.join(map(str, hidden))}, batch 64, {arguments.precision}; torch threads "
        f"{torch.get_num_threads()}; ms of an epoch of a trial, median of {arguments.repetitions} [least - most]\n"
    )
    loop = cost["loop", len(runs)]
    print(f"plain loop, {len(runs)} trials one after another: {spread(loop)}\n")
    print("| lanes | stacked | looped | plain loop / stacked |\n| --- | --- | --- | --- |")
    for lanes in sorted({*arguments.lanes, *arguments.looped}):
        stacked, looped = (cost.get((mode, lanes)) for mode in ("stacked", "looped"))
        ratio = f"{statistics.median(loop) / statistics.median(stacked):.1f}" if stacked else ""
        print(f"| {lanes} | {spread(stacked)} | {spread(looped)} | {ratio} |")
    if arguments.choose:
        choice = choose_lanes(data, trial(1, hidden, max_epochs=1), device=device, limit=64)
        print(f"\n--lanes auto chooses {choice.lanes}: {choice.reason}")


def take_turns(sides: dict[Side, Callable[[], object]], repetitions: int) -> dict[Side, list[float]]:
    """Let every side run ``repetitions`` bursts, in turn; return ms by trial and epoch.

    A burst lasts ``BURST_S`` or one epoch: a search stays with its lanes, and its caches warm, likewise.
    """
    times: dict[Side, list[float]] = {side: [] for side in sides}
    epochs = {}
    for side, advance in sides.items():
        advance()  # fills buffers and caches
        started = time.perf_counter()
        advance()
        epochs[side] = max(1, round(BURST_S / (time.perf_counter() - started)))
    for _ in range(repetitions):
        for side, advance in sides.items():
            started = time.perf_counter()
            for _ in range(epochs[side]):
                advance()
            times[side].append((time.perf_counter() - started) / epochs[side] / side[1] * 1e3)
    return times


# --- data, machine, numbers -----------------------------------------------------------------------


def load(arguments: argparse.Namespace, device: torch.device) -> DeviceData:
    from trainables.data import DataSpec, load_splits

    spec = DataSpec(arguments.dataset, arguments.data_dir, train_examples=arguments.train_examples)
    return DeviceData.of(load_splits(spec), device)


def machine() -> str:
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    cpu = names[0].partition(":")[2].strip() if names else model
    return f"{cpu}, {os.cpu_count()} cores; Python {platform.python_version()}, torch {torch.__version__}"


def spread(values: Sequence[float] | None) -> str:
    if not values:
        return ""
    digits = 0 if min(values) >= 100 else 2
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} [{low:.{digits}f} - {high:.{digits}f}]"


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part)


if __name__ == "__main__":
    sys.exit(main())

"""An epoch of a trial in lanes, stacked and looped, beside the plain loop; with --gpu beside processes.

Needs torch and ``trainables`` alone, plus what loads the data set that is asked for (scikit-learn for
digits; with ``--gpu`` MNIST's files are read here, and without ``--data-dir`` random numbers of its shape
stand in, which cost the same).

    python -m benchmarks.lane_engine
    python -m benchmarks.lane_engine --dataset mnist --data-dir DIR --train-examples 10000 --looped 1,4
    python -m benchmarks.lane_engine --gpu --data-dir DIR
"""

from __future__ import annotations

import argparse
import gzip
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from trainables.config import MlpConfig
from trainables.device_data import DeviceData
from trainables.lanes import LaneWorker, choose_lanes
from trainables.loop import TrainingRun, fit
from trainables.models import l1_norm

RUNS = ("",)
"""What ``python -m benchmarks --all`` runs."""

WIDTHS = {"digits": (64, 32), "mnist": (128, 64)}
SCHEDULES = ("none", "step", "cosine", "plateau")
Side = tuple[str, int]
"""What is measured: the plain loop or a mode of lanes, and how many trials."""
BURST_S = 0.2
AT_ONCE = 4
"""Processes that share the GPU in the comparison."""
LOADER = f"(d) a process a trial, DataLoader, {AT_ONCE} at a time"
REUSED = f"(e) reused processes, data on the device, {AT_ONCE} at a time"
TARGETS = {LOADER: 100, REUSED: 20}
"""How many times as many trials per hour lanes are to train on a GPU."""


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
    arguments = parse()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    print(f"{machine()}; load average before: {os.getloadavg()[0]:.2f}")
    if arguments.gpu:
        compare_processes(arguments)
    else:
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
    parser.add_argument("--choose", action="store_true", help="show what --lanes auto would choose")
    parser.add_argument("--gpu", action="store_true", help="trials per hour beside processes, on MNIST")
    parser.add_argument("--device", default="cuda", help="of --gpu; cpu tries the comparison out")
    parser.add_argument("--trials", type=int, default=64, help="with --gpu: trials in lanes, all at once")
    parser.add_argument("--epochs", type=int, default=10, help="with --gpu: of each trial")
    arguments = parser.parse_args()
    tries_out = arguments.gpu and arguments.device == "cpu"
    if arguments.repetitions < 5 and not tries_out:
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


# --- lanes beside processes -----------------------------------------------------------------------


def compare_processes(arguments: argparse.Namespace) -> None:
    """Print trials per hour of (lanes), (d) a process a trial with a DataLoader, (e) reused processes."""
    device = torch.device(arguments.device)
    arrays = mnist_arrays(arguments)
    few = max(AT_ONCE, arguments.trials // 8)
    sides: dict[str, Callable[[], float]] = {
        "lanes": lambda: lanes_rate(arrays, device, arguments),
        LOADER: lambda: processes_rate(arrays, device, arguments, trials=few, reuse=False),
        REUSED: lambda: processes_rate(arrays, device, arguments, trials=few, reuse=True),
    }
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(arguments.repetitions):
        for side, measure in sides.items():
            rates[side].append(measure())
    print(
        f"MNIST's shape, N {len(arrays[0])} + {len(arrays[2])} validation, hidden 128-64, batch 64, "
        f"{arguments.epochs} epochs; {arguments.trials} trials in lanes, {few} in processes; trials per hour, "
        f"median of {arguments.repetitions} [least - most]; (e)'s processes were warm, lanes' start is included\n"
    )
    print("| | trials per hour | lanes, how many times as many | target on a GPU |\n| --- | --- | --- | --- |")
    for side, found in rates.items():
        ratios = [ours / theirs for ours, theirs in zip(rates["lanes"], found, strict=True)]
        print(f"| {side} | {spread(found)} | {spread(ratios)} | {reached(side, ratios, device)} |")


def reached(side: str, ratios: Sequence[float], device: torch.device) -> str:
    """Say what the target against a side is, and on a GPU whether the median meets it."""
    target = TARGETS.get(side)
    if target is None:
        return ""
    if device.type != "cuda":
        return f">= {target}"
    return f">= {target}: **{'met' if statistics.median(ratios) >= target else 'MISSED'}**"


def lanes_rate(arrays: Sequence[torch.Tensor], device: torch.device, arguments: argparse.Namespace) -> float:
    """Train all trials in lanes; the time holds the copy of the data and the capture of the graphs."""
    trials: int = arguments.trials
    started = time.perf_counter()
    data = on_device(arrays, device)
    worker = LaneWorker(data, device=device, lanes=trials, mode="stacked", precision=arguments.precision)
    for number in range(trials):
        worker.seat(number, trial(number, WIDTHS["mnist"], max_epochs=arguments.epochs), seed=number)
    for _ in range(arguments.epochs):
        for event in worker.advance().values():
            if event.error is not None:
                raise event.error
    worker.close()
    return trials / (time.perf_counter() - started) * 3600


def processes_rate(
    arrays: Sequence[torch.Tensor],
    device: torch.device,
    arguments: argparse.Namespace,
    *,
    trials: int,
    reuse: bool,
) -> float:
    """Train trials in ``AT_ONCE`` processes, each used for one trial or for all that come its way."""
    shared: list[torch.Tensor] = [array.share_memory_() for array in arrays]
    pool = ProcessPoolExecutor(
        AT_ONCE,
        mp_context=get_context("spawn"),
        initializer=begin_process,
        initargs=(shared, device.type, reuse),
        max_tasks_per_child=None if reuse else 1,
    )
    train = train_on_device if reuse else train_from_loader
    with pool:
        if reuse:  # the processes, their imports and their data are there before the clock starts
            list(pool.map(train, range(AT_ONCE), [1] * AT_ONCE))
        started = time.perf_counter()
        list(pool.map(train, range(trials), [arguments.epochs] * trials))
        return trials / (time.perf_counter() - started) * 3600


_arrays: Sequence[torch.Tensor] = ()
_data: DeviceData | None = None
_device = torch.device("cpu")


def begin_process(arrays: Sequence[torch.Tensor], device: str, reuse: bool) -> None:
    """Keep what a process of either kind needs; the reused kind puts its data on the device once."""
    global _arrays, _data, _device
    torch.set_num_threads(1)
    _arrays, _device = arrays, torch.device(device)
    if reuse:
        _data = on_device(arrays, _device)


def train_on_device(number: int, epochs: int) -> float:
    """Train a trial with the plain loop."""
    assert _data is not None
    config = trial(number, WIDTHS["mnist"], max_epochs=epochs)
    reports = fit(TrainingRun(config, _data, seed=number, device=_device))
    return [report.metrics["val_loss"] for report in reports][-1]


def train_from_loader(number: int, epochs: int) -> float:
    """Train a trial as scripts do: batches from a DataLoader, each copied to the device."""
    data = on_device(_arrays, torch.device("cpu"))
    run = TrainingRun(trial(number, WIDTHS["mnist"], max_epochs=epochs), data, seed=number, device=_device)
    train = DataLoader(TensorDataset(*_arrays[:2]), batch_size=64, shuffle=True)
    val = DataLoader(TensorDataset(*_arrays[2:]), batch_size=1024)
    loss = 0.0
    for _ in range(epochs):
        run.model.train()
        for x, y in train:
            logits = run.model(x.to(_device))
            objective = torch.nn.functional.cross_entropy(logits, y.to(_device))
            if run.config.l1_penalty:
                objective = objective + run.config.l1_penalty * l1_norm(run.model)
            run.optimizer.zero_grad()
            objective.backward()
            run.optimizer.step()
        run.model.eval()
        with torch.no_grad():
            losses = [torch.nn.functional.cross_entropy(run.model(x.to(_device)), y.to(_device)) for x, y in val]
        loss = torch.stack(losses).mean().item()
        run.schedule.step(loss)
    return loss


# --- data, machine, numbers -----------------------------------------------------------------------


def load(arguments: argparse.Namespace, device: torch.device) -> DeviceData:
    from trainables.data import DataSpec, load_splits

    spec = DataSpec(arguments.dataset, arguments.data_dir, train_examples=arguments.train_examples)
    return DeviceData.of(load_splits(spec), device)


def mnist_arrays(arguments: argparse.Namespace) -> list[torch.Tensor]:
    """Return x_train, y_train, x_val, y_val of MNIST, or random numbers of its shape."""
    n = arguments.train_examples or 50_000
    if arguments.data_dir is None:
        rng = torch.Generator().manual_seed(0)
        x, y = torch.randn(n + 10_000, 784, generator=rng), torch.randint(10, (n + 10_000,), generator=rng)
    else:
        raw = Path(arguments.data_dir) / "MNIST" / "raw"
        pixels = read_idx(raw / "train-images-idx3-ubyte", 16).reshape(-1, 784)
        x = (torch.from_numpy(pixels).float() / 255 - 0.1307) / 0.3081
        y = torch.from_numpy(read_idx(raw / "train-labels-idx1-ubyte", 8)).long()
    return [x[:n].contiguous(), y[:n].contiguous(), x[-10_000:].contiguous(), y[-10_000:].contiguous()]


def read_idx(path: Path, header_bytes: int) -> np.ndarray:
    zipped = path.with_name(path.name + ".gz")
    content = path.read_bytes() if path.exists() else gzip.decompress(zipped.read_bytes())
    return np.frombuffer(content, np.uint8, offset=header_bytes).copy()


def on_device(arrays: Sequence[torch.Tensor], device: torch.device) -> DeviceData:
    x_train, y_train, x_val, y_val = (array.to(device) for array in arrays)
    return DeviceData(x_train, y_train, x_val, y_val, outputs=10)


def machine() -> str:
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    cpu = names[0].partition(":")[2].strip() if names else model
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{cpu}, {os.cpu_count()} cores{gpu}; Python {platform.python_version()}, torch {torch.__version__}"


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

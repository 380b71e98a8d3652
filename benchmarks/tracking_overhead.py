"""What MLflow costs a training loop: none, on a thread of the same process, in the process beside it."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import ROOT, spread
from benchmarks.record import add_results, shown_command, table, verdict, write_section
from trainables.config import MlpConfig
from trainables.data import DataSpec, load_splits
from trainables.device_data import DeviceData
from trainables.loop import TrainingRun

LOGGER = """
import sys, threading
from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

def log_until(stop, uri):
    client = MlflowClient(uri)
    experiment = client.create_experiment("bench")
    while not stop.is_set():
        run = client.create_run(experiment).info.run_id
        names = ("train_loss", "val_loss", "val_accuracy", "lr")
        client.log_batch(run, metrics=[Metric(n, 0.5, 0, s) for s in range(10) for n in names])
        client.set_terminated(run)
"""


def epoch_ms(run: TrainingRun, seconds: float) -> float:
    """Train for about ``seconds`` and return the milliseconds of an epoch."""
    epochs, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        run.step()
        epochs += 1
    return (time.perf_counter() - started) / epochs * 1000


def beside_a_thread(run: TrainingRun, seconds: float, uri: str) -> float:
    """Return the milliseconds of an epoch while a thread logs to MLflow all the time."""
    namespace: dict[str, Any] = {}
    exec(LOGGER, namespace)
    stop = threading.Event()
    thread = threading.Thread(target=namespace["log_until"], args=(stop, uri))
    thread.start()
    time.sleep(3)  # its database is being made
    try:
        return epoch_ms(run, seconds)
    finally:
        stop.set()
        thread.join()


def beside_a_process(run: TrainingRun, seconds: float, uri: str) -> float:
    """Return the milliseconds of an epoch while another process does the same."""
    code = f"{LOGGER}\nlog_until(threading.Event(), {uri!r})"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        time.sleep(5)
        try:
            return epoch_ms(run, seconds)
        finally:
            process.kill()


def main() -> int:
    """Measure, write the section; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracking_overhead", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of training for each figure")
    add_results(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device("cpu")
    data = DeviceData.of(load_splits(DataSpec()), device)
    config = MlpConfig(max_epochs=10**9, dropout=0.2, batch_norm=True)
    figures: dict[str, list[float]] = {"alone": [], "thread": [], "process": []}
    for i in range(arguments.runs):
        run = TrainingRun(config, data, seed=i, device=device)
        with tempfile.TemporaryDirectory() as folder:
            figures["alone"].append(epoch_ms(run, arguments.seconds))
            uri = f"sqlite:///{Path(folder)}/thread.db"
            figures["thread"].append(beside_a_thread(run, arguments.seconds, uri))
            uri = f"sqlite:///{Path(folder)}/process.db"
            figures["process"].append(beside_a_process(run, arguments.seconds, uri))
    ratio = statistics.median(t / p for t, p in zip(figures["thread"], figures["process"], strict=True))
    body = "\n\n".join(
        [
            "An epoch of the plain loop on digits (one torch thread), MLflow logging to SQLite without pause.",
            table(["MLflow", "ms an epoch"], [[name, spread(values)] for name, values in figures.items()]),
            verdict(f"Thread / process, median of {arguments.runs} rounds", ratio, None, at_least=True, unit="x"),
        ]
    )
    write_section("tracking_overhead", shown_command("benchmarks.tracking_overhead"), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())

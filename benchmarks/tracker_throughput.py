"""Whether MLflow's runs keep up with a long search: 10,000 trials that cost nothing, sent while they are searched."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
from mlflow.tracking import MlflowClient

from benchmarks.driver_cost import RUN_EPOCHS, searched
from benchmarks.harness import machine_to_itself, spread
from benchmarks.record import add_results, shown_command, table, verdict, write_section
from search.ledger import Ledger
from search.tracking.process import Patience, TrackerProcess

RUNS = ("--runs 5",)
"""What ``python -m benchmarks --all`` runs."""

SAMPLE_S = 0.2

SETTLED_S = 5.0
"""How long after its first order the tracker has made what it makes once."""


@dataclass(frozen=True)
class Sent:
    """What one search, and the sending of its runs, came to.

    Attributes:
        search_s: of the search alone.
        cpu_ms: of the tracker's process, for each run, the answer at the end included.
        after_s: from the end of the search until all is there, the study's own run included.
        start_mib, end_mib: resident memory of the tracker a few seconds after it began, and when the search ended.
        most_mib: its most, the answer at the end included.
    """

    search_s: float
    cpu_ms: float
    after_s: float
    start_mib: float
    end_mib: float
    most_mib: float


class Watch:
    """Samples what a process takes, in a thread, until it has ended."""

    def __init__(self, pid: int) -> None:
        self.samples: list[tuple[float, float]] = []
        self.cpu_s = 0.0
        self._process = psutil.Process(pid)
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while True:
            try:
                used, memory = self._process.cpu_times(), self._process.memory_info()
            except psutil.Error:
                return
            if memory.rss:  # a process that has ended and was not waited for has none
                self.samples.append((time.perf_counter(), memory.rss / 2**20))
                self.cpu_s = used.user + used.system
            time.sleep(SAMPLE_S)

    def mib(self, at: float) -> float:
        """Return the resident memory at a time of ``perf_counter``."""
        return min(self.samples, key=lambda sample: abs(sample[0] - at))[1]


def send(trials: int) -> Sent:
    """Search once with a tracker beside it."""
    patience = Patience(sending_s=3600.0)
    with tempfile.TemporaryDirectory(prefix="lanewise-bench-") as folder, ExitStack() as stack:
        home = Path(folder)
        uri, artifacts = f"sqlite:///{home}/mlflow.db", home / "mlflow-artifacts"
        MlflowClient(uri).search_experiments()  # its database is made
        tracker = stack.enter_context(TrackerProcess(uri, artifacts=artifacts, patience=patience))
        tracker.try_store("bench")
        if (why := tracker.tried()) is not None:
            raise RuntimeError(why)
        watch, used = Watch(tracker.pid), psutil.Process(tracker.pid).cpu_times()
        began: list[float] = []

        def begun(ledger: Ledger) -> None:
            began.append(time.perf_counter())
            tracker.begin(ledger.url, "bench", home=home, log=home / "tracking.log")

        with searched("random", trials, RUN_EPOCHS, prune=False, begun=begun) as search:
            ended = time.perf_counter()
            if (why := tracker.finish()) is not None:
                raise RuntimeError(why)
            sent = time.perf_counter()
            _check(uri, trials)
        cpu_s = watch.cpu_s - used.user - used.system
        return Sent(
            search.seconds,
            cpu_s / trials * 1000,
            sent - ended,
            watch.mib(min(began[0] + SETTLED_S, ended)),
            watch.mib(ended),
            max(memory for _, memory in watch.samples),
        )


def _check(uri: str, trials: int) -> None:
    """Look at what arrived, as MLflow's client reads it.

    Raises:
        RuntimeError: there is not one run of each trial, closed, with all its epochs.
    """
    client = MlflowClient(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    last = client.search_runs(experiments, f"tags.`lanewise.trial` = '{trials - 1}'")
    done, token = 0, None
    while True:
        page = client.search_runs(experiments, "attributes.status = 'FINISHED'", page_token=token, max_results=1000)
        done, token = done + len(page), page.token
        if not token:
            break
    points = [len(client.get_metric_history(run.info.run_id, "val_loss")) for run in last]
    if (done, points) != (trials, [RUN_EPOCHS]):
        raise RuntimeError(f"{done} of {trials} runs are closed, the last trial's have {points} points")


def main() -> int:
    """Measure, write the section; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracker_throughput", description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=1)
    add_results(parser)
    arguments = parser.parse_args()
    with machine_to_itself():
        all_sent = [send(arguments.trials) for _ in range(arguments.runs)]
    rows = [
        ["the search itself, s", spread([sent.search_s for sent in all_sent])],
        ["from its end until MLflow has all, the answer included, s", spread([sent.after_s for sent in all_sent])],
        ["processor time of the tracker a run, ms", spread([sent.cpu_ms for sent in all_sent])],
        ["memory of the tracker a few seconds after it began, MiB", spread([sent.start_mib for sent in all_sent], 0)],
        ["memory of the tracker when the search ended, MiB", spread([sent.end_mib for sent in all_sent], 0)],
        ["its most, while the answer is logged, MiB", spread([sent.most_mib for sent in all_sent], 0)],
    ]
    after_s = statistics.median(sent.after_s for sent in all_sent)
    growth = statistics.median(sent.end_mib - sent.start_mib for sent in all_sent)
    body = "\n\n".join(
        [
            f"{arguments.trials} trials of {RUN_EPOCHS} epochs whose training costs nothing, random sampler; their "
            "runs are sent to MLflow on SQLite by the tracker's process meanwhile, and read back by MLflow's client.",
            table(["what", "median"], rows),
            verdict("Until all was sent, median", after_s, 60.0, at_least=False, unit=" s"),
            verdict("Growth of the tracker during the search, median", growth, None, at_least=False, unit=" MiB"),
        ]
    )
    write_section("tracker_throughput", shown_command("benchmarks.tracker_throughput"), body, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A real MLflow server on loopback that can be stopped and started on the same store."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType

import psutil
from mlflow.tracking import MlflowClient

from search.ledger import FitRole, Ledger
from search.tracking.fit_runs import FIT, GROUP
from search.tracking.process import UID
from tests.support.ray_head import free_ports

START_S = 90.0
METRICS = ("train_loss", "val_loss", "val_accuracy", "lr", "epoch_seconds")


class MlflowServer:
    """``mlflow server`` over SQLite, one process; not started yet.

    Args:
        folder: of its store, artifacts and log.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (self.port,) = free_ports(1)
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> MlflowServer:
        """Start it, and return once it answers."""
        store, artifacts = f"sqlite:///{self._folder / 'server.db'}", self._folder / "artifacts"
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", store, "--artifacts-destination", str(artifacts)]
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self._folder / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **quiet},
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the MLflow server did not come up:\n{(self._folder / 'server.log').read_text()}")
            time.sleep(0.1)
        return self

    def answers(self) -> bool:
        """Say whether it answers now."""
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        """End it as a power cut would; its store stays."""
        if self._process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(self._process.pid)
            for process in [*root.children(recursive=True), root]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self._process.wait()
        self._process = None

    def __enter__(self) -> MlflowServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def check_same(uri: str, ledger_url: str, study: str, kind: str) -> int:
    """Check that MLflow has of a study what the ledger has: each trial, epoch and run of a confirmation once.

    Nothing of it may still be running there.

    Returns:
        The number of metric points that were compared.
    """
    with Ledger(ledger_url) as ledger:
        row = ledger.study(study)
        trials, epochs, fits = (
            ledger.trials(row.id),
            ledger.epochs(row.id),
            ledger.fits(row.id, FitRole.CONFIRM, FitRole.ABLATION),
        )
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(kind)
    assert experiment is not None
    own = f"tags.`{UID}` = '{row.facts.uid}'"
    runs = client.search_runs([experiment.experiment_id], own, max_results=1000)
    confirmed = [r.data.tags[FIT] for r in runs if FIT in r.data.tags]
    children = {
        int(r.data.tags["lanewise.trial"]): r
        for r in runs
        if "lanewise.trial" in r.data.tags and FIT not in r.data.tags
    }
    groups = [r.data.tags[GROUP] for r in runs if GROUP in r.data.tags]
    assert sorted(groups) == sorted({f.role.value for f in fits})
    assert len(runs) == len(children) + len(confirmed) + len(groups) + 1, "a parent, and one run for each trial"
    assert sorted(confirmed) == sorted(f"{f.role.value}-{f.config_hash}-{f.split}" for f in fits)
    assert sorted(children) == [t.number for t in trials]
    assert "RUNNING" not in {r.info.status for r in runs}
    compared = 0
    for trial in trials:
        rows = [e for e in epochs if e.number == trial.number]
        for name in METRICS:
            expected = [(e.epoch, {**e.metrics, "epoch_seconds": e.seconds}[name]) for e in rows]
            sent = client.get_metric_history(children[trial.number].info.run_id, name)
            assert sorted((m.step, m.value) for m in sent) == expected, f"trial {trial.number} {name}"
            compared += len(sent)
    return compared

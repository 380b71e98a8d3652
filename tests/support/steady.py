"""A trainable that takes its time and keeps count: what was trained can be compared with what was recorded."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from search.ledger import TrialRow
from tests.support.scripted import METRICS
from trainables.report import EpochReport, stop_reason


@dataclass(frozen=True)
class Pace:
    """What one trial does.

    Attributes:
        level: its validation loss begins near this.
        epoch_s: an epoch takes so long.
        folder: of the counts.
        hold_after: once one process has trained so many epochs of the trial, it waits there until the file of
            ``release`` exists: whoever kills processes need not be in time. 0: it never waits.
    """

    level: float
    epoch_s: float
    folder: Path
    max_epochs: int
    hold_after: int = 0


@dataclass(frozen=True)
class Trained:
    """One epoch that a process went through, whether or not anybody heard of it."""

    epoch: int
    pid: int
    node: str


class Steady:
    """Every epoch takes as long as the last, and is counted in a file of its trial before it is reported."""

    stacks = False
    loops = True
    metrics = METRICS

    def configure(self, params: dict[str, Any], *, max_epochs: int) -> Pace:
        folder, hold_after = Path(params["folder"]), params.get("hold_after", 0)
        return Pace(params.get("level", 1.0), params["epoch_s"], folder, max_epochs, hold_after)

    def prepare(self, splits: Any, device: Any) -> Any:
        return device

    def start(self, config: Pace, data: Any, *, seed: int, device: Any) -> SteadyRun:
        return SteadyRun(config, seed)


class SteadyRun:
    """One trial; each loss follows from the one before, so that a wrong state shows in every later epoch."""

    def __init__(self, config: Pace, seed: int) -> None:
        self._config, self._seed, self._epoch, self._walk = config, seed, 0, seed % 2_147_483_646 + 1
        self._here = 0

    def step(self) -> EpochReport:
        config, began = self._config, time.monotonic()
        while 0 < config.hold_after <= self._here and not self._released():
            time.sleep(0.01)
        time.sleep(config.epoch_s)
        self._here += 1
        self._epoch += 1
        self._walk = self._walk * 16807 % 2_147_483_647
        node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else "-"
        with (config.folder / f"trained_{self._seed}").open("a") as file:
            file.write(f"{self._epoch} {os.getpid()} {node}\n")
        loss = config.level / self._epoch + self._walk * 1e-12
        stop = stop_reason(epoch=self._epoch, max_epochs=config.max_epochs, finite=True, out_of_patience=False)
        metrics = {**dict.fromkeys(METRICS, 0.5), "val_loss": loss}
        return EpochReport(self._epoch, metrics, time.monotonic() - began, stop)

    def _released(self) -> bool:
        return _release_file(self._config.folder, self._seed).exists()

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._epoch, "walk": self._walk}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._epoch, self._walk = state["epoch"], state["walk"]


def release(folder: Path, seed: int) -> None:
    """Let the trial of this seed train to its end, in whichever process it is."""
    _release_file(folder, seed).touch()


def _release_file(folder: Path, seed: int) -> Path:
    return folder / f"released_{seed}"


def trained(folder: Path) -> dict[int, list[Trained]]:
    """Return what every trial went through, in order, by the trial's seed."""
    found: dict[int, list[Trained]] = defaultdict(list)
    for path in folder.glob("trained_*"):
        for line in path.read_text().splitlines():
            epoch, pid, node = line.split()
            found[int(path.name.removeprefix("trained_"))].append(Trained(int(epoch), int(pid), node))
    return found


def undisturbed(trial: TrialRow, max_epochs: int, folder: Path) -> list[float]:
    """Return the validation losses of a trial to which nothing happens."""
    run = SteadyRun(Pace(trial.params["level"], 0.0, folder, max_epochs), trial.seed)
    return [run.step().metrics["val_loss"] for _ in range(max_epochs)]

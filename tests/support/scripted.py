"""Trainables that do as their parameters say and keep a diary; named ``tests.support.scripted:Class`` in a study.

They run in Ray's workers, so what a test wants to know of them goes through files in ``folder``, a setting
of the study. A trial does not know its number; ``ticket`` numbers the trials in the order of their arrival.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray

from trainables.report import EpochReport, stop_reason

METRICS = ("train_loss", "val_loss", "val_accuracy", "lr")
PATIENCE_S = 60.0
"""How long a trial waits for others before it gives up and fails; no test that passes waits for it."""


@dataclass(frozen=True)
class Script:
    """What one trial does.

    Attributes:
        does: ``trains``, ``raises`` (in epoch 2), ``diverges`` (in epoch 2), ``stalls`` (an epoch a
            centisecond, for ever) or ``refuses`` (raises before its first epoch).
        level: its validation loss after epoch e is level / e.
        folder: of the diary.
    """

    does: str
    level: float
    folder: Path
    max_epochs: int


class Scripted:
    """Does what its script says."""

    stacks = False
    loops = False
    metrics = METRICS

    def configure(self, params: dict[str, Any], *, max_epochs: int) -> Script:
        return Script(params.get("does", "trains"), params.get("level", 1.0), Path(params["folder"]), max_epochs)

    def prepare(self, splits: Any, device: Any) -> Any:
        return device

    def start(self, config: Script, data: Any, *, seed: int, device: Any) -> ScriptedRun:
        if config.does == "refuses":
            raise LookupError("no such layer")
        return ScriptedRun(self, config, device)

    def first_epoch(self, config: Script, ticket: int) -> None:
        """What a trial does in its first epoch beside training."""


class ScriptedRun:
    """One scripted trial."""

    def __init__(self, trainable: Scripted, config: Script, device: Any) -> None:
        self._trainable, self._config, self._epoch = trainable, config, 0
        self._facts = {
            "pid": os.getpid(),
            "device": str(device),
            "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "gpus": [str(i) for i in ray.get_gpu_ids()],
            "began": time.monotonic(),
        }

    def step(self) -> EpochReport:
        config, self._epoch = self._config, self._epoch + 1
        if self._epoch == 1:
            ticket = draw_ticket(config.folder)
            self._trainable.first_epoch(config, ticket)
            entry = {**self._facts, "ticket": ticket, "ended": time.monotonic()}
            (config.folder / f"trial_{ticket}.json").write_text(json.dumps(entry))
        if config.does == "raises" and self._epoch == 2:
            raise ValueError("this trial\nis wrong")
        if config.does == "stalls":
            time.sleep(0.01)
        finite = not (config.does == "diverges" and self._epoch == 2)
        loss = config.level / self._epoch if finite else math.nan
        stop = stop_reason(epoch=self._epoch, max_epochs=config.max_epochs, finite=finite, out_of_patience=False)
        return EpochReport(self._epoch, {**dict.fromkeys(METRICS, 0.5), "val_loss": loss}, 0.001, stop)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._epoch = state["epoch"]


class Gathers(Scripted):
    """The first four trials wait in their first epoch until all four are there and a fifth is waiting for room."""

    def first_epoch(self, config: Script, ticket: int) -> None:
        if ticket < 4:
            inside = config.folder / f"inside_{ticket}"
            inside.touch()
            wait_for(lambda: len(list(config.folder.glob("inside_*"))) == 4, "four trials at once")
            wait_for(lambda: room_states() == {"CREATED": 4, "PENDING": 1}, "a fifth that waits")
            (config.folder / f"met_{ticket}").touch()
            wait_for(lambda: len(list(config.folder.glob("met_*"))) == 4, "all four to have seen it")


class SlowSecond(Scripted):
    """Every process but the first is slow to start: it is not ready before the first has trained five trials."""

    def start(self, config: Script, data: Any, *, seed: int, device: Any) -> ScriptedRun:
        if draw_process(config.folder) > 0:
            wait_for(lambda: len(diary(config.folder)) >= 5, "five trials of the first process")
        return super().start(config, data, seed=seed, device=device)


class DiesWhenReused(Scripted):
    """The first two processes die when they are handed their second trial."""

    served = 0

    def start(self, config: Script, data: Any, *, seed: int, device: Any) -> ScriptedRun:
        DiesWhenReused.served += 1
        if DiesWhenReused.served == 2 and draw_process(config.folder) < 2:
            os._exit(7)
        return super().start(config, data, seed=seed, device=device)


def draw_ticket(folder: Path) -> int:
    """Return 0, 1, 2, ... each of them once, whatever process asks."""
    return _draw(folder, "ticket")


def draw_process(folder: Path) -> int:
    """Return the place of this process in the order in which they first asked."""
    mine = folder / f"process_{os.getpid()}"
    if not mine.exists():
        mine.write_text(str(_draw(folder, "place")))
    return int(mine.read_text())


def _draw(folder: Path, kind: str) -> int:
    for number in itertools.count():
        try:
            (folder / f"{kind}_{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return number
    raise AssertionError("unreachable")


def wait_for(condition: Any, what: str) -> None:
    """Wait until ``condition()`` holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.02)


def room_states() -> dict[str, int]:
    """Return how many trials have room in Ray, and how many wait for it."""
    states = [group["state"] for group in ray.util.placement_group_table().values()]
    return {state: states.count(state) for state in ("CREATED", "PENDING")}


def diary(folder: Path) -> list[dict[str, Any]]:
    """Return what the trials that ended their first epoch wrote, in the order of their arrival."""
    return sorted((json.loads(p.read_text()) for p in folder.glob("trial_*.json")), key=lambda e: e["ticket"])


class Hungry(Scripted):
    """Runs out of memory in epoch 2: ``hungers`` in its first run, ``starves`` in every one.

    Its trials write down each epoch: when it was, the share of a GPU, and how many trials their process held.
    """

    stacks = True  # it does not, but in looped lanes of the driver's own process nothing else asks
    loops = True

    def __init__(self) -> None:
        self.held: weakref.WeakSet[HungryRun] = weakref.WeakSet()

    def start(self, config: Script, data: Any, *, seed: int, device: Any) -> HungryRun:
        run = HungryRun(self, config)
        self.held.add(run)
        return run

    def run_out(self) -> None:
        raise MemoryError("no room")


class Greedy(Hungry):
    """Takes memory in epoch 2 until somebody ends its process."""

    stacks = False

    def run_out(self) -> None:
        taken = []
        while psutil.virtual_memory().available > 1e9:
            taken.append(bytearray(b"x") * 20_000_000)
            time.sleep(0.01)
        raise AssertionError(f"nobody minded {len(taken) * 20} MB")


class RefusesTheSecond(Hungry):
    """The second trial cannot begin."""

    def start(self, config: Script, data: Any, *, seed: int, device: Any) -> HungryRun:
        if draw_ticket(config.folder) == 1:
            raise ValueError("no such layer")
        return super().start(config, data, seed=seed, device=device)


class HungryRun:
    """One hungry trial."""

    def __init__(self, trainable: Hungry, config: Script) -> None:
        self._trainable, self._config, self._epoch = trainable, config, 0

    def step(self) -> EpochReport:
        config, began, self._epoch = self._config, time.monotonic(), self._epoch + 1
        hungry = config.does in ("hungers", "starves") and self._epoch == 2
        if hungry and (config.does == "starves" or first_time(config.folder / f"ran_out_{config.level}")):
            self._trainable.run_out()
        time.sleep(0.002)
        gpu = ray.get_runtime_context().get_assigned_resources().get("GPU", 0) if ray.is_initialized() else 0
        entry = {"level": config.level, "epoch": self._epoch, "began": began, "ended": time.monotonic()}
        entry |= {"gpu": gpu, "held": len(self._trainable.held)}
        with (config.folder / "epochs.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")
        stop = stop_reason(epoch=self._epoch, max_epochs=config.max_epochs, finite=True, out_of_patience=False)
        metrics = {**dict.fromkeys(METRICS, 0.5), "val_loss": config.level / self._epoch}
        return EpochReport(self._epoch, metrics, 0.001, stop)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._epoch = state["epoch"]


def first_time(mark: Path) -> bool:
    """Say whether nobody asked for ``mark`` before."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def epochs_written(folder: Path) -> list[dict[str, Any]]:
    """Return what hungry trials wrote of their epochs, in that order."""
    return [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]

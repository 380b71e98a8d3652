"""The Ray Tune Trainable around a run: one trial an actor, and the actor is reused for the next."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune.result import DONE, SHOULD_CHECKPOINT

from trainables.registry import Run, find_trainable
from trainables.report import to_result

if TYPE_CHECKING:
    import torch

    from trainables.data import Splits


class TuneTrainable(tune.Trainable):  # type: ignore[misc]
    """Steps a run an epoch at a time.

    The config of a trial holds ``trainable``, ``params`` (active parameters and settings), ``seed``,
    ``max_epochs``, ``checkpoint_every_s`` and ``resume_from`` (a checkpoint file, or None). A GPU is
    used where Ray assigned one (or a fraction) and the machine has it.
    """

    def setup(self, config: dict[str, Any], splits: Splits | None = None) -> None:
        """Import torch, put the data on the device and start the first trial."""
        import torch

        self._saved_at = 0.0
        assert splits is not None, "bound with tune.with_parameters"
        cpus = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
        torch.set_num_threads(max(1, int(cpus)))
        self._device = assigned_device()
        self._data_by_trainable: dict[str, Any] = {}
        self._splits = splits
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start the next trial in this actor; the imports and the data stay."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch and return its metrics."""
        report = self._run.step()
        result: dict[str, Any] = {**to_result(report), DONE: report.stop is not None}
        if report.stop is None and time.monotonic() - self._saved_at >= self._checkpoint_every_s:
            result[SHOULD_CHECKPOINT] = True
            self._saved_at = time.monotonic()
        return result

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the run's state into ``checkpoint_dir``, in the format of ``trainables.checkpoint``."""
        from trainables import checkpoint

        checkpoint.save(self._run.state_dict(), Path(checkpoint_dir) / checkpoint.FILE)

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Continue from what ``save_checkpoint`` wrote."""
        from trainables import checkpoint

        self._run.load_state_dict(checkpoint.load(Path(checkpoint_dir) / checkpoint.FILE))

    def _begin(self, config: dict[str, Any]) -> None:
        from trainables import checkpoint

        name = config["trainable"]
        trainable = find_trainable(name)
        if name not in self._data_by_trainable:
            self._data_by_trainable[name] = trainable.prepare(self._splits, self._device)
        validated = trainable.configure(config["params"], max_epochs=config["max_epochs"])
        self._run: Run = trainable.start(
            validated, self._data_by_trainable[name], seed=config["seed"], device=self._device
        )
        if config.get("resume_from"):
            self._run.load_state_dict(checkpoint.load(Path(config["resume_from"])))
        self._checkpoint_every_s: float = config["checkpoint_every_s"]
        self._saved_at = time.monotonic()


def assigned_device() -> torch.device:
    """Return ``cuda`` where Ray assigned a GPU to this actor and CUDA works, else ``cpu``."""
    import torch

    return torch.device("cuda" if ray.get_gpu_ids() and torch.cuda.is_available() else "cpu")

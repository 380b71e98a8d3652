"""What ``ray.tune``'s functions speak to in a trial of ours."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray.train._internal import session as of_ray
from ray.tune import Checkpoint

from search.integrations.kept_files import KeptFiles
from search.integrations.trainer_epochs import renamed
from trainables.train_function.handover import TrialEnded
from trainables.train_function.reporting import RESERVED

if TYPE_CHECKING:
    from trainables.train_function.trial import Trial


class TuneSession:
    """What ``tune.report``, ``tune.get_checkpoint`` and ``tune.get_context`` speak to while a trial's function runs.

    It stands where Ray's own session does: ``ray.tune`` has no other place, and the function may have imported any of
    its names. While the function waits in a report others run, so that it is not there then. A function that asks for
    its checkpoint and reports one goes on from it; any other begins anew.

    Args:
        trial: what the training function was handed.
    """

    world_rank = None
    metadata = None
    trial_resources = None
    storage = None

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._folder = trial.folder / "ray_checkpoint"
        self._files = KeptFiles(self._folder, lambda empty: self._folder if self._checkpoint else empty)
        self._checkpoint: Checkpoint | None = None
        self._asked = self._looping = self._over = self._noted = False
        self._since = self._again = 0
        self._epochs = trial.epochs()
        self.trial_id = self.trial_name = f"trial_{trial.number}"
        self.experiment_name = self.run_id = "lanewise"
        self.trial_dir = str(trial.folder)
        trial.keep(ray=self)

    def __enter__(self) -> None:
        of_ray._session = self

    def __exit__(self, *raised: Any) -> None:
        of_ray._session = None

    @property
    def loaded_checkpoint(self) -> Checkpoint | None:
        """The checkpoint that was reported last; the trial's random streams are put back as it is asked for."""
        self._asked = True
        if self._checkpoint is not None:
            self._loop()
        return self._checkpoint

    def report(self, metrics: Mapping[str, Any], checkpoint: Checkpoint | None = None) -> None:
        """Report an epoch, unless it was reported before the interruption.

        Raises:
            ConfigError: what is wrong with the report.
            TrialEnded: the trial has ended.
        """
        if self._over:
            raise TrialEnded
        self._since += 1
        if checkpoint is not None:
            self._take(checkpoint)
        if self._again:
            self._again -= 1
            return
        if checkpoint is not None and self._asked:
            self._loop()
        self.__exit__()
        try:
            self._trial.report(**self._numbers(metrics))
        finally:
            self.__enter__()
        if self._looping:
            self._over = next(self._epochs, None) is None

    def state_dict(self) -> dict[str, Any]:
        """Return the files of the last checkpoint, and how many reports came after it."""
        return {"files": self._files.state_dict(), "since": self._since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._files.load_state_dict(state["files"])
        self._again = state["since"]
        self._checkpoint = None if self._files.restored is None else Checkpoint(self._folder)

    def _take(self, checkpoint: Checkpoint) -> None:
        """Copy a checkpoint's files: the function may delete them after its report."""
        if Path(checkpoint.path).resolve() != self._folder.resolve():
            shutil.rmtree(self._folder, ignore_errors=True)
            checkpoint.to_directory(str(self._folder))
        self._checkpoint = Checkpoint(self._folder)
        self._since = 0

    def _loop(self) -> None:
        if not self._looping:
            self._looping = True
            next(self._epochs, None)

    def _numbers(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Return the metrics that are numbers and have a name of their own here; say once what is left out."""
        named = renamed(metrics, None)
        numbers = {k: v for k, v in named.items() if k not in RESERVED and _is_number(v)}
        if len(numbers) < len(named) and not self._noted:
            self._noted = True
            self._trial.note(f"not kept of what is reported: {', '.join(k for k in named if k not in numbers)}")
        return numbers


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or (hasattr(value, "item") and getattr(value, "ndim", None) == 0)

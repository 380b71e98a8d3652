"""A training function whose loop is ``lightning.pytorch.Trainer``'s."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.integrations.kept_files import KeptFiles
from search.integrations.trainer_epochs import Names, TrainerEpochs, renamed
from trainables.errors import ConfigError

try:
    from lightning.pytorch.callbacks import Checkpoint
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "lightning":
        raise
    line = "search.integrations.lightning needs Lightning: pip install 'lanewise[lightning]'"
    raise ImportError(line, name=error.name) from None

if TYPE_CHECKING:
    from trainables.train_function.trial import Trial

FILE = "trainer.ckpt"


class LanewiseCallback(Checkpoint):  # type: ignore[misc]
    """Reports each epoch of a ``Trainer`` to a trial, stops it where the trial ends, and goes on after an interruption.

    ::

        def train(trial):
            callback = LanewiseCallback(trial)
            trainer = Trainer(max_epochs=trial.max_epochs, callbacks=[callback])
            trainer.fit(Model(trial.params["learning_rate"]), loader, val_loader, ckpt_path=callback.ckpt_path)

    What was logged until an epoch's end (``trainer.callback_metrics``) is reported. Where the trial is pruned or
    stopped the trainer is, as by ``EarlyStopping``, and ``fit`` then ends the function. Lightning's own checkpoint,
    with the loops, optimizers and schedules, is part of each of the trial's; the module is what is kept of the best
    model. As a checkpointing callback it comes after all others, and no default ``ModelCheckpoint`` is added.

    Args:
        trial: what the training function was handed.
        metrics: which of the logged metrics are reported, or their names by those to report:
            ``{"val_loss": "val/loss"}``. All, where it is not given, with ``_`` where a name has a slash, say.

    Raises:
        CheckpointError: what the trial goes on from is no checkpoint of such a function.
    """

    def __init__(self, trial: Trial, *, metrics: Names = None) -> None:
        self._trial = trial
        self._names = metrics
        self._epochs = TrainerEpochs(trial)
        self._trainer: Any = None
        self._files = KeptFiles(trial.folder / "lightning", self._save)
        trial.keep(lightning=self._files)

    @property
    def ckpt_path(self) -> str | None:
        """The file to go on from, for ``trainer.fit``; None where the trial begins."""
        folder = self._files.restored
        return None if folder is None else str(folder / FILE)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Keep the module."""
        self._trainer = trainer
        self._trial.keep(model=pl_module)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Put the random streams of a checkpoint in place, and draw the order of the first epoch from them.

        Raises:
            ConfigError: ``fit`` was not given ``ckpt_path``.
        """
        done = self._epochs.begin()
        if self._files.restored is None:
            return
        if trainer.current_epoch != done:
            raise ConfigError(
                f"the trial goes on after epoch {done}, and the trainer at epoch {trainer.current_epoch}: "
                "trainer.fit(..., ckpt_path=callback.ckpt_path)"
            )
        if any(config.reduce_on_plateau for config in trainer.lr_scheduler_configs):
            # Lightning steps it after the hook in which checkpoints are saved
            self._trial.note(f"goes on without ReduceLROnPlateau's step of epoch {done}, which Lightning saves no more")
        # Lightning began to iterate before this hook, with what was drawn while the data were made
        iter(trainer.fit_loop._data_fetcher)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Report the epoch; stop the trainer where it was the last."""
        if not self._epochs.report(renamed(trainer.callback_metrics, self._names)):
            trainer.should_stop = True

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """End the function where the trial has ended; the trainer is done."""
        if stage == "fit":
            self._epochs.end_function()

    def _save(self, empty: Path) -> Path:
        self._trainer.save_checkpoint(empty / FILE)
        return empty

"""A training function whose loop is ``transformers.Trainer``'s."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.integrations.kept_files import KeptFiles
from search.integrations.trainer_epochs import Names, TrainerEpochs, renamed
from trainables.errors import ConfigError

try:
    from transformers import TrainerCallback
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "transformers":
        raise
    line = "search.integrations.transformers needs Transformers: pip install 'lanewise[transformers]'"
    raise ImportError(line, name=error.name) from None

if TYPE_CHECKING:
    from trainables.train_function.trial import Trial

OF_TIME = ("_runtime", "_per_second", "_time")
"""How the names of metrics end that say how long an evaluation took."""


class LanewiseCallback(TrainerCallback):  # type: ignore[misc]
    """Reports each evaluation of a ``Trainer`` to a trial, stops it where the trial ends, and goes on after a kill.

    ::

        def train(trial):
            callback = LanewiseCallback(trial)
            arguments = TrainingArguments(trial.folder, eval_strategy="epoch", num_train_epochs=trial.max_epochs, ...)
            trainer = Trainer(Model(), arguments, train_dataset=..., eval_dataset=..., callbacks=[callback])
            trainer.train(resume_from_checkpoint=callback.resume_from_checkpoint)

    ``eval_loss`` and what ``compute_metrics`` returns are reported; name one as the objective:
    ``--objective eval_loss:min``. Where the trial is pruned or stopped the trainer is, and ``train`` then ends the
    function. The trainer saves after each evaluation, and its folder is part of the trial's checkpoints; where
    ``save_strategy`` is ``"no"`` it is removed again. The model is what is kept of the best one.

    Args:
        trial: what the training function was handed.
        metrics: which metrics are reported, or their names by those to report: ``{"val_loss": "eval_loss"}``. All but
            those of time, where it is not given.

    Raises:
        CheckpointError: what the trial goes on from is no checkpoint of such a function.
    """

    def __init__(self, trial: Trial, *, metrics: Names = None) -> None:
        self._trial = trial
        self._names = metrics
        self._epochs = TrainerEpochs(trial)
        self._training = False
        self._metrics: dict[str, Any] | None = None
        self._saved = Path()
        self._files = KeptFiles(trial.folder / "transformers", lambda empty: self._saved)
        trial.keep(transformers=self._files)

    @property
    def resume_from_checkpoint(self) -> str | None:
        """The folder to go on from, for ``trainer.train``; None where the trial begins."""
        folder = self._files.restored
        return None if folder is None else str(folder)

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Keep the model, and put the random streams of a checkpoint in place.

        Raises:
            ConfigError: what is saved could not be gone on from, or ``train`` was not given what to go on from.
        """
        if args.save_strategy == "best" or args.save_only_model:
            raise ConfigError(
                "LanewiseCallback needs a whole checkpoint after each evaluation: save_strategy 'no', or the same as "
                "eval_strategy, and save_only_model False"
            )
        self._trial.keep(model=given["model"])
        done = self._epochs.begin()
        if self._files.restored is not None and not state.global_step:
            raise ConfigError(
                f"the trial goes on after epoch {done}, and the trainer begins anew: "
                "trainer.train(resume_from_checkpoint=callback.resume_from_checkpoint)"
            )
        self._training = True

    def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Have the trainer save, after which the report is made."""
        if self._training and state.global_step:
            self._metrics = {k: v for k, v in given["metrics"].items() if k != "epoch" and not k.endswith(OF_TIME)}
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Report the evaluation that came before; stop the trainer where it was the last."""
        if self._metrics is None:
            return
        metrics, self._metrics = self._metrics, None
        self._saved = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if not self._epochs.report(renamed(metrics, self._names)):
            control.should_training_stop = True
        if args.save_strategy == "no":
            shutil.rmtree(self._saved, ignore_errors=True)

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """End the function where the trial has ended; the trainer is done."""
        self._training = False
        self._epochs.end_function()

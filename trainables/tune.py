"""The Ray Tune Trainable around a run: one trial an actor, and the actor is reused for the next."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.train._internal.checkpoint_manager import _TrainingResult
from ray.tune.result import DONE, SHOULD_CHECKPOINT

from trainables.best import BestModels, trial_facts
from trainables.checkpoint_store import CheckpointStore
from trainables.disk import space_hint
from trainables.errors import CheckpointWriteError, is_of_a_signal, is_out_of_memory, named_with_last_line
from trainables.folded import with_folds
from trainables.kept_data import KeptData
from trainables.model_function import take_function
from trainables.protocols import Closes, IsToldItsTrial, Run, TellsNotices
from trainables.registry import find_trainable, function_path
from trainables.report import STOP, RunEnded, to_result
from trainables.weights_snapshot import snapshot_weights

if TYPE_CHECKING:
    import torch

    from trainables.data import Splits

NOTES = "notes"
NOTICES = "notices"
MESSAGE = "message"
TRACEBACK = "traceback"
UNSAVED = "unsaved"
POINTER = "checkpoint.txt"


class TuneTrainable(tune.Trainable):  # type: ignore[misc]
    """Steps a run an epoch at a time.

    The config of a trial holds ``trainable``, ``number``, ``params`` (active parameters and settings),
    ``seed``, ``max_epochs``, ``checkpoint_every_s`` and, where it goes on from an earlier session or
    actor, ``resumed``, ``epochs_before`` (how many the ledger has) and ``best`` (epoch and value of the
    best of these). A GPU is used where Ray assigned one (or a fraction) and the machine has it.

    A trial that raises ends itself with the reason ``error`` (``out_of_memory``): the fault is the
    trial's own, and Ray, which would try again, is left to deal with actors and nodes that die.
    """

    def setup(
        self,
        config: dict[str, Any],
        splits: Splits | None = None,
        checkpoints: str = "",
        objective: tuple[str, str] | None = None,
        function: bytes | None = None,
    ) -> None:
        """Import torch, put the data on the device and start the first trial."""
        import torch

        take_function(function_path(config["trainable"]), function)
        self._saved_at = 0.0
        self._number = -1
        self._notes: list[str] = []
        self._notices: list[tuple[int, list[dict[str, Any]]]] = []
        assert splits is not None, "bound with tune.with_parameters"
        cpus = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
        torch.set_num_threads(max(1, int(cpus)))
        self._device = assigned_device()
        self._data_by_trainable: dict[str, Any] = {}
        self._splits = splits
        self._kept = splits.of_the_kept
        self._kept_data = KeptData.of(self._kept).to_dict()
        self._store = CheckpointStore(Path(checkpoints))
        self._best = BestModels(self._store, objective)
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start the next trial in this actor; the imports and the data stay."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch and return its metrics, or why there are none."""
        if self._broken is not None:
            return self._broken
        try:
            report = self._run.step()
            self._best.observe(self._number, report, partial(snapshot_weights, self._run))
        except RunEnded as ended:
            return {DONE: True, STOP: ended.stop, **self._take_notes()}
        except BaseException as error:  # its code may call sys.exit, for which Ray would start it again
            if is_of_a_signal(error):
                raise
            return {**failed_result(error), **self._take_notes()}
        result: dict[str, Any] = {**to_result(report), DONE: report.stop is not None, **self._take_notes()}
        if report.stop is None and time.monotonic() - self._saved_at >= self._checkpoint_every_s:
            result[SHOULD_CHECKPOINT] = True
            self._saved_at = time.monotonic()
        return result

    def save(self, checkpoint_dir: str | None = None) -> _TrainingResult:
        """Write a checkpoint, or say why there is none.

        A full disk is no fault of the trial. Raised here, it would be taken for one: the trial would be
        started again a few times and then be called failed.
        """
        try:
            return super().save(checkpoint_dir)
        except OSError as error:  # of our file, or of Ray's own beside it
            why = str(error)
            if not isinstance(error, CheckpointWriteError):
                folder = self._store.folder
                what = f"a checkpoint of trial {self._number} in {folder}"
                why = f"{what} cannot be written: {error}{space_hint(folder)}"
            return _TrainingResult(checkpoint=None, metrics={UNSAVED: why})

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the run's state into the study's store; what Ray keeps is the path.

        One copy in one format: a resume, the other executor and Ray's own recovery all read it.
        """
        self._notes += self._best.write(self._number)
        path = self._store.save(self._number, self._run.state_dict())
        (Path(checkpoint_dir) / POINTER).write_text(str(path))

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Do nothing: the trial's config says that it goes on, so it has continued from the study's store."""

    def keep_best(self, number: int) -> list[str]:
        """Write the best model of trial ``number``, which has just ended here; see ``BestModels.keep``."""
        return self._best.keep(number)()

    def end_trial(self) -> list[tuple[int, list[dict[str, Any]]]]:
        """End the code of the trial that has ended here, and return what there is to say, as ``NOTICES``."""
        self._let_go()
        told: list[tuple[int, list[dict[str, Any]]]] = self._take_notes()[NOTICES]
        return told

    def _let_go(self) -> None:
        """Let go of the run: its memory is for the next."""
        run = self.__dict__.pop("_run", None)
        if isinstance(run, Closes):
            run.close()
        self._tell(run)

    def _tell(self, run: object) -> None:
        if isinstance(run, TellsNotices) and (notices := run.take_notices()):
            self._notices.append((self._number, [notice.to_dict() for notice in notices]))

    def _take_notes(self) -> dict[str, Any]:
        """Return, once, what the driver should know beside a result."""
        self._tell(self.__dict__.get("_run"))
        taken = {NOTES: self._notes, NOTICES: self._notices}
        self._notes, self._notices = [], []
        return taken

    def _use(self, state: dict[str, Any] | None) -> None:
        """Build the run, at the state's epoch if there is one."""
        self._run: Run = self._new_run()
        if state is not None:
            self._run.load_state_dict(state)

    def _begin(self, config: dict[str, Any]) -> None:
        self._let_go()
        self._broken: dict[str, Any] | None = None
        self._best.forget(self._number)
        try:
            self._start(config)
        except BaseException as error:
            if is_of_a_signal(error):
                raise
            self._broken = failed_result(error)

    def _start(self, config: dict[str, Any]) -> None:
        self._number = config["number"]
        name = config["trainable"]
        trainable = with_folds(find_trainable(name), self._splits)
        if name not in self._data_by_trainable:
            self._data_by_trainable[name] = trainable.prepare(self._splits, self._device)
        validated = trainable.configure(config["params"], max_epochs=config["max_epochs"])
        data = self._data_by_trainable[name]
        start = partial(trainable.start, validated, data, seed=config["seed"], device=self._device)
        self._new_run: Callable[[], Run] = partial(_identified, start, self._number, self._store)
        facts = trial_facts(
            self._number,
            trainable=name,
            params=config["params"],
            max_epochs=config["max_epochs"],
            seed=config["seed"],
            shape=self._kept.shape,
            outputs=self._kept.outputs,
            data=self._kept_data,
            folds=len(self._splits.folds),
        )
        if config["resumed"]:
            self._notes += self._best.begin(self._number, facts, known=config["best"])
            # see ``LaneHost``: none beyond the ledger
            self._notes += self._store.restore(self._number, self._use, at_most=config["epochs_before"])
        else:
            self._best.begin(self._number, facts)
            self._use(None)
        self._checkpoint_every_s: float = config["checkpoint_every_s"]
        self._saved_at = time.monotonic()


def _identified(start: Callable[[], Run], number: int, store: CheckpointStore) -> Run:
    run = start()
    if isinstance(run, IsToldItsTrial):
        run.identify(number, store.files_folder(number))
    return run


def failed_result(error: BaseException) -> dict[str, Any]:
    """Return the last result of a trial that raised: no metrics, and why."""
    return {
        DONE: True,
        STOP: "out_of_memory" if is_out_of_memory(error) else "error",
        MESSAGE: named_with_last_line(error),
        TRACEBACK: "".join(traceback.format_exception(error)),
    }


def assigned_device() -> torch.device:
    """Return ``cuda`` where Ray assigned a GPU to this actor and CUDA works, else ``cpu``."""
    import torch

    return torch.device("cuda" if ray.get_gpu_ids() and torch.cuda.is_available() else "cpu")

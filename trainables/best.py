"""The best model of each trial: remembered in memory when the objective improves, written when told."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.checkpoint_store import CheckpointStore
from trainables.direction import Direction
from trainables.errors import CheckpointError, ConfigError, first_line
from trainables.protocols import CanRebuild
from trainables.registry import find_trainable, is_train_function
from trainables.report import EpochReport, to_result
from trainables.weights_snapshot import WeightsSnapshot, on_host, size_bytes

if TYPE_CHECKING:
    from trainables.kept_model import KeptModel


@dataclass
class _Best:
    """What is known of one trial's best epoch.

    Attributes:
        facts: what the file says of the trial.
        epoch: the best epoch so far; 0 until one had a finite value.
        weights: None where they are not in memory: written, lost, or about to be trained again.
        written: whether the file on disk is of this epoch.
    """

    facts: Mapping[str, Any]
    epoch: int = 0
    value: float = math.nan
    metrics: Mapping[str, float] = field(default_factory=dict)
    weights: WeightsSnapshot | None = None
    written: bool = False


class BestModels:
    """The best models of the trials that train here.

    A file is written before the checkpoint of the same moment. It is therefore never older than that
    checkpoint: what a resume lacks of the best epochs, it trains again.

    Args:
        store: where the models are written.
        objective: the metric and its direction, ``min`` or ``max``; None remembers nothing.
    """

    def __init__(self, store: CheckpointStore, objective: tuple[str, str] | None) -> None:
        self._store = store
        self._objective = objective
        self._trials: dict[int, _Best] = {}

    def begin(self, number: int, facts: Mapping[str, Any], *, known: tuple[int, float] | None = None) -> list[str]:
        """Take up a trial, and return what the ledger should know.

        Args:
            number: the trial's number.
            facts: what the file says of it beside its model: plain data.
            known: best epoch so far and its value, as the ledger has them; None for a new trial. A file
                of another epoch is of no use: the ledger does not have that one, or it was not the best.
        """
        if self._objective is None:
            return []
        self._trials[number] = best = _Best(facts)
        if known is None:
            return []
        best.epoch, best.value = known
        try:
            found = self._store.best(number)
        except CheckpointError as error:
            return [f"trial {number}: {error}"]
        best.written = found is not None and found["epoch"] == best.epoch
        return []

    def observe(self, number: int, report: EpochReport, weights: Callable[[], WeightsSnapshot]) -> None:
        """Remember the model where ``report`` is the trial's best so far.

        Args:
            number: the trial's number.
            report: what the trial says of the epoch that has just ended.
            weights: takes the snapshot; called only where the epoch is the best.
        """
        best = self._trials.get(number)
        if best is None or self._objective is None:
            return
        if report.epoch > best.epoch:
            value = float(to_result(report)[self._objective[0]])
            if not self._improves(value, best.value):
                return
            best.epoch, best.value = report.epoch, value
        elif report.epoch < best.epoch or best.written or best.weights is not None:
            return  # trained once more after a resume; the ledger knows which of these epochs was best
        best.metrics, best.weights, best.written = report.metrics, weights(), False

    def write(self, number: int) -> list[str]:
        """Write the best model so far where the file is not of it; return what the ledger should know.

        A full disk costs the model, and never the trial.
        """
        best = self._trials.get(number)
        return [] if best is None else self._write(number, best)

    def keep(self, number: int) -> Callable[[], list[str]]:
        """Let go of a trial that has ended, and return what writes its best model, now or later.

        That returns what the ledger should know. Where it fails, no older model stays to pass for the best.
        """
        best = self._trials.pop(number, None)
        return list if best is None else partial(self._keep, number, best)

    def settle(self, number: int) -> int:
        """Take the best model of a trial that is paused into host memory; return how many bytes it has there."""
        best = self._trials.get(number)
        if best is None or best.weights is None:
            return 0
        held = on_host(best.weights())
        best.weights = lambda: held
        return size_bytes(held)

    def forget(self, number: int) -> None:
        """Let go of a trial of which nothing is kept."""
        self._trials.pop(number, None)

    def _keep(self, number: int, best: _Best) -> list[str]:
        notes = self._write(number, best)
        if best.epoch and not best.written:
            self._store.remove_best(number)
            notes = notes or [f"trial {number}: its best model, of epoch {best.epoch}, was lost and is not kept"]
        return notes

    def _write(self, number: int, best: _Best) -> list[str]:
        if best.weights is None:
            return []
        assert self._objective is not None
        state = {
            **best.facts,
            "metric": self._objective[0],
            "epoch": best.epoch,
            "value": best.value,
            "metrics": {name: float(value) for name, value in best.metrics.items()},
            "model": best.weights(),
        }
        if not has_weights(state["model"]):
            empty = "its state_dict is empty"
            if is_train_function(best.facts.get("trainable", "")):
                empty = "its function gave nothing to trial.keep"
            return [
                f"trial {number}: its best model, of epoch {best.epoch}, is not kept: {empty}, so that "
                "nothing could be loaded from it"
            ]
        try:
            self._store.save_best(number, state)
        except Exception as error:  # the disk, or a state of a trainable's own that cannot be pickled
            return [f"trial {number}: its best model, of epoch {best.epoch}, cannot be written: {error}"]
        best.weights, best.written = None, True
        return []

    def _improves(self, value: float, best: float) -> bool:
        if not math.isfinite(value):
            return False
        assert self._objective is not None
        return Direction(self._objective[1]).better(value, best)


def trial_facts(
    number: int,
    *,
    trainable: str,
    params: Mapping[str, Any],
    max_epochs: int,
    seed: int,
    shape: Sequence[int],
    outputs: int,
    data: Mapping[str, Any] | None = None,
    folds: int = 0,
) -> dict[str, Any]:
    """Return what the file of a best model says of its trial, so that it can be used alone.

    Args:
        number: the trial's number.
        trainable: the trainable's name.
        params: the trial's active parameters and settings.
        max_epochs: the trial's horizon.
        seed: the trial's seed.
        shape: the shape of one example that the model is given.
        outputs: how many numbers the model returns for one example.
        data: what is kept of the data, as ``KeptData.to_dict`` returns it.
        folds: of how many folds the first one trained it; 0 where there were none.
    """
    return {
        "trial": number,
        "trainable": trainable,
        "params": dict(params),
        "max_epochs": max_epochs,
        "seed": seed,
        "shape": list(shape),
        "outputs": outputs,
        "data": data,
        "folds": folds,
    }


def has_weights(state: Any) -> bool:
    """Say whether a kept state holds anything from which a model could be loaded."""
    return bool(state) if isinstance(state, Mapping | Sequence) else state is not None


def load_model(path: str | Path) -> KeptModel:
    """Return the model in a search's ``best.pt``, on CPU and in evaluation mode.

    ``predict`` takes raw examples and applies the preprocessing that is kept with the model. Called as a module it
    takes inputs as ``trainables.data.load_splits`` returns them.

    Args:
        path: the file's path, which the search prints; the rest of the study may be gone.

    Raises:
        CheckpointError: absent, damaged, no best model, of a version that is not known here, or its weights do not fit.
        ConfigError: its trainable cannot be found, or does not say how to rebuild a model; the weights
            are then in ``trainables.checkpoint.load(path)["model"]``.
    """
    from trainables import checkpoint

    return kept_model(checkpoint.load(path), what=f"checkpoint {path}")


def kept_model(state: Mapping[str, Any], *, what: str) -> KeptModel:
    """Return the model that a kept state is of, on CPU and in evaluation mode.

    Args:
        state: what ``trial_facts`` returns, with the model's own state as ``model``.
        what: where it was found, which begins each message.

    Raises:
        CheckpointError: it is no state of a best model, of a version that is not known here, or its weights do not fit.
        ConfigError: its trainable cannot be found, or does not say how to rebuild a model.
    """
    from trainables.kept_data import KeptData
    from trainables.kept_model import KeptModel

    missing = {"trainable", "params", "max_epochs", "shape", "outputs", "model"} - state.keys()
    if missing:
        raise CheckpointError(f"{what} holds no best model: {', '.join(sorted(missing))} is missing")
    trainable = find_trainable(state["trainable"])
    if not isinstance(trainable, CanRebuild):
        raise ConfigError(
            f"trainable {state['trainable']} has no rebuild(config, state), which returns a model; the weights are in "
            f"trainables.checkpoint.load({what.removeprefix('checkpoint ')!r})['model']"
        )
    config = trainable.configure(state["params"], max_epochs=state["max_epochs"])
    shape, saved = tuple(state["shape"]), state.get("data")
    try:
        data = None if saved is None else KeptData.from_dict(saved)
        network = trainable.rebuild(config, state["model"], shape=shape, outputs=state["outputs"])
    except CheckpointError as error:
        raise CheckpointError(f"{what}: {error}") from None
    except RuntimeError as error:  # torch's, where weights are of another shape than the file says
        raise CheckpointError(f"{what}: its weights do not fit its model: {first_line(error)}") from error
    facts = {name: value for name, value in state.items() if name not in ("model", "data")}
    return KeptModel(network, facts, shape=shape, data=data).eval()

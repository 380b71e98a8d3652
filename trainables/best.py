"""The best model of each trial: remembered in memory when the objective improves, written when told."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from trainables.checkpoint_store import CheckpointStore
from trainables.direction import Direction
from trainables.errors import CheckpointError, ConfigError
from trainables.registry import KeepsMore, Rebuilds, Run, find_trainable
from trainables.report import EpochReport, to_result

if TYPE_CHECKING:
    from torch import nn

Weights: TypeAlias = Callable[[], Any]
"""Makes a model's state as it was when this function was made, which is the cheap part."""


@dataclass
class _Best:
    """What is known of one trial's best epoch.

    Attributes:
        facts: of the trial, for the file.
        epoch: 0 until an epoch had a finite value.
        weights: None where they are not in memory: written, lost, or about to be trained again.
        written: whether the file on disk is of this epoch.
    """

    facts: Mapping[str, Any]
    epoch: int = 0
    value: float = math.nan
    metrics: Mapping[str, float] = field(default_factory=dict)
    weights: Weights | None = None
    written: bool = False


class BestModels:
    """The best models of the trials that train here.

    A file is written before the checkpoint of the same moment. It is therefore never older than that
    checkpoint: what a resume lacks of the best epochs, it trains again.

    Args:
        store: where they are written.
        objective: the metric and its direction, ``min`` or ``max``; None remembers nothing.
    """

    def __init__(self, store: CheckpointStore, objective: tuple[str, str] | None) -> None:
        self._store = store
        self._objective = objective
        self._trials: dict[int, _Best] = {}

    def begin(self, number: int, facts: Mapping[str, Any], *, known: tuple[int, float] | None = None) -> list[str]:
        """Take up a trial, and return what the ledger should know.

        Args:
            number: of the trial.
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

    def heard(self, number: int, report: EpochReport, weights: Callable[[], Weights]) -> None:
        """Remember the model where ``report`` is the trial's best so far.

        Args:
            number: of the trial.
            report: of the epoch that has just ended.
            weights: called only where it is; see ``Weights``.
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
) -> dict[str, Any]:
    """Return what the file of a best model says of its trial, so that it can be used alone.

    Args:
        number: of the trial.
        trainable: its name.
        params: active parameters and settings.
        max_epochs: as the trial had them.
        seed: of the trial.
        shape: of one example.
        outputs: of the model, for one example.
    """
    return {
        "trial": number,
        "trainable": trainable,
        "params": dict(params),
        "max_epochs": max_epochs,
        "seed": seed,
        "shape": list(shape),
        "outputs": outputs,
    }


def weights_of(run: Run) -> Weights:
    """Return a copy of the ``model`` in a run's state; of its whole state, where it has no such part.

    A run that keeps more than its state holds (frozen layers, say) says so itself.
    """
    if isinstance(run, KeepsMore):
        return run.weights()
    state = run.state_dict()
    model = copied(state.get("model", state))
    return lambda: model


def copied(value: Any) -> Any:
    """Return a copy of nested plain data that shares no tensor with ``value``."""
    if isinstance(value, Mapping):
        return {name: copied(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copied(part) for part in value)
    return value.detach().clone() if hasattr(value, "detach") else copy.deepcopy(value)


def load_model(path: str | Path) -> nn.Module:
    """Return the model in a search's ``best.pt``, on CPU and in evaluation mode.

    Its inputs are the examples as ``trainables.data.load_splits`` returns them.

    Args:
        path: as the search prints it; the file is enough, the rest of the study may be gone.

    Raises:
        CheckpointError: absent, damaged, or no best model.
        ConfigError: its trainable cannot be found, or does not say how to rebuild a model; the weights
            are then in ``trainables.checkpoint.load(path)["model"]``.
    """
    from trainables import checkpoint

    state = checkpoint.load(Path(path))
    missing = {"trainable", "params", "max_epochs", "shape", "outputs", "model"} - state.keys()
    if missing:
        raise CheckpointError(f"checkpoint {path} holds no best model: {', '.join(sorted(missing))} is missing")
    trainable = find_trainable(state["trainable"])
    if not isinstance(trainable, Rebuilds):
        raise ConfigError(f"trainable {state['trainable']} has no rebuild(config, state)")
    config = trainable.configure(state["params"], max_epochs=state["max_epochs"])
    return trainable.rebuild(config, state["model"], shape=tuple(state["shape"]), outputs=state["outputs"]).eval()

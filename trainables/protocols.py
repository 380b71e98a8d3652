"""What an executor may ask of a trainable, and of one of its trials in training.

``Trainable`` and ``Run`` are what every one of them is. The others are extras: a trainable has one by having its
methods, and an executor looks for it with ``isinstance``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import nn

    from trainables.config import MlpConfig
    from trainables.data import Splits
    from trainables.device_data import DeviceData
    from trainables.notice import Notice, TryOut
    from trainables.report import EpochReport


class Run(Protocol):
    """One trial in training, an epoch at a time."""

    def step(self) -> EpochReport:
        """Train and validate one epoch.

        Raises:
            RunEnded: there is none left, though the last report did not say so.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return everything a bitwise resume needs.

        Called at checkpoints and after each epoch that is the best so far, of which a copy of the part
        called ``model`` is kept.
        """

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state_dict`` was taken."""


@runtime_checkable
class HasFullWeights(Protocol):
    """A run whose model is more than what its state holds under ``model``: frozen layers, say."""

    def full_weights(self) -> Callable[[], Any]:
        """Return a function that makes the full model's state as it is now, whenever it is called."""


@runtime_checkable
class IsToldItsTrial(Protocol):
    """A run whose code is told which trial it is, and may leave files."""

    def identify(self, number: int, folder: Path) -> None:
        """Take the trial's number and the folder of its files, which need not exist; before the first step."""


@runtime_checkable
class TellsNotices(Protocol):
    """A run that has something to say beside its reports."""

    def take_notices(self) -> list[Notice]:
        """Return, once, what a user should know; asked after each step, and after ``close``."""


@runtime_checkable
class Closes(Protocol):
    """A run that has something to end, a thread say, before it is let go of."""

    def close(self) -> None:
        """End it; ``step`` is not called again. Raises nothing."""


@runtime_checkable
class TrainsBesideOthers(Protocol):
    """A run that can do without the global random generators, so that others train at the same time."""

    def train_beside_others(self) -> None:
        """From now on leave the global generators alone; the curve is the same bit for bit."""


class Trainable(Protocol):
    """Turns params and splits into a stream of epoch reports.

    Attributes:
        stacks: whether many of its trials can train as one stack of tensors (lanes).
        loops: whether its trials can train in turn in one process.
        metrics: the names that a report may hold; None where its own code decides.
    """

    stacks: bool
    loops: bool

    @property
    def metrics(self) -> tuple[str, ...] | None:
        """The names that a report may hold."""

    def configure(self, params: Mapping[str, Any], *, max_epochs: int) -> Any:
        """Return the validated configuration of a trial; raises ``ConfigError``."""

    def prepare(self, splits: Splits, device: torch.device) -> Any:
        """Return the examples on ``device``; done once a worker."""

    def start(self, config: Any, data: Any, *, seed: int, device: torch.device) -> Run:
        """Return a trial at epoch 0."""


@runtime_checkable
class ChecksFit(Protocol):
    """A trainable that can tell before a trial starts that its configuration does not fit the data."""

    def misfits(self, config: Any, splits: Splits) -> list[str]:
        """Return why a trial of ``config`` cannot train on ``splits``, a line each; empty if it can."""


@runtime_checkable
class CanTryOut(Protocol):
    """A trainable that can be tried out on the data before any trial starts."""

    def try_out(self, configs: Sequence[Any], splits: Splits) -> TryOut:
        """Run the first of ``configs`` a little, look at the others, and return what is wrong and what is to know."""


@runtime_checkable
class IsUserCode(Protocol):
    """A trainable around a function of the user's own."""

    def import_mistakes(self) -> list[str]:
        """Import the function, at first in a process of its own, and return why it cannot be used; empty if it can."""


@runtime_checkable
class PreparesOnce(Protocol):
    """A trainable that has something to make or to fetch once a study, before any trial starts."""

    def prepare_once(self, config: Any, splits: Splits, say: Callable[[str], None]) -> dict[str, Any]:
        """Make or fetch it, and return facts for the ledger.

        Args:
            config: a configuration of the study; whichever it is, the same comes of it.
            splits: the study's examples.
            say: shows a line to the user.

        Raises:
            ConfigError: it cannot be had.
        """


@runtime_checkable
class CanRebuild(Protocol):
    """A trainable whose models can be built again from the weights that were kept of them."""

    def configure(self, params: Mapping[str, Any], *, max_epochs: int) -> Any:
        """Return the validated configuration of a trial, as ``Trainable.configure`` does."""

    def rebuild(self, config: Any, state: Any, *, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the model whose ``state_dict`` a run's state had as ``model``, on CPU.

        Args:
            config: the trial's configuration.
            state: the model's state.
            shape: the shape of an example.
            outputs: C, or 1 where the target is a number.
        """


@runtime_checkable
class ThreadSafe(Protocol):
    """A trainable some of whose looped trials may train at the same time, in threads with one core each."""

    def is_thread_safe(self, config: Any) -> bool:
        """Say whether trials such as this one may: they share nothing that they change, global generators included."""


@runtime_checkable
class BuildsModules(Protocol):
    """A trainable whose trials train modules that are not ours, in the plain loop."""

    def module_of(self, config: Any, data: Any, *, seed: int, device: torch.device) -> nn.Module:
        """Return the module of a trial at epoch 0, as ``start`` makes it."""

    def training_of(self, config: Any) -> MlpConfig:
        """Return what drives the loop."""


@runtime_checkable
class HasStackableForm(Protocol):
    """A trainable some of whose trials are, in the end, a model that can stack, on examples of their own."""

    def stackable_form(self, config: Any, data: Any) -> tuple[MlpConfig, DeviceData] | None:
        """Return what a trial of ``config`` can train as in lanes, and on what; None where it has to be looped.

        Trials for which it returns the same object as data share stacks. What is saved of such a trial is what
        the plain loop saves of the returned configuration: ``start`` continues from that too.

        Args:
            config: the trial's configuration.
            data: what ``prepare`` returned.
        """

    def full_state(self, config: Any, data: Any, state: Any) -> Any:
        """Return what is kept of a trial's best model, for ``rebuild``, given the state of its stackable form.

        A state that is full already is returned as it is.
        """

"""The validated configuration of one trial of a network: what dicts of parameters become at the border."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from trainables.checks import between, one_of, whole
from trainables.errors import ConfigError
from trainables.mistake import Mistake, about
from trainables.task import Task

ACTIVATIONS = ("relu", "tanh", "gelu", "silu")
OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("none", "step", "cosine", "plateau", "one_cycle", "warmup_cosine")
SMALLEST_WARMUP_START = 1e-6
"""The smallest ``warmup_start``: torch's warm-up multiplies the rate, so that from 0 it would stay 0."""
LOSSES = {Task.CLASSIFICATION: ("cross_entropy",), Task.REGRESSION: ("mse", "mae", "huber")}
"""The losses of each task, its usual one first."""

MODEL_FIELDS = ("hidden", "activation", "dropout", "input_dropout", "batch_norm")
"""The fields of a configuration that say what the layers are; all others are about how they are trained."""


@dataclass(frozen=True, slots=True)
class MlpConfig:
    """One trial's configuration.

    Attributes:
        max_epochs: the horizon of the trial, also of the schedules that have one.
        loss: ``auto`` (cross entropy for classes, mean squared error for a number), ``cross_entropy``,
            ``mse``, ``mae`` or ``huber`` (of the standardised target, linear beyond one deviation).
        hidden: widths of the hidden layers, input side first.
        dropout: rate after each hidden layer, 0 <= dropout < 1.
        input_dropout: rate before the first layer, 0 <= input_dropout < 1; 0 for a CNN.
        label_smoothing: share of a label that is spread over all classes, 0 <= label_smoothing < 1, as in
            torch's cross entropy; in training alone, so that validation losses compare.
        weight_decay: the L2 factor, as torch's optimiser applies it (AdamW: decoupled; SGD: added to the gradient).
        l1_penalty: factor of the sum of absolute weights (not biases, not batch norm) in the loss.
        learning_rate: the first epoch's rate; for ``one_cycle`` and ``warmup_cosine`` the highest one.
        schedule: ``none``, ``step`` (StepLR), ``cosine`` (CosineAnnealingLR over max_epochs), ``plateau``
            (ReduceLROnPlateau on the validation loss), ``one_cycle`` (OneCycleLR over max_epochs; momentum
            and betas stay) or ``warmup_cosine`` (LinearLR, then CosineAnnealingLR). The rate moves after an
            epoch and is constant within it.
        cosine_floor: last rate divided by the highest.
        one_cycle_peak: share of the epochs after which the rate is highest (torch's pct_start).
        one_cycle_div: highest rate divided by the first.
        one_cycle_final_div: first rate divided by the last.
        warmup_epochs: how many epochs the rate rises; at most max_epochs of them.
        warmup_start: first rate divided by the highest.
        patience: epochs without an improvement of the validation loss of at least ``min_delta``
            after which the trial ends itself; 0 switches early stopping off.
    """

    max_epochs: int
    loss: str = "auto"
    hidden: tuple[int, ...] = (64, 32)
    activation: str = "relu"
    dropout: float = 0.0
    input_dropout: float = 0.0
    label_smoothing: float = 0.0
    batch_norm: bool = False
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    l1_penalty: float = 0.0
    batch_size: int = 64
    schedule: str = "none"
    step_size: int = 5
    step_gamma: float = 0.5
    cosine_floor: float = 0.01
    plateau_factor: float = 0.5
    plateau_patience: int = 2
    one_cycle_peak: float = 0.3
    one_cycle_div: float = 25.0
    one_cycle_final_div: float = 1e4
    warmup_epochs: int = 3
    warmup_start: float = 0.1
    patience: int = 0
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        errors = self._mistakes()
        if errors:
            raise ConfigError(errors)

    def _mistakes(self) -> list[Mistake]:
        """Return what is wrong with it."""
        errors = [
            *whole(self, "max_epochs", "batch_size", "step_size", "warmup_epochs", low=1),
            *whole(self, "plateau_patience", "patience", low=0),
            *one_of("loss", self.loss, ("auto", *(name for names in LOSSES.values() for name in names))),
            *one_of("activation", self.activation, ACTIVATIONS),
            *one_of("optimizer", self.optimizer, OPTIMIZERS),
            *one_of("schedule", self.schedule, SCHEDULES),
            *between(self, "dropout", 0, 1, include_high=False),
            *between(self, "input_dropout", 0, 1, include_high=False),
            *between(self, "label_smoothing", 0, 1, include_high=False),
            *between(self, "momentum", 0, 1, include_high=False),
            *between(self, "step_gamma", 0, 1),
            *between(self, "plateau_factor", 0, 1, include_high=False),
            *between(self, "cosine_floor", 0, 1),
            *between(self, "one_cycle_peak", 0, 1, include_high=False),
            *between(self, "one_cycle_div", 1, math.inf),
            *between(self, "one_cycle_final_div", 1, math.inf),
            *between(self, "warmup_start", SMALLEST_WARMUP_START, 1),
            *between(self, "learning_rate", 0, math.inf),
            *between(self, "weight_decay", 0, math.inf),
            *between(self, "l1_penalty", 0, math.inf),
            *between(self, "min_delta", 0, math.inf),
        ]
        if any(h < 1 for h in self.hidden):
            errors.append(Mistake(("hidden",), "must be widths >= 1", self.hidden))
        errors += [
            Mistake((f.name,), "must be true or false", getattr(self, f.name))
            for f in fields(self)
            if f.type == "bool" and not isinstance(getattr(self, f.name), bool)
        ]
        return errors

    @classmethod
    def from_params(cls, params: Mapping[str, Any], *, max_epochs: int) -> Self:
        """Build the configuration from a trial's active parameters and the study's settings.

        ``l1: off | on`` switches ``l1_penalty``; widths are written ``64-32``.

        Raises:
            ConfigError: unknown names and every value out of its range.
        """
        known = {f.name for f in fields(cls)} - {"max_epochs"}
        values = dict(params)
        if values.pop("l1", "on") == "off":
            values["l1_penalty"] = 0.0
        unknown = sorted(set(values) - known)
        errors = [about(f"unknown setting {n!r}; known: {', '.join(sorted(known))}", n) for n in unknown]
        values = {n: v for n, v in values.items() if n in known}
        for name in [n for n in ("hidden", "channels") if n in values]:
            try:
                values[name] = parse_widths(values[name], name)
            except ConfigError as error:
                errors += error.mistakes
                del values[name]
        try:
            config = cls(max_epochs=max_epochs, **values)
        except ConfigError as error:
            errors += error.mistakes
        if errors:
            raise ConfigError(errors)
        return config


@dataclass(frozen=True, slots=True)
class CnnConfig(MlpConfig):
    """One trial's configuration of a convolutional network; what trains it is as in ``MlpConfig``.

    Attributes:
        hidden: widths of the linear layers between the last block and the logits; may be empty.
        channels: how many channels each block has, input side first.
        global_pool: whether the linear layers see each channel's mean over the image, or all its pixels.
    """

    hidden: tuple[int, ...] = (64,)
    channels: tuple[int, ...] = (16, 32)
    global_pool: bool = False

    def _mistakes(self) -> list[Mistake]:
        errors = MlpConfig._mistakes(self)
        if not self.channels or any(c < 1 for c in self.channels):
            errors.append(Mistake(("channels",), "must be one width >= 1 or more", self.channels))
        if self.input_dropout:
            errors.append(Mistake(("input_dropout",), "must be 0 for a cnn", self.input_dropout))
        return errors


def loss_name(name: str, task: Task, *, label_smoothing: float = 0.0) -> str:
    """Return the loss that ``name`` means for ``task``: ``auto`` is cross entropy for classes, else MSE.

    Raises:
        ConfigError: it is for the other task, or labels are to be smoothed where there are none.
    """
    allowed = LOSSES[task]
    errors = []
    if name != "auto" and name not in allowed:
        errors.append(Mistake(("loss",), f"must be one of auto, {', '.join(allowed)} for {task.value}", name))
    if label_smoothing and task is not Task.CLASSIFICATION:
        rule = f"must be 0 for {task.value}, which has no labels"
        errors.append(Mistake(("label_smoothing",), rule, label_smoothing))
    if errors:
        raise ConfigError(errors)
    return allowed[0] if name == "auto" else name


def parse_widths(text: object, name: str = "hidden") -> tuple[int, ...]:
    """Read ``128-64`` (or one number, or a sequence) as widths; ``none`` is no layer at all.

    Raises:
        ConfigError: anything else; the message says that it is ``name``.
    """
    if text == "none":
        return ()
    if isinstance(text, tuple | list):
        parts = [str(p) for p in text]
    else:
        parts = str(text).split("-")
    if not all(p.strip().isdecimal() for p in parts):
        raise ConfigError(Mistake((name,), "must be widths such as 128-64", text))
    return tuple(int(p) for p in parts)

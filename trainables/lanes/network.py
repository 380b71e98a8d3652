"""What a stack asks of its network, whatever the model: gradients of a batch, and outputs to validate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from trainables.config import MlpConfig
from trainables.lanes.bank import Bank
from trainables.lanes.feed import Batch
from trainables.lanes.layout import Sizes
from trainables.lanes.losses import StackedLoss
from trainables.lanes.trial import LaneTrial
from trainables.seeding import keep_scale, threshold


@dataclass(frozen=True, slots=True)
class StepVariant:
    """What at least one trial of the stack needs; the rest is left out of the step.

    Attributes:
        dropout: some lane drops units.
        input_dropout: some lane drops inputs.
        smoothing: some lane smooths labels.
        batch_norm: some lane has batch norm.
        no_norm: some lane has none.
        l1: some lane has an L1 penalty.
    """

    dropout: bool = False
    input_dropout: bool = False
    smoothing: bool = False
    batch_norm: bool = False
    no_norm: bool = False
    l1: bool = False

    @classmethod
    def of(cls, configs: Sequence[MlpConfig]) -> StepVariant:
        """Return what these trials need together."""
        return cls(
            dropout=any(c.dropout > 0 for c in configs),
            input_dropout=any(c.input_dropout > 0 for c in configs),
            smoothing=any(c.label_smoothing > 0 for c in configs),
            batch_norm=any(c.batch_norm for c in configs),
            no_norm=not all(c.batch_norm for c in configs),
            l1=any(c.l1_penalty > 0 for c in configs),
        )


class LaneSettings:
    """The settings that differ from lane to lane, as tensors that an operation can broadcast."""

    def __init__(self, lanes: int, device: torch.device) -> None:
        self.threshold = torch.full((lanes, 1, 1), threshold(0.0), dtype=torch.int16, device=device)
        self.keep_scale = torch.ones(lanes, 1, 1, device=device)
        self.input_threshold = self.threshold.clone()
        self.input_scale = self.keep_scale.clone()
        self.smoothing = torch.zeros(lanes, 1, 1, device=device)
        self.norm_off = torch.ones(lanes, 1, 1, dtype=torch.bool, device=device)
        self.l1 = torch.zeros(lanes, 1, device=device)

    def set_lane(self, lane: int, config: MlpConfig) -> None:
        """Take a trial's settings."""
        self.threshold[lane] = threshold(config.dropout)
        self.keep_scale[lane] = keep_scale(config.dropout)
        self.input_threshold[lane] = threshold(config.input_dropout)
        self.input_scale[lane] = keep_scale(config.input_dropout)
        self.smoothing[lane] = config.label_smoothing
        self.norm_off[lane] = not config.batch_norm
        self.l1[lane] = config.l1_penalty


class LaneNetwork(ABC):
    """Trains and evaluates the models of a stack.

    Args:
        layout: of a lane's numbers.
        bank: the stack's numbers.
        loss: what is minimised.

    Attributes:
        grads: of the parameters, what ``gradients`` writes  # [L, P].
        loss_sum: of the epoch's examples, without penalty  # [L].
        validation_rows: validation examples at a time: few enough for their activations to stay in a cache.
        autograd: whether torch records its operations; a step can then be no graph, nor run in inference mode.
    """

    validation_rows = 512
    autograd = False

    def __init__(self, layout: Sizes, bank: Bank, loss: StackedLoss) -> None:
        lanes, device = bank.params.shape[0], bank.params.device
        self.layout = layout
        self.params = bank.params
        self.grads = torch.zeros_like(bank.params)
        self.settings = LaneSettings(lanes, device)
        self.loss_sum = torch.zeros(lanes, device=device)
        self.loss = loss
        self._penalised = bank.params[:, : layout.penalised]
        self._penalised_grads = self.grads[:, : layout.penalised]
        self._signs = torch.empty_like(self._penalised)
        self._norm_on = torch.zeros(lanes, 1, dtype=torch.bool, device=device)

    @property
    def changing(self) -> list[torch.Tensor] | None:
        """What an epoch changes beside the bank, where a stack is to keep how it began; None where it need not."""
        return None

    @property
    @abstractmethod
    def tensors(self) -> list[torch.Tensor]:
        """The buffers of the network, the stack's numbers left out."""

    def seat(self, lane: int, trial: LaneTrial) -> None:
        """Take what a lane's trial brings beside its numbers."""
        self.settings.set_lane(lane, trial.config)

    def leave(self, lane: int) -> None:
        """Forget the trial of a lane that becomes free; here nothing of it is kept."""
        return

    def begin_epoch(self) -> None:
        """Forget the losses, and the gradients of what the epoch will leave alone."""
        self.loss_sum.zero_()
        self.grads.zero_()
        torch.logical_not(self.settings.norm_off.squeeze(2), out=self._norm_on)

    @abstractmethod
    def gradients(self, batch: Batch, variant: StepVariant) -> None:
        """Write the gradients of one batch and add its losses, without penalty, to ``loss_sum``."""

    @abstractmethod
    def validate(self, x: torch.Tensor, y: torch.Tensor, variant: StepVariant) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss's sums over some validation examples, and the outputs.

        The outputs may be overwritten by the next call.

        Shapes: [B, ...] and [B], the same for all lanes -> [sums, L] and [L, C, B].
        """

    def _smoothing(self, variant: StepVariant) -> torch.Tensor | None:
        """Return each lane's label smoothing  # [L, 1, 1], or None where no lane smooths."""
        return self.settings.smoothing if variant.smoothing else None

    def _add_penalty(self) -> None:
        """Add the gradient of the L1 penalty."""
        torch.sign(self._penalised, out=self._signs)
        self._penalised_grads.addcmul_(self._signs, self.settings.l1)

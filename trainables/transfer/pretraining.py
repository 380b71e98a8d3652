"""Pretraining a backbone on labelled images: fast on a CPU, a checkpoint after each epoch, exact after a kill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import nn

from trainables import checkpoint
from trainables.config import MlpConfig
from trainables.cpu_threads import torch_threads
from trainables.derive import derive
from trainables.device_data import DeviceData
from trainables.errors import CheckpointError
from trainables.loop import TrainingRun
from trainables.machine import THIS_MACHINE
from trainables.models import Mlp
from trainables.pace import Pace
from trainables.report import EpochReport, from_result, to_result
from trainables.stage import stage
from trainables.torch_stream import StreamedRun, TorchStream
from trainables.transfer.backbones import Backbone, Stage, build_backbone
from trainables.transfer.batch_views import RandomViews
from trainables.transfer.network import TrainablePart
from trainables.transfer.preprocessing import Normalise, Preprocessing

CPU = torch.device("cpu")
SEED = 0

SMALL_PIXELS = 16
"""Width up to which images are computed plainly: operations on them are too short for any layout or precision to
pay."""

ONE_THREAD_PIXELS = 64
"""Width up to which one thread computes. Threads wait for each other after every operation, spinning: on two cores that
other processes used too, two took 2 to 9 times as long as one (docs/decisions/0024), and one gives the same weights on
any number of cores."""


@dataclass(frozen=True)
class Recipe:
    """How a backbone is pretrained; by AdamW.

    Attributes:
        training: epochs, learning rate and its schedule, weight decay, label smoothing, batch.
        size: height and width of the images, in pixels.
        view_sizes: heights and widths of random views of the training images (see ``RandomViews``), in pixels; empty
            for the images as they are.
    """

    training: MlpConfig
    size: int
    view_sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Pretrained:
    """A pretrained backbone.

    Attributes:
        state: the weights by their names in torchvision's model, the head left out.
        last: the last epoch's report.
    """

    state: dict[str, torch.Tensor]
    last: EpochReport


class _Learner(TrainablePart):
    """A backbone and a head from bytes to logits, computed in the layout and precision that a CPU is fastest in.

    Args:
        stages, head: what learns.
        before: what the images pass through first.
        fast: compute channels last, and in bfloat16 where the CPU multiplies it.
        learned: called with the number of images of each training batch.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        head: Mlp,
        before: Sequence[nn.Module],
        *,
        fast: bool,
        learned: Callable[[int], None],
    ) -> None:
        super().__init__(stages, head)
        self._learned = learned
        self._before = (*before,)  # a tuple hides them: they are no part of the state
        self._fast = fast
        self._bf16 = fast and THIS_MACHINE.multiplies_bf16(CPU)
        if fast:
            self.to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> Self:
        """Set the mode, of what comes before the backbone too."""
        for module in self._before:
            module.train(mode)
        super().train(mode)
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits  # uint8 [B, 1 or 3, H, W] -> float32 [B, C]."""
        if self.training:
            self._learned(len(x))
        for module in self._before:
            x = module(x)
        if not self._fast:
            return super().forward(x)
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
            for stage in self.stages.values():
                x = stage(x)
        return self.head(x.float())  # type: ignore[no-any-return]


def pretrain(
    backbone_name: str,
    recipe: Recipe,
    examples: DeviceData,
    preprocessing: Preprocessing,
    *,
    unfinished: Path,
    say: Callable[[str], None],
) -> Pretrained:
    """Train a backbone from random weights, or from the epoch that an earlier process came to.

    Args:
        backbone_name: a name of ``backbone_names``.
        recipe: how.
        examples: uint8 images and their classes, on CPU.
        preprocessing: gives mean and deviation.
        unfinished: where the checkpoint of the last epoch lies until all are done; it belongs to these arguments
            alone. One that is damaged, or of another run, is not used.
        say: shows a line to the user: every few seconds how far it is, and about how long it will take.

    Raises:
        CheckpointWriteError: the checkpoint cannot be written.
    """
    stream = TorchStream(derive(SEED, "source"), CPU)
    training, fast = recipe.training, recipe.size > SMALL_PIXELS
    with stream.as_global_rng():
        backbone = build_backbone(backbone_name)
        head = Mlp(training, backbone.features, examples.outputs, seed=SEED, device=CPU)
    views = [RandomViews(recipe.view_sizes)] if recipe.view_sizes else []
    counted = _Counted(examples.examples * training.max_epochs)
    before = [Normalise(preprocessing), *views]
    model = _Learner(backbone.stages, head, before, fast=fast, learned=counted.add)
    run = StreamedRun(TrainingRun(training, examples, seed=SEED, device=CPU, model=model), stream)
    last = _continued(run, unfinished)
    if last is not None:
        say(f"weights: goes on after epoch {last.epoch} of {training.max_epochs}, which an earlier process came to")
    threads = torch_threads(1 if recipe.size <= ONE_THREAD_PIXELS else torch.get_num_threads())
    with stage(f"learning the weights of {backbone_name}") as learning, threads:
        done = examples.examples * run.epoch
        counted.begin(done, Pace(say, "weights", begun=done / counted.images, stage=learning))
        while last is None or last.stop is None:
            last = run.step()
            checkpoint.save({"run": run.state_dict(), "last": to_result(last)}, unfinished)
            counted.detail = f"val_accuracy {last.metrics['val_accuracy']:.3f} after epoch {last.epoch}"
    return Pretrained(_state(backbone), last)


class _Counted:
    """Counts the images that are learned from, and says how far that is."""

    def __init__(self, images: int) -> None:
        self.images = images
        self._done = 0
        self._pace: Pace | None = None
        self.detail = ""

    def begin(self, done: int, pace: Pace) -> None:
        """Start the clock where ``done`` images were learned from before."""
        self._done, self._pace = done, pace

    def add(self, images: int) -> None:
        """Take note of a batch."""
        self._done += images
        if self._pace is not None:
            self._pace.update(self._done / self.images, self.detail)


def _continued(run: StreamedRun, unfinished: Path) -> EpochReport | None:
    """Put ``run`` where an earlier process left it, and return the report of its last epoch; None at the start."""
    with suppress(CheckpointError, KeyError):
        saved = checkpoint.load(unfinished)
        run.load_state_dict(saved["run"])
        return from_result(saved["last"])
    return None


def _state(backbone: Backbone) -> dict[str, torch.Tensor]:
    head = backbone.head_keys
    state = backbone.model.state_dict()
    return {key: value.detach().clone().contiguous() for key, value in state.items() if key not in head}

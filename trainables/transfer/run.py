"""One trial of a transfer: the plain loop over what its frozen stages computed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import nn

from trainables.config import MlpConfig
from trainables.derive import derive
from trainables.device_data import DeviceData
from trainables.loop import TrainingRun
from trainables.models import Mlp
from trainables.optimizers import build_optimizer
from trainables.torch_stream import StreamedRun, TorchStream
from trainables.transfer.backbones import Backbone, build_backbone, draws_random_numbers
from trainables.transfer.config import TransferConfig
from trainables.transfer.network import TrainablePart, full_state, prepend_frozen
from trainables.transfer.shared_backbone import SharedBackbone, TransferData
from trainables.weights_snapshot import WeightsSnapshot, detached_copy


class TransferRun(StreamedRun):
    """A trial at epoch 0; its checkpoint holds what it trains, and not what is frozen.

    The head has a dropout stream of its own; layers of the backbone that drop units draw from torch's generators.
    """

    def __init__(self, config: TransferConfig, data: TransferData, *, seed: int, device: torch.device) -> None:
        shared = data.shared(config)
        depth, training = config.frozen_stages, config.training
        reached, examples = shared.cache.at(config.augmentation, depth)
        head = Mlp(training, shared.backbone.features, shared.classes, seed=seed, device=device)
        model: nn.Module = head
        optimizer = None
        if depth < shared.depths:
            model = TrainablePart(_trial_backbone(config, shared, seed=seed).stages[depth:], head).to(device)
            optimizer = build_optimizer(model.groups(config.stage_factor), training)
        if reached == 0 or reached < depth:
            prepend_frozen(model, shared.cache.stages.between(reached, depth))
        run = TrainingRun(training, examples, seed=seed, device=device, model=model, optimizer=optimizer)
        stream = TorchStream(derive(seed, "model"), device) if draws_random_numbers(config.backbone) else None
        super().__init__(run, stream)
        self._full_state = partial(full_state, shared.weights.preprocessing, shared.backbone.stages[:depth])

    def full_weights(self) -> WeightsSnapshot:
        """Return what makes the state of the whole network, frozen stages included, as it is now."""
        return partial(self._full_state, detached_copy(self._run.model.state_dict()))


def linear_form(config: TransferConfig, data: TransferData) -> tuple[MlpConfig, DeviceData] | None:
    """Return the linear model on cached features that a trial amounts to; None where it is more than that."""
    shared = data.shared(config)
    if config.frozen_stages < shared.depths:
        return None
    reached, examples = shared.cache.at(config.augmentation, config.frozen_stages)
    return (config.training, examples) if reached == shared.depths else None


def full_state_of(
    config: TransferConfig, data: TransferData, state: Mapping[str, torch.Tensor]
) -> Mapping[str, torch.Tensor]:
    """Return the state of the whole network around a head that trained alone; one that is whole as it is."""
    if "sizes" in state:
        return state
    shared = data.shared(config)
    return full_state(shared.weights.preprocessing, shared.backbone.stages, state)


def _trial_backbone(config: TransferConfig, shared: SharedBackbone, *, seed: int) -> Backbone:
    """Return a backbone that the trial may change."""
    with TorchStream(derive(seed, "backbone"), torch.device("cpu")).as_global_rng():
        own = build_backbone(config.backbone)
    if config.pretrained:
        state = shared.backbone.model.state_dict()
        own.model.load_state_dict({name: state[name] for name in state.keys() - own.head_keys}, strict=False)
    return own

"""One trial of a transfer: the plain loop over what its frozen stages computed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from trainables.best import Weights as KeptWeights
from trainables.best import copied
from trainables.config import MlpConfig
from trainables.data import Splits
from trainables.derive import derive
from trainables.loop import DeviceData, TrainingRun, build_optimizer
from trainables.models import Mlp
from trainables.torch_stream import StreamedRun, TorchStream
from trainables.transfer.backbones import Backbone, build_backbone, draws_numbers
from trainables.transfer.config import TransferConfig
from trainables.transfer.feature_files import FileStore
from trainables.transfer.features import MIB, FeatureCache, MemoryStore, Stages, Store
from trainables.transfer.geometry import Normalise
from trainables.transfer.network import Trained, put_before, whole_state
from trainables.transfer.pictures import Pictures
from trainables.transfer.weights import Weights, load_weights

WEIGHTS_SEED = 0
"""Of the random weights that all trials of a study share."""


@dataclass(frozen=True)
class Material:
    """What the trials of a study share on one device.

    Attributes:
        weights: the backbone's, and where they came from.
        backbone: with these weights, frozen.
        cache: its images, and what its stages compute of them.
    """

    weights: Weights
    backbone: Backbone
    cache: FeatureCache
    classes: int

    @classmethod
    def of(cls, config: TransferConfig, splits: Splits, device: torch.device, say: Callable[[str], None]) -> Material:
        """Load the weights and make room for the features.

        Args:
            config: of any trial: the settings that matter here are the same for all of a study.
            splits: uint8 images.
            device: where trials train.
            say: is told what takes long.

        Raises:
            ConfigError: the weights are absent, damaged, or of another model.
        """
        weights = load_weights(config, splits, say)
        with TorchStream(derive(WEIGHTS_SEED, "backbone"), torch.device("cpu")).lent():
            backbone = build_backbone(config.backbone)
        if weights.state is not None:
            backbone.model.load_state_dict(dict(weights.state), strict=False)  # the head has none
        backbone.model.to(device).eval().requires_grad_(False)
        normalise = Normalise(weights.preprocessing).to(device)
        stages = Stages(normalise, tuple(nn.Sequential(*stage.layers).eval() for stage in backbone.stages))
        pictures = Pictures(splits, weights.preprocessing, device=device, views=config.views)
        cache = FeatureCache(
            pictures,
            stages,
            _store(config, splits, weights, device),
            limit=config.cache_mb * MIB,
            outputs=splits.classes,
            asked=splits.asked,
        )
        return cls(weights, backbone, cache, splits.classes)

    @property
    def depths(self) -> int:
        """How many stages there are."""
        return len(self.backbone.stages)


class TransferData:
    """A study's images on one device; the material is made with the first trial, whose settings all others share."""

    def __init__(self, splits: Splits, device: torch.device) -> None:
        self._splits = splits
        self._device = device
        self._material: Material | None = None

    def material(self, config: TransferConfig) -> Material:
        """Return what the trials share."""
        if self._material is None:
            self._material = Material.of(config, self._splits, self._device, say=lambda line: None)
        return self._material


class TransferRun(StreamedRun):
    """A trial at epoch 0; its checkpoint holds what it trains, and not what is frozen.

    The head has a dropout stream of its own; layers of the backbone that drop units draw from torch's generators.
    """

    def __init__(self, config: TransferConfig, data: TransferData, *, seed: int, device: torch.device) -> None:
        material = data.material(config)
        depth, training = config.frozen, config.training
        reached, examples = material.cache.at(config.augmentation, depth)
        head = Mlp(training, material.backbone.features, material.classes, seed=seed, device=device)
        model: nn.Module = head
        optimizer = None
        if depth < material.depths:
            model = Trained(_own(config, material, seed=seed).stages[depth:], head).to(device)
            optimizer = build_optimizer(model.groups(config.stage_factor), training)
        shared = material.backbone.stages
        if reached == 0 or reached < depth:
            put_before(model, material.cache.stages.between(reached, depth))
        run = TrainingRun(training, examples, seed=seed, device=device, model=model, optimizer=optimizer)
        stream = TorchStream(derive(seed, "model"), device) if draws_numbers(config.backbone) else None
        super().__init__(run, stream)
        self._whole = partial(whole_state, material.weights.preprocessing, shared[:depth])

    def weights(self) -> KeptWeights:
        """Return what makes the state of the whole network, frozen stages included, as it is now."""
        return partial(self._whole, copied(self._run.model.state_dict()))


def features_alone(config: TransferConfig, data: TransferData) -> tuple[MlpConfig, DeviceData] | None:
    """Return the linear model on cached features that a trial amounts to; None where it is more than that."""
    material = data.material(config)
    if config.frozen < material.depths:
        return None
    reached, examples = material.cache.at(config.augmentation, config.frozen)
    return (config.training, examples) if reached == material.depths else None


def whole_of(
    config: TransferConfig, data: TransferData, state: Mapping[str, torch.Tensor]
) -> Mapping[str, torch.Tensor]:
    """Return the state of the whole network around a head that trained alone; one that is whole as it is."""
    if "sizes" in state:
        return state
    material = data.material(config)
    return whole_state(material.weights.preprocessing, material.backbone.stages, state)


def _own(config: TransferConfig, material: Material, *, seed: int) -> Backbone:
    """Return a backbone that the trial may change."""
    with TorchStream(derive(seed, "backbone"), torch.device("cpu")).lent():
        own = build_backbone(config.backbone)
    if config.pretrained:
        state = material.backbone.model.state_dict()
        own.model.load_state_dict({name: state[name] for name in state.keys() - own.head_keys}, strict=False)
    return own


def _store(config: TransferConfig, splits: Splits, weights: Weights, device: torch.device) -> Store | None:
    place = config.feature_cache
    if place == "auto":
        place = "disk" if splits.shared and splits.scratch is not None else "memory"
    if place == "off":
        return None
    if place == "memory" or splits.scratch is None or device.type != "cpu":
        return MemoryStore(device)
    parts = weights.preprocessing, config.views, splits.fingerprint, weights.sha256, config.backbone
    made_of = f"{parts} float32 {torch.__version__}"
    return FileStore(Path(splits.scratch) / "features", prefix=hashlib.sha256(made_of.encode()).hexdigest()[:16])

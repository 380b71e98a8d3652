"""What the trials of a study share on one device: a frozen backbone, the images, and the features of its stages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from trainables.data import Splits
from trainables.derive import derive
from trainables.torch_stream import TorchStream
from trainables.transfer.backbones import Backbone, build_backbone
from trainables.transfer.config import TransferConfig
from trainables.transfer.feature_cache import MIB, FeatureCache, FrozenStages
from trainables.transfer.feature_files import FileFeatureStore
from trainables.transfer.feature_store import FeatureStore, MemoryFeatureStore
from trainables.transfer.image_views import ImageViews
from trainables.transfer.initial_weights import load_weights
from trainables.transfer.preprocessing import Normalise
from trainables.transfer.weights import Weights

WEIGHTS_SEED = 0
"""Seeds the random weights that all trials of a study share."""


@dataclass(frozen=True)
class SharedBackbone:
    """What the trials of a study share on one device.

    Attributes:
        weights: the backbone's weights, and where they came from.
        backbone: the backbone with these weights, frozen.
        cache: the images, and what the backbone's stages compute of them.
        classes: C, how many classes the study's data have.
    """

    weights: Weights
    backbone: Backbone
    cache: FeatureCache
    classes: int

    @classmethod
    def load(
        cls, config: TransferConfig, splits: Splits, device: torch.device, say: Callable[[str], None]
    ) -> SharedBackbone:
        """Load the weights and make room for the features.

        Args:
            config: the configuration of any trial: the settings that matter here are the same for all of a study.
            splits: uint8 images.
            device: where trials train.
            say: shows the user a line before something that takes long.

        Raises:
            ConfigError: the weights are absent, damaged, or of another model.
        """
        weights = load_weights(config, splits, say)
        with TorchStream(derive(WEIGHTS_SEED, "backbone"), torch.device("cpu")).as_global_rng():
            backbone = build_backbone(config.backbone)
        if weights.state is not None:
            backbone.model.load_state_dict(dict(weights.state), strict=False)  # the head has none
        backbone.model.to(device).eval().requires_grad_(False)
        normalise = Normalise(weights.preprocessing).to(device)
        stages = FrozenStages(normalise, tuple(nn.Sequential(*stage.layers).eval() for stage in backbone.stages))
        images = ImageViews(splits, weights.preprocessing, device=device, views=config.views)
        cache = FeatureCache(
            images,
            stages,
            _store(config, splits, weights, device),
            limit=config.cache_mb * MIB,
            outputs=splits.classes,
            extra_metrics=splits.extra_metrics,
        )
        return cls(weights, backbone, cache, splits.classes)

    @property
    def depths(self) -> int:
        """How many stages there are."""
        return len(self.backbone.stages)


class TransferData:
    """A study's images on one device; the backbone is loaded with the first trial, whose settings all others share."""

    def __init__(self, splits: Splits, device: torch.device) -> None:
        self._splits = splits
        self._device = device
        self._shared: SharedBackbone | None = None

    def shared(self, config: TransferConfig) -> SharedBackbone:
        """Return what the trials share, loaded if this is the first."""
        if self._shared is None:
            self._shared = SharedBackbone.load(config, self._splits, self._device, say=lambda line: None)
        return self._shared


def _store(config: TransferConfig, splits: Splits, weights: Weights, device: torch.device) -> FeatureStore | None:
    place = config.feature_cache
    if place == "auto":
        place = "disk" if splits.shared and splits.scratch is not None else "memory"
    if place == "off":
        return None
    if place == "memory" or splits.scratch is None or device.type != "cpu":
        return MemoryFeatureStore(device)
    parts = weights.preprocessing, config.views, splits.fingerprint, weights.sha256, config.backbone
    made_of = f"{parts} float32 {torch.__version__}"
    return FileFeatureStore(Path(splits.scratch) / "features", prefix=hashlib.sha256(made_of.encode()).hexdigest()[:16])

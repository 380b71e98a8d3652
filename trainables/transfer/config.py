"""One trial's configuration of a transfer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

from trainables.checks import between, one_of, whole
from trainables.config import MODEL_FIELDS, MlpConfig
from trainables.errors import ConfigError
from trainables.mistake import Mistake, about, nearest

if TYPE_CHECKING:
    from trainables.data import DataSpec

NARROW = "narrow_resnet"
"""The name of the narrow ResNet among the backbones; it is small enough to learn on a CPU."""

PRETRAINED, SCRATCH = "pretrained", "scratch"
AUTO, SOURCE, CIFAR10, IMAGENET, NONE = "auto", "source", "cifar10", "imagenet", "none"
NAMED_WEIGHTS = (AUTO, SOURCE, CIFAR10, IMAGENET, NONE)
"""What ``weights`` may be, besides a file."""

AUGMENTATIONS = ("none", "flip_crop", "trivial_augment")
FEATURE_CACHES = ("auto", "memory", "disk", "off")

TRAINING_PARAMETERS = frozenset(
    {f.name for f in fields(MlpConfig)} - {*MODEL_FIELDS, "max_epochs", "loss", "input_dropout"}
)
"""The parameters that drive the loop."""


@dataclass(frozen=True, slots=True)
class TransferConfig:
    """One trial's configuration.

    Attributes:
        training: what drives the loop; its model is the head, a linear layer, and its ``input_dropout`` is the
            dropout before it. Its learning rate is the head's.
        freeze_depth: how many stages, counted from the input, are frozen: no gradients, batch norm in evaluation
            mode with its statistics kept. All of them is feature extraction, 0 is fine-tuning throughout.
        init: ``pretrained``, or ``scratch``: weights drawn from the trial's seed, and nothing frozen whatever
            ``freeze_depth`` says.
        stage_factor: rate of a stage over that of the stage (or head) behind it (Howard, Ruder 2018,
            arXiv:1801.06146, discriminative fine-tuning).
        augmentation: how training images are changed: ``none``, ``flip_crop`` or ``trivial_augment`` (Mueller,
            Hutter 2021, arXiv:2103.10158).
        backbone: a name that torchvision registers, or ``narrow_resnet``.
        weights: what it starts from: ``source``, ``cifar10`` (shipped with the package), ``imagenet``, ``none``, or a
            file's path; ``auto`` is ``cifar10`` for a user's own images, else ``source``.
        source_data: the data that ``source`` learns from; empty for the other half of the data's classes.
        source_epochs: how many epochs ``source`` learns.
        download: whether ``imagenet`` may be downloaded.
        input_size: height and width that the backbone sees; 0 leaves that to the weights, or the images.
        views: how many views an augmented training image has; epoch e trains on view e modulo ``views``.
        feature_cache: where the outputs of frozen stages are kept: ``memory``, ``disk``, ``off``, or ``auto``:
            on disk where several processes train, else in memory.
        cache_mb: MiB that these outputs may take.
    """

    training: MlpConfig
    freeze_depth: int = 0
    init: str = PRETRAINED
    stage_factor: float = 1.0
    augmentation: str = "none"
    backbone: str = NARROW
    weights: str = AUTO
    source_data: str = ""
    source_epochs: int = 30
    download: bool = False
    input_size: int = 0
    views: int = 4
    feature_cache: str = "auto"
    cache_mb: float = 1024.0

    def __post_init__(self) -> None:
        errors = [
            *whole(self, "freeze_depth", "input_size", low=0),
            *whole(self, "source_epochs", "views", low=1),
            *one_of("init", self.init, (PRETRAINED, SCRATCH)),
            *one_of("augmentation", self.augmentation, AUGMENTATIONS),
            *one_of("feature_cache", self.feature_cache, FEATURE_CACHES),
            *between(self, "stage_factor", 0, math.inf),
            *between(self, "cache_mb", 0, math.inf),
        ]
        errors += [
            Mistake((name,), f"must be {what}", getattr(self, name))
            for name, kind, what in (
                ("backbone", str, "words"),
                ("weights", str, "words"),
                ("source_data", str, "words"),
                ("download", bool, "true or false"),
            )
            if not isinstance(getattr(self, name), kind)
        ]
        if errors:
            raise ConfigError(errors)

    @property
    def pretrained(self) -> bool:
        """Whether it starts from the study's weights."""
        return self.init == PRETRAINED

    @property
    def frozen_stages(self) -> int:
        """How many stages are frozen."""
        return self.freeze_depth if self.pretrained else 0

    @classmethod
    def from_params(cls, params: Mapping[str, Any], *, max_epochs: int) -> Self:
        """Build the configuration from a trial's active parameters and the study's settings.

        ``dropout`` is the rate before the head.

        Raises:
            ConfigError: unknown names and every value out of its range.
        """
        own = {f.name for f in fields(cls)} - {"training"}
        known = (*sorted(own | TRAINING_PARAMETERS), "dropout")
        errors = [
            about(f"unknown setting {n!r}.{nearest(n, known)} Known: {', '.join(known)}", n)
            for n in params
            if n not in known
        ]
        training = {name: value for name, value in params.items() if name in TRAINING_PARAMETERS}
        if "dropout" in params:
            training["input_dropout"] = params["dropout"]
        loop = MlpConfig(max_epochs=1)
        try:
            loop = MlpConfig.from_params({**training, "hidden": "none"}, max_epochs=max_epochs)
        except ConfigError as error:
            errors += [_of_the_head(mistake) for mistake in error.mistakes]
        try:
            config = cls(loop, **{name: value for name, value in params.items() if name in own})
        except ConfigError as error:
            errors += error.mistakes
        if errors:
            raise ConfigError(errors)
        return config


def chosen_weights(weights: str, *, backbone: str, source_data: str, spec: DataSpec | None) -> str:
    """Return the weights that are used: ``auto`` stands for ``cifar10`` or ``source``.

    A user's own images start from the weights that are shipped, with all their classes. What these weights are not
    for, or where ``source_data`` names what is to be learned from, or the data are one half of their classes, is
    learned here.

    Args:
        weights: as declared.
        backbone: its name.
        source_data: as declared; empty where nothing is named.
        spec: the study's data; None where they were made otherwise.
    """
    if weights != AUTO:
        return weights
    own_photos = spec is not None and spec.source == "images" and spec.half is None
    return CIFAR10 if own_photos and backbone == NARROW and not source_data else SOURCE


def _of_the_head(mistake: Mistake) -> Mistake:
    """Return what is wrong with the loop's configuration, with ``input_dropout`` called as a transfer calls it."""
    if mistake.path != ("input_dropout",):
        return mistake
    return replace(mistake, path=("dropout",), rule="must satisfy 0 <= dropout < 1")

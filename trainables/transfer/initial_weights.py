"""What a study's backbone starts from, as its configuration says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from trainables.data import Splits
from trainables.transfer.config import CIFAR10, IMAGENET, NONE, SOURCE, TransferConfig, chosen_weights
from trainables.transfer.preprocessing import own_preprocessing
from trainables.transfer.shipped_weights import shipped_weights
from trainables.transfer.source import source_weights
from trainables.transfer.weights import Weights, imagenet_weights, weights_from_file


def with_chosen_weights(config: TransferConfig, splits: Splits) -> TransferConfig:
    """Return the configuration with the weights that are used; see ``chosen_weights``."""
    chosen = chosen_weights(config.weights, backbone=config.backbone, source_data=config.source_data, spec=splits.spec)
    return replace(config, weights=chosen)


def load_weights(config: TransferConfig, splits: Splits, say: Callable[[str], None]) -> Weights:
    """Return the weights that a configuration names.

    Args:
        config: the configuration of any trial: all of a study name the same weights.
        splits: the study's examples, uint8.
        say: shows the user a line before something that takes long, and how far it is.

    Raises:
        ConfigError: they are absent, damaged, or of another model; one line says what to do.
    """
    config = with_chosen_weights(config, splits)
    if config.weights == SOURCE:
        return source_weights(config, splits, say)
    if config.weights == CIFAR10:
        return shipped_weights(config, splits)
    if config.weights == NONE:
        return Weights(None, own_preprocessing(splits, config.input_size), NONE, "random weights")
    if config.weights == IMAGENET:
        return imagenet_weights(config)
    return weights_from_file(config, splits)

import pytest

from tests.trainables.transfer.conftest import configured
from trainables.errors import ConfigError
from trainables.transfer.config import TransferConfig


def test_the_dropout_is_before_the_head_and_the_head_is_linear():
    config = configured(dropout=0.3, label_smoothing=0.1, weight_decay=0.01, schedule="cosine")
    assert config.training.hidden == ()
    assert config.training.input_dropout == 0.3
    assert (config.training.label_smoothing, config.training.weight_decay) == (0.1, 0.01)


def test_no_stage_is_frozen_in_a_backbone_from_scratch():
    assert configured(freeze_depth=3).frozen_stages == 3
    assert configured(freeze_depth=3, init="scratch").frozen_stages == 0


def test_every_mistake_of_a_transfer_configuration_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        TransferConfig.from_params(
            {
                "freeze_depth": -1,
                "init": "pretraned",
                "augmentation": "mixup",
                "feature_cache": "ram",
                "views": 0,
                "cache_mb": -1,
                "stage_factor": -0.5,
                "dropout": 1.0,
                "hidden": "64",
                "download": "yes",
                "backbone": 3,
            },
            max_epochs=0,
        )
    starts = [
        "unknown setting 'hidden'.",
        "max_epochs must be a whole number >= 1, got 0",
        "dropout must satisfy 0 <= dropout < 1, got 1.0",
        "freeze_depth must be a whole number >= 0, got -1",
        "views must be a whole number >= 1, got 0",
        "init must be one of pretrained, scratch, got 'pretraned'",
        "augmentation must be one of none, flip_crop, trivial_augment, got 'mixup'",
        "feature_cache must be one of auto, memory, disk, off, got 'ram'",
        "stage_factor must satisfy 0 <= stage_factor, got -0.5",
        "cache_mb must satisfy 0 <= cache_mb, got -1",
        "backbone must be words, got 3",
        "download must be true or false, got 'yes'",
    ]
    assert len(caught.value.errors) == len(starts)
    for line, start in zip(caught.value.errors, starts, strict=True):
        assert line.startswith(start)

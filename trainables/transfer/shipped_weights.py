"""The weights of a small backbone that come with the package, for photos where nothing else is at hand."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from trainables.data import Splits
from trainables.errors import ConfigError
from trainables.transfer.backbones import build_backbone
from trainables.transfer.config import CIFAR10, NARROW, TransferConfig
from trainables.transfer.preprocessing import Preprocessing
from trainables.transfer.weights import Weights, stage_state

FILE = Path(__file__).parent / "shipped" / "narrow_resnet_cifar10.safetensors"
"""The weights, and in its metadata what they were made of; shipped/README.md has their figures."""

PHOTO_PIXELS = 64
"""Height and width that a user's photos are decoded at for these weights, where no other size is asked for."""

FEWEST_PIXELS = 24
"""Height and width of the smallest images that taught these weights; smaller ones are enlarged to
``THUMBNAIL_PIXELS``."""

THUMBNAIL_PIXELS = 32


def shipped_weights(config: TransferConfig, splits: Splits) -> Weights:
    """Return the weights that come with the package.

    Raises:
        ConfigError: they are of another backbone, or their file is absent or damaged.
    """
    from safetensors import SafetensorError, safe_open

    what = f"--weights {CIFAR10}"
    if config.backbone != NARROW:
        raise ConfigError(
            f"{what} is for --backbone {NARROW}, not {config.backbone}; for that --weights imagenet takes "
            "torchvision's, FILE a state dict, source learns them here, none starts from random ones"
        )
    try:
        digest = hashlib.sha256(FILE.read_bytes()).hexdigest()
        with safe_open(FILE, framework="pt") as opened:
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  it is no mapping
            facts = opened.metadata()
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{what}: {FILE}, a part of the package, cannot be read ({error}); install it anew") from None
    kept = stage_state(build_backbone(NARROW), state, what=f"{what}: {FILE}")
    preprocessing = Preprocessing.from_dict(json.loads(facts["preprocessing"]), size=shipped_size(config, splits))
    origin = (
        f"cifar10, shipped with the package ({facts['images']} photos of {facts['classes'].count(',') + 1} classes; "
        f"sha256 {digest[:16]})"
    )
    return Weights(kept, preprocessing, digest, origin)


def shipped_size(config: TransferConfig, splits: Splits) -> int:
    """Return the height and width at which these weights see the images, in pixels."""
    own = min(splits.shape[1:])
    return config.input_size or (own if own >= FEWEST_PIXELS else THUMBNAIL_PIXELS)

"""What is done to an image before a backbone sees it: its size, and the numbers that its bytes become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import nn

from trainables.data import Splits
from trainables.device_data import as_tensor

RGB = 3
"""Channels of what a backbone sees."""


@dataclass(frozen=True)
class Preprocessing:
    """Sizes in pixels, and the mean and deviation that belong to the weights.

    Attributes:
        resize: the shorter side is brought to this many pixels; 0 leaves the image as it is.
        crop: a square of this side is then cut from the centre; 0 leaves the image as it is.
        mean, deviation: each channel's mean and deviation, of values between 0 and 1.
        bicubic: whether images are resized so, and not bilinearly.
    """

    resize: int
    crop: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    bicubic: bool = False

    @property
    def sizes(self) -> torch.Tensor:
        """Resize, crop and whether bicubic, as a state holds them beside mean and deviation."""
        return torch.tensor([self.resize, self.crop, int(self.bicubic)])

    @classmethod
    def of_state(cls, state: Mapping[str, torch.Tensor]) -> Self:
        """Return what the state of a whole network says of it."""
        resize, crop, bicubic = state["sizes"].tolist()
        mean, deviation = (tuple(state[f"normalise.{name}"].flatten().tolist()) for name in ("mean", "deviation"))
        return cls(resize, crop, mean, deviation, bool(bicubic))

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any], *, size: int = 0) -> Self:
        """Return what ``to_dict`` made plain data of, at another size if one is given."""
        resize = size or int(saved["size"])
        return cls(resize, resize, tuple(saved["mean"]), tuple(saved["deviation"]))

    def to_dict(self) -> dict[str, Any]:
        """Return as plain data what lies beside learned weights, whose images are resized to squares, bilinearly."""
        return {"size": self.resize, "mean": list(self.mean), "deviation": list(self.deviation)}

    def resized(self, images: torch.Tensor) -> torch.Tensor:
        """Return the images at the size that the backbone sees  # uint8 [N, C, H, W] -> uint8 [N, C, h, w]."""
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms.v2 import functional as F

        if self.resize and min(images.shape[2:]) != self.resize:
            how = InterpolationMode.BICUBIC if self.bicubic else InterpolationMode.BILINEAR
            images = F.resize(images, [self.resize], interpolation=how, antialias=True)
        if self.crop and tuple(images.shape[2:]) != (self.crop, self.crop):
            images = F.center_crop(images, [self.crop, self.crop])
        return images


class Normalise(nn.Module):
    """Bytes to the numbers that a backbone was trained on; grey images become RGB.

    Shape: uint8 [B, 1 or 3, H, W] -> float32 [B, 3, H, W].
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.mean: torch.Tensor
        self.deviation: torch.Tensor
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, -1, 1, 1))
        self.register_buffer("deviation", torch.tensor(preprocessing.deviation).view(1, -1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the normalised images."""
        return ((x.float() / 255 - self.mean) / self.deviation).expand(-1, RGB, -1, -1)


def channel_statistics(images: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of each channel, between 0 and 1; a constant one has deviation 1.

    From sums of whole numbers: the same on every machine  # uint8 [N, C, H, W].
    """
    counts = [torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(1)]
    values = torch.arange(256)
    means, deviations = [], []
    for count in counts:
        n = int(count.sum())
        total, squares = int((count * values).sum()), int((count * values**2).sum())
        variance = max(0, n * squares - total**2)
        means.append(total / n / 255)
        deviations.append((variance**0.5 / n / 255) or 1.0)
    return tuple(means), tuple(deviations)


def own_preprocessing(splits: Splits, size: int) -> Preprocessing:
    """Return the preprocessing of weights that bring none: the training images' own mean and deviation."""
    mean, deviation = channel_statistics(as_tensor(splits.train.held, torch.device("cpu")))
    return Preprocessing(size, size, mean, deviation)


def imagenet_preprocessing(name: str, size: int) -> Preprocessing:
    """Return the preprocessing of torchvision's own weights, at another size if one is given."""
    from torchvision.models import get_model_weights
    from torchvision.transforms import InterpolationMode

    preset = get_model_weights(name)["DEFAULT"].transforms()
    resize, crop = (size, size) if size else (preset.resize_size[0], preset.crop_size[0])
    bicubic = preset.interpolation == InterpolationMode.BICUBIC
    return Preprocessing(resize, crop, tuple(preset.mean), tuple(preset.std), bicubic)

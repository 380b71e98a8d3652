"""The images of a study at the size its backbone sees, and their augmented views."""

from __future__ import annotations

from functools import cached_property

import torch

from trainables.data import Splits
from trainables.derive import derive
from trainables.loop import as_tensor
from trainables.torch_stream import TorchStream
from trainables.transfer.backbones import RGB
from trainables.transfer.geometry import Preprocessing

CPU = torch.device("cpu")
CROP_SHARE = 8
"""A random crop moves by up to this part of the image: 4 of 32 pixels, as is usual for CIFAR-10."""


class Pictures:
    """Training images with their views, and validation images, as bytes.

    Views are drawn once, from the data's fingerprint: all trials of a study see the same ones, and so does a resumed
    study.

    Args:
        splits: uint8 images.
        preprocessing: gives the size.
        device: where they are kept.
        views: of each training image, where it is augmented.
    """

    def __init__(self, splits: Splits, preprocessing: Preprocessing, *, device: torch.device, views: int) -> None:
        self._splits = splits
        self._preprocessing = preprocessing
        self._device = device
        self._views = views
        self._train: dict[str, torch.Tensor] = {}
        self.y_train = as_tensor(splits.train.y, device)
        self.y_val = as_tensor(splits.val.y, device)

    @property
    def example(self) -> torch.Tensor:
        """One validation image  # uint8 [1, C, h, w]."""
        return self._resized(as_tensor(self._splits.val.x[:1], CPU))

    @cached_property
    def val(self) -> torch.Tensor:
        """Every validation image  # uint8 [N, C, h, w]."""
        return self._resized(as_tensor(self._splits.val.x, CPU))

    def views(self, augmentation: str) -> int:
        """Return V: how many views of each training image there are."""
        return 1 if augmentation == "none" else self._views

    def train(self, augmentation: str) -> torch.Tensor:
        """Return every view of every training image, view by view  # uint8 [V * N, C, h, w]."""
        if augmentation not in self._train:
            images = as_tensor(self._splits.train.x, CPU)
            if augmentation != "none":
                images = self._augmented(images, augmentation)
            self._train[augmentation] = self._resized(images)
        return self._train[augmentation]

    def _resized(self, images: torch.Tensor) -> torch.Tensor:
        return self._preprocessing.resized(images).to(self._device)

    def _augmented(self, images: torch.Tensor, augmentation: str) -> torch.Tensor:
        seed = derive(0, "views", self._splits.fingerprint, augmentation)
        with TorchStream(seed, CPU).lent():
            if augmentation == "flip_crop":
                return torch.cat([_flipped_and_moved(images) for _ in range(self._views)])
            return _trivially_augmented(images, self._views)


def _flipped_and_moved(images: torch.Tensor) -> torch.Tensor:
    """Return each image mirrored or not, and moved by up to an eighth; zeros come in at the sides."""
    n, _, height, width = images.shape
    flips = torch.rand(n) < 0.5
    images = torch.where(flips.view(-1, 1, 1, 1), images.flip(3), images)
    down, right = max(1, height // CROP_SHARE), max(1, width // CROP_SHARE)
    padded = torch.nn.functional.pad(images, (right, right, down, down))
    rows = torch.randint(2 * down + 1, (n, 1)) + torch.arange(height)  # [N, H]
    columns = torch.randint(2 * right + 1, (n, 1)) + torch.arange(width)  # [N, W]
    examples = torch.arange(n).view(-1, 1, 1, 1)
    channels = torch.arange(images.shape[1]).view(1, -1, 1, 1)
    return padded[examples, channels, rows[:, None, :, None], columns[:, None, None, :]]


def _trivially_augmented(images: torch.Tensor, views: int) -> torch.Tensor:
    from torchvision.transforms.v2 import TrivialAugmentWide

    augment = TrivialAugmentWide()
    coloured = images.expand(-1, RGB, -1, -1)  # some of its operations need three channels
    augmented = torch.stack([augment(image) for _ in range(views) for image in coloured])
    return augmented[:, : images.shape[1]] if images.shape[1] == 1 else augmented

"""The images of a study at the size its backbone sees, and their augmented views."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np
import torch

from trainables.cpu_threads import torch_threads
from trainables.data import Splits
from trainables.data.memory import allocate
from trainables.derive import derive
from trainables.device_data import as_tensor
from trainables.pace import Pace, signs_of_life
from trainables.torch_stream import TorchStream
from trainables.transfer.preprocessing import RGB, Preprocessing

CPU = torch.device("cpu")
CROP_SHARE = 8
"""A random crop moves by up to this part of the image: 4 of 32 pixels, as is usual for CIFAR-10."""

AT_ONCE = 1024
"""Images that are augmented or resized at a time."""


class ImageViews:
    """Training images with their views, and validation images, as bytes.

    Views are drawn once, from the data's fingerprint: all trials of a study see the same ones, and so does a resumed
    study.

    Args:
        splits: uint8 images.
        preprocessing: gives the size of the images.
        device: where the images are kept.
        views: how many views of each training image there are, where it is augmented.
    """

    def __init__(self, splits: Splits, preprocessing: Preprocessing, *, device: torch.device, views: int) -> None:
        self._splits = splits
        self._preprocessing = preprocessing
        self._device = device
        self._views = views
        self._train: dict[str, torch.Tensor] = {}
        self.y_train = as_tensor(splits.train.y, device)
        self.y_val = as_tensor(splits.val.y, device)
        weights = splits.train.weights
        self.weights = None if weights is None else as_tensor(weights, device)

    @property
    def example(self) -> torch.Tensor:
        """One validation image  # uint8 [1, C, h, w]."""
        return self._preprocessing.resized(as_tensor(self._splits.val.x[:1], CPU)).to(self._device)

    @cached_property
    def val(self) -> torch.Tensor:
        """Every validation image  # uint8 [N, C, h, w]."""
        return self._kept(as_tensor(self._splits.val.held, CPU))

    def views(self, augmentation: str) -> int:
        """Return V: how many views of each training image there are."""
        return 1 if augmentation == "none" else self._views

    def train(self, augmentation: str) -> torch.Tensor:
        """Return every view of every training image, view by view  # uint8 [V * N, C, h, w].

        Raises:
            DataError: they are larger than memory should hold, and the disk has no allocate for them.
        """
        if augmentation not in self._train:
            images = as_tensor(self._splits.train.held, CPU)
            if augmentation == "none":
                self._train[augmentation] = self._kept(images)
            else:
                seed = derive(0, "views", self._splits.fingerprint, augmentation)
                with TorchStream(seed, CPU).as_global_rng(), torch_threads(1):  # of one image each: too short to share
                    parts = AUGMENT[augmentation](images, self._views)
                    self._train[augmentation] = self._filled(
                        parts, self._views * len(images), f"{augmentation}, {self._views} views"
                    )
        return self._train[augmentation]

    def _kept(self, images: torch.Tensor) -> torch.Tensor:
        """Return images at their size; those that need no change are not copied."""
        one = images[:1]
        if self._preprocessing.resized(one) is one:
            return images.to(self._device)
        return self._filled(torch.split(images, AT_ONCE), len(images), "resized")

    def _filled(self, parts: Iterable[torch.Tensor], rows: int, how: str) -> torch.Tensor:
        """Return images at their size, from parts: in memory, or in a file where they are large."""
        images = torch.from_numpy(allocate((rows, *self.example.shape[1:]), np.uint8))
        pace = Pace(signs_of_life, f"images ({how}), for all trials")
        start = 0
        for part in parts:
            images[start : start + len(part)] = self._preprocessing.resized(part)
            start += len(part)
            pace.update(start / rows)
        return images.to(self._device)


def _flip_and_shift(images: torch.Tensor, views: int) -> Iterator[torch.Tensor]:
    """Yield each image mirrored or not, and moved by up to an eighth; zeros come in at the sides."""
    n, _, height, width = images.shape
    down, right = max(1, height // CROP_SHARE), max(1, width // CROP_SHARE)
    channels = torch.arange(images.shape[1]).view(1, -1, 1, 1)
    for _ in range(views):
        flips = torch.rand(n) < 0.5
        rows = torch.randint(2 * down + 1, (n, 1)) + torch.arange(height)  # [N, H]
        columns = torch.randint(2 * right + 1, (n, 1)) + torch.arange(width)  # [N, W]
        parts = (torch.split(tensor, AT_ONCE) for tensor in (images, flips, rows, columns))
        for x, flip, row, column in zip(*parts, strict=True):
            mirrored = torch.where(flip.view(-1, 1, 1, 1), x.flip(3), x)
            padded = torch.nn.functional.pad(mirrored, (right, right, down, down))
            examples = torch.arange(len(x)).view(-1, 1, 1, 1)
            yield padded[examples, channels, row[:, None, :, None], column[:, None, None, :]]


def _trivial_augment(images: torch.Tensor, views: int) -> Iterator[torch.Tensor]:
    """Yield each image after one operation, of random kind and strength (Mueller and Hutter 2021, arXiv:2103.10158)."""
    from torchvision.transforms.v2 import TrivialAugmentWide

    augment = TrivialAugmentWide()
    for _ in range(views):
        for part in torch.split(images, AT_ONCE):
            coloured = part.expand(-1, RGB, -1, -1)  # some of its operations need three channels
            yield torch.stack([augment(image) for image in coloured])[:, : part.shape[1]]


AUGMENT = {"flip_crop": _flip_and_shift, "trivial_augment": _trivial_augment}
"""What augments images, by its name: (images, views) -> parts of all views, one view after another."""

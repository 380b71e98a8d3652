"""Random views of a batch of images, drawn on tensors: what a backbone is augmented with while it is pretrained."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

SMALLEST_CROP = 0.25
"""Least share of an image's area that a view shows."""

ASPECT = 4 / 3
"""Most that a view's width is over its height, or its height over its width."""

COLOUR = 0.3
"""Contrast, brightness (in deviations) and saturation change by up to this."""

GREY_SHARE = 0.1
"""The share of the views without colour, so that a backbone can also use grey images."""


class RandomViews(nn.Module):
    """A random part of each image, mirrored or not, recoloured, at a size that is drawn for the whole batch.

    As torchvision's ``RandomResizedCrop``, ``RandomHorizontalFlip`` and ``ColorJitter``, with one drawing for each
    image and a single resampling, without a loop over them. Draws from torch's global generator. Changes nothing in
    evaluation mode.

    Shape: float32 [B, 3, H, W] of mean 0 and deviation 1 -> [B, 3, h, h], h one of ``sizes``.

    Args:
        sizes: heights and widths, in pixels.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self._sizes = tuple(sizes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the views."""
        if not self.training:
            return x
        size = self._sizes[int(torch.randint(len(self._sizes), ()))]
        return _recoloured(_cropped(x, size))


def _cropped(x: torch.Tensor, size: int) -> torch.Tensor:
    n = len(x)
    area = torch.empty(n).uniform_(SMALLEST_CROP, 1)
    aspect = torch.empty(n).uniform_(-math.log(ASPECT), math.log(ASPECT)).exp()
    width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    right, down = ((torch.rand(n) * 2 - 1) * (1 - side) for side in (width, height))
    mirrored = torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
    zero = torch.zeros(n)
    affine = torch.stack([width * mirrored, zero, right, zero, height, down], 1).view(n, 2, 3)
    grid = nn.functional.affine_grid(affine, [n, x.shape[1], size, size], align_corners=False)
    views: torch.Tensor = nn.functional.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    return views


def _recoloured(x: torch.Tensor) -> torch.Tensor:
    contrast, brightness, saturation = ((torch.rand(3, len(x), 1, 1, 1) * 2 - 1) * COLOUR).unbind()
    saturation = torch.where(torch.rand(len(x), 1, 1, 1) < GREY_SHARE, -1.0, saturation)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (1 + saturation)
    middle = x.mean((1, 2, 3), keepdim=True)
    recoloured: torch.Tensor = middle + (x - middle) * (1 + contrast) + brightness
    return recoloured

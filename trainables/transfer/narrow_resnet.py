"""A narrow ResNet for small images: the backbone that is learned here where no weights are at hand."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from trainables.transfer.preprocessing import RGB

NARROW_WIDTHS = (16, 32, 64, 128)
"""Channels of the four stages behind the stem; torchvision's ResNet-18 has 64 to 512."""


class NarrowResNet(ResNet):  # type: ignore[misc]
    """torchvision's ResNet with one block a stage, narrower stages, and a first convolution that shrinks nothing.

    For images of 8 to 64 pixels: a 3x3 convolution stands where torchvision has one of 7x7 with stride 2 and a
    maximum (He et al. 2015, arXiv:1512.03385, section 4.2).
    """

    def __init__(self, widths: Sequence[int] = NARROW_WIDTHS) -> None:
        nn.Module.__init__(self)  # the parent's would build the wide stages
        self._norm_layer = nn.BatchNorm2d
        self.inplanes = widths[0]
        self.dilation, self.groups, self.base_width = 1, 1, 64
        self.conv1 = nn.Conv2d(RGB, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        self.maxpool = nn.Identity()
        for number, width in enumerate(widths, start=1):
            layer = self._make_layer(BasicBlock, width, blocks=1, stride=1 if number == 1 else 2)
            setattr(self, f"layer{number}", layer)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(widths[-1], 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

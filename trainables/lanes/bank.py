"""The numbers that training changes, for one lane or for a whole stack."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trainables.lanes.layout import Sizes


@dataclass(frozen=True)
class Bank:
    """Parameters, the optimiser's moments and running statistics.

    Attributes:
        params: [P], or [L, P] for a stack.
        first: AdamW's first moment, or SGD's momentum buffer; as ``params``.
        second: AdamW's second moment; empty for SGD.
        statistics: batch norm's running means and variances  # [R] or [L, R].
    """

    params: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    statistics: torch.Tensor

    @classmethod
    def empty(cls, layout: Sizes, *lanes: int, optimizer: str, device: torch.device) -> Bank:
        """Return zeros, for one lane or for ``lanes`` of them."""
        second = layout.size if optimizer == "adamw" else 0
        sizes = (layout.size, layout.size, second, layout.statistics_size)
        return cls(*(torch.zeros(*lanes, size, device=device) for size in sizes))

    def lane(self, index: int) -> Bank:
        """Return views of one lane of a stack."""
        return Bank(*(t[index] for t in self.tensors))

    def copy_(self, other: Bank) -> None:
        """Overwrite with the numbers of ``other``, of the same shapes."""
        for mine, theirs in zip(self.tensors, other.tensors, strict=True):
            mine.copy_(theirs)

    def zero_(self) -> None:
        """Overwrite with zeros."""
        for tensor in self.tensors:
            tensor.zero_()

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """The four tensors, in the order of the fields."""
        return (self.params, self.first, self.second, self.statistics)

"""What was learned from the training part to turn raw examples into a model's inputs, as a value that can be kept."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray


class Preprocessing(Protocol):
    """Turns what a user has into what a model takes, as it was done before the search.

    Attributes:
        kind: what the examples are, as a kept model's file names it.
    """

    kind: ClassVar[str]

    @property
    def makes_bytes(self) -> bool:
        """Whether inputs are uint8, and not float32."""

    @property
    def lowest(self) -> float | None:
        """The lowest number that an input can be; None where there is no such bound."""

    def apply(self, given: Any) -> NDArray[Any]:
        """Return raw examples as inputs  # [N, ...].

        What is used otherwise than a person may think is a ``PreprocessingWarning``.

        Raises:
            DataError: these are no such examples; everything that is wrong, a line each.
        """

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data and tensors, which load without unpickling anything else."""

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` made plain data of."""


class PreprocessingWarning(UserWarning):
    """Raw examples were used otherwise than a person may think: a category that training did not have, say."""


def warn(text: str) -> None:
    """Warn whoever called us, as a ``PreprocessingWarning``."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals["__name__"].partition(".")[0] in ("trainables", "torch"):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, PreprocessingWarning, stacklevel=level)


class Rows:
    """What all rows of a table have in common."""

    makes_bytes = False
    lowest = None


@dataclass(frozen=True, eq=False)
class Standardisation:
    """A shift and a scale, in float32.

    Attributes:
        mean: subtracted from each example; of a shape that broadcasts with one.
        deviation: what is left is divided by it.
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]

    def apply_in_place(self, x: NDArray[np.float32]) -> None:
        """Standardise examples where they lie: a copy of a large set would double the memory of a search."""
        x -= self.mean
        x /= self.deviation

    def to_dict(self) -> dict[str, Any]:
        """Return it as two tensors."""
        import torch

        return {"mean": torch.tensor(self.mean), "deviation": torch.tensor(self.deviation)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` made tensors of."""
        return cls(saved["mean"].numpy(), saved["deviation"].numpy())

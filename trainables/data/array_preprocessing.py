"""Arrays of the user's own as inputs: standardised as those that were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from trainables.data.number_preprocessing import FAR
from trainables.data.preprocessing import Rows, Standardisation, warn
from trainables.errors import DataError, first_line


@dataclass(frozen=True)
class ArrayPreprocessing(Rows):
    """Examples of one shape, standardised.

    Attributes:
        shape: of one example, [D] or [channels, height, width].
        standardisation: over the training part; it broadcasts with an example.
    """

    shape: tuple[int, ...]
    standardisation: Standardisation

    kind: ClassVar[str] = "arrays"

    def apply(self, given: Any) -> NDArray[np.float32]:
        """Return raw examples as inputs  # [N, *shape] -> [N, *shape] float32.

        Args:
            given: an array or a tensor in the units of the arrays that were trained on. Images of one channel may lack
                it.

        Raises:
            DataError: of another shape, a value missing or infinite, or no numbers.
        """
        wanted = f"an array [N, {', '.join(map(str, self.shape))}] of numbers is needed"
        if hasattr(given, "detach"):
            given = given.detach().cpu()
        try:
            x = np.array(given, np.float32)
        except (TypeError, ValueError) as error:
            raise DataError(f"{wanted}: {first_line(error)}") from None
        if self.shape[0] == 1 and x.shape[1:] == self.shape[1:]:
            x = x[:, None]
        if x.shape[1:] != self.shape:
            raise DataError(f"{wanted}, got {list(x.shape)}")
        strange = int((~np.isfinite(x)).sum())
        if strange:
            raise DataError(f"{wanted}: {strange} value(s) are missing or infinite, and training had none such")
        self.standardisation.apply_in_place(x)
        if x.size and (far := float(np.median(np.abs(x)))) > FAR:
            warn(f"half of these values lie {far:.1f} deviations and more from the mean of the training part")
        return x

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data and tensors."""
        return {"shape": list(self.shape), "standardisation": self.standardisation.to_dict()}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` made plain data of."""
        return cls(tuple(saved["shape"]), Standardisation.from_dict(saved["standardisation"]))

"""Rows of numbers as inputs: the tables that scikit-learn ships."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from trainables.data.parts import quote_first
from trainables.data.preprocessing import Rows, Standardisation, warn
from trainables.errors import DataError, first_line

FAR = 2.0
"""Deviations from which on half of the values are doubted; of a normal distribution half lie within 0.67."""


@dataclass(frozen=True)
class NumberPreprocessing(Rows):
    """Rows of numbers, each column standardised.

    Attributes:
        names: what the columns are called, in their order.
        standardisation: the columns' means and deviations in the training part  # [D].
    """

    names: tuple[str, ...]
    standardisation: Standardisation

    kind: ClassVar[str] = "numbers"

    def apply(self, given: Any) -> NDArray[np.float32]:
        """Return raw rows as inputs  # [N, D] -> [N, D] float32.

        Args:
            given: an array in the units of the source, or a ``pandas.DataFrame`` with these columns in any order.

        Raises:
            DataError: of another width, a value missing or infinite, or no numbers.
        """
        if hasattr(given, "columns"):
            missing = [name for name in self.names if name not in given.columns]
            if missing:
                raise DataError(f"{len(missing)} of {len(self.names)} columns are missing: {quote_first(missing)}")
            others = [str(name) for name in given.columns if name not in self.names]
            if others:
                warn(f"not used, as training did not have it: {len(others)} column(s), {quote_first(others)}")
            given = given[list(self.names)]
        try:
            x = np.array(given, np.float32)
        except (TypeError, ValueError) as error:
            raise DataError(f"rows of {len(self.names)} numbers are needed: {first_line(error)}") from None
        if x.ndim != 2 or x.shape[1] != len(self.names):
            width = len(self.names)
            raise DataError(f"rows of {width} numbers are needed, [N, {width}], got {list(x.shape)}")
        strange = int((~np.isfinite(x)).sum())
        if strange:
            raise DataError(f"{strange} value(s) are missing or infinite, and training had none such")
        self.standardisation.apply_in_place(x)
        if x.size and (far := float(np.median(np.abs(x)))) > FAR:
            warn(
                f"half of these values lie {far:.1f} deviations and more from the mean of the training part; raw "
                "values are needed, in the units of the source"
            )
        return x

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data and tensors."""
        return {"names": list(self.names), "standardisation": self.standardisation.to_dict()}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` made plain data of."""
        return cls(tuple(saved["names"]), Standardisation.from_dict(saved["standardisation"]))

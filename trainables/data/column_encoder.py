"""One column of a table as it was in training, and how its values become inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from trainables.data.column_remarks import Remarks
from trainables.data.columns import LARGEST, ColumnKind, column_numbers, kind_of
from trainables.data.parts import quote_first
from trainables.data.table_columns import is_text
from trainables.data.text_columns import TextReader
from trainables.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ColumnEncoder:
    """What the training part says of a column.

    Attributes:
        name: the column's name.
        kind: what its values are.
        fill: what stands for a missing value, of anything but text.
        mean, deviation: numbers and dates are shifted and scaled by them; dates are days since 1970.
        categories: the texts, each of which is an input.
        missing: whether a missing text is an input too, the last.
    """

    name: str
    kind: ColumnKind
    fill: float = 0.0
    mean: float = 0.0
    deviation: float = 1.0
    categories: tuple[str, ...] = ()
    missing: bool = False

    @property
    def width(self) -> int:
        """How many inputs it becomes."""
        return len(self.categories) + self.missing if self.kind is ColumnKind.TEXT else 1

    def encode(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return values as inputs, in the arithmetic of scikit-learn's transformers  # [N] -> [N, width].

        Args:
            values: what ``read`` or ``column_numbers`` returned.
        """
        if self.kind is not ColumnKind.TEXT:
            filled = np.where(np.isnan(values), self.fill, values)
            return np.asarray((filled - self.mean) / self.deviation, np.float32)[:, None]
        codes = self._codes(values)
        x = np.zeros((len(values), self.width), np.float32)
        seen = np.flatnonzero(codes >= 0)
        x[seen, codes[seen]] = 1
        return x

    def read(self, column: pd.Series[Any], *, decimal: str | None, remarks: Remarks) -> NDArray[Any]:
        """Return a raw column's values: float64 with NaN where one is missing; text as objects, likewise.

        Args:
            column: raw values; text is read as numbers, dates or true/false as in training.
            decimal: what stands before decimals in text; None for unknown.
            remarks: takes what a user should know.

        Raises:
            DataError: they are not of the kind that they were in training.
        """
        if self.kind is ColumnKind.TEXT:
            return self._trimmed(column_numbers(column, ColumnKind.TEXT))
        if is_text(column):
            column = self._read_texts(column, decimal, remarks)
        if column.isna().all():
            return np.full(len(column), np.nan)
        found = kind_of(column)
        if found is not self.kind and {found, self.kind} != {ColumnKind.NUMBER, ColumnKind.FLAG}:
            odd = f"{found.value} (such as {column.dropna().iloc[0]!r})"
            raise DataError(f"column {self.name!r} holds {odd}, and {self.kind.value} in training")
        return self._checked(column_numbers(column, found))

    def unseen(self, values: NDArray[Any]) -> str:
        """Return which texts training did not have, in words; empty where there are none."""
        if self.kind is not ColumnKind.TEXT:
            return ""
        strange = values[self._codes(values) < 0]
        if not len(strange):
            return ""
        named = ["(missing)" if isinstance(text, float) else str(text) for text in strange]
        names = sorted(set(named))
        return f"{len(strange):,} value(s) of column {self.name!r} that training did not have: {quote_first(names)}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**dataclasses.asdict(self), "kind": self.kind.name, "categories": list(self.categories)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` made plain data of."""
        return cls(**{**saved, "kind": ColumnKind[saved["kind"]], "categories": tuple(saved["categories"])})

    def _read_texts(self, column: pd.Series[Any], decimal: str | None, remarks: Remarks) -> pd.Series[Any]:
        """Return text as what it was in training, as far as it is that."""
        reader = TextReader(decimal, typed=False, target="", remarks=remarks)
        read = reader.read(column.astype("str").mask(column.isna()), self.name, _ASKED.get(self.kind))
        if reader.errors:
            words = quote_first(sorted(set(column.dropna())))
            raise DataError(f"column {self.name!r} holds {words}, and {self.kind.value} in training")
        return read

    def _trimmed(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return texts, of those that training did not have the spaces around them left out, as a file's are."""
        strange = np.flatnonzero(np.array([isinstance(text, str) for text in values], bool) & (self._codes(values) < 0))
        values[strange] = [text.strip() or np.nan for text in values[strange]]
        return values

    def _checked(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.kind is ColumnKind.FLAG:
            strange = ~np.isnan(values) & (values != 0) & (values != 1)
            if strange.any():
                raise DataError(f"column {self.name!r} holds {values[strange][0]:g}, and true/false in training")
        endless = int((np.abs(values) > LARGEST).sum())
        if endless:
            raise DataError(f"column {self.name!r} holds {endless} infinite value(s), or beyond 1e30; make them empty")
        return values

    def _codes(self, values: NDArray[Any]) -> NDArray[np.intp]:
        """Return which category each text is; -1 where training did not have it."""
        import pandas as pd

        codes = np.asarray(pd.Index(self.categories, dtype=object).get_indexer(pd.Index(values)), np.intp)
        return np.where(pd.isna(values), len(self.categories) if self.missing else -1, codes)


_ASKED = {ColumnKind.NUMBER: "number", ColumnKind.DATE: "date"}
"""What text is asked to be read as; true and false are told by the values."""

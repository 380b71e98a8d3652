"""A table's columns as inputs: learned from the training part, applied to any rows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from trainables.data.column_encoder import ColumnEncoder
from trainables.data.column_remarks import Remark, Remarks
from trainables.data.columns import ROWS, ColumnKind
from trainables.data.parts import quote_first
from trainables.data.preprocessing import Rows, warn
from trainables.data.spec import DataSpec
from trainables.data.table_columns import with_gaps
from trainables.data.table_file import read_table
from trainables.data.text_dialect import SEPARATORS
from trainables.errors import DataError
from trainables.mistake import nearest

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TablePreprocessing(Rows):
    """The columns of a table as they were in training.

    Attributes:
        columns: what becomes inputs, in the order of the inputs.
        unused: names of columns that training had and did not use: the target, what was left out, constant ones.
        missing: words that are missing values, as the user declared them.
        separator, decimal, encoding: how text is written, as far as is known from the user or the file.
    """

    columns: tuple[ColumnEncoder, ...]
    unused: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None

    kind: ClassVar[str] = "table"

    def apply(self, given: Any) -> NDArray[np.float32]:
        """Return raw rows as inputs  # -> [N, D] float32.

        Columns go by their names, whatever their order; those of ``unused`` may be there or not. A text that
        training did not have becomes zeros, as in training, and is warned of; so is a column that training did not
        have.

        Args:
            given: a ``pandas.DataFrame``, or the path of a CSV, TSV or Parquet file.

        Raises:
            DataError: columns are missing, are there twice, or are not of the kind that they were; a line each.
        """
        frame = self._frame(given)
        values: dict[str, NDArray[Any]] = {}
        errors: list[str] = []
        remarks = Remarks()
        for column in self.columns:
            raw = with_gaps(frame[column.name], self.missing)
            try:
                values[column.name] = column.read(raw, decimal=self.decimal, remarks=remarks)
            except DataError as error:
                errors += error.errors
        if errors:
            raise DataError(errors)
        for notice in remarks.notices():
            if notice.kind != Remark.SPACES:
                warn(notice.text.partition("; --as")[0])
        for column in self.columns:
            if unseen := column.unseen(values[column.name]):
                warn(f"{unseen}; each becomes zeros")
        return self.encode(values, rows=len(frame))

    def encode(self, values: Mapping[str, NDArray[Any]], *, rows: int) -> NDArray[np.float32]:
        """Return columns' values as inputs  # {name: [N]} -> [N, D] float32."""
        x = np.zeros((rows, sum(column.width for column in self.columns)), np.float32)
        for start in range(0, rows, ROWS):  # the steps in between are in float64
            block, first = slice(start, start + ROWS), 0
            for column in self.columns:
                x[block, first : first + column.width] = column.encode(values[column.name][block])
                first += column.width
        return x

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "columns": [column.to_dict() for column in self.columns],
            "unused": list(self.unused),
            "missing": list(self.missing),
            "separator": self.separator,
            "decimal": self.decimal,
            "encoding": self.encoding,
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` made plain data of."""
        columns = tuple(ColumnEncoder.from_dict(column) for column in saved["columns"])
        written = (saved[name] for name in ("separator", "decimal", "encoding"))
        return cls(columns, tuple(saved["unused"]), tuple(saved["missing"]), *written)

    def _frame(self, given: Any) -> pd.DataFrame:
        """Return the rows, which have every column that is needed."""
        import pandas as pd

        if isinstance(given, str | os.PathLike):
            given = self.read_file(Path(given))
        if not isinstance(given, pd.DataFrame):
            raise DataError(
                f"rows of a table are needed, a pandas.DataFrame or the path of a file, got a {type(given).__name__}; "
                "preprocessed=True takes inputs as they were in training"
            )
        frame = given.set_axis([str(name) for name in given.columns], axis=1)
        names, needed = list(frame.columns), [column.name for column in self.columns]
        twice = sorted({name for name in needed if names.count(name) > 1})
        if twice:
            raise DataError(f"two columns are called {quote_first(twice)}")
        strange = [name for name in names if name not in needed and name not in self.unused]
        missing = [name for name in needed if name not in names]
        if missing:
            raise DataError([f"column {name!r} is missing.{nearest(name, strange)}" for name in missing])
        if strange:
            text = f"not used, as training did not have it: {len(strange)} column(s), {quote_first(strange)}"
            warn(text)
        return frame

    def read_file(self, path: Path, *, as_text: tuple[str, ...] = (), what: str | None = None) -> pd.DataFrame:
        """Return a file's table, these and texts as they are written; ``what`` begins each message."""
        how = DataSpec(source="table", missing=self.missing)
        if Path(path.name.removesuffix(".gz")).suffix.lower() in SEPARATORS:
            how = replace(how, separator=self.separator, decimal=self.decimal, encoding=self.encoding)
        texts = tuple(column.name for column in self.columns if column.kind is ColumnKind.TEXT)
        return read_table(path, how, as_text=(*texts, *as_text), what=what or str(path)).frame


def fit_table(frame: pd.DataFrame, kinds: Mapping[str, ColumnKind]) -> TablePreprocessing:
    """Return what the training part says of its columns.

    Numbers and dates are imputed with the median and standardised, true/false becomes 1/0 and is imputed with the more
    frequent one, text becomes one input a value, missing being a value of its own.

    Args:
        frame: the columns of the training part, as ``column_numbers`` returns them; none is constant or empty.
        kinds: what each holds.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    if not len(frame.columns):
        return TablePreprocessing(())
    names = [str(name) for name in frame]
    of = {kind: [name for name in names if kinds[name] is kind] for kind in ColumnKind}
    scaled, flags, texts = of[ColumnKind.NUMBER] + of[ColumnKind.DATE], of[ColumnKind.FLAG], of[ColumnKind.TEXT]
    # all at once: a sum over one column alone rounds otherwise, and data would have another fingerprint than they had
    fitted = ColumnTransformer(
        [
            ("scaled", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), scaled),
            ("flags", SimpleImputer(strategy="most_frequent"), flags),
            ("texts", OneHotEncoder(sparse_output=False, dtype=np.float32), texts),
        ],
        sparse_threshold=0,
    ).fit(frame)
    columns: list[ColumnEncoder] = []
    if scaled:
        imputer, scaler = fitted.named_transformers_["scaled"]
        numbers = np.stack([imputer.statistics_, scaler.mean_, scaler.scale_], axis=1).tolist()
        found = zip(scaled, numbers, strict=True)
        columns += [ColumnEncoder(name, kinds[name], fill, mean, scale) for name, (fill, mean, scale) in found]
    if flags:
        fills = fitted.named_transformers_["flags"].statistics_
        columns += [ColumnEncoder(name, ColumnKind.FLAG, float(fill)) for name, fill in zip(flags, fills, strict=True)]
    if texts:
        values = fitted.named_transformers_["texts"].categories_
        columns += [_text(name, categories.tolist()) for name, categories in zip(texts, values, strict=True)]
    return TablePreprocessing(tuple(columns))


def _text(name: str, values: list[Any]) -> ColumnEncoder:
    """Return the encoder of a text whose distinct values are these, NaN standing for a missing one."""
    texts = tuple(value for value in values if isinstance(value, str))
    return ColumnEncoder(name, ColumnKind.TEXT, categories=texts, missing=len(texts) < len(values))

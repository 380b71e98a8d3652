"""Validation and test rows that have a file of their own, read and encoded by what the training file taught."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.column_encoder import ColumnEncoder
from trainables.data.column_remarks import Remarks
from trainables.data.columns import ColumnKind, column_numbers
from trainables.data.parts import counted, quote_first
from trainables.data.preprocessing import PreprocessingWarning
from trainables.data.row_keys import RowKeys, keys_of_part
from trainables.data.spec import DataSpec
from trainables.data.splits import Arrays
from trainables.data.table_columns import with_gaps
from trainables.data.table_preprocessing import TablePreprocessing
from trainables.data.target import Target
from trainables.errors import DataError
from trainables.mistake import nearest
from trainables.notice import Notice

if TYPE_CHECKING:
    import pandas as pd

VAL_FILE, TEST_FILE = "--val-file", "--test-file"


@dataclass(frozen=True)
class PartFile:
    """The rows of such a file that have a target, still raw.

    Attributes:
        what: the option and the file, to begin each line.
        frame: the rows.
        y: [N] class numbers, or the target in its own units.
        keys: their groups and times.
        notices: what a user should know of how it was read.
    """

    what: str
    frame: pd.DataFrame
    y: NDArray[Any]
    keys: RowKeys
    notices: tuple[Notice, ...]

    def encode(self, fitted: TablePreprocessing) -> tuple[Arrays, tuple[Notice, ...]]:
        """Return the rows as examples, and what is used otherwise than a person may think.

        Raises:
            DataError: columns are missing or not of the kind that they are in the training file, a line each.
        """
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", PreprocessingWarning)
                x = fitted.apply(self.frame)
        except DataError as error:
            raise DataError([f"{self.what}: {line}" for line in error.errors]) from None
        said = [str(w.message) for w in caught if issubclass(w.category, PreprocessingWarning)]
        return Arrays(x, self.y), tuple(Notice("part_file", f"{self.what}: {line}", warning=True) for line in said)


def read_part_file(
    option: str, path: str, spec: DataSpec, *, target: Target, kind: ColumnKind, like: RowKeys, how: TablePreprocessing
) -> PartFile:
    """Return the rows of a file for one part.

    Args:
        option: that names the file.
        path: of the file.
        spec: the declaration, with the target and the keys.
        target: of the training file, whose classes these must have.
        kind: of the training file's target column.
        like: the training file's keys.
        how: how the training file was written, and which of its columns are text.

    Raises:
        DataError: it cannot be read, or does not fit the training file; everything that is wrong, a line each.
    """
    assert spec.target is not None, "the study's declaration is checked for it"
    what = f"{option} {Path(path).name}"
    texts = [spec.group] if spec.group is not None else []
    texts += [spec.target] if kind is ColumnKind.TEXT else []
    frame = how.read_file(Path(path), as_text=tuple(texts), what=f"{option} {path}")
    if spec.target not in frame:
        names = list(map(str, frame.columns))
        raise DataError(f"{what}: column {spec.target!r} is missing, the target.{nearest(spec.target, names)}")
    raw = with_gaps(frame[spec.target], spec.missing)
    known = raw.notna().to_numpy()
    if not known.any():
        raise DataError(f"{what}: the target {spec.target!r} has no value in any of {len(frame):,} rows")
    rows = counted(int(known.sum()), "row")
    notices = [Notice("part_file", f"{what}: {rows} for {'validation' if option == VAL_FILE else 'test'}")]
    if dropped := int((~known).sum()):
        text = f"{what}: dropped, no value for the target: {counted(dropped, 'row')}"
        notices.append(Notice("dropped_rows", text, dropped, warning=True))
    frame = frame[known].reset_index(drop=True)
    try:
        keys = keys_of_part(frame, spec, like, decimal=how.decimal)
        y = _targets(raw[known], spec.target, target, kind, decimal=how.decimal)
    except DataError as error:
        raise DataError([f"{what}: {line}" for line in error.errors]) from None
    return PartFile(what, frame, y, keys, tuple(notices))


def order_errors(keys: RowKeys, files: list[PartFile], spec: DataSpec) -> list[str]:
    """Return which files share a group with an earlier part, or have rows that are no later, a line each.

    Args:
        keys: those of the training file.
        files: the others, validation before test.
        spec: names the columns.
    """
    errors, before = [], [("--data", keys), *((file.what, file.keys) for file in files)]
    for i, file in enumerate(files, start=1):
        for earlier, known in before[:i]:
            if file.keys.groups is not None and known.groups is not None:
                shared = np.intersect1d(file.keys.groups, known.groups).tolist()
                if shared:
                    both = f"{counted(len(shared), 'group')} of {earlier} too: {quote_first(shared)}"
                    errors.append(f"{file.what}: --group {spec.group!r} has {both}; no group may be in two parts")
            if file.keys.times is not None and known.times is not None:
                early = int((file.keys.times <= known.times.max()).sum())
                if early:
                    text = f"--time {spec.time!r}: {counted(early, 'row')} not later than all of {earlier}"
                    errors.append(f"{file.what}: {text}; nothing may be trained on that is later than what scores it")
    return errors


def _targets(raw: pd.Series[Any], name: str, target: Target, kind: ColumnKind, *, decimal: str | None) -> NDArray[Any]:
    """Return the targets of raw rows, by the training file's classes."""
    if kind is ColumnKind.TEXT:
        texts = [str(text).strip() for text in column_numbers(raw, kind)]
        return _class_numbers(texts, name, target)
    values = ColumnEncoder(name, kind).read(raw, decimal=decimal, remarks=Remarks())
    if np.isnan(values).any():
        odd = raw[np.isnan(values)].iloc[0]
        raise DataError(f"the target {name!r} holds {odd!r}, and {kind.value} in the training file")
    return values if target.numeric else _class_numbers(values.tolist(), name, target)


def _class_numbers(values: list[Any], name: str, target: Target) -> NDArray[np.int64]:
    numbers = {value: number for number, value in enumerate(target.values)}
    strange = sorted({str(value) for value in values if value not in numbers})
    if strange:
        raise DataError(f"the target {name!r} has classes that the training file has not: {quote_first(strange)}")
    return np.array([numbers[value] for value in values], np.int64)

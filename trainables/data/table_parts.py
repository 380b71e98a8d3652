"""The rows of a table as the examples of its parts, everything learned for them from the training part alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trainables.data.columns import ColumnKind, column_notices, column_numbers, kind_of, why_useless
from trainables.data.fold_cut import Fold
from trainables.data.part_files import TEST_FILE, VAL_FILE, PartFile
from trainables.data.parts import Parts, absent_classes, part_indices, quote_first, standardise_target
from trainables.data.recut import Recut
from trainables.data.room import free_memory, gib
from trainables.data.row_cut import RowRules, cut_rows
from trainables.data.row_folds import fold_rows
from trainables.data.row_keys import RowKeys
from trainables.data.row_notices import row_notices
from trainables.data.spec import DataSpec
from trainables.data.splits import Arrays
from trainables.data.suspects import copied_rows, suspicious_columns
from trainables.data.table_preprocessing import TablePreprocessing, fit_table
from trainables.data.target import Target
from trainables.errors import DataError
from trainables.notice import Notice

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TableRows:
    """The rows of a training file that have a target, N of them.

    Attributes:
        columns: what may become inputs.
        target: what is learned.
        keys: what belongs together, when it was, how much it counts.
        files: the parts that have a file of their own, by the option that names it.
    """

    columns: pd.DataFrame
    target: Target
    keys: RowKeys
    files: dict[str, PartFile]

    def cut(self, spec: DataSpec, recut: Recut | None) -> list[NDArray[np.int64]]:
        """Return which rows are for test, for validation and for training."""
        y, numeric = self.target.y, self.target.numeric
        if not spec.binds_rows:
            return part_indices(y, numeric=numeric, seed=spec.seed, recut=recut)
        sizes = (len(self.files[name].y) if name in self.files else 0 for name in (VAL_FILE, TEST_FILE))
        rules = RowRules(self.keys.first, self.keys.times, *sizes)
        if isinstance(recut, Fold):
            return fold_rows(cut_rows(y, rules, numeric=numeric, seed=spec.seed), y, rules, recut, numeric=numeric)
        return cut_rows(y, rules, numeric=numeric, seed=spec.seed, pair=recut)


def table_parts(
    rows: TableRows,
    spec: DataSpec,
    *,
    recut: Recut | None,
    as_read: Callable[[TablePreprocessing], TablePreprocessing],
) -> Parts:
    """Return the examples.

    Args:
        rows: of the training file.
        spec: the declaration.
        recut: a pair or a fold.
        as_read: completes a preprocessing by how the training file was read.

    Raises:
        DataError: they cannot be cut, are too large for the memory, or a part's file does not fit.
    """
    import pandas as pd

    columns, target = rows.columns, rows.target
    indices = rows.cut(spec, recut)
    train = indices[2]
    kinds = {str(name): kind_of(columns[name]) for name in columns}
    values = {name: column_numbers(columns[name], kind) for name, kind in kinds.items()}
    dropped = {name: why for name in kinds if (why := why_useless(values[name][train], kinds[name]))}
    kept = [name for name in kinds if name not in dropped]
    frame = pd.DataFrame({name: values[name] for name in kept}, index=range(len(columns)))
    fitted = as_read(fit_table(frame.iloc[train], kinds))
    _check_room(len(columns), fitted)
    x = fitted.encode(values, rows=len(columns))
    parts, of_files = _with_files(_assembled(x, rows, indices, spec), rows.files, fitted)
    trained = {name: values[name][train] for name in kept}
    notices: tuple[Notice, ...] = ()
    if recut is None:  # of a pair or a fold nobody reads them
        notices = (
            *column_notices(columns[kept], kinds, dropped, inputs=x.shape[1]),
            *row_notices(rows.keys, indices, list(rows.files.values()), spec),
            *of_files,
            *absent_classes(parts),
            *suspicious_columns(trained, target.y[train], numeric=target.numeric, seed=spec.seed),
            *copied_rows(parts, trained),
        )
    parts = replace(parts, notices=notices, preprocessing=fitted, class_values=target.values)
    return standardise_target(parts) if target.numeric else parts


def _assembled(x: NDArray[np.float32], rows: TableRows, indices: Sequence[NDArray[np.int64]], spec: DataSpec) -> Parts:
    """Return the parts as far as they are rows of the training file."""
    test, val, train = (Arrays(x[part], rows.target.y[part]) for part in indices)
    if rows.keys.weights is not None:
        weights = rows.keys.weights[indices[2]]
        if not weights.any():
            raise DataError(f"--weight {spec.weight!r} is 0 in every training row")
        train = replace(train, weights=(weights / weights.mean()).astype(np.float32))
    return Parts(train, val, test, labels=rows.target.labels)


def _with_files(
    parts: Parts, files: dict[str, PartFile], fitted: TablePreprocessing
) -> tuple[Parts, tuple[Notice, ...]]:
    """Return the parts with the rows of their files, and what to know of these.

    Test rows of a file come before those of the training file that score a pair. Where a pair has rows that are watched
    already, a file of validation rows is left alone.
    """
    notices: tuple[Notice, ...] = ()
    if VAL_FILE in files and not len(parts.val):
        val, said = files[VAL_FILE].encode(fitted)
        parts, notices = replace(parts, val=val), (*notices, *said)
    if TEST_FILE in files:
        test, said = files[TEST_FILE].encode(fitted)
        both = (test, parts.test)
        joined = Arrays(np.concatenate([part.x for part in both]), np.concatenate([part.y for part in both]))
        parts, notices = replace(parts, test=joined), (*notices, *said)
    return parts, notices


def _check_room(rows: int, fitted: TablePreprocessing) -> None:
    """Refuse a table whose inputs, and their copy in three parts, are larger than the memory."""
    inputs = sum(column.width for column in fitted.columns)
    needed, free = 2 * rows * inputs * np.dtype(np.float32).itemsize, free_memory()
    if needed > free:
        texts = [column for column in fitted.columns if column.kind is ColumnKind.TEXT]
        most = [column.name for column in sorted(texts, key=lambda column: column.width, reverse=True)]
        raise DataError(
            f"{rows:,} rows as {inputs:,} inputs take {gib(needed)} of memory, and {gib(free)} are free; use fewer "
            f"rows, or --drop columns of text with many values ({quote_first(most) or 'none'})"
        )

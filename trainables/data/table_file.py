"""Reads a user's file as a table."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.errors import DataError
from trainables.notice import Notice

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {".csv": ",", ".tsv": "\t"}
"""What separates the columns of a text file, by its ending; such a file may be compressed too: ``.csv.gz``."""

PARQUET = (".parquet", ".pq")
ROW_NUMBERS = re.compile(r"Unnamed: \d+")


def read_table(path: Path) -> tuple[pd.DataFrame, tuple[Notice, ...]]:
    """Return the table in ``path``, and what a user should know of how it was read.

    A first column without a name that counts the rows, as pandas writes its index, is left out.

    Raises:
        DataError: it cannot be read, is no table, or has fewer than two columns or no rows.
    """
    what, ending = f"--data table:{path}", Path(path.name.removesuffix(".gz")).suffix.lower()
    if ending not in (*SEPARATORS, *PARQUET):
        raise DataError(f"{what}: the name must end in {', '.join((*SEPARATORS, '.csv.gz', *PARQUET))}, got {ending!r}")
    try:
        frame = _parsed(path, ending)
    except OSError as error:
        raise DataError(f"{what} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise DataError(f"{what} is no table: it is not UTF-8 text") from None
    except Exception as error:  # pandas and Arrow raise whatever damaged bytes lead them to
        cause = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"{what} is no table: {cause[0]}") from None
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    twice = sorted(set(frame.columns[frame.columns.duplicated()]))
    if twice:
        raise DataError(f"{what}: two columns are called {twice[0]!r}")
    if frame.shape[1] < 2:
        raise DataError(f"{what} has one column only ({frame.columns[0]!r}); {_expected(ending)}")
    if frame.empty:
        raise DataError(f"{what} has column names but no rows")
    return _without_row_numbers(frame)


def _parsed(path: Path, ending: str) -> pd.DataFrame:
    import pandas as pd

    if ending in PARQUET:
        return pd.read_parquet(path)
    with warnings.catch_warnings():
        # Rows longer than the header would be cut; that is only a warning.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(path, sep=SEPARATORS[ending], index_col=False, low_memory=False)


def _expected(ending: str) -> str:
    if ending in PARQUET:
        return "a target and at least one more are needed"
    words = {",": "commas", "\t": "tabs"}[SEPARATORS[ending]]
    return f"expected at least two, separated by {words}, with their names in the first line"


def _without_row_numbers(frame: pd.DataFrame) -> tuple[pd.DataFrame, tuple[Notice, ...]]:
    first = frame.columns[0]
    column = frame[first]
    if ROW_NUMBERS.fullmatch(first) and frame.shape[1] > 2 and column.is_unique and column.dtype.kind == "i":
        text = "dropped, row numbers: the first column, which has no name"
        return frame.iloc[:, 1:], (Notice("dropped_row_numbers", text),)
    return frame, ()

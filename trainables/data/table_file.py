"""Reads a user's file as a table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.data.room import free_memory, gib
from trainables.data.spec import DataSpec
from trainables.data.text_dialect import SEPARATORS, check_header, clean_name
from trainables.data.text_table import read_text_table
from trainables.errors import DataError
from trainables.notice import Notice

if TYPE_CHECKING:
    import pandas as pd

PARQUET = (".parquet", ".pq")
EXCEL = ".xlsx"
ENDINGS = (*SEPARATORS, *(f"{ending}.gz" for ending in SEPARATORS), *PARQUET, EXCEL)
ROW_NUMBERS = re.compile(r"Unnamed: \d+")

MEMORY_OF_COLUMNS = 2
"""Times the size of its columns that a table with types takes in memory, at least."""


@dataclass(frozen=True)
class TableFile:
    """A table as its file has it: text is still text.

    Attributes:
        frame: its columns.
        typed: whether the file has types of its own, so that text in it is meant to be text.
        decimal: what stands before decimals in its text; None for unknown.
        notices: what a user should know of how it was read.
    """

    frame: pd.DataFrame
    typed: bool
    decimal: str | None
    notices: tuple[Notice, ...] = ()


def read_table(path: Path, spec: DataSpec, *, as_text: tuple[str, ...] = (), what: str | None = None) -> TableFile:
    """Return the table in ``path``. Missing is the empty field, or a word that ``spec`` declares.

    A first column without a name that counts the rows, as pandas writes its index, is left out.

    Args:
        path: of the file.
        spec: how it is written, as far as the user says so.
        as_text: columns whose values are kept as they are written.
        what: begins each message; None for the option that names the file.

    Raises:
        DataError: it cannot be read, is no table, or has fewer than two columns or no rows.
    """
    what = what or f"--data table:{path}"
    ending = Path(path.name.removesuffix(".gz")).suffix.lower()
    if not path.name.lower().endswith(ENDINGS):
        raise DataError(f"{what}: the name must end in {', '.join(ENDINGS)}, got {path.suffix!r}")
    if ending not in SEPARATORS:
        given = {"separator": spec.separator, "decimal": spec.decimal, "encoding": spec.encoding}
        told = [f"--{name}" for name, value in given.items() if value is not None]
        if told:
            raise DataError(f"{what}: {', '.join(told)} is for text files: {', '.join(SEPARATORS)}")
    try:
        if ending in SEPARATORS:
            frame, decimal, notices = read_text_table(path, ending, spec, as_text=as_text, what=what)
        else:
            frame, decimal, notices = _typed(path, ending, what), None, ()
    except DataError:
        raise
    except MemoryError:
        raise DataError(f"{what} is larger than the memory ({gib(free_memory())} free)") from None
    except OSError as error:
        raise DataError(f"{what} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # pandas and Arrow raise whatever damaged bytes lead them to
        cause = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"{what} is no table: {cause[0]}") from None
    frame = frame.set_axis([clean_name(str(name)) for name in frame.columns], axis=1)
    if frame.shape[1] < 2:
        raise DataError(f"{what} has one column only ({frame.columns[0]!r}); a target and at least one more are needed")
    if frame.empty:
        raise DataError(f"{what} has column names but no rows")
    frame, left_out = _without_row_numbers(frame)
    return TableFile(frame, ending not in SEPARATORS, decimal, (*notices, *left_out))


def _typed(path: Path, ending: str, what: str) -> pd.DataFrame:
    frame = _parquet(path, what) if ending in PARQUET else _excel(path, what)
    return frame if frame.index.names == [None] else frame.reset_index()  # an index with a name is a column in a CSV


def _parquet(path: Path, what: str) -> pd.DataFrame:
    import pandas as pd
    from pyarrow import parquet

    with path.open("rb") as file:
        facts = parquet.ParquetFile(file).metadata
        names = [str(name) for name in facts.schema.to_arrow_schema().names]
        size = sum(facts.row_group(i).total_byte_size for i in range(facts.num_row_groups))
    _check_room(max(size, facts.num_rows * facts.num_columns * 8), f"{what} has {facts.num_rows:,} rows, which")
    check_header(names, what)
    frame: pd.DataFrame = pd.read_parquet(path)
    return frame


def _excel(path: Path, what: str) -> pd.DataFrame:
    import zipfile

    import pandas as pd

    with zipfile.ZipFile(path) as archive:
        _check_room(sum(entry.file_size for entry in archive.infolist()), f"{what}, unpacked,")
    try:
        with pd.ExcelFile(path, engine="openpyxl") as book:
            header = book.parse(0, header=None, nrows=1, keep_default_na=False)
            check_header([str(name) for name in header.iloc[0]], what)
            return book.parse(0, keep_default_na=False, na_values=[""])
    except ImportError:
        raise DataError(f"{what} needs openpyxl to be read: pip install 'lanewise[excel]', or save it as CSV") from None


def _check_room(size: int, what: str) -> None:
    free = free_memory()
    if size * MEMORY_OF_COLUMNS > free:
        needed = gib(size * MEMORY_OF_COLUMNS)
        raise DataError(f"{what} takes {needed} in memory, and {gib(free)} are free; use fewer rows or columns")


def _without_row_numbers(frame: pd.DataFrame) -> tuple[pd.DataFrame, tuple[Notice, ...]]:
    first = frame.columns[0]
    column = frame[first]
    if ROW_NUMBERS.fullmatch(first) and frame.shape[1] > 2 and column.is_unique and column.dtype.kind == "i":
        text = "dropped, row numbers: the first column, which has no name"
        return frame.iloc[:, 1:], (Notice("dropped_row_numbers", text),)
    return frame, ()

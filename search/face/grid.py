"""A table that a terminal of any width shows in full: as columns where they fit, else as a list.

The one rule of every table: no name and no number is ever cut. A cell stands on one line, but for columns of several
words, which wrap between these; a table that is still too wide is printed row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

FRAME = 2
"""Columns of the terminal that the table's own two edges take."""

PADDING = 2
"""Columns of the terminal around a cell."""

GAP = 1
"""Columns of the terminal between two cells."""

INDENT = "  "


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: its header; of several words, it may stand on several lines.
        right: whether its cells stand to the right, as numbers do.
        wraps: whether its cells wrap between their words.
        least: what wraps is at least so wide, if it has that much to say: in less it would be a tower of words.
        spare: whether it is left out where the table fits without it; a list has it always.
    """

    name: str
    right: bool = False
    wraps: bool = False
    least: int = 20
    spare: bool = False


@dataclass
class Grid:
    """The rows of a table.

    Attributes:
        columns: from left to right.
        rows: a cell for each column, or fewer: the rest is then empty.
        sections: the numbers of rows below which there is a gap.
    """

    columns: Sequence[Column]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    sections: set[int] = field(default_factory=set)

    def add(self, *cells: str) -> None:
        """Add a row; what would break a line or not be seen is written as its escape."""
        self.rows.append(tuple(map(_shown, cells)))

    def end_section(self) -> None:
        """Leave a gap below the last row."""
        self.sections.add(len(self.rows) - 1)


def print_grid(console: Console, grid: Grid) -> None:
    """Print a table as wide as the console allows, whole."""
    for chosen in (range(len(grid.columns)), [i for i, c in enumerate(grid.columns) if not c.spare]):
        widths = _widths(grid, list(chosen), console.width)
        if widths is not None:
            console.print(_table(grid, list(chosen), widths))
            return
    console.print()
    for line in list_lines(grid, console.width):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print()


def list_lines(grid: Grid, width: int) -> list[str]:
    """Return a table as a list: for each row its first cells, then what else it has, a line each or as few as fit.

    A cell that the row before it has too is left empty in a table; here it is said again.
    """
    lines: list[str] = []
    before: dict[int, str] = {}
    for row in grid.rows:
        cells = dict(enumerate(row))
        if not cells.get(0) and 0 in before:
            cells[0] = before[0]
        before = cells
        first, *others = ((grid.columns[i], cell) for i, cell in cells.items() if cell)
        lines += wrapped([f"{first[0].name} {first[1]}"], width, indent="")
        short = [f"{column.name} {cell}" for column, cell in others if not column.wraps]
        lines += wrapped([f"{text}," for text in short[:-1]] + short[-1:], width, indent=INDENT)
        for column, cell in others:
            if column.wraps:
                lines += wrapped([column.name, *cell.split()], width, indent=INDENT)
    return lines


def wrapped(parts: Sequence[str], width: int, *, indent: str) -> list[str]:
    """Return the parts in as few lines as fit, none of them cut: one wider than ``width`` has a line of its own."""
    lines: list[str] = []
    for part in parts:
        if lines and cell_len(f"{lines[-1]} {part}") <= width:
            lines[-1] = f"{lines[-1]} {part}"
        else:
            lines.append(f"{indent}{part}")
    return lines


def _widths(grid: Grid, chosen: list[int], total: int) -> list[int] | None:
    """Return the width of each of the chosen columns; None where they do not fit into ``total``."""
    least, natural = [], []
    for i in chosen:
        column = grid.columns[i]
        cells = [row[i] for row in grid.rows if i < len(row)]
        whole, header = max(map(cell_len, cells), default=0), cell_len(column.name)
        word = max((cell_len(word) for text in (*cells, column.name) for word in text.split()), default=0)
        narrow = max(word, min(whole, column.least)) if column.wraps else max(whole, _longest_word(column.name))
        least.append(narrow)
        natural.append(max(whole, header, narrow))
    room = total - FRAME - (PADDING + GAP) * len(chosen) + GAP - sum(least)
    if room < 0:
        return None
    for i in sorted(range(len(chosen)), key=lambda i: natural[i] - least[i]):  # so most of them come to one line
        more = min(natural[i] - least[i], room)
        least[i] += more
        room -= more
    return least


def _table(grid: Grid, chosen: list[int], widths: list[int]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for i, width in zip(chosen, widths, strict=True):
        column = grid.columns[i]
        table.add_column(
            _cell(column.name, width, wraps=True),
            justify="right" if column.right else "left",
            width=width,
            vertical="top" if any(c.wraps for c in grid.columns) else "bottom",
        )
    for number, row in enumerate(grid.rows):
        cells = (
            _cell(row[i], width, wraps=grid.columns[i].wraps) if i < len(row) else ""
            for i, width in zip(chosen, widths, strict=True)
        )
        table.add_row(*cells, end_section=number in grid.sections)
    return table


def _cell(text: str, width: int, *, wraps: bool) -> Text:
    """Return a cell with its lines as they are to stand: rich breaks words of wide letters that would fit."""
    return Text("\n".join(wrapped(text.split(), width, indent="")) if wraps else text, no_wrap=True)


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _shown(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)

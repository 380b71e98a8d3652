"""Studies side by side, as the command line prints them."""

from __future__ import annotations

from rich.console import Console

from search.face.grid import Column, Grid, print_grid
from search.face.present import say, say_words
from search.report.page.document import Table, cell_text
from search.report.page.side_by_side import (
    beside_table,
    configurations_table,
    found_table,
    headline_of,
    searches_table,
    sentences,
    spaces_tables,
    spaces_text,
)
from search.report.side_by_side import SideBySide

MANY = 2
"""Comparisons of two studies each, from which on they are a table besides sentences."""


def print_side_by_side(console: Console, found: SideBySide) -> None:
    """Print what may be said of the studies, what each found and cost, and what differs between them."""
    say_words(console, headline_of(found)[0])
    for line in sentences(found):
        say_words(console, line)
    print_grid(console, grid_of(found_table(found)))
    if len(found.besides) >= MANY:
        print_grid(console, grid_of(beside_table(found)))
    print_grid(console, grid_of(configurations_table(found)))
    print_grid(console, grid_of(searches_table(found)))
    say_words(console, spaces_text(found))
    for table in spaces_tables(found):
        print_grid(console, grid_of(table))
    for side in found.unconfirmed:
        say(console, f"to confirm {side.name}: {side.material.commands.confirm}")


def grid_of(table: Table) -> Grid:
    """Return a table of a page as one of the terminal; cells of several words wrap."""
    first, *others = table.columns
    grid = Grid([Column(first), *(Column(name, wraps=True, least=14) for name in others)])
    for row in table.rows:
        grid.add(*map(cell_text, row))
    return grid

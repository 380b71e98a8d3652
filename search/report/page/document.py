"""What a report consists of, whatever it is written as: sections of sentences, tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as Plot

Cell: TypeAlias = str | float | int | bool | None


@dataclass(frozen=True)
class Table:
    """Rows below headers.

    Attributes:
        caption: what it is, in a sentence; it is read out before the cells.
        columns: the headers.
        rows: a cell for each column: numbers as numbers, so that they sort as such; None is an empty one.
        marked: the indices of rows that stand out.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Figure:
    """A picture with its words.

    Attributes:
        key: its id in the page: letters, digits, hyphens.
        title: a few words.
        alt: what it shows, in a sentence, for who does not see it.
        plot: the plotly figure, without colours of its own for text, axes and ground.
        table: the same in numbers.
        least: pixels that it needs, and then the page's whole width; it scrolls where the page is narrower.
        name: what a program calls it; the key with underscores where it is not given.
    """

    key: str
    title: str
    alt: str
    plot: Plot
    table: Table
    least: int = 0
    name: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the report with a heading.

    Attributes:
        key: its id in the page.
        lines: sentences, first to last.
        commands: what is to be typed, by what it does.
        folded: a long text, with what it is called, that is closed at first.
    """

    key: str
    title: str
    lines: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    commands: Sequence[tuple[str, str]] = ()
    folded: tuple[str, str] | None = None


@dataclass(frozen=True)
class Document:
    """A report.

    Attributes:
        title: the study's name.
        subtitle: its question.
        headline: the verdict in a few words.
        tone: ``good``, ``bad`` or ``open``: what the verdict comes to.
        verdict: the sentences below the headline.
        commands: what to type next, where there is something to.
        sections: what follows.
    """

    title: str
    subtitle: str
    headline: str
    tone: str
    verdict: Sequence[str]
    commands: Sequence[tuple[str, str]]
    sections: Sequence[Section]


@dataclass(frozen=True)
class Live:
    """Where a study stands whose report is served and brought up to date while it is looked at.

    Attributes:
        sentence: what it is doing, as of when.
        going: whether a process is at it.
        every_s: seconds until the page asks for news again.
    """

    sentence: str
    going: bool
    every_s: float


def cell_text(cell: Cell) -> str:
    """Return a cell as it is read: ``0.079566``, ``102,410``, ``on``, ``-``."""
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "on" if cell else "off"
    if isinstance(cell, float) and not cell.is_integer():
        return f"{cell:.5g}"
    return f"{cell:,.0f}" if isinstance(cell, int | float) else cell

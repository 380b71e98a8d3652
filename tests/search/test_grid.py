"""No name and no number of any table is cut, in a terminal of any width."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from search.declaration.studies import registered
from search.face.grid import Column, Grid, print_grid
from search.face.tables import choices_table, comparison_table, curve_table, front_table, space_table, top_table
from search.report.answer import Answer, Entry, FrontEntry
from search.report.choices import Choice
from search.report.comparison import Comparison
from search.report.comparison import Row as ComparisonRow
from search.report.curve import Curve
from search.report.curve import Row as CurveRow

WIDTHS = (*range(40, 130, 7), 80, 110, 200)
LONG = "val_balanced_macro_f1_of_everything"
PARAMS = {"learning_rate": 0.000712345, "hidden": "512-256-128-64", "batch_norm": True, "cosine_floor": 1.23e-05}


def printed(grid, width):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_grid(console, grid)
    return console.file.getvalue()


def assert_whole(grid, width):
    text = printed(grid, width)
    assert "…" not in text
    for row in grid.rows:
        for column, cell in zip(grid.columns, row, strict=False):
            if column.spare and column.name not in text:
                continue
            for piece in cell.split() if column.wraps else [cell.strip()]:
                assert piece in text, (column.name, cell, text)
    for column in grid.columns:
        if not column.spare:
            assert all(word in text for word in column.name.split()), text
    return text


def found(metric):
    entries = [Entry(n, 0.12345678 / (1 + n), 17, 30, "PRUNED", "out_of_memory", PARAMS, {}) for n in (4, 123456, 7, 0)]
    choices = tuple(Choice(c, 1000, 12, 0.88123, None, 12.5) for c in ("exponential with restarts", "[none]", 12.5))
    front = (FrontEntry(1234, {metric: 0.98765, "parameters": 1_234_567.0}, 12, "COMPLETE", None, PARAMS),)
    return Answer(
        "s",
        "k",
        metric,
        "min",
        4,
        {},
        entries[0],
        entries[-1],
        tuple(entries[:3]),
        9,
        0,
        {},
        choices={"schedule_of_the_rate": choices},
        shown=("schedule_of_the_rate",),
        further={"parameters": "min"},
        front=front,
    )


def tables():
    yield from (space_table(study.space) for study in registered().values())
    for metric in ("val_loss", LONG):
        answer = found(metric)
        yield from (top_table(answer), choices_table(answer), front_table(answer))
        row = CurveRow(11, "stem .. layer3", 3, 1, (0.9,), 0.912345, 123, 0.8, 0.712345, 9, 0.333)
        alone = CurveRow(None, None, 1, 0, (0.8,), 0.8, 0, 0.8, 0.5, 1, 1.5)
        untried = CurveRow(12, "everything (features only)", 0, 0, (), None, None, None, None, 0, None)
        yield curve_table(Curve("freeze_depth", metric, "max", "val_loss", 3, (row, untried), alone, (), ""))
        fits = (
            ComparisonRow("support vector machine", 7, 0.91, (), 0.912, 0.048, 1.25, 0.65, -0.45, -0.55, -0.35),
            ComparisonRow("forest", 8, 0.91, (), None, None, None, None, error="ValueError: no"),
        )
        yield comparison_table(Comparison("model", metric, 4, fits, ""))


@pytest.mark.parametrize("width", WIDTHS)
def test_every_value_of_every_table_is_there(width):
    for grid in tables():
        assert_whole(grid, width)


words = st.lists(st.text("aé漢[]_=.0123456789-/", min_size=1, max_size=30), min_size=1, max_size=6)


@st.composite
def grids(draw):
    columns = draw(
        st.lists(st.builds(Column, words.map(" ".join), st.booleans(), st.booleans()), min_size=1, max_size=8)
    )
    grid = Grid(columns)
    for _ in range(draw(st.integers(1, 4))):
        grid.add(*(draw(words.map(" ".join)) for _ in columns))
    return grid


@given(grids(), st.integers(40, 200))
def test_no_table_cuts_a_word_and_no_line_is_too_long_unless_a_word_is(grid, width):
    text = assert_whole(grid, width)
    longest = max(
        cell_len(f"{column.name} {cell}") for row in grid.rows for column, cell in zip(grid.columns, row, strict=True)
    )
    assert max(map(cell_len, text.splitlines())) <= max(width, longest + 3)


def test_what_breaks_a_line_is_written_as_its_escape_and_repeats_are_said_in_a_list():
    grid = Grid([Column("name"), Column("choice"), Column("x" * 40)])
    grid.add("a\nb", "one", "1")
    grid.add("", "two", "2")
    assert printed(grid, 40).split("\n")[1:-2] == [
        "name a\\nb",
        "  choice one,",
        f"  {'x' * 40} 1",
        "name a\\nb",
        "  choice two,",
        f"  {'x' * 40} 2",
    ]


def test_what_is_spare_is_left_out_before_a_table_becomes_a_list():
    grid = Grid([Column("name"), Column("meaning", wraps=True, spare=True)])
    grid.add("x" * 30, "what it means in several words, more than fit")
    assert "meaning" not in printed(grid, 50)
    assert "several" in printed(grid, 90)
    assert "several" in printed(grid, 20), "a list has everything"

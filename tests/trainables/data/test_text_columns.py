"""What the text of a column is read as, what is said of it, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from trainables.data.text_columns import TextReader

MANY = [f"{v:.3f}" for v in np.random.default_rng(0).normal(50, 20, 300)]
EURO = [v.replace(".", ",") for v in MANY] + ["0,5"]

READ = [
    # values, decimal mark of the file, what the first becomes, how many are missing, what is said
    (MANY, None, 52.515, 0, ()),
    ([*MANY, "?", "<7.0"], None, 52.515, 2, ("odd_values",)),
    ([*MANY, *["NA", "None"] * 50], None, 52.515, 100, ("missing_words",)),
    (EURO, None, 52.515, 0, ("spelled_numbers",)),
    ([*EURO, "1.234,5", "n/a"], None, 52.515, 1, ("spelled_numbers", "missing_words")),
    (["1,234", "12", "999", "5,000"], None, 1234, 0, ("spelled_numbers",)),
    (["1,234", "12", "999", "5,000"], ",", 1.234, 0, ("spelled_numbers",)),
    (["1,234.5", "12,345"], None, 1234.5, 0, ("spelled_numbers",)),
    (["1.234", "2.5"], ",", 1.234, 0, ()),
    (["1.234", "2.345"], ",", 1234, 0, ("spelled_numbers",)),
    (["1 234", "12\u00a0345", "5"], None, 1234, 0, ("spelled_numbers",)),
    (["\u0661\u0668\u0662", "\uff15"], None, 182, 0, ("spelled_numbers",)),
    (["5,691E+01", "1,2e-3"], None, 56.91, 0, ("spelled_numbers",)),
    (["12,34,567", "1,00,000"], None, 1234567, 0, ("spelled_numbers",)),
    (["(1,200.5)", "\u22123", "+4"], None, -1200.5, 0, ("spelled_numbers",)),
    ([f"{v} kg" for v in MANY] + ["3 lb"], None, 52.515, 1, ("spelled_numbers", "odd_values")),
    (["45%", "5 %"], None, 45, 0, ("spelled_numbers",)),
    (["$1,234.5", "$5"], None, 1234.5, 0, ("spelled_numbers",)),
    (["True", "NA", "FALSE"], None, True, 1, ("missing_words",)),
    (["2024-03-14", "NA"], None, pd.Timestamp("2024-03-14"), 1, ("missing_words",)),
    (["3/14/2024", "1/2/2024"], None, pd.Timestamp("2024-03-14"), 0, ("spelled_dates",)),
    (["14/3/2024", "1/2/2024"], None, pd.Timestamp("2024-03-14"), 0, ("spelled_dates",)),
    (["03.04.2024", "01.02.2024"], None, pd.Timestamp("2024-04-03"), 0, ("spelled_dates",)),
    (["3/4/2024", "1/2/2024"], ",", pd.Timestamp("2024-04-03"), 0, ("spelled_dates",)),
    (["14 Mar 2024 10:30", "1 Feb 2024 9:00"], None, pd.Timestamp("2024-03-14 10:30"), 0, ("spelled_dates",)),
    (["0", "1", "2", "3+"], None, "0", 0, ("mixed_text",)),
    (["a", "None", "b"], None, "a", 0, ("words_as_text",)),
    (["None", "NA"], None, "None", 0, ("words_as_text",)),
    ([" a", "a ", "\u00a0", "b"], None, "a", 1, ("spaces_removed",)),
    (["10:30", "11:45"], None, "10:30", 0, ()),
    (["A1", "B2", "3"], None, "A1", 0, ()),
]


def reader_of(decimal=None, **values):
    return TextReader(**{"decimal": decimal, "typed": False, "target": "y", **values})


def read(values, reader, name="c", asked=None):
    return reader.read(pd.Series(values, dtype="str"), name, asked)


@pytest.mark.parametrize(("values", "decimal", "first", "gaps", "said"), READ, ids=[str(case[0][:3]) for case in READ])
def test_a_text_column_is_read_as_what_it_holds(values, decimal, first, gaps, said):
    reader = reader_of(decimal)
    found = read(values, reader)
    assert reader.errors == []
    assert (found.iloc[0], int(found.isna().sum())) == (first, gaps)
    assert tuple(notice.kind for notice in reader.remarks.notices()) == said
    assert all("'c' (" in notice.text and notice.names == ("c",) for notice in reader.remarks.notices())


REFUSED = [
    ([*MANY, *["?"] * 4], "column 'c': 4 of 304 values are no number ('?' 4), and at most 1% are read as missing; use"),
    ([*MANY, *["?", "<7"] * 2], "column 'c': 4 of 304 values are no number ('?' 2, '<7' 2), and at most 1% are read"),
    (["3/4/2024", "1/2/2024"], "column 'c' holds dates such as '3/4/2024', whose day and month cannot be told apart;"),
    (["1,234", "5,678"], "column 'c' holds numbers such as '1,234', and nothing tells whether the comma is for"),
    (["1,234", "5678"], "column 'c' holds numbers such as '1,234', and nothing tells whether the comma is for"),
]


@pytest.mark.parametrize(("values", "start"), REFUSED, ids=[start for _, start in REFUSED])
def test_a_text_column_that_could_be_two_things_is_refused_with_what_to_do(values, start):
    reader = reader_of()
    read(values, reader)
    (line,) = reader.errors
    assert line.startswith(start)
    assert "--" in line


ASKED = [
    (["1", "x", "y"], "number", 1.0, ()),
    (["20240314", "20240315"], "date", pd.Timestamp("2024-03-14"), ()),
    (["x", "y"], "number", "x", ("--as 'c'=number: most values are no number (such as 'x')",)),
    (["x", "y"], "date", "x", ("--as 'c'=date: most values are no date (such as 'x')",)),
]


@pytest.mark.parametrize(("values", "asked", "first", "errors"), ASKED)
def test_a_column_is_read_as_what_the_user_says_it_is(values, asked, first, errors):
    reader = reader_of()
    assert read(values, reader, asked=asked).iloc[0] == first
    assert tuple(reader.errors) == errors


def test_few_values_with_a_unit_are_classes_of_a_target_and_numbers_of_a_column():
    assert read(["5%", "10%"] * 9, reader_of(), name="y").iloc[0] == "5%"
    assert read(["5%", "10%"] * 9, reader_of()).iloc[0] == 5


def test_text_that_a_file_with_types_has_for_numbers_stays_text_and_is_pointed_out():
    reader = reader_of(typed=True)
    assert read(["1", "2"] * 9, reader).iloc[0] == "1"
    assert [notice.kind for notice in reader.remarks.notices()] == ["numerals_as_text"]
    assert read(list(map(str, range(18))), reader).iloc[1] == 1  # as text it would be another value in each row

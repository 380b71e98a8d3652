"""One frame in any spelling of a text file is read back as it was, or refused in a line: never something third."""

import csv
import gzip
from functools import cache

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.data import DataSpec
from trainables.data.column_remarks import Remarks
from trainables.data.table_columns import read_columns
from trainables.data.table_file import read_table
from trainables.errors import DataError

ROWS = 60
MISSING = ("", "NA", "null", "NaN", "n/a", "-")


@cache
def frame_of(decimals):
    """Numbers, whole numbers, true/false, dates and text, with gaps and with marks inside the text."""
    rng = np.random.default_rng(decimals)
    frame = pd.DataFrame(
        {
            "length": rng.normal(2, 900, ROWS).round(decimals),
            "größe": rng.normal(0, 3, ROWS).round(decimals),
            "age": rng.integers(0, 3000, ROWS),
            "member": rng.random(ROWS) < 0.4,
            "since": (np.datetime64("2020-01-01") + rng.integers(0, 1500, ROWS)).astype(str),
            "city": rng.choice(["Lima", "Oslo; N", "Rome, IT", "Zürich"], ROWS),
            "plan": rng.choice(["gold", "None", "silver"], ROWS),
        }
    )
    frame.loc[3::17, "length"] = np.nan
    return frame


@st.composite
def spellings(draw):
    """Return a table's text, and what a user has to say of it: nothing, wherever it is plain."""
    separator = draw(st.sampled_from([",", ";", "\t", "|"]))
    decimal = draw(st.sampled_from([".", ","]))
    thousands = draw(st.sampled_from(["", "", "." if decimal == "," else ",", " ", "\u00a0"]))
    return {
        "separator": separator,
        "decimal": decimal,
        "thousands": thousands,
        "decimals": draw(st.integers(1, 4)),
        "fixed": draw(st.booleans()),
        "missing": draw(st.sampled_from(MISSING)),
        "unit": draw(st.sampled_from(["", "", " kg", "%", "£"])),
        "dates": draw(st.sampled_from(["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d %b %Y"])),
        "flags": draw(st.sampled_from([("True", "False"), ("TRUE", "FALSE"), ("true", "false")])),
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        "encoding": draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "latin-1"])),
        "line": draw(st.sampled_from(["\n", "\r\n"])),
        "names": draw(st.sampled_from(["{}", " {}"])),
        "directive": draw(st.booleans()),
        "zipped": draw(st.booleans()),
        "last": draw(st.booleans()),
    }


def spelled(value, how):
    text = f"{value:,.{how['decimals']}f}" if how["thousands"] else f"{value:.{how['decimals']}f}"
    if not how["fixed"]:
        text = text.rstrip("0").rstrip(".")
    text = text.translate(str.maketrans({",": how["thousands"], ".": how["decimal"]}))
    return text + how["unit"]


def written(frame, how, folder):
    cells = frame.copy().astype(object)
    for name in ("length", "größe"):
        cells[name] = [how["missing"] if pd.isna(v) else spelled(v, how) for v in frame[name]]
    cells["since"] = pd.to_datetime(frame["since"]).dt.strftime(how["dates"])
    cells["member"] = np.where(frame["member"], *how["flags"])
    cells.columns = [how["names"].format(name) for name in frame.columns]
    text = cells.to_csv(index=False, sep=how["separator"], quoting=how["quoting"], lineterminator=how["line"])
    if how["directive"]:
        text = f"sep={how['separator']}{how['line']}{text}"
    text = text if how["last"] else text.removesuffix(how["line"])
    data = text.encode(how["encoding"])
    path = folder / ("t.csv.gz" if how["zipped"] else "t.csv")
    path.write_bytes(gzip.compress(data, 1) if how["zipped"] else data)
    return path


def read(path):
    """Return the columns as they are before they are encoded."""
    spec = DataSpec("t", source="table", path=str(path), target="plan")
    errors = []
    frame = read_columns(read_table(path, spec), spec, {}, Remarks(), errors)
    if errors:
        raise DataError(errors)
    return frame


def test_a_table_in_any_spelling_is_read_as_it_is_or_refused_in_one_line(tmp_path):
    outcomes = []

    @settings(max_examples=200, deadline=None, derandomize=True, database=None)
    @given(how=spellings())
    def one(how):
        frame = frame_of(how["decimals"])
        path = written(frame, how, tmp_path)
        try:
            found = read(path)
        except DataError as error:
            assert all("\n" not in line and "--" in line for line in error.errors)  # in one line, with what to do
            outcomes.append("refused")
            return
        outcomes.append("read")
        assert list(found) == list(frame)
        expected = frame.assign(since=pd.to_datetime(frame["since"]))
        for name in frame:
            gaps = expected[name].isna()
            assert found[name].isna().tolist() == gaps.tolist(), name
            assert found[name][~gaps].tolist() == expected[name][~gaps].tolist(), name

    one()
    assert outcomes.count("read") > 3 * outcomes.count("refused")

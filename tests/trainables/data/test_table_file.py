"""How a table's file is found to be written, and which files are refused before they are read."""

import os

import numpy as np
import pandas as pd
import pytest

from trainables.data import DataSpec, load_splits
from trainables.data.spec import path_errors
from trainables.data.table_file import read_table
from trainables.errors import DataError

CSV = "höhe,b,y\n0.5,1,x\n,2,z\n"


def read(folder, content, name="t.csv", **said):
    (folder / name).write_bytes(content)
    return read_table(folder / name, DataSpec("t", source="table", target="y", **said))


def kinds(table):
    return [(notice.kind, notice.warning) for notice in table.notices]


WRITTEN = [
    ("t.csv", CSV.encode(), {}, []),
    ("t.csv", CSV.encode("utf-8-sig"), {}, []),
    ("t.csv", CSV.encode("utf-16"), {}, [("encoding", False)]),
    ("t.csv", CSV.encode("utf-16-be"), {}, [("encoding", False)]),
    ("t.csv", CSV.encode("utf-32"), {}, [("encoding", False)]),
    ("t.csv", CSV.encode("cp1252"), {}, [("encoding", True)]),
    ("t.csv", CSV.encode("mac_roman"), {"encoding": "mac_roman"}, []),
    ("t.csv", CSV.replace("\n", "\r").encode(), {}, []),
    ("t.csv", ("\n\n" + CSV).encode(), {}, []),
    ("t.csv", CSV.replace(",", ";").replace("0.5", "0,5").encode(), {}, [("separator", False), ("decimal", False)]),
    ("t.csv", ("sep=|\n" + CSV.replace(",", "|")).encode(), {}, [("separator", False)]),
    ("t.tsv", CSV.replace(",", "\t").encode(), {}, []),
    ("t.tsv", CSV.encode(), {}, [("separator", False)]),
    ("t.csv", CSV.replace(",", "~").encode(), {"separator": "~"}, []),
    ("t.csv", CSV.replace(",", "\t").encode(), {"separator": "tab"}, []),
    ("t.csv", CSV.replace(",2", ",02").encode(), {}, [("leading_zeros", True)]),
    ("t.csv", CSV.replace("\n,", "\n-9,").encode(), {"missing": ("-9",)}, []),
]


@pytest.mark.parametrize(("name", "content", "said", "notices"), WRITTEN, ids=range(len(WRITTEN)))
def test_a_text_file_is_read_as_it_is_written_and_what_was_found_is_said(tmp_path, name, content, said, notices):
    table = read(tmp_path, content, name, **said)
    expected = pd.DataFrame({"höhe": [0.5, np.nan], "b": [1, 2], "y": pd.Series(["x", "z"], dtype="str")})
    pd.testing.assert_frame_equal(table.frame, expected)
    assert kinds(table) == notices


def test_a_separator_that_would_fit_as_well_is_named(tmp_path):
    table = read(tmp_path, b"a;b;c,y\n1;2;3,x\n4;5;6,z\n")
    assert list(table.frame) == ["a;b;c", "y"]
    (notice,) = table.notices
    assert notice.text == "separated by commas, though semicolons would fit too; --separator says which"


def test_an_index_with_a_name_is_a_column_as_in_a_csv(tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "y": ["x", "z"]}, index=pd.Index([7, 8], name="key"))
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv")
    spec = DataSpec("t", source="table", target="y")
    both = [read_table(tmp_path / name, spec).frame for name in ("t.parquet", "t.csv")]
    pd.testing.assert_frame_equal(*both)


def test_what_is_no_regular_file_is_refused_without_opening_it(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    (line,) = path_errors(DataSpec("t", source="table", path=str(tmp_path / "t.csv"), target="y"))
    assert line.endswith("t.csv is no regular file (a pipe, a socket or a device)")


def test_a_file_that_the_memory_cannot_hold_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "t.csv").open("wb") as file:
        file.write(CSV.encode())
        file.truncate(1 << 42)  # sparse: it takes no room
    with pytest.raises(
        DataError, match=r"has 4,096.0 GiB of text, which takes 4 times as much in memory, and .* are free"
    ):
        read_table(tmp_path / "t.csv", DataSpec("t", source="table", target="y"))


def test_text_options_are_for_text_files(tmp_path):
    pd.DataFrame({"a": [1], "y": [2]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="--decimal, --encoding is for text files: .csv, .tsv"):
        read_table(tmp_path / "t.parquet", DataSpec("t", source="table", target="y", decimal=",", encoding="cp1252"))


def test_a_class_that_a_part_has_no_example_of_is_named(tmp_path):
    frame = pd.DataFrame({"a": np.arange(400) * 7919 % 1009, "y": ["rare"] * 3 + ["common"] * 397})
    frame.to_csv(tmp_path / "t.csv", index=False)
    splits = load_splits(DataSpec("t", source="table", path=str(tmp_path / "t.csv"), target="y"))
    assert ("absent_classes", ("rare",)) in [(notice.kind, notice.names) for notice in splits.notices]


def test_a_csv_and_a_parquet_file_of_one_frame_give_the_same_examples(tmp_path):
    words = ["None", "null", "NA", "a", None, "", "1.5", "?"] * 30
    odd = [*map(str, np.arange(238) / 4), "?", None]
    frame = pd.DataFrame({"a": np.arange(240) * 7919 % 1009, "word": words, "odd": odd, "y": ["None", "b"] * 120})
    frame["object"] = pd.Series([None, np.nan, 1.5] * 80, dtype=object)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    both = [
        load_splits(DataSpec("t", source="table", path=str(tmp_path / name), target="y"))
        for name in ("t.csv", "t.parquet")
    ]
    assert both[0].fingerprint == both[1].fingerprint
    assert both[0].labels == ("None", "b")
    assert [notice.text for notice in both[0].notices] == [notice.text for notice in both[1].notices]

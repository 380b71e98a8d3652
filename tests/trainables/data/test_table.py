"""A user's own table: what each kind of column becomes, that train alone decides, and what bad files get."""

import dataclasses
import datetime
import decimal
import gzip

import numpy as np
import pandas as pd
import pytest

from trainables.data import DataSpec, load_splits, load_test
from trainables.data.columns import ColumnKind, kind_of
from trainables.data.parts import part_indices
from trainables.errors import DataError
from trainables.notice import texts_of
from trainables.task import Task

N = 200
CITIES = ("Lima", "Oslo", "Rome")


def customers(n=N, seed=0):
    """Numbers, true/false, text, dates, gaps, a constant and an empty column, and two targets."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "length": rng.normal(5, 1, n).round(3),
            "age": rng.integers(18, 80, n),
            "member": rng.random(n) < 0.4,
            "city": rng.choice(CITIES, n),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 1500, n), unit="D"),
            "site": "north",
            "remark": np.full(n, np.nan),
        }
    )
    score = frame["length"] - 5 + frame["member"] + (frame["city"] == "Rome")
    frame["plan"] = np.where(score > 1, "gold", np.where(score > 0, "silver", "basic"))
    frame["spend"] = (100 + 40 * score).round(2)
    frame.loc[3::17, "length"] = np.nan
    frame.loc[5::19, "city"] = None
    return frame


def written(frame, folder, name="customers.csv"):
    path = folder / name
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if ".tsv" in name else ",")
    return path


def spec_of(path, target="plan", **values):
    return DataSpec("customers", source="table", path=str(path), target=target, **values)


def splits_of(frame, folder, target="plan", name="customers.csv", **values):
    return load_splits(spec_of(written(frame, folder, name), target, **values))


def errors_of(frame, folder, target="plan", **values):
    with pytest.raises(DataError) as caught:
        splits_of(frame, folder, target, **values)
    assert all("\n" not in line for line in caught.value.errors)
    return caught.value.errors


def assert_starts(lines, starts):
    assert [line[: len(start)] for line, start in zip(lines, starts, strict=True)] == starts


def indices_of(y, *, numeric=False):
    return part_indices(y, numeric=numeric, seed=0)


def test_every_kind_of_column_becomes_inputs(tmp_path):
    frame = customers()
    splits = splits_of(frame, tmp_path, drop=("spend",))
    test, val, train = indices_of(np.unique(frame["plan"], return_inverse=True)[1])
    assert (len(splits.train), len(splits.val), splits.test_examples) == (len(train), len(val), len(test))
    assert (splits.task, splits.classes, splits.labels) == (Task.CLASSIFICATION, 3, ("basic", "gold", "silver"))
    assert splits.train.x.dtype == np.float32
    assert splits.train.y.dtype == np.int64
    assert [splits.labels[c] for c in splits.val.y] == frame["plan"].iloc[val].tolist()

    inputs = dict(zip(("length", "age", "since", "member", *CITIES, "no city"), splits.train.x.T, strict=True))
    rows = frame.iloc[train]
    days = (frame["since"] - pd.Timestamp("1970-01-01")).dt.days.astype(float)
    numeric = {"length": frame["length"].fillna(rows["length"].median()), "age": frame["age"], "since": days}
    for name, own in numeric.items():
        expected = (own - own.iloc[train].mean()) / own.iloc[train].std(ddof=0)
        assert np.allclose(inputs[name], expected.iloc[train], rtol=0, atol=1e-5), name  # float32 below 10
    assert np.array_equal(inputs["member"], rows["member"].astype(np.float32))
    for city in CITIES:
        assert np.array_equal(inputs[city] == 1, rows["city"] == city)
    assert np.array_equal(inputs["no city"] == 1, rows["city"].isna())
    assert tuple(texts_of(splits.notices)) == (
        "task: classification, the target is text",
        "columns: 5 (numbers 2, true/false 1, dates 1, text 1), as 8 inputs",
        "dropped, constant in the training part: 'site'",
        "dropped, no value in the training part: 'remark'",
        "missing values: 'length' 12, 'city' 11",
        "training examples by class, the fewest first: basic 35, silver 37, gold 48",
    )


def test_validation_rows_do_not_touch_what_is_learned_from_train(tmp_path):
    frame = customers()
    before = splits_of(frame, tmp_path, drop=("spend",))
    test_before = load_test(spec_of(tmp_path / "customers.csv", drop=("spend",)))
    _, val, train = indices_of(np.unique(frame["plan"], return_inverse=True)[1])
    changed = frame.copy()
    changed.loc[val, "length"] = 1e6
    changed.loc[val, "age"] = -5
    changed.loc[val, "city"] = "Quito"
    changed.loc[val, "member"] = False
    changed.loc[val, "since"] = pd.Timestamp("1900-01-01")
    changed.loc[val, "site"] = "south"
    after = splits_of(changed, tmp_path, drop=("spend",))
    assert np.array_equal(after.train.x, before.train.x)
    assert np.array_equal(after.train.y, before.train.y)
    assert np.array_equal(load_test(spec_of(tmp_path / "customers.csv", drop=("spend",))).x, test_before.x)
    assert not np.array_equal(after.val.x, before.val.x)
    assert not after.val.x[:, 4:].any()  # a city that train does not have is no city of its own
    assert after.fingerprint != before.fingerprint
    changed.loc[train[0], "length"] = 1e6
    assert not np.array_equal(splits_of(changed, tmp_path, drop=("spend",)).val.x, after.val.x)


def test_a_numeric_target_is_standardised_by_train_and_keeps_its_units(tmp_path):
    frame = customers()
    splits = splits_of(frame, tmp_path, "spend", drop=("plan",))
    _, val, train = indices_of(frame["spend"].to_numpy(), numeric=True)
    own = frame["spend"]
    assert splits.task is Task.REGRESSION
    assert (splits.scale.mean, splits.scale.deviation) == pytest.approx(
        (own.iloc[train].mean(), own.iloc[train].std(ddof=0))
    )
    back = splits.val.y * splits.scale.deviation + splits.scale.mean
    assert np.allclose(back, own.iloc[val], rtol=0, atol=1e-4)  # float32 of hundreds
    assert splits.notices[0].text == f"task: regression, the target is a number with {own.nunique()} distinct values"


def test_a_large_target_keeps_its_small_differences(tmp_path):
    frame = pd.DataFrame({"a": np.arange(50.0), "when": 1.7e9 + np.arange(50.0)})
    splits = splits_of(frame, tmp_path, "when")
    assert len(set(splits.train.y.tolist())) == 30  # float32 alone has steps of 128 there


def test_the_same_file_has_the_same_fingerprint_and_another_order_of_rows_another(tmp_path):
    frame = customers()
    first, again = splits_of(frame, tmp_path), splits_of(frame, tmp_path, name="copy.csv")
    assert again.fingerprint == first.fingerprint
    shuffled = splits_of(frame.sample(frac=1, random_state=0), tmp_path)
    assert shuffled.fingerprint != first.fingerprint  # rows are split by where they stand
    other_seed = splits_of(frame, tmp_path, seed=1)
    assert other_seed.fingerprint != first.fingerprint


def test_a_table_file_that_changed_is_read_again(tmp_path):
    first = splits_of(customers(), tmp_path)
    assert splits_of(customers(seed=1), tmp_path).fingerprint != first.fingerprint


@pytest.mark.parametrize("name", ["customers.parquet", "customers.tsv", "customers.CSV", "customers.csv.gz"])
def test_a_table_gives_the_same_examples_in_every_file_format(tmp_path, name):
    frame = customers()
    assert splits_of(frame, tmp_path, name=name).fingerprint == splits_of(frame, tmp_path).fingerprint


def test_types_that_only_parquet_has_are_read(tmp_path):
    frame = customers()
    typed = frame.assign(
        age=frame["age"].astype("Int64"),
        member=frame["member"].astype("boolean"),
        city=frame["city"].astype("category"),
        since=frame["since"].dt.date,
        length=[None if pd.isna(v) else decimal.Decimal(str(v)) for v in frame["length"]],
    )
    path = written(typed, tmp_path, "typed.parquet")
    assert load_splits(spec_of(path)).fingerprint == splits_of(frame, tmp_path).fingerprint


def test_row_numbers_that_pandas_wrote_are_left_out(tmp_path):
    frame = customers()
    frame.to_csv(tmp_path / "indexed.csv")
    splits = load_splits(spec_of(tmp_path / "indexed.csv"))
    assert splits.fingerprint == splits_of(frame, tmp_path).fingerprint
    assert "dropped, row numbers: the first column, which has no name" in texts_of(splits.notices)


def test_rows_without_a_target_are_left_out_and_said(tmp_path):
    frame = customers()
    frame.loc[[1, 7, 9], "plan"] = None
    splits = splits_of(frame, tmp_path)
    assert splits.fingerprint == splits_of(frame.drop(index=[1, 7, 9]), tmp_path, name="without.csv").fingerprint
    assert "dropped, no value for the target: 3 rows" in texts_of(splits.notices)


KINDS = [
    ([1, 2, None], ColumnKind.NUMBER),
    ([1.5, float("nan")], ColumnKind.NUMBER),
    ([None, None], ColumnKind.NUMBER),
    ([True, None, False], ColumnKind.FLAG),
    (["a", None], ColumnKind.TEXT),
    (["2024-03-01", None, "2024-03-02T10:00:00"], ColumnKind.DATE),
    (["2024-03-01", "2024-13-01"], ColumnKind.TEXT),
    (["03/01/2024", "03/02/2024"], ColumnKind.TEXT),
    (["2024", "2025"], ColumnKind.TEXT),
    ([datetime.date(2024, 3, 1)], ColumnKind.DATE),
    ([datetime.datetime(2024, 3, 1, tzinfo=datetime.UTC)], ColumnKind.DATE),
    ([datetime.timedelta(days=1)], ColumnKind.NUMBER),
    ([decimal.Decimal("1.5")], ColumnKind.NUMBER),
    ([[1, 2], [3]], ColumnKind.OTHER),
    ([b"a"], ColumnKind.OTHER),
]


@pytest.mark.parametrize(("values", "kind"), KINDS, ids=[str(values) for values, _ in KINDS])
def test_the_kind_of_a_column_is_told_from_its_values(values, kind):
    assert kind_of(pd.Series(values)) is kind


TASKS = [
    (["a", "b"], "auto", ("a", "b"), "the target is text"),
    ([True, False], "auto", ("False", "True"), "the target is true or false"),
    ([2, 10], "auto", ("2", "10"), "the target is a whole number with 2 distinct values (up to 20 are taken as "),
    ([1.0, 3.0], "auto", ("1", "3"), "the target is a whole number with 2 distinct values"),
    ([0.5, 1.0], "auto", (), "the target is a number with 2 distinct values"),
    (list(range(21)), "auto", (), "the target is a number with 21 distinct values"),
    ([2, 10], "regression", (), "as asked for"),
    ([0.5, 1.0], "classification", ("0.5", "1"), "as asked for"),
    ([True, False], "regression", (), "as asked for"),
]


@pytest.mark.parametrize(("values", "task", "labels", "why"), TASKS)
def test_the_task_is_told_from_the_target_or_forced(tmp_path, values, task, labels, why):
    frame = pd.DataFrame({"a": np.arange(84.0), "y": (values * 84)[:84]})
    splits = splits_of(frame, tmp_path, "y", task=task)
    assert splits.labels == labels
    assert splits.task is (Task.CLASSIFICATION if labels else Task.REGRESSION)
    assert splits.notices[0].text.startswith(f"task: {splits.task.value}, {why}")


SMALL = {"a": np.arange(20.0), "b": np.arange(20.0) ** 2}

BAD_TARGETS = [
    ("plna", {}, "--target 'plna' is no column of the table. Did you mean 'plan'? Columns: 'length', 'age', "),
    ("plan", {"task": "regression"}, "--target 'plan' is text (such as 'silver'); --task regression needs numbers"),
    ("since", {}, "--target 'since' holds a date; a target is a class (text, true/false, whole numbers) or a number"),
    ("site", {}, "--target 'site' has 1 class(es) ('north'); at least two are needed"),
    ("remark", {}, "--target 'remark' has no value in any of 200 rows"),
    ("plan", {"drop": ("nowhere",)}, "--drop 'nowhere' is no column of the table. Columns: 'length', "),
    ("plan", {"drop": ("plan",)}, "--drop 'plan': it is the target"),
]


@pytest.mark.parametrize(("target", "values", "start"), BAD_TARGETS, ids=[start for *_, start in BAD_TARGETS])
def test_a_bad_target_gets_its_one_line(tmp_path, target, values, start):
    (line,) = errors_of(customers(), tmp_path, target, **values)
    assert line.startswith(start)


def targets(values):
    return pd.DataFrame({"a": np.arange(len(values)), "y": values})


BAD_VALUES = [
    (["a"] * 30 + ["b"] * 2 + ["c"], "--target 'y': a class needs at least 3 examples; 'b' has 2, 'c' has 1"),
    (
        [1] * 30 + [2, 3],
        "--target 'y': a class needs at least 3 examples; '2' has 1, '3' has 1; --task regression takes it as a number",
    ),
    (list("abcde") * 3, "--target 'y': 15 examples are too few for 5 classes, of which validation and test need one"),
    ([0.5, 1.5] * 4, "--target 'y': 8 rows are too few; at least 10 are needed"),
    ([0.5] * 20, "--target 'y' is 0.5 in every row; there is nothing to learn"),
    ([0.5, float("inf"), float("-inf")] * 10, "--target 'y' holds 20 infinite value(s), or beyond 1e30; correct or"),
]


@pytest.mark.parametrize(("values", "start"), BAD_VALUES, ids=[start for _, start in BAD_VALUES])
def test_values_that_cannot_be_learned_get_their_one_line(tmp_path, values, start):
    (line,) = errors_of(targets(values), tmp_path, "y")
    assert line.startswith(start)


def test_the_fewest_rows_that_are_allowed_are_enough(tmp_path):
    assert len(splits_of(targets([0.5, 1.5] * 5), tmp_path, "y").val) == 2
    assert splits_of(targets(list("abcde") * 5), tmp_path, "y").classes == 5
    assert splits_of(targets(list("ab") * 10 + ["c"] * 3), tmp_path, "y").classes == 3


def test_everything_wrong_with_the_columns_is_said_at_once(tmp_path):
    n = 2400
    frame = pd.DataFrame(
        {
            "odd": [*map(str, range(n - 30)), *["?"] * 30],
            "when": ["01/02/2024", "03/02/2024"] * (n // 2),
            "amount": ["1,234", "12,345"] * (n // 2),
            "word": [f"word {i % 1100}" for i in range(n)],
            "infinite": [*range(n - 2), float("inf"), float("inf")],
            "nested": [[1]] * n,
            "good": np.arange(n),
            "y": ["a", "b"] * (n // 2 - 1) + ["c", "c"],
        }
    )
    starts = [
        "column 'odd': 30 of 2,400 values are no number ('?' 30), and at most 1% are read as missing; use --as 'odd'=",
        "column 'when' holds dates such as '01/02/2024', whose day and month cannot be told apart; write them as 2024-",
        "column 'amount' holds numbers such as '1,234', and nothing tells whether the comma is for thousands or before",
    ]
    assert_starts(errors_of(frame, tmp_path, "y", name="wide.parquet"), starts)
    frame = frame.drop(columns=["odd", "when", "amount"])
    starts = [
        "--target 'y': a class needs at least 3 examples; 'c' has 2",
        "column 'word' is text with 1,100 distinct values (such as 'word 0'), and at most 1,000 can be told apart; ",
        "column 'infinite' holds 2 infinite value(s), or beyond 1e30; make them empty",
        "column 'nested' holds ndarray values, which are no number, text, date or true/false; leave it out: --drop",
    ]
    assert_starts(errors_of(frame, tmp_path, "y", name="wide.parquet"), starts)
    wanted = frame.iloc[: n - 2]
    dropped = ("word", "infinite", "nested")
    assert splits_of(wanted, tmp_path, "y", name="wide.parquet", drop=dropped).shape == (1,)


def test_a_table_without_a_usable_column_is_refused(tmp_path):
    frame = pd.DataFrame({"same": 1, "empty": np.nan, "y": ["a", "b"] * 20})
    (line,) = errors_of(frame, tmp_path, "y")
    assert line == (
        f"--data table:{tmp_path}/customers.csv: no column is left to learn from (dropped, constant in the training "
        "part: 'same'; dropped, no value in the training part: 'empty')"
    )


FILES = [
    ("a.csv", b"", "is no table: no columns to read"),
    ("a.csv", b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe", "is no table: it is not text, byte 8 is zero"),
    ("a.csv", b"a:b:y\n1:2:3\n", "has one column only ('a:b:y'); expected at least two, separated by commas, with "),
    ("a.csv", b"a,b,y\n", "has column names but no rows"),
    ("a.csv", b"a,b,y\n1,2,3\n1,2,3,4\n", "is no table: Error tokenizing data. C error: Expected 3 fields in line 3"),
    ("a.csv", b"a,y\n1,2,3\n4,5,6\n", "is no table: the first line has 2 names, and the others have 3 fields"),
    ("a.tsv", b"a:b\n1:2\n", "has one column only ('a:b'); expected at least two, separated by tabs, with their names"),
    ("a.parquet", b"PAR1 but not really", "is no table: "),
    ("a.csv.gz", b"not gzip", "cannot be read: Not a gzipped file"),
    ("a.xlsx", b"PK", "is no table: File is not a zip file"),
    ("a.csv", b"PK\x03\x04", "is no table: it is a ZIP archive or .xlsx"),
    (
        "a.csv",
        b"a,b,y\n1,2,3\n1,2\n1,2,3\n",
        "is no table: the first line has 3 names, and 1 row(s) have fewer fields (line 3",
    ),
    ("a.csv", b"a,b,y,b\n1,2,3,4\n", "several columns have one name ('b' 2); rename or remove all but one"),
    ("a.csv", b"a,b,y\n1,2,3\n" + bytes(99), "is no table: it is not text, byte 12 is zero"),
    ("table", b"a,b\n1,2\n", "the name must end in .csv, .tsv, .csv.gz, .tsv.gz, .parquet, .pq, .xlsx, got ''"),
]


@pytest.mark.parametrize(("name", "content", "said"), FILES, ids=[f"{name}: {said}" for name, _, said in FILES])
def test_a_file_that_is_no_table_is_refused_with_the_reason(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_splits(spec_of(tmp_path / name, "y"))
    (line,) = caught.value.errors
    assert line.startswith(f"--data table:{tmp_path / name}")
    assert said in line


def test_a_table_without_names_is_told_apart_from_a_misspelt_target(tmp_path):
    (tmp_path / "a.csv").write_text("5.1,3.5,setosa\n4.9,3.0,virginica\n")
    with pytest.raises(DataError, match=r"The first line looks like data, not like names: '5\.1', '3\.5', 'setosa'"):
        load_splits(spec_of(tmp_path / "a.csv", "species"))


def test_two_columns_of_one_name_are_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], names=["a", "a", "y"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet"):
        load_splits(spec_of(tmp_path / "a.parquet", "y"))


def test_names_are_compared_by_how_they_look(tmp_path):
    composed, decomposed = "\u00e4", "a\u0308"
    rows = "".join(f"{i % 7},{i},{i % 2}\n" for i in range(30))
    (tmp_path / "a.csv").write_text(f"x,z, {decomposed}\n{rows}", encoding="utf-8")
    assert load_splits(spec_of(tmp_path / "a.csv", composed)).labels == ("0", "1")
    assert load_splits(spec_of(tmp_path / "a.csv", decomposed)).labels == ("0", "1")
    (tmp_path / "b.csv").write_text(f"{composed},{decomposed},y\n{rows}", encoding="utf-8")
    with pytest.raises(DataError, match="several columns have one name"):
        load_splits(spec_of(tmp_path / "b.csv", "y"))
    (tmp_path / "c.csv").write_text(f"x,X,y\n{rows}")
    assert "columns of their own, though spelled alike: 'X', 'x'" in texts_of(
        load_splits(spec_of(tmp_path / "c.csv", "y")).notices
    )


def test_values_spelled_alike_are_named(tmp_path):
    rows = "".join(f"{i},{'ab'[i % 2]},{('Yes', 'no', 'yes')[i % 3]}\n" for i in range(30))
    (tmp_path / "a.csv").write_text(f"x,k,y\n{rows}")
    splits = load_splits(spec_of(tmp_path / "a.csv", "y"))
    assert splits.labels == ("Yes", "no", "yes")
    assert "values of their own, though spelled alike: 'y' ('Yes', 'yes')" in texts_of(splits.notices)


def test_classes_that_are_long_codes_are_refused_as_numbers_and_read_as_text(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n" + "".join(f"{i},{2**53 + i % 2}\n" for i in range(30)))
    with pytest.raises(DataError, match=r"whole numbers such as 9007199254740992, longer .*; --as 'y'=text"):
        load_splits(spec_of(tmp_path / "a.csv", "y"))
    asked = load_splits(spec_of(tmp_path / "a.csv", "y", read_as=("y=text",)))
    assert asked.labels == ("9007199254740992", "9007199254740993")


def test_a_truncated_gz_table_is_refused_with_the_reason(tmp_path):
    whole = gzip.compress(customers().to_csv(index=False).encode())
    (tmp_path / "a.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="is no table: Compressed file ended before"):
        load_splits(spec_of(tmp_path / "a.csv.gz"))


def test_a_table_file_without_read_permission_is_named(tmp_path, unprivileged):
    path = written(customers(), tmp_path)
    load_splits(spec_of(path))  # whoever has no permissions cannot import the rest either
    path.chmod(0)
    with unprivileged(), pytest.raises(DataError) as caught:
        load_splits(spec_of(path, seed=1))
    assert "cannot be read" in str(caught.value) or "there is no such file" in str(caught.value)


def test_an_absent_table_file_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere.csv: there is no such file"):
        load_splits(spec_of(tmp_path / "nowhere.csv"))


def test_fewer_training_examples_than_can_be_split_are_refused_in_one_line(tmp_path):
    spec = spec_of(written(customers(), tmp_path))
    n = len(load_splits(spec).train)
    assert len(load_splits(dataclasses.replace(spec, train_examples=30)).train) == 30
    with pytest.raises(DataError, match=f"train_examples {n - 1} of customers: {n} examples cannot be split into"):
        load_splits(dataclasses.replace(spec, train_examples=n - 1))

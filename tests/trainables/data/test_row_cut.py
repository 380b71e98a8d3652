"""Groups, time and files: no group is in two parts and nothing trains that is later, in the split and in every pair."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.drive.refits import refit_splits
from trainables.data import DataSpec, load_splits, load_test
from trainables.data.datasets import load_pair
from trainables.data.row_cut import RowRules, cut_rows
from trainables.data.row_keys import RowKeys
from trainables.errors import DataError
from trainables.notice import texts_of

N = 300
PAIRS = (None, 0, 1, 2, 3)


def visits(n=N, *, seed=0):
    """A row a visit; ``who`` and ``moment`` are the group and the time once more, as inputs that a test can read."""
    rng = np.random.default_rng(seed)
    who, moment = rng.integers(0, 40, n), np.sort(rng.integers(0, 120, n))
    a = rng.normal(size=n)
    return pd.DataFrame(
        {
            "patient": [f"P{number:03d}" for number in who],
            "day": (pd.Timestamp("2024-01-01") + pd.to_timedelta(moment, unit="D")).strftime("%d.%m.%Y"),
            "who": who + 0.5,
            "moment": moment + 0.5,
            "a": a.round(3),
            "w": rng.integers(1, 5, n),
            "ill": np.where(a + rng.normal(size=n) > 0.8, "yes", "no"),
            "cost": (100 + 30 * a).round(2),
        }
    ).sample(frac=1, random_state=seed)


def spec_of(frame, folder, name="visits.csv", **values):
    file = folder / name
    frame.to_csv(file, index=False) if file.suffix == ".csv" else frame.to_parquet(file, index=False)
    return DataSpec("visits", source="table", path=str(file), **{"target": "ill", "drop": ("cost",), **values})


def column(part, splits, name):
    """Return an input as the table has it."""
    encoders = splits.preprocessing.columns
    at = sum(encoder.width for encoder in encoders[: [encoder.name for encoder in encoders].index(name)])
    encoder = next(encoder for encoder in encoders if encoder.name == name)
    return np.round(part.x[:, at] * encoder.deviation + encoder.mean, 1)


def parts_of(spec, pair):
    """Return the splits and the values of every part, those that train first and those that score last."""
    if pair is None:
        splits = load_splits(spec)
        return splits, [splits.train, splits.val, load_test(spec)]
    found = load_pair(spec, seed=pair)
    return found.splits, [found.splits.train, found.splits.val, found.scored, found.test]


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("target", ["ill", "cost"])
def test_no_group_is_in_two_parts(target, pair, tmp_path):
    drop = ("cost",) if target == "ill" else ("ill",)
    splits, parts = parts_of(spec_of(visits(), tmp_path, target=target, drop=drop, group="patient"), pair)
    groups = [set(column(part, splits, "who").tolist()) for part in parts]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 40
    assert sum(map(len, parts)) == N
    assert 0.1 < len(parts[-1]) / N < 0.3


@pytest.mark.parametrize("pair", PAIRS)
def test_nothing_trains_that_is_as_late_as_what_is_watched_or_scored(pair, tmp_path):
    splits, parts = parts_of(spec_of(visits(), tmp_path, time="day"), pair)
    moments = [column(part, splits, "moment") for part in parts]
    for earlier, later in zip(moments, moments[1:], strict=False):
        assert earlier.max() < later.min()


def test_a_pair_in_time_scores_what_the_search_trained_on_and_origins_differ(tmp_path):
    spec = spec_of(visits(), tmp_path, time="day")
    splits = load_splits(spec)
    latest = column(splits.train, splits, "moment").max()
    pairs = [load_pair(spec, seed=seed) for seed in range(12)]
    assert all(column(pair.scored, pair.splits, "moment").max() <= latest for pair in pairs)
    assert len({len(pair.splits.train) for pair in pairs}) > 3
    assert min(len(pair.splits.train) for pair in pairs) > 0.4 * len(splits.train)


@pytest.mark.parametrize("pair", PAIRS)
def test_in_time_a_group_that_comes_again_is_left_out_of_the_earlier_part(pair, tmp_path):
    frame = visits()
    frame["patient"] = [f"P{int(m // 4)}" for m in frame["moment"]]  # a group lasts four days, and the cuts are within
    frame["who"] = (frame["moment"] // 4) + 0.5
    splits, parts = parts_of(spec_of(frame, tmp_path, time="day", group="patient"), pair)
    groups = [set(column(part, splits, "who").tolist()) for part in parts]
    assert sum(map(len, groups)) == len(set.union(*groups))
    moments = [column(part, splits, "moment") for part in parts]
    assert all(a.max() < b.min() for a, b in zip(moments, moments[1:], strict=False))
    if pair is None:
        assert any("left out, rows of a group that comes again" in text for text in texts_of(splits.notices))


@pytest.mark.parametrize("binding", [{"group": "patient"}, {"time": "day"}])
def test_what_refits_the_best_of_each_choice_is_bound_too(binding, tmp_path):
    splits = load_splits(spec_of(visits(), tmp_path, **binding))
    for seed in range(4):
        found = refit_splits(splits, seed=seed)
        trained, scored = (found.train, found.val)
        if "group" in binding:
            groups = [set(column(part, found, "who").tolist()) for part in (trained, scored)]
            assert not groups[0] & groups[1]
        else:
            assert column(trained, found, "moment").max() < column(scored, found, "moment").min()


def test_weights_come_along_into_refits_and_pairs_and_are_one_on_average(tmp_path):
    spec = spec_of(visits(), tmp_path, weight="w", class_weight="balanced")
    splits = load_splits(spec)
    for part in (splits.train, refit_splits(splits, seed=1).train, load_pair(spec, seed=2).splits.train):
        assert part.weights is not None and part.weights.mean() == pytest.approx(1)
        assert part.weights[part.y == 0].sum() == pytest.approx(part.weights[part.y == 1].sum(), rel=1e-4)
    assert splits.val.weights is None and len(np.unique(splits.train.weights)) == 8


def in_files(frame, folder, **values):
    """The earliest 60% to train, the next 20% to validate, the rest to test, each in another kind of file."""
    frame = frame.sort_values("moment", kind="stable")
    cuts = np.searchsorted(frame["moment"], np.quantile(frame["moment"], [0.6, 0.8]))
    train, val, test = (frame.iloc[a:b] for a, b in zip([0, *cuts], [*cuts, len(frame)], strict=True))
    val.sample(frac=1, axis=1, random_state=1).to_csv(folder / "val.csv", index=False, sep=";")
    test.to_parquet(folder / "test.parquet", index=False)
    files = {"val_file": str(folder / "val.csv"), "test_file": str(folder / "test.parquet")}
    return spec_of(train, folder, **{**files, **values}), (train, val, test)


def test_files_of_their_own_are_read_as_the_training_file(tmp_path):
    spec, (train, val, test) = in_files(visits(), tmp_path, drop=("cost", "patient"))
    splits, parts = parts_of(spec, None)
    for part, frame in zip(parts, (train, val, test), strict=True):
        assert len(part) == len(frame)
        assert np.array_equal(np.sort(column(part, splits, "moment")), np.sort(frame["moment"].round(1)))
        assert part.y.sum() == (frame["ill"] == "yes").sum()
    assert column(parts[0], splits, "a").mean() == pytest.approx(train["a"].mean(), abs=0.02)


def test_the_same_rows_in_files_and_in_time_are_the_same_examples(tmp_path):
    frame = visits().sort_values("moment", kind="stable")
    whole = load_splits(spec_of(frame, tmp_path, "all.csv", time="day", drop=("cost", "patient")))
    ends = np.cumsum([len(whole.train), len(whole.val)])
    frame.iloc[ends[0] : ends[1]].to_csv(tmp_path / "v.csv", index=False)
    frame.iloc[ends[1] :].to_csv(tmp_path / "t.csv", index=False)
    files = {"val_file": str(tmp_path / "v.csv"), "test_file": str(tmp_path / "t.csv")}
    spec = spec_of(frame.iloc[: ends[0]], tmp_path, time="day", drop=("cost", "patient"), **files)
    assert load_splits(spec).fingerprint == whole.fingerprint


@pytest.mark.parametrize("binding", [{}, {"time": "day"}])
def test_rows_of_a_validation_or_test_file_are_never_trained_on(binding, tmp_path):
    spec, (train, val, test) = in_files(visits(), tmp_path, drop=("cost", "patient"), **binding)
    for seed in range(3):
        pair = load_pair(spec, seed=seed)
        trained, watched, scored, held = (
            column(part, pair.splits, "moment") for part in (pair.splits.train, pair.splits.val, pair.scored, pair.test)
        )
        assert {*trained, *scored} <= set(train["moment"].round(1))
        assert np.array_equal(np.sort(held), np.sort(test["moment"].round(1)))
        if binding:
            assert trained.max() < watched.min() and watched.max() < scored.min()
        else:
            assert np.array_equal(np.sort(watched), np.sort(val["moment"].round(1)))
            assert len(scored) == len(val) // 2


def test_one_file_alone_leaves_the_other_part_to_be_cut(tmp_path):
    spec, (train, val, test) = in_files(visits(), tmp_path)
    only_val, only_test = (dataclasses.replace(spec, **{name: None}) for name in ("test_file", "val_file"))
    assert (len(load_splits(only_val).val), len(load_test(only_val))) == (len(val), round(0.2 * len(train)))
    assert (len(load_splits(only_test).val), len(load_test(only_test))) == (round(0.2 * len(train)), len(test))


def with_val(tmp_path, change, **values):
    frame = visits()
    frame["patient"] = frame["patient"].where(frame["moment"] < 80, "Q" + frame["patient"])
    spec, (_, val, _) = in_files(frame, tmp_path, **values)
    change(val.copy()).to_csv(tmp_path / "val.csv", index=False)
    return spec


BAD_FILES = {
    "a missing column": (lambda v: v.drop(columns="a"), {}, r"val-file val.csv: column 'a' is missing"),
    "a misspelled target": (lambda v: v.rename(columns={"ill": "Ill"}), {}, "'ill' is missing, the target. Did you"),
    "another class": (lambda v: v.assign(ill="maybe"), {}, "classes that the training file has not: 'maybe'"),
    "another kind": (lambda v: v.assign(a="red"), {}, "column 'a' holds 'red', and numbers in training"),
    "a shared group": (lambda v: v.assign(patient="P001"), {"group": "patient"}, "1 group of --data too: 'P001'"),
    "no group": (lambda v: v.drop(columns="patient"), {"group": "patient"}, "column 'patient' is missing"),
    "an earlier row": (
        lambda v: v.assign(day="01.01.2024"),
        {"time": "day", "drop": ("cost", "patient")},
        "not later than all of --data",
    ),
    "no target": (lambda v: v.assign(ill=None), {}, "'ill' has no value in any of"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_does_not_fit_is_refused_in_a_line(case, tmp_path):
    change, values, message = BAD_FILES[case]
    with pytest.raises(DataError, match=message) as caught:
        load_splits(with_val(tmp_path, change, **values))
    assert all(line.startswith(("--val-file", "--test-file")) for line in caught.value.errors)


def test_columns_that_training_did_not_have_and_rows_without_a_target_are_said(tmp_path):
    def change(val):
        val["ill"] = val["ill"].where(np.arange(len(val)) > 3, None)
        return val.assign(extra=1)

    texts = " ".join(texts_of(load_splits(with_val(tmp_path, change)).notices))
    assert "not used, as training did not have it: 1 column(s), 'extra'" in texts
    assert "val.csv: dropped, no value for the target: 4 rows" in texts


BAD_KEYS = {
    "the target": ({"group": "ill"}, "--group 'ill': it is the target"),
    "no column": ({"time": "dya"}, "--time 'dya' is no column of the table. Did you mean 'day'"),
    "dropped": ({"weight": "cost"}, "--weight 'cost': --drop leaves it out"),
    "named twice": ({"group": "w", "weight": "w"}, "--group 'w': it is named twice"),
    "text as time": ({"time": "patient"}, "--time 'patient' holds text; dates or numbers give an order"),
    "text as weight": ({"weight": "patient"}, "--weight 'patient' holds text; a weight is a number from 0"),
    "a negative weight": ({"weight": "a"}, "a weight is a finite number from 0"),
    "a missing group": ({"group": "gap"}, "--group 'gap' is missing in 1 of 300 rows"),
    "few groups": ({"group": "half"}, "2 groups are too few"),
    "one time": ({"time": "one"}, "1 different time"),
    "weights of 0": ({"weight": "none"}, "--weight 'none' is 0 in every training row"),
}


@pytest.mark.parametrize("case", BAD_KEYS)
def test_a_column_that_cannot_be_a_key_is_refused_in_a_line(case, tmp_path):
    values, message = BAD_KEYS[case]
    frame = visits().assign(half=np.arange(N) % 2, one=5, none=0)
    frame["gap"] = frame["patient"].where(np.arange(N) > 0, None)
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        load_splits(spec_of(frame, tmp_path, **values))


def test_keys_are_no_inputs_and_a_code_with_zeros_is_its_own_group(tmp_path):
    frame = visits().assign(patient=[("007", "7")[i % 2] + str(i % 13) for i in range(N)])
    splits = load_splits(spec_of(frame, tmp_path, group="patient", weight="w"))
    assert not {"patient", "w"} & {encoder.name for encoder in splits.preprocessing.columns}
    assert any("groups: 26 of 'patient', none in two parts" in text for text in texts_of(splits.notices))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=40, max_size=120),
    st.booleans(),
    st.booleans(),
    st.sampled_from([(0, 0), (20, 0), (0, 20), (20, 20)]),
    st.one_of(st.none(), st.integers(0, 5)),
)
def test_any_cut_is_refused_or_keeps_what_it_promises(values, in_time, grouped, files, pair):
    """Whatever the groups and times are: never a row twice, a group in two parts, or a later row that trains."""
    marks = np.array(values)
    times = marks.astype(float) if in_time else None
    groups = (marks * 7 % 11).astype(str) if grouped else None
    rules = RowRules(RowKeys(groups).first, times, *((0, files[1]) if in_time and not files[1] else files))
    try:
        parts = cut_rows(marks * 1.0, rules, numeric=True, seed=0, pair=pair)
        before = cut_rows(marks * 1.0, rules, numeric=True, seed=0)
    except DataError:
        return
    test, val, train = parts
    scored = test[len(before[0]) :] if pair is not None else test
    held = np.concatenate([test, val, train])
    assert len(np.unique(held)) == len(held) and len(train)
    if grouped:
        each = [set(groups[part]) for part in (test, val, train)]
        assert sum(map(len, each)) == len(set.union(*each))
    if in_time:
        order = [part for part in ((train, val, scored) if pair is not None else (train, val, test)) if len(part)]
        assert all(times[a].max() < times[b].min() for a, b in zip(order, order[1:], strict=False))

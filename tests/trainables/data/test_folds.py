"""Folds: those of scikit-learn, of all but the test part, in which no group, copy or later row leaks."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_diabetes, load_wine
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold, TimeSeriesSplit

from tests.trainables.data.test_row_cut import column, spec_of, visits
from trainables.data import DataSpec, load_splits, load_test
from trainables.data.datasets import load_pair
from trainables.data.fold_cut import Fold, with_fold, with_fold_of_groups
from trainables.data.fold_notice import small_folds
from trainables.data.parts import part_indices
from trainables.data.row_cut import RowRules
from trainables.data.row_folds import fold_rows
from trainables.errors import DataError

FOLDS = 4


def errors_of(spec):
    with pytest.raises(DataError) as caught:
        load_splits(spec)
    return list(caught.value.errors)


@pytest.mark.parametrize(
    ("name", "load", "splitter"), [("wine", load_wine, StratifiedKFold), ("diabetes", load_diabetes, KFold)]
)
def test_they_are_those_of_scikit_learn_each_standardised_by_its_own_training_part(name, load, splitter):
    x, y = load(return_X_y=True, **({"scaled": False} if name == "diabetes" else {}))
    test, *_ = part_indices(y, numeric=name == "diabetes", seed=3)
    kept = np.setdiff1d(np.arange(len(y)), test)
    folds = load_splits(DataSpec(name, seed=3, folds=FOLDS)).folds
    expected = list(splitter(FOLDS, shuffle=True, random_state=3).split(kept, y[kept]))
    for fold, (train, val) in zip(folds, expected, strict=True):
        mean, deviation = x[kept[train]].mean(axis=0), x[kept[train]].std(axis=0)
        for part, at in ((fold.train, train), (fold.val, val)):
            # float32 of numbers that are standardised in float64 here
            np.testing.assert_allclose(part.x, (x[kept[at]] - mean) / deviation, atol=1e-4)


def test_the_parts_of_the_search_and_its_pairs_stay_what_they_are():
    plain, folded = DataSpec("wine"), DataSpec("wine", folds=FOLDS)
    assert load_splits(folded).fingerprint == load_splits(plain).fingerprint
    assert np.array_equal(load_test(folded).x, load_test(plain).x)
    pair, same = load_pair(folded, seed=1), load_pair(plain, seed=1)
    assert pair.splits.fingerprint == same.splits.fingerprint
    assert not pair.splits.folds


def test_every_example_but_those_of_test_validates_once(tmp_path):
    splits = load_splits(spec_of(visits(), tmp_path, target="cost", drop=("ill",), folds=FOLDS))
    held = np.concatenate([column(fold.val, fold, "a") for fold in splits.folds])
    dev = np.concatenate([column(part, splits, "a") for part in (splits.train, splits.val)])
    assert sorted(held.tolist()) == sorted(dev.tolist())


@pytest.mark.parametrize("target", ["ill", "cost"])
def test_no_group_is_in_two_parts_of_a_fold(target, tmp_path):
    drop = ("cost",) if target == "ill" else ("ill",)
    spec = spec_of(visits(), tmp_path, target=target, drop=drop, group="patient", folds=FOLDS)
    splits = load_splits(spec)
    tested = set(column(load_test(spec), splits, "who").tolist())
    validated = list[float]()
    for fold in splits.folds:
        trained, held = (set(column(part, fold, "who").tolist()) for part in (fold.train, fold.val))
        assert not trained & held
        assert not (trained | held) & tested
        assert len(trained | held | tested) == 40
        validated += held
    assert len(validated) == len(set(validated)), "a group validates once"
    assert "by StratifiedGroupKFold" in splits.notices[-1].text


def test_groups_are_dealt_by_scikit_learn():
    rng = np.random.default_rng(0)
    groups, y = rng.integers(0, 30, 200), rng.integers(0, 2, 200)
    test, rest = np.arange(40), np.arange(40, 200)
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=1)
    for i, (train, val) in enumerate(splitter.split(rest, y[rest], groups[rest])):
        found = with_fold_of_groups([test, rest[:50], rest[50:]], y, Fold(i, FOLDS, 1), groups)
        assert [part.tolist() for part in found] == [test.tolist(), rest[val].tolist(), rest[train].tolist()]


@pytest.mark.parametrize("group", [None, "patient"])
def test_nothing_trains_that_is_as_late_as_what_validates(group, tmp_path):
    frame = visits().assign(who=lambda v: v["moment"] // 7, patient=lambda v: "P" + v["who"].astype(str))
    spec = spec_of(frame, tmp_path, time="day", group=group, folds=FOLDS)
    splits = load_splits(spec)
    earliest_test = column(load_test(spec), splits, "moment").min()
    sizes = []
    for fold in splits.folds:
        trained, held = (column(part, fold, "moment") for part in (fold.train, fold.val))
        assert trained.max() < held.min() <= held.max() < earliest_test
        sizes.append(len(trained))
        if group is not None:
            who, later = (set(column(part, fold, "who").tolist()) for part in (fold.train, fold.val))
            assert not who & later
    assert sizes == sorted(sizes), "the window expands"


def test_in_time_they_are_those_of_scikit_learn_where_no_two_rows_have_one_time(tmp_path):
    frame = visits().assign(moment=np.random.default_rng(2).permutation(300) + 0.5)
    frame["stamp"] = frame["moment"]
    splits = load_splits(spec_of(frame, tmp_path, time="stamp", drop=("cost", "day"), folds=FOLDS))
    order = np.sort(np.concatenate([column(part, splits, "moment") for part in (splits.train, splits.val)]))
    for fold, (train, val) in zip(splits.folds, TimeSeriesSplit(FOLDS).split(order), strict=True):
        assert sorted(column(fold.train, fold, "moment").tolist()) == order[train].tolist()
        assert sorted(column(fold.val, fold, "moment").tolist()) == order[val].tolist()


def test_weights_and_balance_are_those_of_each_fold(tmp_path):
    spec = spec_of(visits(), tmp_path, weight="w", class_weight="balanced", folds=FOLDS)
    for fold in load_splits(spec).folds:
        assert fold.train.weights.mean() == pytest.approx(1, rel=1e-6)
        sums = np.bincount(fold.train.y, weights=fold.train.weights)
        assert sums[0] == pytest.approx(sums[1], rel=1e-5)


def test_copies_of_a_picture_are_in_one_part_of_a_fold(tmp_path):
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for i in range(12):
            image = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
            for copy in range(1 + i % 3):
                image.save(tmp_path / label / f"{i}_{copy}.png")
    spec = DataSpec("pets", source="images", path=str(tmp_path), image_size=8, pixels=True, folds=3)
    for fold in load_splits(spec).folds:
        trained, held = ({image.tobytes() for image in part.x} for part in (fold.train, fold.val))
        assert not trained & held


def test_examples_with_copies_are_dealt_by_their_first():
    first = np.array([0, 0, 2, 3, 3, 5, 6, 7])
    y = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    none = np.arange(0)
    for i in range(3):
        _, held, trained = with_fold([none, np.arange(4), np.arange(4, 8)], y, Fold(i, 3, 0), first=first)
        assert not set(first[held].tolist()) & set(first[trained].tolist())
        assert sorted([*held.tolist(), *trained.tolist()]) == list(range(8))


def test_what_cannot_be_cut_into_folds_is_said_in_a_line(tmp_path):
    few = visits()
    few["patient"] = [f"P{i % 6}" for i in range(len(few))]
    spec = spec_of(few, tmp_path, group="patient", folds=6)
    assert errors_of(spec) == ["--folds 6: there are 4 groups that are not for test; use --folds 4"]
    rare = visits().assign(ill=["rare" if i < 4 else "no" for i in range(N_ROWS)])
    assert errors_of(spec_of(rare, tmp_path, folds=5)) == [
        "--folds 5: a class has 3 training and validation example(s); use --folds 3 or fewer"
    ]
    moments = visits().assign(day=[f"0{1 + i % 5}.01.2024" for i in range(N_ROWS)])
    (line,) = errors_of(spec_of(moments, tmp_path, time="day", folds=5))
    assert "--time: 4 different time(s) are too few" in line
    groups = np.array([0, 1, 2, 0, 1, 2, 3, 4])
    rules = RowRules(groups, np.arange(8.0))
    with pytest.raises(
        DataError,
        match="fold 1 has 1 row whose group does not come again when it validates to train on, and needs 10; use fewer",
    ):
        fold_rows([np.arange(0), np.arange(5, 8), np.arange(5)], np.zeros(8), rules, Fold(0, 3, 0), numeric=True)


N_ROWS = len(visits())


def test_a_fold_has_no_folds():
    splits = load_splits(DataSpec("wine", folds=2))
    assert [fold.spec.folds for fold in splits.of_a_trial] == [None, None]
    scratch = dataclasses.replace(splits, scratch="/somewhere", shared=True, extra_metrics=("val_macro_f1",))
    assert {(f.scratch, f.shared, f.extra_metrics) for f in scratch.of_a_trial} == {
        ("/somewhere", True, ("val_macro_f1",))
    }
    (alone,) = load_splits(DataSpec("wine")).of_a_trial
    assert not alone.folds


def test_a_fold_in_time_needs_rows_to_train_on_and_a_small_one_is_warned_of(tmp_path):
    frame = visits().assign(stamp=np.arange(N_ROWS) + 0.5)
    few = spec_of(frame.head(60), tmp_path, time="stamp", drop=("cost", "day"), folds=5)
    assert errors_of(few) == ["--folds 5: fold 1 has 8 rows to train on, and needs 10; use fewer folds"]
    # most rows are of a group whose visits span the cuts
    apart = np.arange(N_ROWS) % 5 < 3
    frame["patient"] = [f"P{i}" if lone else f"Q{i // 100}" for i, lone in enumerate(apart)]
    again = load_splits(spec_of(frame, tmp_path, time="stamp", group="patient", drop=("cost", "day"), folds=4))
    assert [notice.kind for notice in again.notices if notice.warning and "rows of a group" in notice.text]
    (left,) = (notice for notice in again.notices if notice.kind == "later_groups")
    assert left.text.endswith(f"{left.count:,} of {N_ROWS} rows, {left.count / N_ROWS:.0%}")


def test_a_fold_that_trains_on_less_than_half_of_its_span_is_warned_of():
    splits = load_splits(DataSpec("wine", folds=3))
    spec = DataSpec("wine", source="table", group="patient", time="day", folds=3)
    short = dataclasses.replace(splits.folds[0], train=splits.folds[0].train.at(slice(12)))
    (notice,) = small_folds([short, *splits.folds[1:]], splits, spec)
    assert notice.warning and "are left out: 12 of about 36 rows in fold 1; fewer folds" in notice.text
    assert not small_folds(splits.folds, splits, spec)
    assert not small_folds([short], splits, dataclasses.replace(spec, group=None))

"""A pair: what scores a run trained the search's trials, and chose no epoch, no configuration and no preprocessing."""

import numpy as np
import pytest

from tests.support.image_folders import fill, spec_of
from trainables.data import DataSpec, load_splits, load_test
from trainables.data.datasets import load_pair
from trainables.data.pair_cut import with_pair
from trainables.data.parts import part_indices
from trainables.errors import DataError


@pytest.mark.parametrize("numeric", [True, False])
@pytest.mark.parametrize("pair", [0, 1, 7])
def test_what_scores_was_trained_on_and_what_is_watched_validated(numeric, pair):
    y = np.random.default_rng(0).integers(0, 3, 200)
    test, val, train = (set(part) for part in part_indices(y, numeric=numeric, seed=0))
    held, watched, trained = part_indices(y, numeric=numeric, seed=0, recut=pair)
    scored = set(held[len(test) :])
    assert set(held[: len(test)]) == test
    assert scored <= train
    assert set(watched) <= val
    assert not scored & set(trained) and not set(watched) & set(trained)
    assert len(trained) == len(train) and len(scored) == len(val) // 2
    assert scored | set(watched) | set(trained) == val | train


def test_pairs_differ_and_a_pair_does_not():
    y = np.arange(100.0)
    cuts = [part_indices(y, numeric=True, seed=0, recut=pair) for pair in (0, 1, 0)]
    assert all(np.array_equal(a, b) for a, b in zip(cuts[0], cuts[2], strict=True))
    assert not np.array_equal(cuts[0][0], cuts[1][0])


def test_classes_keep_their_proportions_and_rare_ones_do_not_stop_it():
    y = np.repeat([0, 1], [300, 100])
    held, watched, trained = part_indices(y, numeric=False, seed=0, recut=3)
    assert y[held[80:]].mean() == y[watched].mean() == pytest.approx(0.25)
    rare = np.concatenate([np.zeros(60, np.int64), [1]])
    scored, *_ = with_pair([np.array([60]), np.arange(20), np.arange(20, 60)], rare, 0)
    assert len(scored) == 1 + 10


def test_copies_stay_together():
    first = np.arange(40)
    first[30:] = np.arange(10)  # ten of them have a copy
    indices = [np.arange(0), np.arange(10, 20), np.setdiff1d(np.arange(40), np.arange(10, 20))]
    parts = with_pair(indices, None, 0, first=first)
    groups = [set(first[part]) for part in parts]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    assert sum(map(len, parts)) == 40


def test_too_few_examples_are_refused():
    with pytest.raises(DataError, match="too few for a re-split"):
        with_pair([np.arange(2), np.array([2]), np.arange(3, 9)], None, 0)


def table(tmp_path):
    rng = np.random.default_rng(0)
    lines = [
        f"{a:.4f},{'xyz'[b]},{a + b:.4f}" for a, b in zip(rng.normal(5, 3, 200), rng.integers(0, 3, 200), strict=True)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,c", *lines]))
    return DataSpec(name="t", source="table", path=str(tmp_path / "t.csv"), target="c")


def arrays(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", x=rng.normal(2, 5, (100, 4)), y=rng.integers(0, 2, 100))
    return DataSpec(name="a", source="arrays", path=str(tmp_path / "a.npz"))


def images(tmp_path):
    fill(tmp_path / "i")
    return spec_of(tmp_path / "i")


SOURCES = {
    "digits": lambda tmp_path: DataSpec("digits"),
    "few": lambda tmp_path: DataSpec("digits", train_examples=100),
    "half": lambda tmp_path: DataSpec("digits", pixels=True, half="second"),
    "diabetes": lambda tmp_path: DataSpec("diabetes"),
    "table": table,
    "arrays": arrays,
    "images": images,
}


@pytest.mark.parametrize("source", SOURCES)
def test_preprocessing_is_learned_from_the_pairs_own_training_part(source, tmp_path):
    spec = SOURCES[source](tmp_path)
    splits, pair = load_splits(spec), load_pair(spec, seed=5)
    x = pair.splits.train.x
    assert len(pair.splits.train) == len(splits.train)
    assert len(pair.test) == splits.test_examples == len(load_test(spec))
    assert 0 < len(pair.scored) <= len(splits.val)
    if x.dtype.kind == "f" and source != "few":  # of fewer, the whole training part is what was standardised by
        numbers = x[:, :1] if source == "table" else x  # the others are one column a text
        assert np.abs(numbers.mean(axis=0)).max() < 1e-3
    if splits.scale is not None:
        assert pair.splits.scale is not None and pair.splits.scale != splits.scale
        own = pair.test.y * pair.splits.scale.deviation + pair.splits.scale.mean
        before = load_test(spec).y * splits.scale.deviation + splits.scale.mean
        assert np.allclose(own, before, rtol=1e-4, atol=1e-3)
    else:
        assert np.array_equal(pair.test.y, load_test(spec).y)


def test_the_splits_of_a_search_hold_no_test_examples():
    splits = load_splits(DataSpec("digits"))
    held = [value for value in vars(splits).values() if hasattr(value, "x")]
    assert len(held) == 2 and {len(part) for part in held} == {len(splits.train), len(splits.val)}

"""Data declared from Python: what a program holds, or a path; read as a person would think, or refused in a line."""

import os
import stat
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn import datasets
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from search import RunError, UsageError, declare, run
from search.drive.continuation import extend_study
from search.drive.engine import resume
from search.drive.examples import load_data
from search.drive.kept_data import keeping_data
from search.face.live_view import Silent
from search.ledger.paths import Paths
from trainables.data import DataSpec, load_splits

N = 120
rng = np.random.default_rng(0)
X = rng.normal(size=(N, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)
FRAME = pd.DataFrame(X, columns=list("abcd")).assign(place=rng.choice(["u", "v"], N), label=np.where(Y, "yes", "no"))
IMAGES, KINDS = rng.integers(0, 255, (60, 6, 6), dtype=np.uint8), np.arange(60) % 3
QUIET = {"budget": {"trials": 2, "max_epochs": 2}, "tracking": {"enabled": False}}


class Pictures(Dataset):
    classes = ("cat", "dog", "eel")

    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, i):
        return torch.tensor(IMAGES[i])[None] / 255, int(KINDS[i])


class Endless(IterableDataset):
    def __iter__(self):
        yield from ()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    FRAME.to_csv(folder / "t.csv", index=False)
    np.savez(folder / "a.npz", x=X, y=Y)
    for first, name in ((0, "a"), (10, "b")):
        (folder / "img" / name).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(IMAGES[first + i]).save(folder / "img" / name / f"{i}.png")
    return folder


@pytest.fixture(autouse=True)
def inside(files, monkeypatch):
    monkeypatch.chdir(files)


HALVES = (X[:80], Y[:80], X[80:], Y[80:])
TAKEN = {
    "a folder": (dict(data={"path": "img"}), ("images", 12, (1, 32, 32))),
    "a folder's name": (dict(data="img"), ("images", 12, (1, 32, 32))),
    "a table": (dict(data={"path": "t.csv", "target": "label"}), ("table", 72, (6,))),
    "a path": (dict(data=Path("t.csv"), target="label"), ("table", 72, (6,))),
    "text as after --data": (dict(data="table:t.csv", target="label"), ("table", 72, (6,))),
    "a file of arrays": (dict(data="a.npz"), ("arrays", 72, (4,))),
    "a name": (dict(data="wine"), ("named", 106, (13,))),
    "a frame": (dict(data=FRAME, target="label"), ("table", 72, (6,))),
    "a frame and fields": (dict(data={"frame": FRAME, "target": "label", "drop": ["a"]}), ("table", 72, (5,))),
    "a frame of mixed values": (dict(data=FRAME.assign(place=[1, "u"] * 60), target="label"), ("table", 72, (6,))),
    "a frame and a series": (dict(data=(FRAME.drop(columns="label"), FRAME["label"])), ("table", 72, (6,))),
    "arrays": (dict(data=(X, Y)), ("arrays", 72, (4,))),
    "lists": (dict(data=(X.tolist(), Y.tolist())), ("arrays", 72, (4,))),
    "one column": (dict(data=(X, Y[:, None])), ("arrays", 72, (4,))),
    "one column a class": (dict(data=(X, np.eye(2)[Y])), ("arrays", 72, (4,))),
    "words": (dict(data=(X, FRAME["label"].to_numpy())), ("arrays", 72, (4,))),
    "named arrays": (dict(data={"x": X, "y": Y, "seed": 3}), ("arrays", 72, (4,))),
    "tensors of two parts": (dict(data=tuple(map(torch.tensor, HALVES))), ("arrays", 64, (4,))),
    "pairs of two parts": (dict(data=(HALVES[:2], HALVES[2:])), ("arrays", 64, (4,))),
    "three parts": (dict(data=(*HALVES[:2], X[80:100], Y[80:100], X[100:], Y[100:])), ("arrays", 80, (4,))),
    "grey images": (dict(data=(IMAGES, KINDS)), ("arrays", 36, (1, 6, 6))),
    "channels last": (dict(data=(np.stack([IMAGES] * 3, -1), KINDS)), ("arrays", 36, (3, 6, 6))),
    "a dataset": (dict(data=Pictures()), ("arrays", 36, (1, 6, 6))),
    "two datasets": (dict(data=(Pictures(), Pictures())), ("arrays", 48, (1, 6, 6))),
    "tensors in a dataset": (dict(data=TensorDataset(torch.tensor(X), torch.tensor(Y))), ("arrays", 72, (4,))),
    "a bunch": (dict(data=datasets.load_iris()), ("table", 90, (4,))),
    "a bunch of frames": (dict(data=datasets.load_iris(as_frame=True)), ("table", 90, (4,))),
    "a bunch's pair": (dict(data=datasets.load_wine(return_X_y=True)), ("arrays", 106, (13,))),
}
REFUSED = {
    "no such path": (dict(data={"path": "nope.csv"}), "nope.csv: there is no such file or folder"),
    "a wrong name": (dict(data="wien"), "Did you mean 'wine'?"),
    "no target": (dict(data={"path": "t.csv"}), "needs data.target COLUMN"),
    "a path of what is named": (dict(data={"path": "img", "source": "named"}), "and it is named"),
    "a name and a path": (dict(data={"path": "t.csv", "name": "wine", "target": "label"}), "name different data"),
    "an unknown field": (dict(data={"path": "t.csv", "target": "label", "tusk": 1}), "Did you mean 'task'?"),
    "a size of no images": (dict(data={"name": "wine", "image_size": 64}), "data.image_size 64 is not used"),
    "a folder of no files": (dict(data={"name": "wine", "data_dir": "x"}), "data.data_dir 'x' is not used"),
    "a target of images": (dict(data={"path": "img"}, target="y"), "data.target 'y' is for"),
    "two targets": (dict(data={"path": "t.csv", "target": "a"}, target="label"), "differ; give one of them"),
    "two ways": (dict(data={"frame": FRAME, "x": X, "target": "label"}), "arrays and frame name different data"),
    "a frame without a target": (dict(data=FRAME), "a DataFrame of 120 rows x 6 columns needs target=COLUMN"),
    "a misspelt target of a frame": (dict(data={"frame": FRAME, "tagret": "label"}), "Did you mean 'target'?"),
    "nothing": (dict(data=None), "data: None is not taken; expected"),
    "no such file": (dict(data="nope.csv", target="a"), "nope.csv is no file, no folder and no data set by name"),
    "a wrong column": (dict(data=FRAME, target="lable"), "Did you mean 'label'?"),
    "two columns of a name": (
        dict(data=pd.concat([FRAME, FRAME["a"]], axis=1), target="label"),
        "has two columns called 'a'",
    ),
    "no targets": (dict(data=X), "a ndarray of shape (120, 4) has no targets"),
    "a series": (dict(data=FRAME["a"]), "has no targets"),
    "fewer targets": (dict(data=(X, Y[1:])), "x has 120 examples, y has 119"),
    "several targets": (dict(data=(X, X)), "y has the shape (120, 4)"),
    "another order": (dict(data=(X[:80], X[80:], Y[:80], Y[80:])), "the order is x_train, y_train, x_val, y_val"),
    "three arrays": (dict(data=(X, Y, X)), "a tuple of 3"),
    "missing numbers": (dict(data=(np.where(X > 2, np.nan, X), Y)), "are NaN or infinite"),
    "objects": (dict(data=(X, np.array([object()] * N))), "holds objects"),
    "an endless dataset": (dict(data=Endless()), "an Endless is not taken"),
    "a loader": (dict(data=DataLoader(Pictures())), "is not taken; expected"),
    "something else": (dict(data=object()), "an object is not taken"),
    "a frame as a setting": (dict(settings={"hidden": FRAME}), "settings.hidden: a DataFrame is no plain data"),
}


@pytest.mark.parametrize("how", TAKEN)
def test_what_is_taken_is_what_was_given(how):
    given, (source, train, shape) = TAKEN[how]
    splits = load_data(declare("regularization", **given))
    assert (splits.spec.source, len(splits.train), splits.shape) == (source, train, shape)


@pytest.mark.parametrize("how", REFUSED)
def test_what_is_refused_is_refused_in_one_line_that_shows_no_data(how):
    given, words = REFUSED[how]
    with pytest.raises(UsageError) as caught:
        declare("regularization", **given)
    (line,) = caught.value.errors
    assert words in line
    assert len(line) < 400


def test_a_frame_is_read_as_the_file_of_the_same_table_is():
    from_file = load_splits(DataSpec("t", source="table", path=os.path.abspath("t.csv"), target="label"))
    study = declare("regularization", data=pd.read_csv("t.csv"), target="label")
    assert load_data(study).fingerprint == from_file.fingerprint


def test_the_parts_that_were_given_stay_what_they_were():
    order = rng.permutation(80)
    six = (*HALVES[:2], X[80:100], Y[80:100], X[100:], Y[100:])
    splits = load_data(declare("regularization", data=six))
    assert splits.val.y.tolist() == Y[80:100].tolist()
    assert splits.test_examples == 20
    again = load_data(declare("regularization", data=(X[:80][order], Y[:80][order], *six[2:])))
    np.testing.assert_allclose(again.train.x, splits.train.x[order], atol=1e-5)  # means of float32, in another order
    (cut,) = [n for n in load_data(declare("regularization", data=HALVES)).notices if n.kind == "arrays_test_cut"]
    assert cut.count == 16


def test_an_index_with_a_name_is_no_input_and_that_is_said():
    with pytest.warns(UserWarning, match=r"the index of the frame \(place\) is no input"):
        declare("regularization", data=FRAME.set_index("place"), target="label")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        declare("regularization", data=FRAME.sample(frac=1, random_state=0), target="label")


def test_a_named_target_of_arrays_is_a_regression_where_that_is_said():
    study = declare("regression", data={"x": X, "y": X[:, 0].round(), "task": "regression"})
    assert load_data(study).task == "regression"


class Heard(Silent):
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


@pytest.mark.parametrize("data", [dict(data=FRAME, target="label"), dict(data=(X, Y))], ids=["frame", "arrays"])
def test_what_a_program_held_outlives_it(data, tmp_path):
    study, view = declare("regularization", name="mine", **data, **QUIET), Heard()
    found = run(study, home=tmp_path, view=view)
    kept = Path(found.study.data.path)
    assert kept.is_relative_to(tmp_path / "mine")
    assert any(str(kept) in line for line in view.said)
    Path(study.data.path).unlink()  # as at the program's end
    more = partial(extend_study, trials=1, max_epochs=None, time_budget=None, set_=())
    _, extended = resume(Paths(tmp_path, "mine"), view=Silent(), load=load_data, change=more)
    assert extended.answer.trials == 3


def test_a_home_that_begins_with_what_a_program_held_is_its_owners_alone(tmp_path):
    study, home = declare("regularization", name="mine", data=(X, Y), **QUIET), tmp_path / "home"
    before = os.umask(0o022)
    try:
        with keeping_data(study, Path(study.data.path), Paths(home, "mine"), print) as kept:
            assert [stat.S_IMODE(path.stat().st_mode) for path in (home, Path(kept.data.path))] == [0o700, 0o600]
            assert load_splits(kept.data).fingerprint == load_splits(study.data).fingerprint
    finally:
        os.umask(before)
    assert not home.exists(), "no search began"


def test_a_resume_from_python_takes_the_same_data_and_refuses_others(tmp_path):
    found = run(declare("regularization", name="mine", data=(X, Y), **QUIET), home=tmp_path)
    again = run(declare("regularization", name="mine", data=(X, Y), **QUIET), home=tmp_path, resume=True)
    assert again.answer == found.answer
    with pytest.raises(RunError, match="the data of mine are not what they were"):
        run(declare("regularization", name="mine", data=(X + 1, 1 - Y), **QUIET), home=tmp_path, resume=True)


def test_what_is_refused_when_it_is_run_leaves_no_folder(tmp_path):
    home = tmp_path / "home"
    study = declare("regularization", data=(X, Y), **QUIET, metrics=["val_roc_auc"], objective={"metric": "val_loss"})
    study = study.model_copy(update={"data": study.data.__class__(**{**vars(study.data), "train_examples": 10**6})})
    with pytest.raises(UsageError, match="train_examples"):
        run(study, home=home)
    assert not home.exists()


def test_run_says_what_it_takes(tmp_path):
    with pytest.raises(UsageError, match=r"run takes what declare returned, got 'tabular'"):
        run("tabular", home=tmp_path)

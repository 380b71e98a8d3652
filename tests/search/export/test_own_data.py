"""Data that a program holds or a function returns: the exported model answers them as the search saw it."""

import numpy as np
import pandas as pd
import pytest

from search import UsageError, declare, load_model, run
from search.export.folder import read_config
from tests.search.export import data_functions as mine
from tests.support.command import invoke
from trainables.data import load_splits
from trainables.data.parts import part_indices

SMALL = {
    "budget": {"trials": 2, "max_epochs": 2},
    "scheduler": {"name": "none"},
    "confirm": {"pairs": 0},
    "tracking": {"enabled": False},
}
FUNCTION = f"python:{mine.__name__}"
FRAME = pd.DataFrame(mine.X, columns=list("abcde")).assign(
    place=np.where(mine.AMOUNT > 9, "here", "there"), label=np.where(mine.Y, "yes", "no")
)
HELD_OUT = slice(mine.TRAINED, None)


def searched(folder, data, target=None, *, kind="tabular"):
    found = run(declare(kind, data=data, target=target, name="mine", **SMALL), home=folder / "home")
    return found, found.export(folder / "model")


def answers(folder, x, name):
    """Return what ``predict`` prints of raw examples in a file."""
    file = folder / name
    x.to_csv(file, index=False) if name.endswith("csv") else np.save(file, x)
    invoke("predict", folder / "model", file, "--out", folder / "answers.csv")
    return pd.read_csv(folder / "answers.csv")


@pytest.mark.parametrize(
    ("name", "x"), [("rows", mine.X), ("images", mine.PIXELS), ("datasets", mine.X)], ids=["rows", "images", "datasets"]
)
def test_classes_of_what_a_function_returns(tmp_path, name, x):
    found, folder = searched(tmp_path, f"{FUNCTION}:{name}", kind="regularization")
    best = found.answer.best
    told = answers(tmp_path, x[HELD_OUT], "new.npy")
    y = mine.Y[HELD_OUT]
    assert (told["prediction"] == y).mean() == pytest.approx(best.metrics["val_accuracy"])
    truth = told[["probability_0", "probability_1"]].to_numpy()[np.arange(len(y)), y]
    assert -np.log(truth).mean() == pytest.approx(best.value, rel=1e-4)  # lanes sum float32 in another order
    assert (load_model(folder).predict(x[HELD_OUT]) == told["prediction"]).all()


def test_classes_of_datasets_that_are_streamed(tmp_path):
    found, _ = searched(tmp_path, {"path": f"{FUNCTION}:datasets", "memory_mb": 0}, kind="regularization")
    told = answers(tmp_path, mine.X[HELD_OUT], "new.npy")
    right = (told["prediction"] == mine.Y[HELD_OUT]).mean()
    assert right == pytest.approx(found.answer.best.metrics["val_accuracy"])
    with pytest.raises(UsageError, match="is streamed, and --refit trains on examples that are held"):
        found.export(tmp_path / "refit", refit=True)


def test_a_number_of_what_a_function_returns_is_in_its_own_units(tmp_path):
    found, _ = searched(tmp_path, f"{FUNCTION}:numbers", kind="regression")
    told = answers(tmp_path, mine.X[HELD_OUT], "new.npy")
    error = np.abs(told["prediction"] - mine.AMOUNT[HELD_OUT]).mean()
    assert error == pytest.approx(found.answer.best.metrics["val_mae"], rel=1e-5)


def test_arrays_that_a_program_holds(tmp_path):
    found, _ = searched(tmp_path, (mine.X, mine.Y))
    _, val, _ = part_indices(mine.Y, numeric=False, seed=0)
    told = answers(tmp_path, mine.X[val], "new.npy")
    assert (told["prediction"] == mine.Y[val]).mean() == pytest.approx(found.answer.best.metrics["val_accuracy"])


def test_a_frame_that_a_program_holds_is_answered_as_a_file_of_its_rows(tmp_path):
    found, folder = searched(tmp_path, FRAME, "label")
    _, val, _ = part_indices(mine.Y, numeric=False, seed=0)
    told = answers(tmp_path, FRAME.drop(columns="label").iloc[val], "new.csv")
    right = told["prediction"].to_numpy() == FRAME["label"].to_numpy()[val]
    assert right.mean() == pytest.approx(found.answer.best.metrics["val_accuracy"])
    assert list(told.columns) == ["prediction", "probability_no", "probability_yes"]
    of_memory = load_model(folder).predict_frame(FRAME.iloc[val])
    np.testing.assert_allclose(of_memory["probability_yes"], told["probability_yes"], rtol=1e-6)


@pytest.mark.parametrize("data", [f"{FUNCTION}:rows", (mine.X, mine.Y)], ids=["of a function", "held"])
def test_a_refit_reads_what_was_kept_of_them(tmp_path, data):
    found, _ = searched(tmp_path, data)
    splits = load_splits(found.study.data)
    config = read_config(found.export(tmp_path / "refit", refit=True))
    assert config["refit"]["examples"] == len(splits.train) + len(splits.val)
    assert load_model(tmp_path / "refit").predict_proba(mine.X).shape == (160, 2)


def test_a_file_that_does_not_fit_is_named(tmp_path):
    from typer.testing import CliRunner

    from search.commands.verbs import app

    _, folder = searched(tmp_path, f"{FUNCTION}:rows")
    np.save(tmp_path / "wide.npy", mine.PIXELS)
    FRAME.to_csv(tmp_path / "table.csv", index=False)

    def refusal(name):
        done = CliRunner().invoke(app, ["predict", str(folder), str(tmp_path / name)])
        assert isinstance(done.exception, UsageError)
        (line,) = done.exception.errors
        return line

    assert refusal("wide.npy") == f"{tmp_path}/wide.npy: an array [N, 5] of numbers is needed, got [160, 1, 6, 6]"
    assert refusal("table.csv").startswith(f"{tmp_path}/table.csv: this model was trained on arrays, and takes a .npy")

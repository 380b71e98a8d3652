"""What is kept with a model: raw examples in, the recorded metric out; what is unlike training is said or refused."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from tests.trainables.kept_examples import (
    customers,
    keep,
    kept,
    of_arrays,
    of_diabetes,
    of_digits,
    of_photos,
    of_table,
    of_wine,
)
from trainables import checkpoint
from trainables.best import BestModels, load_model
from trainables.checkpoint_store import CheckpointStore
from trainables.data import DataSpec, load_splits
from trainables.data.image_preprocessing import ImagePreprocessing
from trainables.data.preprocessing import PreprocessingWarning
from trainables.errors import CheckpointError, DataError
from trainables.report import EpochReport

CNN = {"trainable": "net", "params": {"model": "cnn", "channels": "4", "head": "8"}, "epochs": 2}
FROZEN = {"backbone": "narrow_resnet", "weights": "none", "freeze_depth": 5, "input_size": 12}
CLASSIFIED = {
    "table": (lambda folder: of_table(folder, "plan"), {"epochs": 3}),
    "table of whole-number classes": (lambda folder: of_table(folder, "grade"), {"epochs": 3}),
    "digits": (of_digits, {"epochs": 2}),
    "digits, cnn": (of_digits, CNN),
    "photos, cnn": (of_photos, CNN),
    "arrays": (lambda folder: of_arrays(folder, (5,)), {"epochs": 2}),
    "arrays of images, cnn": (lambda folder: of_arrays(folder, (2, 6, 6)), CNN),
    "photos, transfer": (
        lambda folder: of_photos(folder, pixels=True),
        {"trainable": "transfer", "params": FROZEN, "epochs": 2},
    ),
    **{
        f"wine, {model}": (of_wine, {"trainable": "estimator", "params": {"model": model}})
        for model in ("linear", "forest", "boosting", "svm", "knn", "sklearn_mlp", "torch_mlp")
    },
}
NUMBERS = {
    "arrays": (lambda folder: of_arrays(folder, (5,), numeric=True), {"epochs": 2}),
    "table": (lambda folder: of_table(folder, "spend", numeric=True), {"epochs": 3}),
    **{
        f"diabetes, {model}": (of_diabetes, {"trainable": "estimator", "params": {"model": model}})
        for model in ("linear", "forest", "boosting", "svm", "knn", "sklearn_mlp", "torch_mlp")
    },
}


@pytest.mark.parametrize("name", CLASSIFIED)
def test_raw_examples_have_the_recorded_accuracy(tmp_path, name):
    make, options = CLASSIFIED[name]
    raw = make(tmp_path)
    splits, model = kept(tmp_path, raw, **options)
    assert np.array_equal(model.preprocess(raw.x).numpy(), splits.val.x), "bit for bit as in training"
    metrics, chances = model.facts["metrics"], model.predict_proba(raw.x)
    assert (model.predict(raw.x) == raw.y).mean() == pytest.approx(metrics["val_accuracy"], abs=1e-12)
    assert np.array_equal(model.classes_[chances.argmax(1)], model.predict(raw.x))
    right = chances[np.arange(len(raw.y)), np.searchsorted(model.classes_, raw.y)]
    # float32 logits against float64 probabilities; an estimator's zeros count as 1e-7
    assert -np.log(np.maximum(right, 1e-7)).mean() == pytest.approx(metrics["val_loss"], rel=1e-5)
    assert np.array_equal(model.predict(splits.val.x, preprocessed=True), model.predict(raw.x))


@pytest.mark.parametrize("name", NUMBERS)
def test_raw_rows_have_the_recorded_error_in_the_targets_own_units(tmp_path, name):
    make, options = NUMBERS[name]
    raw = make(tmp_path)
    splits, model = kept(tmp_path, raw, **options)
    assert np.array_equal(model.preprocess(raw.x).numpy(), splits.val.x)
    error = np.sqrt(np.square(model.predict(raw.x) - raw.y).mean())
    assert error == pytest.approx(model.facts["metrics"]["val_rmse"], rel=1e-5)  # the target in float32
    with pytest.raises(DataError, match="the target is a number, which has no probabilities"):
        model.predict_proba(raw.x)
    assert not hasattr(model, "classes_")


def test_a_file_of_rows_is_read_as_the_table_was(tmp_path):
    raw = of_table(tmp_path, "plan")
    _, model = kept(tmp_path, raw)
    rows = raw.x.iloc[:, ::-1]  # columns go by their names
    rows.to_parquet(tmp_path / "rows.parquet")
    rows.to_csv(tmp_path / "rows.csv", index=False)
    expected = model.predict_proba(raw.x)
    for file in ("rows.parquet", "rows.csv"):
        assert np.array_equal(model.predict_proba(str(tmp_path / file)), expected)


def test_the_classes_are_those_of_the_source(tmp_path):
    half = load_splits(DataSpec("digits", half="second", train_examples=100))
    model = load_model(keep(tmp_path, half))
    assert model.classes_.tolist() == [5, 6, 7, 8, 9]
    _, model = kept(tmp_path, of_table(tmp_path, "grade"))
    assert model.classes_.tolist() == [1, 3]


@pytest.fixture(scope="module")
def table_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    return kept(folder, of_table(folder, "plan"))[1]


@pytest.fixture(scope="module")
def digits_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    return kept(folder, of_digits(folder))[1]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    raw = of_photos(folder)
    return raw, kept(folder, raw)[1]


ROWS = customers().drop(columns=["plan", "spend", "grade"])
"""Raw rows, of which the target and the columns that were dropped are absent."""


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        (ROWS.drop(columns=["age"]).assign(agee=1), ["column 'age' is missing. Did you mean 'agee'?"]),
        (ROWS.drop(columns=["age", "city"]), ["column 'age' is missing.", "column 'city' is missing."]),
        (ROWS.assign(age="old"), ["column 'age' holds 'old', and numbers in training"]),
        (
            ROWS.assign(age="old", member=2.0),
            [
                "column 'age' holds 'old', and numbers in training",
                "column 'member' holds 2, and true/false in training",
            ],
        ),
        (ROWS.assign(since="spring"), ["column 'since' holds 'spring', and dates in training"]),
        (ROWS.assign(length=np.inf), ["column 'length' holds 120 infinite value(s), or beyond 1e30; make them empty"]),
        (pd.concat([ROWS, ROWS[["age"]]], axis=1), ["two columns are called 'age'"]),
        (
            np.zeros((2, 5)),
            [
                "rows of a table are needed, a pandas.DataFrame or the path of a file, got a ndarray; preprocessed=True"
                " takes inputs as they were in training"
            ],
        ),
        (ROWS.iloc[:0], ["there are no examples"]),
    ],
)
def test_rows_that_are_not_as_in_training_are_refused_all_at_once(table_model, rows, lines):
    with pytest.raises(DataError) as caught:
        table_model.predict(rows)
    assert list(caught.value.errors) == lines


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (
            ROWS.assign(city="Rome"),
            "120 value(s) of column 'city' that training did not have: 'Rome'; each becomes zeros",
        ),
        (
            ROWS.assign(length=ROWS["length"].astype("str").str.replace(".", ",")),
            "read as numbers: 'length' ('5,126' is 5.126)",
        ),
        (ROWS.assign(age="12 kg"), "read as numbers: 'age' ('12 kg' is 12)"),
        (
            ROWS.assign(age=["?", *ROWS["age"].astype(str)[1:]]),
            "read as missing, values that are not what the others are: 'age' (no number: '?' 1)",
        ),
        (ROWS.assign(tail=1, head=2), "not used, as training did not have it: 2 column(s), 'tail', 'head'"),
    ],
)
def test_rows_that_hold_more_than_training_are_used_and_warned_of(table_model, rows, text):
    with pytest.warns(PreprocessingWarning) as caught:
        table_model.predict(rows)
    assert [str(one.message) for one in caught] == [text]
    assert caught[0].filename == __file__, "it points at whoever asked"


@pytest.mark.parametrize(
    "rows",
    [
        ROWS.assign(age=ROWS["age"].astype(str), member=ROWS["member"].map({True: "true", False: " False"})),
        ROWS.assign(member=ROWS["member"].map({True: 1, False: 0})),
        ROWS.assign(site="south", plan="?", spend=None),
        ROWS.assign(since=ROWS["since"].dt.strftime("%Y-%m-%d")),
        ROWS.assign(city=ROWS["city"].astype("category")),
        ROWS.assign(city=ROWS["city"] + " "),
        ROWS.set_axis(range(7, 127)),
    ],
)
def test_rows_written_in_another_way_are_read_as_the_same(table_model, rows):
    assert np.array_equal(table_model.predict_proba(rows), table_model.predict_proba(ROWS))


DIGITS = np.zeros((3, 8, 8)) + np.arange(8) * 2
WANTED = r"an array of raw pixels \[N, 1, 8, 8\], whole numbers from 0 to 16, is needed"


@pytest.mark.parametrize(
    ("images", "line"),
    [
        (DIGITS / 16, rf"{WANTED}, got float64 values between 0 and 0.875; preprocessed=True takes inputs as they"),
        ((DIGITS / 16).round(), rf"{WANTED}, got float64 values between 0 and 1;"),
        (DIGITS * 15, rf"{WANTED}, got float64 values between 0 and 210;"),
        (DIGITS - 3, rf"{WANTED}, got float64 values between -3 and 11;"),
        (DIGITS / 0.9, rf"{WANTED}, got float64 values between 0 and 15.56;"),
        (DIGITS * np.nan, rf"{WANTED}, got some that are missing or infinite"),
        (DIGITS[:, :7], rf"{WANTED}, got \[3, 7, 8\]"),
        (np.zeros((2, 3, 8, 8), np.uint8), rf"{WANTED}, got \[2, 3, 8, 8\]"),
        ("seven.png", rf"{WANTED}; files and PIL images hold values up to 255"),
        (None, "images are needed: files, PIL images or an array of pixels, got a NoneType"),
        ([[1, 2], [3]], "images are needed: "),
        (5, rf"{WANTED}, got \[\]"),
    ],
)
def test_what_is_no_raw_pixels_is_refused(digits_model, images, line):
    with pytest.raises(DataError, match=f"^{line}") as caught:
        digits_model.predict(images)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(3, 64), (3, 8, 8), (3, 1, 8, 8)])
@pytest.mark.parametrize("kind", [np.float64, np.uint8, torch.tensor])
def test_raw_pixels_are_taken_as_any_source_gives_them(digits_model, shape, kind):
    given = DIGITS.reshape(shape)
    given = torch.tensor(given) if kind is torch.tensor else given.astype(kind)
    assert np.array_equal(digits_model.predict_proba(given), digits_model.predict_proba(DIGITS))


def test_bytes_that_are_all_0_or_1_are_doubted(digits_model):
    with pytest.warns(PreprocessingWarning, match="no pixel is above 1, and raw pixels go to 16"):
        digits_model.predict((DIGITS > 4).astype(np.uint8))


def test_files_and_images_and_arrays_are_fitted_as_files_were(photos, tmp_path):
    raw, model = photos
    plain = np.random.default_rng(2).integers(0, 256, (35, 14, 3), np.uint8)
    Image.fromarray(plain).save(tmp_path / "plain.png")
    png = [tmp_path / "plain.png", *(file for file in raw.x if file.suffix == ".png")]
    expected = model.preprocess(png)
    images = [Image.open(file) for file in png]
    assert torch.equal(model.preprocess(images), expected)
    assert torch.equal(model.preprocess(str(png[0])), expected[:1])
    array = plain.transpose(2, 0, 1)[None]
    said = "images of 14 x 35 pixels were cut to squares and resized to 16 x 16, as files"
    with pytest.warns(PreprocessingWarning, match=said):
        assert torch.equal(model.preprocess(array), expected[:1])
    for image in images:
        image.close()


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda folder: [folder / "no.png"], "no.png: No such file or directory$"),
        (lambda folder: [folder], "Is a directory$"),
        (
            lambda folder: np.zeros((2, 16, 16, 3), np.uint8),
            r"got \[2, 16, 16, 3\]; x.transpose\(0, 3, 1, 2\) puts the",
        ),
        (lambda folder: np.zeros((2, 4, 16, 16), np.uint8), r"is needed, got \[2, 4, 16, 16\]"),
        (lambda folder: np.full((2, 3, 16, 16), 0.5, np.float32), "got float32 values between 0.5 and 0.5; prep"),
    ],
)
def test_what_is_no_image_is_refused(photos, tmp_path, make, line):
    with pytest.raises(DataError, match=line):
        photos[1].predict(make(tmp_path))


def test_a_text_file_is_no_image(photos, tmp_path):
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(DataError, match=r"a.png: no image, or damaged$"):
        photos[1].predict([photos[0].x[0], tmp_path / "a.png"])


def test_a_grey_set_makes_colours_grey_and_says_so():
    how = ImagePreprocessing((1, 4, 4))
    red = Image.new("RGB", (4, 4), (255, 0, 0))
    with pytest.warns(PreprocessingWarning, match="1 of 2 images have colours and were made grey, as all of training"):
        found = how.apply([red, Image.new("L", (4, 4), 9)])
    assert found[:, 0, 0, 0].tolist() == [76, 9]
    with pytest.raises(DataError, match="image 0: 4 x 4 pixels are needed, got 5 x 4"):
        how.apply(Image.new("L", (5, 4)))


def test_as_a_module_it_refuses_other_inputs_than_in_training(digits_model, photos):
    x = torch.zeros(2, 1, 8, 8)
    with pytest.raises(
        DataError, match=r"inputs of shape \[N, 1, 8, 8\] are needed, got \[2, 1, 28, 28\]; predict takes"
    ):
        digits_model(torch.zeros(2, 1, 28, 28))
    with pytest.raises(DataError, match="inputs must be floating point numbers as in training, got torch.uint8"):
        digits_model(x.byte())
    with pytest.warns(
        PreprocessingWarning, match="no input is below 0, and those of training go down to -2.*raw pixels"
    ):
        digits_model(x + 0.5)
    assert digits_model.half()(x.half() - 1).shape == (2, 10)
    digits_model.float()


def test_rows_of_a_named_table_in_other_units_are_doubted(tmp_path):
    raw = of_wine(tmp_path)
    splits, model = kept(tmp_path, raw)
    with pytest.warns(PreprocessingWarning, match="half of these values lie .* raw values are needed, in the units of"):
        model.predict(splits.val.x)
    for given, line in [
        (raw.x[:, 1:], r"rows of 13 numbers are needed, \[N, 13\], got \[36, 12\]"),
        (raw.x * np.nan, "468 value.s. are missing or infinite, and training had none such"),
        (pd.DataFrame(raw.x), "13 of 13 columns are missing: 'alcohol', "),
        ("wine.csv", "rows of 13 numbers are needed: "),
    ]:
        with pytest.raises(DataError, match=f"^{line}"):
            model.predict(given)


def test_its_state_has_the_names_of_the_network(digits_model):
    state = digits_model.state_dict()
    assert state.keys() == digits_model.network.state_dict().keys()
    digits_model.load_state_dict(state)
    around = nn.Sequential(digits_model)
    assert around.state_dict().keys() == {f"0.{name}" for name in state}
    around.load_state_dict(around.state_dict())


def test_predicting_leaves_a_model_in_training_as_it_is(digits_model):
    before = digits_model.predict_proba(DIGITS)
    digits_model.train()
    assert np.array_equal(digits_model.predict_proba(DIGITS), before) and digits_model.training
    digits_model.eval()


def altered(path, **changes):
    """Write a kept model again, with other values; None leaves one out."""
    state = {**checkpoint.load(str(path)), **changes}
    checkpoint.save({name: value for name, value in state.items() if value is not None}, path)
    return path


def test_a_file_of_before_the_preprocessing_was_kept_takes_inputs_alone(tmp_path):
    splits = load_splits(of_digits(tmp_path).spec)
    model = load_model(altered(keep(tmp_path, splits), data=None))
    assert model(torch.tensor(splits.val.x)).shape == (len(splits.val), 10)
    with pytest.raises(
        DataError, match="kept by a version of Lanewise that did not keep the preprocessing: called as a"
    ):
        model.predict(DIGITS)


def test_a_file_of_a_later_version_is_refused(tmp_path):
    path = altered(keep(tmp_path, load_splits(DataSpec("wine"))), data={"version": 2})
    with pytest.raises(
        CheckpointError, match=f"{path}: its preprocessing has version 2, this version of Lanewise reads 1"
    ):
        load_model(path)


def test_an_estimator_is_refused_where_it_was_not_kept_or_is_none_of_ours(tmp_path):
    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    path = keep(tmp_path, load_splits(DataSpec("wine")), trainable="estimator", params={"model": "linear"})
    with pytest.raises(
        CheckpointError, match="the estimator was not kept: an older version of Lanewise wrote this file"
    ):
        load_model(altered(path, model={"epoch": 1}))
    hostile = skops.io.dumps(FunctionTransformer(re.compile))
    with pytest.raises(CheckpointError, match="the estimator cannot be loaded: "):
        load_model(altered(path, model={"skops": torch.frombuffer(bytearray(hostile), dtype=torch.uint8)}))


def test_a_model_with_an_empty_state_is_not_kept(tmp_path):
    store = CheckpointStore(tmp_path)
    models = BestModels(store, ("val_loss", "min"))
    models.begin(1, {})
    models.observe(1, EpochReport(1, {"val_loss": 1.0}, 0.1), lambda: dict)
    (line,) = models.keep(1)()
    assert line == (
        "trial 1: its best model, of epoch 1, is not kept: its state_dict is empty, so that nothing could be loaded "
        "from it"
    )
    assert not store.best_path(1).exists()

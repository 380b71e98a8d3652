"""The study of freeze depths, from the command line to its answer."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from search.api import declare
from search.declaration.options import Options
from search.drive.examples import load_data
from search.drive.preflight import resolve
from search.errors import RunError, UsageError
from search.ledger import Ledger, sqlite_url
from tests.support.command import invoke
from trainables.best import load_model
from trainables.transfer.config import FEATURE_CACHES

ROOT = Path(__file__).parents[2]
QUICK = ("--set", "source_epochs=1", "--train-examples", 97, "--tracking", "offline")
SAME_CURVE = 1e-4
"""Relative, on val_loss: see tests/trainables/transfer/test_run.py."""


def command(*arguments):
    return invoke(*arguments).output


def curves(home, name):
    """Return val_loss by trial and epoch, and the parameters by trial."""
    with Ledger(sqlite_url(home / name / "ledger.db")) as ledger:
        row = ledger.study(name)
        epochs = {(e.number, e.epoch): e.metrics["val_loss"] for e in ledger.epochs(row.id)}
        return epochs, {t.number: t.params for t in ledger.trials(row.id)}, row.facts


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Return home and output of a small search with eight trials."""
    home = tmp_path_factory.mktemp("home")
    run = ("run", "transfer", *QUICK, "--trials", 8, "--max-epochs", 3, "--home", home, "--scheduler", "none")
    return home, command(*run, "--name", "lanes")


def test_a_search_says_what_it_transfers_and_compares_depths_with_training_from_scratch(searched):
    home, text = searched
    said = " ".join(text.split())
    assert "classes: 5, 6, 7, 8, 9, the second half of 10" in said
    assert "backbone narrow_resnet: learned from digits (5 classes) for 1 epochs" in said
    assert "images are grey: their channel stands for red, green and blue" in said
    assert "augmented images: 4 fixed views" in said
    for row in ("freeze_depth", "0 nothing", "1 stem", "5 everything (features only)", "baseline"):
        assert row in said
    _, params, facts = curves(home, "lanes")
    assert params[0]["init"] == "scratch" and {p["init"] for n, p in params.items() if n} == {"pretrained"}
    assert {p["freeze_depth"] for p in params.values()} == set(range(6)), "every depth gets its share of trials"
    assert facts.prepared["stages"] == ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert len(facts.prepared["weights"]) == 64


def test_its_best_model_is_the_whole_network(searched):
    home, text = searched
    (path,) = [line.split()[-1] for line in text.splitlines() if line.startswith("best model")]
    study = resolve(Options("transfer", home=home, train_examples=97, set_=["source_epochs=1"]))
    splits = load_data(study)
    with torch.no_grad():
        outputs = load_model(path)(torch.from_numpy(splits.val.x))
    right = (outputs.argmax(1).numpy() == splits.val.y).mean()
    shown = json.loads(command("show", "lanes", "--home", home, "--json"))
    assert right == pytest.approx(shown["best"]["metrics"]["val_accuracy"], abs=1e-6)


def test_a_resume_gives_the_same_trials_and_refuses_other_weights(searched, tmp_path, monkeypatch):
    home, _ = searched
    whole, params, _ = curves(home, "lanes")
    part = ("run", "transfer", *QUICK, "--max-epochs", 3, "--home", tmp_path, "--scheduler", "none", "--lanes", 2)
    command(*part, "--trials", 4, "--name", "part")
    command("extend", "part", "--trials", 4, "--home", tmp_path)
    found, again, _ = curves(tmp_path, "part")
    assert again[0] == params[0] and len(again) == 8 and len(found) == len(whole)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    with sqlite3.connect(tmp_path / "part" / "ledger.db") as connection:
        connection.execute("update studies set prepared = json_set(prepared, '$.weights', ?)", ("0" * 64,))
    connection.close()
    with pytest.raises(RunError, match="the weights of part are not what they were: .* now, 0000000000000000 when the"):
        command("extend", "part", "--trials", 1, "--home", tmp_path)


@pytest.mark.slow
def test_processes_of_their_own_share_features_on_disk_and_have_the_same_curves(searched, tmp_path):
    home, _ = searched
    expected, params, _ = curves(home, "lanes")
    run = [
        sys.executable,
        "-m",
        "search.run",
        "--no-confirm",
        "transfer",
        *map(str, QUICK),
        "--trials",
        "8",
        "--max-epochs",
        "3",
    ]
    run += [
        "--no-confirm",
        "--scheduler",
        "none",
        "--executor",
        "tune",
        "--home",
        str(tmp_path),
        "--name",
        "tune",
        "--sampler",
        "random",
    ]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=240, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    found, tuned, _ = curves(tmp_path, "tune")
    assert "MB that trials shared in " in done.stdout + done.stderr, (
        "frozen stages were computed once, for all processes"
    )
    assert not (tmp_path / "tune" / "scratch").exists()
    again = ("run", "transfer", *QUICK, "--trials", 8, "--max-epochs", 3, "--scheduler", "none", "--sampler", "random")
    command(*again, "--home", tmp_path, "--name", "lanes")
    looped, laned, _ = curves(tmp_path, "lanes")
    assert tuned == laned and found.keys() == looped.keys()
    assert all(found[key] == pytest.approx(looped[key], rel=SAME_CURVE) for key in found)
    assert len(expected) == 24 and len(params) == 8


def test_another_backbone_sets_the_depths_that_are_searched(tmp_path):
    study = resolve(Options("transfer", home=tmp_path, backbone="mobilenet_v3_small", weights="none", image_size=32))
    assert study.space["freeze_depth"].distribution.high == 14
    assert study.settings["backbone"] == "mobilenet_v3_small" and study.settings["input_size"] == 32
    narrowed = resolve(
        Options("transfer", home=tmp_path, backbone="resnet18", weights="none", set_=["freeze_depth.high=2"])
    )
    assert narrowed.space["freeze_depth"].distribution.high == 2


@pytest.mark.parametrize("place", FEATURE_CACHES)
def test_every_place_for_features_can_be_chosen(tmp_path, place):
    study = resolve(Options("transfer", home=tmp_path, set_=[f"feature_cache={place}"]))
    assert study.settings["feature_cache"] == place


@pytest.mark.parametrize(
    ("options", "half"),
    [
        ({}, "second"),
        ({"weights": "none"}, None),
        ({"source_data": "digits"}, None),
        ({"set_": ["weights=none"]}, None),
    ],
)
def test_the_classes_are_halved_only_where_the_other_half_teaches(tmp_path, options, half):
    assert resolve(Options("transfer", home=tmp_path, **options)).data.half == half


@pytest.mark.parametrize(
    ("options", "start"),
    [
        ({"backbone": "resnet81"}, "--backbone: unknown backbone 'resnet81'. Did you mean 'resnet18'?"),
        (
            {"source_data": "minst"},
            "--source-data 'minst' is no data set of images. Did you mean 'mnist'? Known: digits",
        ),
        ({"source_data": "images:/nowhere"}, "--source-data images:/nowhere: there is no such folder"),
        (
            {"source_data": "table:a.csv"},
            "--source-data table:a.csv: expected a data set of images by name, or images:",
        ),
        ({"set_": ["augmentation=mixup"]}, "augmentation='mixup': allowed: none | flip_crop | trivial_augment"),
    ],
)
def test_a_bad_option_gets_its_one_line(tmp_path, options, start):
    with pytest.raises(UsageError) as caught:
        resolve(Options("transfer", home=tmp_path, **options))
    (line,) = caught.value.errors
    assert line.startswith(start)


@pytest.mark.parametrize(
    ("options", "start"),
    [
        ({"set_": ["freeze_depth.high=9"]}, "freeze_depth 9 is beyond the 5 stages of narrow_resnet: stem, layer1, "),
        ({"weights": "/nowhere.pt"}, "--weights /nowhere.pt: there is no such file; --weights source learns them here"),
        ({"backbone": "alexnet", "weights": "none"}, "alexnet needs images of at least 63 pixels, got 8; use --image-"),
        (
            {"dataset": "wine"},
            "wine has no images; data sets that have: digits, mnist, fashion_mnist, or images:FOLDER",
        ),
    ],
)
def test_what_does_not_fit_is_said_before_any_trial(tmp_path, options, start):
    with pytest.raises(UsageError) as caught:
        load_data(resolve(Options("transfer", home=tmp_path, **options)))
    (line,) = caught.value.errors
    assert line.startswith(start)
    assert not [*tmp_path.iterdir()]


def photos(folder, *names, size=12):
    """Write 12 pictures of each class, each class of a brightness of its own; return what ``--data`` is given."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(60 * label, 60 * label + 60, size=(size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return f"images:{folder}"


def test_ones_own_images_are_halved_by_their_folders_where_one_half_is_to_teach(tmp_path):
    data = photos(tmp_path / "pictures", "ant", "bee", "cat", "dog")
    home = tmp_path / "home"
    run = ("run", "transfer", "--data", data, "--weights", "source", "--image-size", 12, "--set", "source_epochs=1")
    text = command(*run, "--trials", 3, "--max-epochs", 3, "--home", home, "--name", "own", "--tracking", "offline")
    assert "classes: cat, dog, the second half of 4" in text and "learned from pictures (2 classes)" in text
    assert "images are grey" not in text


def test_two_classes_of_ones_own_photos_start_from_the_weights_that_are_shipped(tmp_path):
    data, home = photos(tmp_path / "insects", "ants", "bees", size=96), tmp_path / "home"
    run = ("run", "transfer", "--data", data, "--trials", 3, "--max-epochs", 3, "--home", home, "--name", "own")
    text = command(*run, "--tracking", "offline")
    assert "2 classes (ants, bees)" in text and "backbone narrow_resnet: cifar10, shipped with the package (" in text
    assert "the backbone sees your images at 64 x 64 pixels; --image-size N for another size" in text
    assert "weights: " not in text, "nothing is learned first"
    with Ledger(sqlite_url(home / "own" / "ledger.db")) as ledger:
        declared = ledger.study("own").declaration
    assert declared["settings"]["weights"] == "cifar10" and declared["data"]["half"] is None


@pytest.mark.parametrize(
    ("options", "size"),
    [({}, 64), ({"image_size": 96}, 96), ({"weights": "none"}, 32), ({"set_": ["weights=source"]}, 32)],
)
def test_photos_are_decoded_at_the_size_that_the_weights_are_for(tmp_path, options, size):
    data = photos(tmp_path / "insects", "ants", "bees")
    study = resolve(Options("transfer", home=tmp_path / "home", data=data, **options))
    assert study.data.image_size == size and study.data.half == ("second" if "set_" in options else None)


@pytest.mark.parametrize(("written", "meant"), [("cifar", "cifar10"), ("imagnet", "imagenet"), ("sorce", "source")])
def test_unknown_weights_are_refused_in_a_line_that_guesses_what_was_meant(tmp_path, written, meant):
    data = photos(tmp_path / "insects", "ants", "bees")
    with pytest.raises(UsageError) as caught:
        load_data(resolve(Options("transfer", home=tmp_path / "home", data=data, weights=written)))
    (line,) = caught.value.errors
    assert f"there is no such file. Did you mean '{meant}'? --weights source learns them here" in line


@pytest.mark.parametrize(
    ("data", "size", "weights", "half"),
    [({}, 64, "cifar10", None), ({"image_size": 32}, 32, "cifar10", None), ({"image_size": 96}, 96, "cifar10", None)],
)
def test_a_call_and_a_file_declare_the_same_for_ones_own_photos(tmp_path, data, size, weights, half):
    photos(tmp_path / "insects", "ants", "bees")
    own = {"source": "images", "path": str(tmp_path / "insects"), "name": "insects", **data}
    called = declare("transfer", data=own)
    file = tmp_path / "study.yaml"
    file.write_text(json.dumps({"kind": "transfer", "data": own}))
    read = resolve(Options(home=tmp_path / "home", config=file))
    for study in (called, read):
        assert (study.data.image_size, study.data.half, study.data.pixels) == (size, half, True)
        assert study.settings["weights"] == weights

"""The command that makes the shipped weights, on a folder of a few images."""

import json
import sys

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from tests.trainables.transfer.conftest import configured
from trainables.data import DataSpec, load_splits
from trainables.transfer import make_shipped
from trainables.transfer.initial_weights import load_weights


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for part, each in (("train", 12), ("test", 3)):
        for label, name in enumerate(("ant", "bee", "cat")):
            (tmp_path / "photos" / part / name).mkdir(parents=True)
            for i in range(each):
                pixels = rng.integers(60 * label, 60 * label + 80, size=(32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "photos" / part / name / f"{i}.png")
    return tmp_path / "photos"


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["make_shipped", *map(str, arguments)])
    return make_shipped.main()


def test_it_writes_weights_that_a_transfer_reads_and_leaves_nothing_else(folder, tmp_path, monkeypatch, capsys):
    out = tmp_path / "made" / "small.safetensors"
    out.parent.mkdir()
    assert run(monkeypatch, "--images", folder, "--out", out, "--epochs", 2, "--leave-out", "bee") == 0
    with safe_open(out, framework="pt") as opened:
        facts = opened.metadata()
    assert (facts["classes"], facts["images"], facts["epochs"]) == ("ant, cat", "24", "2")
    assert json.loads(facts["preprocessing"]).keys() == {"size", "mean", "deviation"}
    assert [file.name for file in out.parent.iterdir()] == [out.name] and "on test/" in capsys.readouterr().out
    splits = load_splits(DataSpec("photos", source="images", path=str(folder), pixels=True))
    assert load_weights(configured(weights=str(out)), splits, print).state.keys()


def test_a_class_that_is_not_there_is_refused_with_those_that_are(folder, monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, "--images", folder, "--leave-out", "dog")
    assert ended.value.code == 2 and "error: --leave-out dog: the classes are ant, bee, cat" in capsys.readouterr().err

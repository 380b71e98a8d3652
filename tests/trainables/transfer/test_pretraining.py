"""Pretraining: the same weights whatever interrupted it, one process at a time, a broken file made anew."""

import threading

import pytest
import torch

from tests.trainables.transfer.conftest import CPU, configured
from trainables import checkpoint
from trainables.config import MlpConfig
from trainables.device_data import DeviceData
from trainables.transfer import pretraining
from trainables.transfer.batch_views import RandomViews
from trainables.transfer.initial_weights import load_weights
from trainables.transfer.preprocessing import Preprocessing
from trainables.transfer.pretraining import SMALL_PIXELS, Recipe, pretrain
from trainables.transfer.weights_lock import weights_lock

EPOCHS = 3
RECIPES = {"plain": (SMALL_PIXELS // 2, ()), "fast": (20, ()), "fast, of views": (20, (16, 24))}


def silent(line):
    pass


def learned(size, views, unfinished, say=silent):
    numbers = torch.Generator().manual_seed(3)
    x = torch.randint(256, (24, 3, size, size), dtype=torch.uint8, generator=numbers)
    y = torch.randint(2, (24,), generator=numbers)
    training = MlpConfig(max_epochs=EPOCHS, hidden=(), batch_size=8, learning_rate=0.01, schedule="one_cycle")
    preprocessing = Preprocessing(0, 0, (0.5,) * 3, (0.25,) * 3)
    examples = DeviceData(x[:16], y[:16], x[16:], y[16:], 2)
    recipe = Recipe(training, size, views)
    return pretrain("narrow_resnet", recipe, examples, preprocessing, unfinished=unfinished, say=say)


def same(a, b):
    return a.last.metrics == b.last.metrics and all(torch.equal(a.state[name], b.state[name]) for name in a.state)


@pytest.mark.parametrize(("size", "views"), RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("whole_epochs", [0, 1, 2])
def test_what_was_interrupted_goes_on_to_the_same_weights_bit_for_bit(size, views, whole_epochs, tmp_path, monkeypatch):
    undisturbed = learned(size, views, tmp_path / "a.pt")
    save, saved = checkpoint.save, []

    def save_until_the_plug_is_pulled(state, path):
        if len(saved) == whole_epochs:
            raise KeyboardInterrupt
        saved.append(save(state, path))

    monkeypatch.setattr(pretraining.checkpoint, "save", save_until_the_plug_is_pulled)
    with pytest.raises(KeyboardInterrupt):
        learned(size, views, tmp_path / "b.pt")
    monkeypatch.setattr(pretraining.checkpoint, "save", save)
    said = []
    assert same(learned(size, views, tmp_path / "b.pt", said.append), undisturbed)
    goes_on = f"weights: goes on after epoch {whole_epochs} of {EPOCHS}, which an earlier process came to"
    assert said == ([goes_on] if whole_epochs else [])


@pytest.mark.parametrize("damage", ["half", "of another run"])
def test_an_unfinished_checkpoint_that_cannot_be_used_is_not(damage, tmp_path):
    expected = learned(20, (), tmp_path / "a.pt")
    if damage == "half":
        learned(20, (), tmp_path / "b.pt")
        (tmp_path / "b.pt").write_bytes((tmp_path / "b.pt").read_bytes()[:2000])
    else:
        checkpoint.save({"run": {"epoch": 1}, "last": {}}, tmp_path / "b.pt")
    assert same(learned(20, (), tmp_path / "b.pt"), expected)


def test_a_second_process_waits_for_the_first_and_is_told_how_far_it_is(splits, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    expected = load_weights(configured(), splits, silent)
    (file,) = tmp_path.rglob("source-*.pt")
    said, heard = [], threading.Event()

    def listen(line):
        said.append(line)
        heard.set()

    second = threading.Thread(target=lambda: said.append(load_weights(configured(), splits, listen)))
    with weights_lock(file, silent) as say_to_all:
        say_to_all("weights: 40%")
        second.start()
        assert heard.wait(30) and second.is_alive()
    second.join(30)
    assert said[0] == "another process makes the same weights; waiting for it (weights: 40%)"
    assert said[-1].sha256 == expected.sha256 and len(said) == 2


@pytest.mark.parametrize("damage", ["half", "another version's"])
def test_learned_weights_that_are_broken_are_said_and_made_anew(damage, splits, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    expected = load_weights(configured(), splits, silent)
    (file,) = tmp_path.rglob("source-*.pt")
    if damage == "half":
        file.write_bytes(file.read_bytes()[:1000])
    else:
        checkpoint.save({"backbone": {"conv1.weight": torch.zeros(1)}}, file)
    said = []
    assert load_weights(configured(), splits, said.append).sha256 == expected.sha256
    assert said[0].startswith("weights: what was learned before cannot be used, so it is learned anew (")
    assert [path.name for path in file.parent.iterdir() if "unfinished" in path.name] == []


@pytest.mark.parametrize("size", [8, 40])
def test_views_of_a_batch_are_of_one_size_and_none_are_taken_in_evaluation(size):
    views = RandomViews((16, 24))
    torch.manual_seed(0)
    x = torch.randn(6, 3, size, size)
    shapes = {tuple(views(x).shape) for _ in range(12)}
    assert shapes == {(6, 3, 16, 16), (6, 3, 24, 24)}
    assert torch.isfinite(views(x)).all() and not torch.equal(views(x).mean(), views(x).mean())
    assert views.eval()(x) is x and CPU == x.device

"""Classes that are counted, called rare and weighted; what trains by weights, and what says that it does not."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_sample_weight

from search.declaration.studies import find
from search.drive.examples import load_data
from search.drive.pairs import Pairs
from trainables.baselines import EstimatorTrainable
from trainables.config import MlpConfig
from trainables.data import DataSpec, load_splits
from trainables.data.class_balance import balanced, rare_classes
from trainables.data.splits import Arrays
from trainables.device_data import DeviceData
from trainables.errors import DataError
from trainables.loop import TrainingRun
from trainables.notice import texts_of
from trainables.transfer.image_views import ImageViews
from trainables.transfer.preprocessing import own_preprocessing
from trainables.transfer.source import source_spec

CPU = torch.device("cpu")


def rare_arrays(tmp_path, rare=12, **values):
    rng = np.random.default_rng(0)
    y = np.where(np.arange(400) < rare, "fraud", "fine")
    x = rng.normal(size=(400, 3)) + (y == "fraud")[:, None]
    np.savez(tmp_path / "a.npz", x=x, y=y)
    return DataSpec("a", source="arrays", path=str(tmp_path / "a.npz"), **values)


def test_balanced_weights_are_those_of_scikit_learn_within_examples_weights_too():
    y = np.repeat([0, 1, 2], [50, 30, 20])
    x = np.zeros((100, 1), np.float32)
    assert np.allclose(balanced(Arrays(x, y)).weights, compute_sample_weight("balanced", y))
    own = np.random.default_rng(0).random(100).astype(np.float32)
    weights = balanced(Arrays(x, y, own)).weights
    assert [weights[y == c].sum() for c in range(3)] == pytest.approx([100 / 3] * 3, rel=1e-5)
    assert np.allclose(weights[:50] / own[:50], weights[0] / own[0])
    with pytest.raises(DataError, match="--weight is 0 in every training row of a class"):
        balanced(Arrays(x, y, np.where(y == 1, 0, own).astype(np.float32)))


def test_a_class_is_rare_below_a_fifth_of_an_even_share():
    assert rare_classes([91, 9]) == [1] and rare_classes([90, 10]) == []
    assert rare_classes([100] * 9 + [15]) == [9] and rare_classes([]) == []


def test_counts_are_said_and_a_rare_class_adds_its_metrics_to_reports_and_to_pairs(tmp_path):
    spec = rare_arrays(tmp_path)
    study = find("regularization").model_copy(update={"data": spec})
    splits = load_data(study)
    texts = texts_of(splits.notices)
    assert "training examples by class, the fewest first: fraud 8, fine 232" in texts
    assert any("rare, less than a fifth of an even share: 'fraud'; --class-weight balanced" in text for text in texts)
    assert "reported too, as a class is rare: val_balanced_accuracy, val_macro_f1" in texts
    assert splits.extra_metrics == ("val_balanced_accuracy", "val_macro_f1")
    assert Pairs(study).load(0).data.splits.extra_metrics == splits.extra_metrics
    common = load_data(study.model_copy(update={"data": rare_arrays(tmp_path, rare=90)}))
    assert common.extra_metrics == () and not any("rare" in text for text in texts_of(common.notices))


def test_class_weights_change_neither_examples_nor_fingerprint_and_need_classes(tmp_path):
    plain, weighted = (load_splits(rare_arrays(tmp_path, class_weight=word)) for word in (None, "balanced"))
    assert plain.fingerprint == weighted.fingerprint and plain.train.weights is None
    assert len(np.unique(weighted.train.weights)) == 2
    with pytest.raises(DataError, match="--class-weight balanced is for classes, and the target of diabetes"):
        load_splits(DataSpec("diabetes", class_weight="balanced"))


def test_the_loop_trains_the_mean_of_weight_times_loss(tmp_path):
    """One step over all examples moves the parameters by the rate times the gradient of that mean."""
    data = DeviceData.of(load_splits(rare_arrays(tmp_path, class_weight="balanced")), CPU)
    config = MlpConfig(max_epochs=1, hidden=(), batch_size=1000, optimizer="sgd", momentum=0.0, learning_rate=0.5)
    run = TrainingRun(config, data, seed=0, device=CPU)
    before = [p.detach().clone().requires_grad_() for p in run.model.parameters()]
    logits = torch.nn.functional.linear(data.x_train, *before)
    losses = torch.nn.functional.cross_entropy(logits, data.y_train, reduction="none")
    assert data.weights is not None
    expected = (losses * data.weights).sum() / len(losses)
    expected.backward()
    assert run.step().metrics["train_loss"] == pytest.approx(expected.item(), rel=1e-5)
    for p, old in zip(run.model.parameters(), before, strict=True):
        assert torch.allclose(p, old - 0.5 * old.grad, atol=1e-6)


@pytest.mark.parametrize("model", ["linear", "forest", "boosting", "svm", "knn", "torch_mlp"])
def test_estimators_fit_by_weights_or_are_named(model, tmp_path):
    splits = load_splits(rare_arrays(tmp_path, class_weight="balanced"))
    trainable = EstimatorTrainable()
    config = trainable.configure({"model": model}, max_epochs=3)
    plain = replace(splits, train=replace(splits.train, weights=None))
    scores = [
        trainable.start(config, trainable.prepare(s, CPU), seed=0, device=CPU).step().metrics["val_loss"]
        for s in (plain, splits)
    ]
    unused = [notice.names for notice in trainable.try_out([config], splits).notices]
    assert (scores[0] == scores[1]) == (model == "knn") == (unused == [("knn",)])
    assert not trainable.try_out([config], plain).notices


@pytest.mark.parametrize("source_data", ["", "mnist"])
def test_the_source_of_a_transfer_is_learned_without_the_weights_of_other_classes(source_data):
    config = SimpleNamespace(source_data=source_data)
    declared = DataSpec("digits", pixels=True, half="second", class_weight="balanced")
    assert source_spec(config, declared).class_weight is None


def test_cached_features_bring_the_weights_of_their_examples(tmp_path):
    spec = DataSpec("digits", pixels=True, train_examples=40, class_weight="balanced")
    splits = load_splits(spec)
    views = ImageViews(splits, own_preprocessing(splits, 8), device=CPU, views=2)
    assert views.weights is not None and len(views.weights) == len(views.y_train) == 40

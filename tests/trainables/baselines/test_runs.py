"""Every estimator beside scikit-learn's own metrics, and torch's MLP beside the plain loop."""

import copy
import dataclasses
import json
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score, log_loss, mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.neighbors import KNeighborsClassifier

from tests.trainables.conftest import CPU
from trainables import checkpoint
from trainables.baselines import MODELS, EstimatorTrainable
from trainables.baselines.estimators import build_estimator, probabilities
from trainables.baselines.runs import SMALLEST_PROBABILITY
from trainables.data import Arrays, DataSpec, load_splits
from trainables.device_data import DeviceData
from trainables.loop import TrainingRun, fit

SKLEARN = [model for model in MODELS if model != "torch_mlp"]
QUICK = {"forest_trees": 20, "boosting_rounds": 10, "boosting_min_leaf": 5, "hidden": "16", "learning_rate": 0.01}
TRAINABLE = EstimatorTrainable()


@cache
def splits(name="wine", extra_metrics=()):
    return dataclasses.replace(load_splits(DataSpec(name)), extra_metrics=extra_metrics)


def start(model, data=None, *, seed=5, max_epochs=4, **params):
    data = splits() if data is None else data
    config = TRAINABLE.configure({**QUICK, "model": model, **params}, max_epochs=max_epochs)
    return TRAINABLE.start(config, TRAINABLE.prepare(data, CPU), seed=seed, device=CPU)


@pytest.mark.parametrize("model", SKLEARN)
def test_the_fit_of_an_estimator_is_one_epoch_and_learns(model):
    run = start(model)
    (report,) = fit(run)
    assert (report.epoch, report.stop) == (1, "max_epochs")
    assert list(report.metrics) == ["train_loss", "val_loss", "val_accuracy"]
    assert report.metrics["val_accuracy"] > 0.8
    assert 0 < run.fit_seconds < report.seconds


@pytest.mark.parametrize("model", SKLEARN)
def test_estimators_learn_a_numeric_target(model):
    (report,) = fit(start(model, splits("diabetes"), max_epochs=40))
    assert list(report.metrics) == ["train_loss", "val_loss", "val_rmse", "val_mae", "val_r2"]
    assert report.metrics["val_r2"] > 0.2


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_the_same_seed_gives_the_same_reports_of_an_estimator(model, name):
    first, again = ([r.metrics for r in fit(start(model, splits(name)))] for _ in range(2))
    assert first == again


@pytest.mark.parametrize("model", ["forest", "sklearn_mlp", "torch_mlp"])
def test_another_seed_gives_another_fit_of_an_estimator(model):
    first, other = (list(fit(start(model, seed=seed)))[-1].metrics for seed in (1, 2**63 - 1))
    assert first["val_loss"] != other["val_loss"]


def test_estimators_see_images_flattened():
    digits = load_splits(DataSpec("digits", train_examples=200))
    (report,) = fit(start("linear", digits))
    assert report.metrics["val_accuracy"] > 0.8


def test_the_metrics_of_classes_are_scikit_learns_own():
    data = splits(extra_metrics=("val_macro_f1",))
    (report,) = fit(start("linear", data, linear_c=0.5))
    model = LogisticRegression(C=0.5, max_iter=2000).fit(data.train.x, data.train.y)
    p = model.predict_proba(data.val.x)
    assert report.metrics["val_loss"] == pytest.approx(log_loss(data.val.y, p), rel=1e-6)
    assert report.metrics["train_loss"] == pytest.approx(
        log_loss(data.train.y, model.predict_proba(data.train.x)), rel=1e-6
    )
    assert report.metrics["val_accuracy"] == model.score(data.val.x, data.val.y)
    assert report.metrics["val_macro_f1"] == pytest.approx(f1_score(data.val.y, p.argmax(1), average="macro"))


def test_the_metrics_of_a_number_are_scikit_learns_own_in_the_targets_units():
    data = splits("diabetes")
    (report,) = fit(start("linear", data, linear_c=0.25))
    predicted = Ridge(alpha=4.0).fit(data.train.x, data.train.y).predict(data.val.x)
    y, yhat = (v * data.scale.deviation + data.scale.mean for v in (data.val.y.astype(float), predicted))
    # the target is kept in float32: seven digits
    assert report.metrics["val_rmse"] == pytest.approx(root_mean_squared_error(y, yhat), rel=1e-5)
    assert report.metrics["val_mae"] == pytest.approx(mean_absolute_error(y, yhat), rel=1e-5)
    assert report.metrics["val_r2"] == pytest.approx(r2_score(y, yhat), rel=1e-5)


def test_a_mistake_made_with_certainty_has_a_finite_price():
    data = splits()
    (report,) = fit(start("knn", data, knn_neighbours=1))
    wrong = 1 - report.metrics["val_accuracy"]
    assert wrong > 0, "else this tests nothing"
    assert report.metrics["val_loss"] == pytest.approx(-wrong * np.log(SMALLEST_PROBABILITY))
    assert report.metrics["train_loss"] == 0.0


def test_more_neighbours_than_examples_are_all_examples():
    data = dataclasses.replace(splits(), train=Arrays(splits().train.x[:20], splits().train.y[:20]))
    (report,) = fit(start("knn", data, knn_neighbours=30))
    model = KNeighborsClassifier(20).fit(data.train.x, data.train.y)
    assert report.metrics["val_accuracy"] == model.score(data.val.x, data.val.y)


def test_a_class_that_training_lacks_has_probability_zero():
    data = splits()
    config = TRAINABLE.configure({"model": "linear"}, max_epochs=1)
    seen = data.train.y != 1
    x, y = data.train.x[seen], data.train.y[seen]
    estimator = build_estimator(config, x, y, task=data.task, seed=0).fit(x, y)
    p = probabilities(estimator, data.val.x, classes=3)
    assert p.shape == (len(data.val), 3)
    assert (p[:, 1] == 0).all()
    assert p.sum(1) == pytest.approx(np.ones(len(p)))


def test_an_svm_needs_two_examples_of_each_class():
    data = splits()
    lone = np.flatnonzero(data.train.y == 2)[1:]
    kept = np.setdiff1d(np.arange(len(data.train)), lone)
    fewer = dataclasses.replace(data, train=Arrays(data.train.x[kept], data.train.y[kept]))
    svm, knn = (TRAINABLE.configure({"model": model}, max_epochs=1) for model in ("svm", "knn"))
    (line,) = TRAINABLE.misfits(svm, fewer)
    assert line.startswith("model=svm needs two training examples of each class")
    assert TRAINABLE.misfits(knn, fewer) == TRAINABLE.misfits(svm, data) == []
    assert TRAINABLE.misfits(svm, splits("diabetes")) == []


def test_an_svm_with_few_of_a_class_is_calibrated_in_fewer_folds():
    data = splits()
    kept = np.setdiff1d(np.arange(len(data.train)), np.flatnonzero(data.train.y == 2)[3:])
    fewer = dataclasses.replace(data, train=Arrays(data.train.x[kept], data.train.y[kept]))
    (report,) = fit(start("svm", fewer))
    assert report.metrics["val_accuracy"] > 0.6


def test_torchs_mlp_trains_as_the_plain_loop_does():
    params = {"dropout": 0.3, "weight_decay": 0.01, "patience": 3, "schedule": "one_cycle"}
    run = start("torch_mlp", max_epochs=9, **params)
    plain = TrainingRun(run.config, DeviceData.of(splits(), CPU), seed=5, device=CPU)
    found, expected = list(fit(run)), list(fit(plain))
    assert [r.stop for r in found] == [r.stop for r in expected]
    for a, b in zip(found, expected, strict=True):
        assert dict(a.metrics) == {name: value for name, value in b.metrics.items() if name != "lr"}
    assert 0 < run.fit_seconds < sum(r.seconds for r in found)


@pytest.mark.parametrize("model", MODELS)
def test_a_checkpoint_of_an_estimator_says_that_its_fit_is_done(model, tmp_path):
    whole, resumed = start(model), start(model)
    whole.step()
    checkpoint.save(copy.deepcopy(whole.state_dict()), tmp_path / "trial.pt")
    resumed.load_state_dict(checkpoint.load(tmp_path / "trial.pt"))
    assert resumed.epoch == 1
    if model == "torch_mlp":
        assert [r.metrics for r in fit(resumed)] == [r.metrics for r in fit(whole)]


def test_what_cannot_be_known_of_an_estimator_is_not_promised():
    assert "lr" not in TRAINABLE.metrics
    assert "parameters" not in TRAINABLE.metrics


LIGHT = """
import json, sys
from trainables.registry import find_trainable
trainable = find_trainable("estimator")
trainable.configure({"model": "svm", "hidden": "8"}, max_epochs=3)
print(json.dumps(sorted({"torch", "sklearn", "numpy"} & set(sys.modules))))
"""


def test_a_configuration_is_checked_without_torch_and_scikit_learn():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, timeout=60, check=True)
    assert "torch" not in json.loads(done.stdout)
    assert "sklearn" not in json.loads(done.stdout)

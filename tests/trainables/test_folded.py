"""A trial of a cross-validation has the numbers of scikit-learn's loop on the same folds, in the loop and in lanes."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trainables import checkpoint
from trainables.baselines.estimators import MOST_ITERATIONS
from trainables.data import DataSpec, load_splits
from trainables.data.parts import part_indices
from trainables.device_data import DeviceData
from trainables.errors import CheckpointError
from trainables.folded import FoldedConfig, FoldMean, with_folds
from trainables.lanes import FoldLanes, LaneWorker
from trainables.loop import TrainingRun, fit
from trainables.registry import find_trainable
from trainables.report import DIVERGED, EpochReport
from trainables.stepping import reports_of

CPU = torch.device("cpu")
FOLDS = 3
SEED = 5
PARAMS = {"hidden": (16,), "dropout": 0.2, "batch_norm": True, "learning_rate": 0.02, "schedule": "plateau"}


@pytest.fixture(scope="module")
def splits():
    return load_splits(DataSpec("wine", folds=FOLDS))


@pytest.fixture(scope="module")
def folds():
    """Return what a user makes of the same data: inputs, classes, and the indices of each fold."""
    x, y = load_wine(return_X_y=True)
    kept = np.setdiff1d(np.arange(len(y)), part_indices(y, numeric=False, seed=0)[0])
    return x[kept], y[kept], StratifiedKFold(FOLDS, shuffle=True, random_state=0)


def trial(splits, params=PARAMS, *, kind="mlp", epochs=4, seed=SEED):
    trainable = with_folds(find_trainable(kind), splits)
    data = trainable.prepare(splits, CPU)
    return trainable.start(trainable.configure(params, max_epochs=epochs), data, seed=seed, device=CPU)


def lanes(splits, mode="stacked", *, trials=2):
    trainable = with_folds(find_trainable("mlp"), splits)
    data = trainable.prepare(splits, CPU)
    worker = LaneWorker(data[0], device=CPU, lanes=trials * FOLDS, mode=mode, threads=1)
    return FoldLanes(worker, data), trainable


def test_the_plain_loop_on_folds_that_scikit_learn_made_gives_the_means(splits, folds):
    x, y, splitter = folds
    curves = []
    for train, val in splitter.split(x, y):
        scaler = StandardScaler().fit(x[train].astype(np.float32))
        x_train, x_val = (torch.from_numpy(scaler.transform(x[part]).astype(np.float32)) for part in (train, val))
        data = DeviceData(x_train, torch.from_numpy(y[train]), x_val, torch.from_numpy(y[val]), 3)
        config = find_trainable("mlp").configure(PARAMS, max_epochs=4)
        curves.append([report.metrics for report in fit(TrainingRun(config, data, seed=SEED, device=CPU))])
    found = [report.metrics for report in reports_of(trial(splits), epochs=9)]
    for epoch, metrics in enumerate(found):
        for name in ("val_loss", "val_accuracy", "train_loss", "lr"):
            # float32: the two standardise in another order
            assert metrics[name] == pytest.approx(np.mean([curve[epoch][name] for curve in curves]), rel=1e-4), name
        losses = [curve[epoch]["val_loss"] for curve in curves]
        assert metrics["val_loss_sd"] == pytest.approx(np.std(losses, ddof=1), rel=1e-3)


@pytest.mark.parametrize("model", ["linear", "forest"])
@pytest.mark.parametrize(("metric", "scoring"), [("val_accuracy", "accuracy"), ("val_loss", "neg_log_loss")])
def test_an_estimator_has_the_value_of_cross_val_score(splits, folds, model, metric, scoring):
    x, y, splitter = folds
    params = {"model": model, "forest_trees": 10, "forest_min_leaf": 10}
    ours = trial(splits, params, kind="estimator").step().metrics[metric]
    estimator = LogisticRegression(max_iter=MOST_ITERATIONS)
    if model == "forest":
        estimator = RandomForestClassifier(
            n_estimators=10, max_depth=16, max_features=0.5, min_samples_leaf=10, random_state=SEED
        )
    pipeline = make_pipeline(StandardScaler(), estimator)
    theirs = cross_val_score(pipeline, x.astype(np.float32), y, cv=splitter, scoring=scoring)
    # accuracies are whole numbers of examples; losses differ by float32 inputs and the solver's stopping
    assert ours == pytest.approx(abs(theirs.mean()), rel=1e-3)


@pytest.mark.parametrize("mode", ["stacked", "looped"])
def test_in_lanes_a_trial_has_the_curve_of_the_loop(splits, mode):
    worker, trainable = lanes(splits, mode)
    others = {**PARAMS, "batch_norm": False, "dropout": 0.0}
    worker.seat(7, trainable.configure(others, max_epochs=9), seed=1)
    worker.seat(4, trainable.configure(PARAMS, max_epochs=4), seed=SEED)
    found = [worker.advance()[4].report for _ in range(4)]
    worker.close()
    for ours, loop in zip(found, reports_of(trial(splits), epochs=9), strict=True):
        assert (ours.epoch, ours.stop) == (loop.epoch, loop.stop)
        assert ours.metrics.keys() == loop.metrics.keys()
        # float32, a few updates
        assert ours.metrics == pytest.approx(loop.metrics, rel=1e-4, abs=1e-6)


class InTurn:
    """A trial whose folds train in turn."""

    def __init__(self, splits, state=None):
        self._run = trial(splits, {**PARAMS, "patience": 2}, epochs=6)
        if state is not None:
            self._run.load_state_dict(state)
        self.step, self.state = self._run.step, self._run.state_dict


class InLanes:
    """A trial with a lane a fold."""

    def __init__(self, splits, state=None):
        self._worker, trainable = lanes(splits)
        config = trainable.configure({**PARAMS, "patience": 2}, max_epochs=6)
        self.state = self._worker.seat(0, config, seed=SEED, state=state).state

    def step(self):
        return self._worker.advance()[0].report


@pytest.mark.parametrize("kind", [InTurn, InLanes])
def test_a_resumed_trial_is_the_one_that_never_stopped(splits, kind, tmp_path):
    whole = kind(splits)
    curve = [whole.step() for _ in range(2)]
    checkpoint.save(whole.state(), tmp_path / "trial.pt")
    resumed = kind(splits, checkpoint.load(tmp_path / "trial.pt"))
    curve += [whole.step() for _ in range(2)]
    for report in curve[2:]:
        again = resumed.step()
        assert (again.epoch, again.metrics, again.stop) == (report.epoch, report.metrics, report.stop)


@pytest.mark.parametrize(("first", "second"), [(InTurn, InLanes), (InLanes, InTurn)])
def test_a_checkpoint_goes_on_in_either_way(splits, first, second):
    begun = first(splits)
    begun.step()
    going_on = second(splits, begun.state())
    assert going_on.step().metrics == pytest.approx(begun.step().metrics, rel=1e-4, abs=1e-6)


def test_a_checkpoint_of_other_folds_is_refused(splits):
    alone = load_splits(DataSpec("wine", folds=2))
    with pytest.raises(CheckpointError, match="expected 3 folds, found 2 folds"):
        trial(splits).load_state_dict(trial(alone).state_dict())
    with pytest.raises(CheckpointError, match="expected 3 folds, found a trial without folds"):
        trial(splits).load_state_dict(trial(dataclasses.replace(splits, folds=())).state_dict())


def reports(epoch, *losses, stops=()):
    stops = [*stops, *[None] * (len(losses) - len(stops))]
    return [EpochReport(epoch, {"val_loss": loss}, 0.5, stop) for loss, stop in zip(losses, stops, strict=True)]


def test_the_patience_is_of_the_mean():
    mean = FoldMean(FoldedConfig(None, patience=2, min_delta=0.1))
    found = [mean.report(reports(e, *losses)) for e, losses in enumerate([(1, 3), (2, 1), (0, 2.9), (3, 0.1)], 1)]
    assert [report.metrics["val_loss"] for report in found] == [2, 1.5, 1.45, 1.55]
    assert [report.stop for report in found] == [None, None, None, "patience"]
    assert {report.seconds for report in found} == {1.0}


def test_no_fold_has_a_patience_of_its_own(splits):
    worse = {"hidden": (8,), "learning_rate": 5.0, "optimizer": "sgd", "patience": 1, "min_delta": 1.0}
    config = with_folds(find_trainable("mlp"), splits).configure(worse, max_epochs=9)
    assert (config.patience, config.min_delta, config.of_a_fold.patience) == (1, 1.0, 0)


def test_a_trial_diverges_with_one_of_its_folds():
    found = FoldMean(FoldedConfig(None, 0, 0.0)).report(reports(1, 1.0, math.nan, stops=(None, DIVERGED)))
    assert found.stop == DIVERGED
    assert math.isnan(found.metrics["val_loss"]) and math.isnan(found.metrics["val_loss_sd"])


def test_a_trial_that_leaves_frees_the_lanes_of_all_its_folds(splits):
    worker, trainable = lanes(splits, trials=1)
    config = trainable.configure(PARAMS, max_epochs=3)
    for number in range(3):
        seat = worker.seat(number, config, seed=number)
        with pytest.raises(ValueError, match="no lane is free"):
            worker.seat(9, config, seed=0)
        assert list(worker.advance()) == [number]
        seat.retire()
    assert worker.lanes == 1
    assert worker.advance() == {}


def test_what_one_fold_raises_is_the_end_of_its_trial_alone(splits):
    trainable = with_folds(find_trainable("mlp"), splits)
    data = trainable.prepare(splits, CPU)

    class FailsInTheSecondFold(TrainingRun):
        def step(self):
            if self.data is data[1] and self.config.max_epochs == 3:
                raise ZeroDivisionError("of its own")
            return super().step()

    worker = LaneWorker(data[0], device=CPU, lanes=2 * FOLDS, mode="looped", start=FailsInTheSecondFold)
    folded = FoldLanes(worker, data)
    folded.seat(0, trainable.configure(PARAMS, max_epochs=3), seed=0)
    folded.seat(1, trainable.configure(PARAMS, max_epochs=4), seed=0)
    events = folded.advance()
    folded.close()
    assert isinstance(events[0].error, ZeroDivisionError)
    assert not events[0].shared
    assert events[1].report.epoch == 1


def test_a_trial_stands_still_in_all_of_its_folds_or_in_none(splits):
    looped, trainable = lanes(splits, "looped")
    config = trainable.configure(PARAMS, max_epochs=4)
    held, _ = (looped.seat(number, config, seed=0) for number in range(2))
    assert held.hold(True)
    assert list(looped.advance()) == [1]
    held.hold(False)
    assert {n: event.report.epoch for n, event in looped.advance().items()} == {0: 1, 1: 2}
    looped.close()
    stacked, trainable = lanes(splits)
    assert not stacked.seat(0, config, seed=0).hold(True)
    assert list(stacked.advance()) == [0]
    stacked.close()

"""The metrics are those of scikit-learn, in the loop and in lanes."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from sklearn import metrics as reference

from tests.trainables.lanes.cases import CPU, digits, loop_curve, stacked
from trainables.config import LOSSES, MlpConfig
from trainables.data import DataSpec, load_splits
from trainables.device_data import DeviceData
from trainables.loop import TrainingRun
from trainables.losses import build_loss
from trainables.metrics import METRICS, classification_metrics
from trainables.models import Mlp
from trainables.task import Task

EXTRA = tuple(name for name, metric in METRICS.items() if metric.extra)


def outputs_of(run: TrainingRun) -> torch.Tensor:
    run.model.eval()
    with torch.no_grad():
        return run.model(run.data.x_val)


def test_classification_metrics_are_scikit_learns():
    data = dataclasses.replace(digits(), extra_metrics=EXTRA)
    run = TrainingRun(MlpConfig(max_epochs=2, hidden=(16,)), data, seed=1, device=CPU)
    found = run.step().metrics
    logits, labels = outputs_of(run).double(), data.y_val.numpy()
    guessed, scores = logits.argmax(1).numpy(), logits.softmax(1).numpy()
    assert found["val_accuracy"] == reference.accuracy_score(labels, guessed)
    assert found["val_macro_f1"] == reference.f1_score(labels, guessed, average="macro")
    assert found["val_balanced_accuracy"] == reference.balanced_accuracy_score(labels, guessed)
    assert found["val_roc_auc"] == pytest.approx(reference.roc_auc_score(labels, scores, multi_class="ovr"), rel=1e-12)
    assert found["parameters"] == 64 * 16 + 16 + 16 * 10 + 10


def test_two_classes_have_the_usual_area_under_the_curve():
    rng = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(50, 2, generator=rng), torch.arange(50) % 2
    expected = reference.roc_auc_score(labels.numpy(), (logits[:, 1] - logits[:, 0]).numpy())
    assert classification_metrics(["val_roc_auc"], logits, labels)["val_roc_auc"] == pytest.approx(expected, rel=1e-12)


def test_a_metric_that_the_outputs_do_not_determine_is_nan():
    broken = torch.full((4, 3), math.nan)
    found = classification_metrics(EXTRA, broken, torch.tensor([0, 1, 2, 0]))
    assert found
    assert all(math.isnan(value) for value in found.values())
    alone = classification_metrics(["val_roc_auc"], torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64))
    assert math.isnan(alone["val_roc_auc"])


@pytest.mark.parametrize("loss", LOSSES[Task.REGRESSION])
def test_regression_metrics_are_scikit_learns_in_the_targets_units(loss):
    splits = load_splits(DataSpec("diabetes"))
    data = DeviceData.of(splits, CPU)
    run = TrainingRun(MlpConfig(max_epochs=2, hidden=(16,), loss=loss), data, seed=1, device=CPU)
    found = run.step().metrics
    scale = splits.scale
    own, guessed = (v.double().numpy() * scale.deviation + scale.mean for v in (data.y_val, outputs_of(run).squeeze(1)))
    # float32 sums over 88 examples
    assert found["val_rmse"] == pytest.approx(reference.root_mean_squared_error(own, guessed), rel=1e-5)
    assert found["val_mae"] == pytest.approx(reference.mean_absolute_error(own, guessed), rel=1e-5)
    assert found["val_r2"] == pytest.approx(reference.r2_score(own, guessed), rel=1e-4)
    assert "val_accuracy" not in found


def test_the_losses_are_those_of_the_field():
    outputs, target = torch.tensor([[0.0], [3.0], [-0.5]]), torch.tensor([1.0, 0.0, 0.0])
    means = {name: build_loss(name, Task.REGRESSION)(outputs, target).item() for name in LOSSES[Task.REGRESSION]}
    assert means == {
        "mse": pytest.approx(np.mean([1, 9, 0.25])),
        "mae": pytest.approx(np.mean([1, 3, 0.5])),
        "huber": pytest.approx(np.mean([0.5, 2.5, 0.125])),
    }


def test_a_lane_reports_what_the_loop_does():
    data = dataclasses.replace(digits(), extra_metrics=EXTRA)
    config = MlpConfig(max_epochs=3, hidden=(24, 16), batch_norm=True, dropout=0.3)
    expected = loop_curve(config, data, seed=4)
    worker = stacked(data, 2)
    worker.seat(0, config, seed=4)
    worker.seat(1, dataclasses.replace(config, batch_norm=False), seed=5)
    for report in expected:
        found = worker.advance()[0].report
        assert list(found.metrics) == list(report.metrics)
        for name, value in report.metrics.items():
            # one validation example of 100 may fall on the other side; the losses agree as everywhere
            tolerance = {"rel": 1e-4} if "loss" in name or name == "parameters" else {"abs": 0.02}
            assert found.metrics[name] == pytest.approx(value, **tolerance), name
    worker.close()


def test_a_model_without_batch_norm_has_its_biases_counted():
    data = dataclasses.replace(digits(), extra_metrics=("parameters",))
    config = MlpConfig(max_epochs=1, hidden=(24, 16))
    model = Mlp(config, 64, 10, seed=0, device=CPU)
    worker = stacked(data, 1)
    worker.seat(0, config, seed=0)
    assert worker.advance()[0].report.metrics["parameters"] == sum(p.numel() for p in model.parameters())
    worker.close()

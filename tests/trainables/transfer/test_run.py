"""What a trial does: cached as uncached, frozen parts untouched, each group at its rate, resumed bit for bit."""

import pytest
import torch

from tests.trainables.transfer.conftest import CPU, TRANSFER, configured, curve, started
from trainables import checkpoint
from trainables.best import load_model, trial_facts
from trainables.data import DataSpec, load_splits
from trainables.lanes import LaneWorker
from trainables.transfer.network import TrainablePart
from trainables.weights_snapshot import detached_copy, snapshot_weights

DEPTHS = range(6)
SAME_CURVE = 1e-4
"""Relative. The frozen stages see other batches where their outputs are cached, and a convolution may round otherwise
in the last of 24 bits; three epochs of AdamW carry that on."""

THREE = ("narrow_resnet", "resnet18", "mobilenet_v3_small")


def assert_same_curve(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert ours[name] == pytest.approx(theirs[name], rel=SAME_CURVE, abs=1e-6), name


@pytest.mark.parametrize("augmentation", ["none", "flip_crop"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_cached_curves_are_the_uncached_ones_at_every_depth(splits, depth, augmentation):
    params = {
        "freeze_depth": depth,
        "augmentation": augmentation,
        "dropout": 0.2,
        "label_smoothing": 0.1,
        "stage_factor": 0.5,
        "schedule": "cosine",
    }
    cached = curve(started(splits, **params))
    uncached = curve(started(splits, **params, feature_cache="off"))
    assert_same_curve(cached, uncached)


@pytest.mark.parametrize("augmentation", ["none", "trivial_augment"])
def test_heads_in_stacked_lanes_have_the_loops_curves(splits, augmentation):
    data = TRANSFER.prepare(splits, CPU)
    configs = [
        configured(
            freeze_depth=5, augmentation=augmentation, dropout=0.1 * i, label_smoothing=0.05 * i, weight_decay=0.01
        )
        for i in range(3)
    ]
    looped = [curve(TRANSFER.start(config, data, seed=i, device=CPU)) for i, config in enumerate(configs)]
    worker = LaneWorker(data, device=CPU, lanes=3, start=TRANSFER.start, stands_in=TRANSFER, mode="stacked")
    for i, config in enumerate(configs):
        worker.seat(i, config, seed=i)
    stacked = [[] for _ in configs]
    for _ in range(3):
        for i, event in worker.advance().items():
            stacked[i].append(dict(event.report.metrics))
    assert set(worker.modes.values()) == {"stacked"}
    for ours, theirs in zip(stacked, looped, strict=True):
        assert_same_curve(ours, theirs)


@pytest.mark.parametrize("backbone", THREE)
def test_what_is_frozen_is_bit_identical_after_training_batch_norms_statistics_included(backbone):
    size = 32 if backbone != "narrow_resnet" else 8
    splits = load_splits(DataSpec("digits", pixels=True, half="second", train_examples=40))
    params = {"backbone": backbone, "weights": "none", "input_size": size, "freeze_depth": 2}
    data = TRANSFER.prepare(splits, CPU)
    frozen = data.shared(configured(**params)).backbone.model
    before = {name: tensor.clone() for name, tensor in frozen.state_dict().items()}
    run = started(splits, data, **params)
    trained = {name: tensor.clone() for name, tensor in run._run.model.state_dict().items()}
    curve(run, 2)
    after = snapshot_weights(run)()
    assert all(torch.equal(tensor, before[name]) for name, tensor in frozen.state_dict().items())
    stages = data.shared(configured(**params)).backbone.stage_names[:2]
    kept = [name for name in after if name.startswith(tuple(f"stages.{stage}." for stage in stages))]
    assert any("running_mean" in name for name in kept) and any("weight" in name for name in kept)
    untouched = TRANSFER.start(configured(**params), data, seed=1, device=CPU).full_weights()()
    assert all(torch.equal(after[name], untouched[name]) for name in kept)
    moved = [name for name, tensor in run._run.model.state_dict().items() if not torch.equal(tensor, trained[name])]
    assert any("running_mean" in name for name in moved), "stages that train move their statistics"


@pytest.mark.parametrize("backbone", THREE)
def test_each_groups_rate_is_what_the_configuration_says(backbone):
    splits = load_splits(DataSpec("digits", pixels=True, half="second", train_examples=20))
    size = 32 if backbone != "narrow_resnet" else 8
    run = started(
        splits,
        backbone=backbone,
        weights="none",
        input_size=size,
        freeze_depth=1,
        stage_factor=0.5,
        schedule="step",
        step_size=1,
        step_gamma=0.1,
        batch_size=20,
    )
    model = run._run.model
    assert isinstance(model, TrainablePart)
    stages = [[*stage.parameters()] for stage in reversed(model.stages.values())]
    expected = [[*model.head.parameters()], *(parameters for parameters in stages if parameters)]
    for epoch in range(3):
        groups = run._run.optimizer.param_groups
        assert [[id(p) for p in group["params"]] for group in groups] == [[id(p) for p in part] for part in expected]
        for distance, group in enumerate(groups):
            assert group["lr"] == pytest.approx(0.01 * 0.1**epoch * 0.5**distance)
        run.step()


@pytest.mark.parametrize("params", [{"freeze_depth": 2}, {"freeze_depth": 5}, {"init": "scratch"}])
def test_an_interrupted_trial_ends_with_the_same_bits(splits, tmp_path, params):
    params = {**params, "dropout": 0.3, "augmentation": "flip_crop", "schedule": "cosine", "stage_factor": 0.7}
    whole = started(splits, max_epochs=4, **params)
    first = started(splits, max_epochs=4, **params)
    curve(first, 2)
    checkpoint.save(first.state_dict(), tmp_path / "trial.pt")
    second = started(splits, max_epochs=4, seed=99, **params)
    second.load_state_dict(checkpoint.load(tmp_path / "trial.pt"))
    expected = curve(whole, 4)
    assert curve(second, 2) == expected[2:]
    found, wanted = snapshot_weights(second)(), snapshot_weights(whole)()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in found)


def test_a_checkpoint_moves_between_cached_and_uncached_runs(splits):
    for depth in (3, 5):
        cached = started(splits, freeze_depth=depth)
        curve(cached, 1)
        uncached = started(splits, freeze_depth=depth, feature_cache="off")
        uncached.load_state_dict(detached_copy(cached.state_dict()))
        assert_same_curve(curve(uncached, 2), curve(cached, 2))


@pytest.mark.parametrize("depth", [0, 3, 5])
def test_a_kept_model_is_the_whole_network_from_bytes_to_logits(splits, tmp_path, depth):
    params = {"weights": "source", "freeze_depth": depth}
    run = started(splits, **params)
    last = curve(run)[-1]
    facts = trial_facts(
        7,
        trainable="transfer",
        params={"source_epochs": 1, "batch_size": 32, **params},
        max_epochs=3,
        seed=1,
        shape=splits.shape,
        outputs=splits.outputs,
    )
    checkpoint.save({**facts, "model": snapshot_weights(run)()}, tmp_path / "best.pt")
    model = load_model(tmp_path / "best.pt")
    with torch.no_grad():
        right = model(torch.from_numpy(splits.val.x)).argmax(1) == torch.from_numpy(splits.val.y)
    assert right.float().mean().item() == pytest.approx(last["val_accuracy"], abs=1e-6)


def test_trials_from_scratch_draw_their_own_weights_and_pretrained_ones_share_theirs(splits):
    data = TRANSFER.prepare(splits, CPU)
    first, second = (snapshot_weights(started(splits, data, seed=s, init="scratch"))() for s in (1, 2))
    assert not torch.equal(first["stages.stem.0.weight"], second["stages.stem.0.weight"])
    first, second = (snapshot_weights(started(splits, data, seed=s))() for s in (1, 2))
    assert torch.equal(first["stages.stem.0.weight"], second["stages.stem.0.weight"])
    assert not torch.equal(first["head.layers.0.weight"], second["head.layers.0.weight"])

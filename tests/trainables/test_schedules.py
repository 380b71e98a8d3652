import math

import pytest
import torch
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from trainables.config import SCHEDULES, MlpConfig
from trainables.schedules import build_schedule

EPOCHS = 12
RATE = 0.1
LOSSES = [1.0, 0.8, 0.8, 0.8, 0.8, 0.5, 0.6, 0.6, 0.6, 0.4, 0.4, 0.4]


def config(schedule, **values):
    return MlpConfig(
        max_epochs=values.pop("max_epochs", EPOCHS),
        learning_rate=RATE,
        schedule=schedule,
        step_size=4,
        step_gamma=0.3,
        cosine_floor=0.05,
        plateau_factor=0.5,
        plateau_patience=1,
        one_cycle_peak=values.pop("one_cycle_peak", 0.25),
        one_cycle_div=10.0,
        one_cycle_final_div=100.0,
        warmup_epochs=values.pop("warmup_epochs", 4),
        warmup_start=0.2,
        **values,
    )


def make_optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)


def rates(optimizer, step, losses):
    """Return the rate in force in each epoch, and after the last."""
    seen = [optimizer.param_groups[0]["lr"]]
    for loss in losses:
        optimizer.step()
        step(loss)
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


def ours(schedule):
    optimizer = make_optimizer()
    return rates(optimizer, build_schedule(optimizer, config(schedule)).step, LOSSES)


def torchs(schedule):
    optimizer = make_optimizer()
    if schedule == "none":
        return rates(optimizer, lambda loss: None, LOSSES)
    if schedule == "step":
        inner = StepLR(optimizer, 4, 0.3)
        return rates(optimizer, lambda loss: inner.step(), LOSSES)
    if schedule == "cosine":
        inner = CosineAnnealingLR(optimizer, EPOCHS, RATE * 0.05)
        return rates(optimizer, lambda loss: inner.step(), LOSSES)
    if schedule == "one_cycle":
        cycle = OneCycleLR(
            optimizer, RATE, EPOCHS, pct_start=0.25, div_factor=10, final_div_factor=100, cycle_momentum=False
        )
        return rates(optimizer, lambda loss: cycle.step(), LOSSES)
    if schedule == "warmup_cosine":
        parts = [LinearLR(optimizer, 0.2, total_iters=4), CosineAnnealingLR(optimizer, EPOCHS - 4, RATE * 0.05)]
        both = SequentialLR(optimizer, parts, [4])
        return rates(optimizer, lambda loss: both.step(), LOSSES)
    return rates(optimizer, ReduceLROnPlateau(optimizer, mode="min", factor=0.5, patience=1).step, LOSSES)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_gives_torchs_own_rates(schedule):
    assert ours(schedule) == torchs(schedule)


def test_without_a_schedule_the_learning_rate_stays():
    assert ours("none") == [RATE] * (EPOCHS + 1)


def test_step_drops_by_its_factor_every_so_many_epochs():
    closed = [RATE * 0.3 ** (epoch // 4) for epoch in range(EPOCHS + 1)]
    assert ours("step") == pytest.approx(closed, rel=1e-12)  # float64, a dozen products


def test_cosine_falls_to_its_floor_at_the_last_epoch():
    floor = RATE * 0.05
    closed = [floor + (RATE - floor) * (1 + math.cos(math.pi * t / EPOCHS)) / 2 for t in range(EPOCHS + 1)]
    assert ours("cosine") == pytest.approx(closed, rel=1e-9)  # torch computes it by recursion
    assert ours("cosine")[-1] == pytest.approx(floor, rel=1e-9)


def test_one_cycle_rises_to_its_peak_and_falls_to_almost_nothing():
    # A quarter of 12 epochs: torch counts steps from 0, so the third epoch is the highest, the twelfth the lowest.
    found = ours("one_cycle")
    assert found[0] == pytest.approx(RATE / 10)
    assert found[2] == max(found) == pytest.approx(RATE)
    assert found[EPOCHS - 1] == pytest.approx(RATE / 1000)
    assert found[:3] == sorted(found[:3])
    assert found[2:EPOCHS] == sorted(found[2:EPOCHS], reverse=True)


def test_a_warm_up_rises_evenly_and_the_cosine_begins_at_the_top():
    found = ours("warmup_cosine")
    assert found[:5] == pytest.approx([RATE * share for share in (0.2, 0.4, 0.6, 0.8, 1.0)], rel=1e-12)
    floor = RATE * 0.05
    closed = [floor + (RATE - floor) * (1 + math.cos(math.pi * t / 8)) / 2 for t in range(9)]
    assert found[4:] == pytest.approx(closed, rel=1e-9)  # torch computes it by recursion


@pytest.mark.parametrize("peak", [0.0, 0.25, 0.3, 1 / 3, 0.5, 0.999])
@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 20])
def test_one_cycle_works_for_any_horizon(epochs, peak):
    """Where peak x epochs is 1 torch's own class divides by zero."""
    optimizer = make_optimizer()
    schedule = build_schedule(optimizer, config("one_cycle", max_epochs=epochs, one_cycle_peak=peak))
    found = rates(optimizer, schedule.step, [1.0] * epochs)[:epochs]
    assert all(0 < rate <= RATE * (1 + 1e-9) for rate in found)
    assert found[-1] == pytest.approx(RATE / 1000)
    if peak * epochs == 1 < epochs:
        assert found[0] == pytest.approx(RATE)


@pytest.mark.parametrize("warmup", [1, 3, 4, 9])
@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 20])
def test_a_warm_up_longer_than_the_trial_only_rises(epochs, warmup):
    optimizer = make_optimizer()
    schedule = build_schedule(optimizer, config("warmup_cosine", max_epochs=epochs, warmup_epochs=warmup))
    found = rates(optimizer, schedule.step, [1.0] * epochs)[:epochs]
    rising = min(warmup, epochs)
    assert found[:rising] == pytest.approx([RATE * (0.2 + 0.8 * i / rising) for i in range(rising)])
    assert found[rising:] == sorted(found[rising:], reverse=True)


def test_no_schedule_moves_the_momentum():
    for schedule in SCHEDULES:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE, momentum=0.7)
        rates(optimizer, build_schedule(optimizer, config(schedule)).step, LOSSES)
        assert optimizer.param_groups[0]["momentum"] == 0.7


def test_plateau_drops_once_its_patience_is_over():
    # The loss stands still from the second epoch on; with patience 1 the second epoch without gain drops the rate.
    assert ours("plateau")[:6] == [RATE, RATE, RATE, RATE, RATE / 2, RATE / 2]


@pytest.mark.parametrize("epoch", [0, 3, 7])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_continues_from_its_state(schedule, epoch):
    optimizer = make_optimizer()
    first = build_schedule(optimizer, config(schedule))
    before = rates(optimizer, first.step, LOSSES[:epoch])

    resumed = make_optimizer()
    second = build_schedule(resumed, config(schedule))
    resumed.load_state_dict(optimizer.state_dict())
    second.load_state_dict(first.state_dict())
    after = rates(resumed, second.step, LOSSES[epoch:])

    assert before[:-1] + after == ours(schedule)

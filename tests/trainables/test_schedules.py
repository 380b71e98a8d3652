import math

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau, StepLR

from trainables.config import SCHEDULES, MlpConfig
from trainables.schedules import build_schedule

EPOCHS = 12
RATE = 0.1
LOSSES = [1.0, 0.8, 0.8, 0.8, 0.8, 0.5, 0.6, 0.6, 0.6, 0.4, 0.4, 0.4]


def config(schedule):
    return MlpConfig(
        max_epochs=EPOCHS,
        learning_rate=RATE,
        schedule=schedule,
        step_size=4,
        step_gamma=0.3,
        cosine_floor=0.05,
        plateau_factor=0.5,
        plateau_patience=1,
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
    return rates(optimizer, ReduceLROnPlateau(optimizer, mode="min", factor=0.5, patience=1).step, LOSSES)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_gives_torchs_own_rates(schedule):
    assert ours(schedule) == torchs(schedule)


def test_none_stays():
    assert ours("none") == [RATE] * (EPOCHS + 1)


def test_step_drops_by_its_factor_every_so_many_epochs():
    closed = [RATE * 0.3 ** (epoch // 4) for epoch in range(EPOCHS + 1)]
    assert ours("step") == pytest.approx(closed, rel=1e-12)  # float64, a dozen products


def test_cosine_falls_to_its_floor_at_the_last_epoch():
    floor = RATE * 0.05
    closed = [floor + (RATE - floor) * (1 + math.cos(math.pi * t / EPOCHS)) / 2 for t in range(EPOCHS + 1)]
    assert ours("cosine") == pytest.approx(closed, rel=1e-9)  # torch computes it by recursion
    assert ours("cosine")[-1] == pytest.approx(floor, rel=1e-9)


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

"""The optimisers over a stack, beside torch's own, for both devices' ways of writing them."""

from typing import Any

import pytest
import torch

from trainables.config import MlpConfig
from trainables.lanes.bank import Bank
from trainables.lanes.blueprint import blueprint
from trainables.lanes.grouping import GroupKey
from trainables.lanes.trial import LaneTrial
from trainables.lanes.updates import Update, build_update, stacked_update

CPU = torch.device("cpu")
MODEL = blueprint(GroupKey.of(MlpConfig(max_epochs=1, hidden=(3,))), (4,), 2)
LAYOUT = MODEL.layout
USED = LAYOUT.linear
STEPS = 12

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "adamw": [
        {"learning_rate": 1e-3, "weight_decay": 0.0},
        {"learning_rate": 0.1, "weight_decay": 0.3},
        {"learning_rate": 3e-2, "weight_decay": 1e-3},
    ],
    "sgd": [
        {"learning_rate": 0.1, "weight_decay": 0.0, "momentum": 0.9},
        {"learning_rate": 0.3, "weight_decay": 0.1, "momentum": 0.0},
        {"learning_rate": 1e-2, "weight_decay": 1e-2, "momentum": 0.5},
    ],
}


def build(kind: str, optimizer: str, bank: Bank, grads: torch.Tensor) -> Update:
    if kind == "of the CPU":
        return build_update(LAYOUT, bank, grads, optimizer=optimizer)
    return stacked_update(bank, grads, optimizer=optimizer)


@pytest.mark.parametrize("kind", ["of the CPU", "stacked"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_every_lane_moves_as_torchs_own_optimiser_moves_it(optimizer: str, kind: str) -> None:
    """Three trials with settings of their own beside an empty lane; one had trained before."""
    rng = torch.Generator().manual_seed(0)
    bank = Bank.empty(LAYOUT, 4, optimizer=optimizer, device=CPU)
    bank.params.copy_(torch.randn(4, LAYOUT.size, generator=rng))
    grads = torch.zeros(4, LAYOUT.size)
    trials: list[LaneTrial | None] = [
        LaneTrial(
            i,
            MlpConfig(max_epochs=2, hidden=(3,), optimizer=optimizer, **settings),
            MODEL,
            batches=STEPS // 2,
            seed=0,
            device=CPU,
        )
        for i, settings in enumerate(SETTINGS[optimizer])
    ]
    trials.insert(1, None)
    lanes = [i for i, t in enumerate(trials) if t is not None]
    weights = {i: bank.params[i, :USED].clone().requires_grad_() for i in lanes}
    references = {i: _reference(weights[i], trials[i]) for i in lanes}
    empty = bank.params[1].clone()
    update = build(kind, optimizer, bank, grads)
    for step in range(STEPS):
        if step % (STEPS // 2) == 0:
            for trial in trials:
                if trial is not None:
                    trial.epoch = step // (STEPS // 2)
            update.prepare(trials)
        grads.copy_(torch.randn(4, LAYOUT.size, generator=rng))
        for i in lanes:
            weights[i].grad = grads[i, :USED].clone()
            references[i].step()
        update.step()
    for i in lanes:
        # float32, 12 steps, sums in another order
        torch.testing.assert_close(bank.params[i, :USED], weights[i].detach(), rtol=1e-5, atol=1e-6)
    assert torch.equal(bank.params[1], empty)


@pytest.mark.parametrize("kind", ["of the CPU", "stacked"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_nan_stays_in_its_lane(optimizer: str, kind: str) -> None:
    bank = Bank.empty(LAYOUT, 2, optimizer=optimizer, device=CPU)
    grads = torch.ones(2, LAYOUT.size)
    grads[0] = torch.nan
    config = MlpConfig(max_epochs=1, hidden=(3,), optimizer=optimizer)
    trials = [LaneTrial(i, config, MODEL, batches=1, seed=0, device=CPU) for i in range(2)]
    update = build(kind, optimizer, bank, grads)
    update.prepare(trials)
    update.step()
    assert bank.params[0, :USED].isnan().all()
    assert bank.params[1].isfinite().all()


def _reference(weights: torch.Tensor, trial: LaneTrial | None) -> torch.optim.Optimizer:
    assert trial is not None
    config = trial.config
    if config.optimizer == "adamw":
        return torch.optim.AdamW([weights], lr=config.learning_rate, weight_decay=config.weight_decay)
    return torch.optim.SGD(
        [weights], lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
    )

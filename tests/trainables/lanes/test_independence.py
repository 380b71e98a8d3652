"""A trial's curve depends on its configuration, seed and data alone: bit for bit, on CPU.

Every operation of a stack treats each lane alone and every lane lies alike in memory, so that neighbours,
lane, number of lanes, stacks and threads leave no trace. A neighbour's NaN cannot spread, because nothing
is ever masked by multiplying with 0 across lanes.
"""

import math
from collections.abc import Sequence

import pytest
import torch

from tests.trainables.lanes.cases import CPU, digits, in_views, lane_curves, numbers, random_data, stacked
from trainables.config import ACTIVATIONS, MlpConfig
from trainables.lanes import LaneWorker
from trainables.lanes.buffers import LossBuffers
from trainables.lanes.losses import CrossEntropy
from trainables.report import DIVERGED

ODD = random_data(41, 7, 3)
Curves = dict[int, list[tuple[float, ...]]]


def mixed(activation: str, optimizer: str, *, hidden: tuple[int, ...], batch_size: int) -> list[MlpConfig]:
    return [
        MlpConfig(
            max_epochs=3,
            hidden=hidden,
            batch_size=batch_size,
            activation=activation,
            optimizer=optimizer,
            learning_rate=0.01,
            dropout=0.3 * (i % 3 > 0),
            input_dropout=0.2 * (i % 3 == 1),
            label_smoothing=0.1 * (i % 4 > 1),
            batch_norm=i % 2 == 0,
            l1_penalty=1e-3 * (i % 4 == 0),
            weight_decay=0.1 * (i % 5 == 0),
        )
        for i in range(9)
    ]


def curves(worker: LaneWorker, trials: Sequence[tuple[int, MlpConfig]]) -> Curves:
    return {number: numbers(reports) for number, reports in lane_curves(worker, trials).items()}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", ["odd", "even", "linear"])
def test_lane_neighbours_and_number_leave_no_trace(shape: str, activation: str, optimizer: str) -> None:
    if shape == "odd":  # no lane fills whole cache lines, and vector code has a remainder
        data, hidden, batch_size = ODD, (7, 5), 5
    elif shape == "linear":
        data, hidden, batch_size = in_views(ODD, 2), (), 5
    else:
        data, hidden, batch_size = digits(), (64, 32), 64
    trials = list(enumerate(mixed(activation, optimizer, hidden=hidden, batch_size=batch_size)))
    alone = curves(stacked(data, 1), trials)
    assert curves(stacked(data, 9), trials) == alone
    assert curves(stacked(data, 4, threads=2), trials[::-1]) == alone
    assert curves(stacked(data, 64, threads=3), trials) == alone
    few = [trials[5], trials[2]]
    assert curves(stacked(data, 9), few) == {number: alone[number] for number, _ in few}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_lane_that_diverges_touches_no_other(batch_norm: bool, optimizer: str) -> None:
    """Beside batch norm, dropout and L1, in the same stack; compared with a run without it."""
    trials = list(enumerate(mixed("relu", optimizer, hidden=(24, 16), batch_size=64)))
    wild = MlpConfig(
        max_epochs=3,
        hidden=(24, 16),
        optimizer=optimizer,
        batch_norm=batch_norm,
        dropout=0.3,
        l1_penalty=1e-3,
        weight_decay=0.1,
        learning_rate=1e30,
    )
    without = curves(stacked(digits(), 12), trials)
    reports = lane_curves(stacked(digits(), 12), [*trials[:4], (77, wild), *trials[4:]])
    assert reports[77][-1].stop == DIVERGED
    assert not math.isfinite(reports[77][-1].metrics["train_loss"])
    assert {t: numbers(reports[t]) for t, _ in trials} == without


def test_a_diverged_trial_that_stays_seated_touches_no_other() -> None:
    """Nor does what it leaves behind in its lane touch the trial that is seated there next."""
    config = MlpConfig(max_epochs=6, hidden=(24,), batch_norm=True, dropout=0.2)
    wild = MlpConfig(max_epochs=6, hidden=(24,), learning_rate=1e30)
    expected = curves(stacked(digits(), 2), [(0, config), (1, config)])
    worker = stacked(digits(), 2)
    seats = {0: worker.seat(0, config, seed=0), 9: worker.seat(9, wild, seed=9)}
    found: Curves = {0: [], 1: []}
    for _ in range(3):
        found[0] += numbers([worker.advance()[0].report or pytest.fail("no report")])
    seats.pop(9).retire()
    seats[1] = worker.seat(1, config, seed=1)
    for _ in range(6):
        for number, event in worker.advance().items():
            assert event.report is not None
            found[number] += numbers([event.report])
            if event.report.stop:
                seats.pop(number).retire()
    assert found == expected


def test_a_lane_that_diverged_is_left_clean() -> None:
    worker = stacked(digits(), 1)
    seat = worker.seat(0, MlpConfig(max_epochs=2, hidden=(24,), learning_rate=1e30), seed=0)
    worker.advance()
    lanes = worker._stacked
    assert lanes is not None
    (stack,) = lanes._busy_stacks()
    bank = stack.seated[0].bank
    assert not bank.params.isfinite().all()
    seat.retire()
    assert not any(tensor.any() for tensor in bank.tensors)


def test_a_lane_beside_one_that_smooths_is_as_alone_even_where_a_class_is_impossible() -> None:
    """Its log likelihood is -inf there, of which even a share of nothing would be NaN."""
    target = torch.zeros(2, 1, 3, dtype=torch.int64)
    found = []
    for smoothing in (None, torch.tensor([0.0, 0.2]).view(2, 1, 1)):
        s, total = LossBuffers(2, 3, 4, torch.zeros(1)), torch.zeros(2)
        s.logits.zero_()[0, 3] = -torch.inf
        CrossEntropy().gradients(s, target, total, smoothing)
        found.append((total[0].item(), s.grad[0].clone()))
        assert total[1].isfinite()
    assert found[0][0] == found[1][0] == pytest.approx(3 * math.log(3))
    assert torch.equal(found[0][1], found[1][1])


def test_compacting_and_retiring_leave_no_trace() -> None:
    trials = list(enumerate(mixed("relu", "adamw", hidden=(24, 16), batch_size=64)))
    expected = curves(stacked(digits(), 9), trials)
    worker = stacked(digits(), 12, threads=2)
    seats = {number: worker.seat(number, config, seed=number) for number, config in trials}
    worker.advance()
    for number in (0, 3, 4, 8):
        seats[number].retire()
    worker.compact(5)
    assert (worker.lanes, worker.free) == (5, 0)
    second = worker.advance()
    assert {t: numbers([e.report])[0] for t, e in second.items() if e.report} == {
        t: expected[t][1] for t in (1, 2, 5, 6, 7)
    }


def test_the_callers_threads_stay_as_they_were() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        worker = stacked(digits(), 2, threads=2)
        assert torch.get_num_threads() == 2
        pool = worker._lanes_for(worker._role(MlpConfig(max_epochs=1), worker._data, 0)[0])._pool  # type: ignore[union-attr]
        assert set(pool.map(lambda _: torch.get_num_threads(), range(8))) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_stack_without_trials_is_not_reported() -> None:
    worker = LaneWorker(digits(), device=CPU, lanes=3, mode="stacked")
    assert worker.advance() == {}
    seat = worker.seat(5, MlpConfig(max_epochs=2), seed=5)
    assert list(worker.advance()) == [5]
    seat.retire()
    assert worker.advance() == {}

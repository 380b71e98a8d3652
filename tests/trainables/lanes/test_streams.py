"""Blocks of random bits and permutations are the loop's own draws."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.trainables.lanes.cases import CPU, in_views, lane_curves, loop_curve, numbers, random_data, stacked
from trainables.config import MlpConfig
from trainables.derive import derive
from trainables.device_data import DeviceData, batch_bounds
from trainables.lanes.blueprint import Blueprint, blueprint
from trainables.lanes.feed import Feed
from trainables.lanes.grouping import GroupKey
from trainables.lanes.stack import Stack
from trainables.lanes.trial import LaneTrial
from trainables.seeding import BitStream, generator, splitmix

N = 23
DATA = random_data(N, 3, 2)


@pytest.mark.parametrize("block_bytes", [1, 200, 1 << 19])
@pytest.mark.parametrize(("width", "batch_size"), [(7, 5), (8, 4), (1, 1), (3, 11), (5, 22), (6, 64)])
def test_bits_and_orders_are_those_of_the_loop(width: int, batch_size: int, block_bytes: int) -> None:
    """H=7, B=5: 35 values do not fill whole words, and the loop throws the rest of each draw away."""
    hidden = (width, width + 1)
    config = MlpConfig(max_epochs=2, hidden=hidden, batch_size=batch_size, dropout=0.5)
    trial = LaneTrial(0, config, blueprint(GroupKey.of(config), (3,), 2), batches=1, seed=4, device=CPU)
    feed = Feed(DATA, lanes=3, batch_size=batch_size, units=hidden, block_bytes=block_bytes)
    streams = [BitStream(derive(4, "dropout", i), CPU) for i in range(2)]
    shuffle = generator(4, "shuffle")
    for _ in range(2):
        order = torch.randperm(N, generator=shuffle)
        batches = feed.epoch([None, trial, None])
        for (start, stop), batch in zip(batch_bounds(N, batch_size), batches, strict=True):
            size = stop - start
            assert batch.size == size
            rows = batch.rows.view(3, size)[1]
            assert torch.equal(rows, order[start:stop])
            assert torch.equal(batch.labels[1, 0], DATA.y_train[order[start:stop]])
            for stream, bits, h in zip(streams, batch.bits, hidden, strict=True):
                assert torch.equal(bits[1], stream.draw(size * h).view(size, h))
    assert all(torch.equal(a.get_state(), b.get_state()) for a, b in zip(trial.streams, streams, strict=True))


def test_no_bits_are_drawn_where_nothing_drops_units() -> None:
    config = MlpConfig(max_epochs=1, hidden=(4,), batch_size=8)
    trial = LaneTrial(0, config, blueprint(GroupKey.of(config), (3,), 2), batches=3, seed=0, device=CPU)
    before = trial.streams[0].get_state()
    assert all(not b.bits for b in Feed(DATA, lanes=1, batch_size=8, units=(4,)).epoch([trial]))
    assert torch.equal(trial.streams[0].get_state(), before)


def test_bits_of_inputs_are_those_of_the_loop_and_of_no_other_lane() -> None:
    """D=3, B=5: 15 values do not fill whole words."""
    config = MlpConfig(max_epochs=2, hidden=(), batch_size=5, input_dropout=0.5)
    model = blueprint(GroupKey.of(config), (3,), 2)
    trial, plain = (
        LaneTrial(i, replace(config, input_dropout=p), model, batches=5, seed=4, device=CPU)
        for i, p in enumerate((0.5, 0.0))
    )
    feed = Feed(DATA, lanes=2, batch_size=5, units=())
    stream = BitStream(derive(4, "input_dropout"), CPU)
    for batch in feed.epoch([plain, trial]):
        (bits,) = batch.input_bits
        assert bits.shape == (2, batch.size, 3)
        assert torch.equal(bits[1], stream.draw(batch.size * 3).view(batch.size, 3))
        assert not bits[0].any(), "nothing is drawn for a lane that drops none"
    assert torch.equal(trial.input_streams[0].get_state(), stream.get_state())
    memory = len(feed.tensors)
    assert all(not batch.input_bits for batch in feed.epoch([plain, None]))
    assert len(feed.tensors) == memory == len(Feed(DATA, lanes=2, batch_size=5, units=()).tensors) + 1


def test_each_lane_trains_on_the_view_of_its_own_epoch() -> None:
    config = MlpConfig(max_epochs=9, hidden=(), batch_size=8)
    model = blueprint(GroupKey.of(config), (3,), 2)
    trials = [LaneTrial(i, config, model, batches=3, seed=i, device=CPU) for i in range(2)]
    data = in_views(DATA, 3)
    trials[0].epoch, trials[1].epoch = 1, 5
    for batch in Feed(data, lanes=3, batch_size=8, units=()).epoch([trials[0], None, trials[1]]):
        rows = batch.rows.view(3, batch.size)
        for lane, view in ((0, 1), (2, 2)):
            assert torch.equal(rows[lane] // N, torch.full((batch.size,), view))
            assert torch.equal(batch.labels[lane, 0], data.y_train[rows[lane] % N])


@pytest.mark.parametrize("n", [9, 17, 18, 1, 8])
def test_a_last_batch_of_one_example_is_merged(n: int) -> None:
    data = random_data(n, 3, 2)
    config = MlpConfig(max_epochs=2, hidden=(4,), batch_size=8, dropout=0.2, batch_norm=n > 1)
    found = lane_curves(stacked(data, 2), [(0, config)])[0]
    for a, b in zip(found, loop_curve(config, data, seed=0), strict=True):
        # float32, a handful of updates
        assert a.metrics["val_loss"] == pytest.approx(b.metrics["val_loss"], rel=1e-5)


class SmallBlocks(Stack):
    """A stack that draws few bits at once."""

    def __init__(self, blueprint: Blueprint, data: DeviceData, *, lanes: int, **rest: Any) -> None:
        super().__init__(blueprint, data, lanes=lanes, **rest)
        batch_size = self.key.batch_size
        self._feed = Feed(data, lanes=lanes, batch_size=batch_size, units=blueprint.units, block_bytes=100)


def test_how_many_random_bits_are_drawn_at_once_leaves_no_trace() -> None:
    data = random_data(60, 3, 2)
    trials = [(i, MlpConfig(max_epochs=2, hidden=(5, 4), batch_size=7, dropout=0.4)) for i in range(3)]
    expected = lane_curves(stacked(data, 3), trials)
    found = lane_curves(stacked(data, 3, make_stack=SmallBlocks), trials)
    assert {t: numbers(r) for t, r in found.items()} == {t: numbers(r) for t, r in expected.items()}


def test_splitmix_is_the_published_one() -> None:
    """First words of seed 1234567, from the reference implementation of Vigna."""
    words = splitmix(torch.tensor([[1234567]]), torch.zeros(1, 1, dtype=torch.int64), 3)[0]
    assert [int(w) % 2**64 for w in words] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_splitmix_draws_any_block() -> None:
    seeds = torch.tensor([[0], [derive(1, "a")], [2**63 - 1]])
    zero = torch.zeros(3, 1, dtype=torch.int64)
    whole = splitmix(seeds, zero, 50)
    parts = [splitmix(seeds, zero + 0, 7), splitmix(seeds, zero + 7, 1), splitmix(seeds, zero + 8, 42)]
    assert torch.equal(torch.cat(parts, 1), whole)


def test_splitmix_bits_are_even() -> None:
    """1.6 million bits: the share of ones has a standard deviation of 0.0004; 5 of them are allowed."""
    words = splitmix(torch.tensor([[7]]), torch.zeros(1, 1, dtype=torch.int64), 25_000)
    values = words.view(torch.int16).to(torch.int32) + 2**15
    ones = sum(int(((values >> b) & 1).sum()) for b in range(16))
    assert math.isclose(ones / 1.6e6, 0.5, abs_tol=5 * 0.0004)

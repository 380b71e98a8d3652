"""Blocks of random bits and permutations are the loop's own draws."""

import math

import pytest
import torch

from tests.trainables.lanes.cases import CPU, lane_curves, loop_curve, numbers, random_data, stacked
from trainables.config import MlpConfig
from trainables.derive import derive
from trainables.lanes import feed as feeds
from trainables.lanes.blueprint import blueprint
from trainables.lanes.feed import Feed
from trainables.lanes.grouping import GroupKey
from trainables.lanes.trial import LaneTrial
from trainables.loop import batch_bounds
from trainables.seeding import BitStream, generator, splitmix

N = 23
DATA = random_data(N, 3, 2)


@pytest.mark.parametrize("block_bytes", [1, 200, 1 << 19])
@pytest.mark.parametrize(("width", "batch_size"), [(7, 5), (8, 4), (1, 1), (3, 11), (5, 22), (6, 64)])
def test_bits_and_orders_are_those_of_the_loop(
    width: int, batch_size: int, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H=7, B=5: 35 values do not fill whole words, and the loop throws the rest of each draw away."""
    monkeypatch.setattr(feeds, "BLOCK_BYTES", block_bytes)
    hidden = (width, width + 1)
    config = MlpConfig(max_epochs=2, hidden=hidden, batch_size=batch_size, dropout=0.5)
    trial = LaneTrial(0, config, blueprint(GroupKey.of(config), (3,), 2), batches=1, seed=4, device=CPU)
    feed = Feed(DATA, lanes=3, batch_size=batch_size, units=hidden)
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


@pytest.mark.parametrize("n", [9, 17, 18, 1, 8])
def test_a_last_batch_of_one_example_is_merged(n: int) -> None:
    data = random_data(n, 3, 2)
    config = MlpConfig(max_epochs=2, hidden=(4,), batch_size=8, dropout=0.2, batch_norm=n > 1)
    found = lane_curves(stacked(data, 2), [(0, config)])[0]
    for a, b in zip(found, loop_curve(config, data, seed=0), strict=True):
        # float32, a handful of updates
        assert a.metrics["val_loss"] == pytest.approx(b.metrics["val_loss"], rel=1e-5)


def test_blocks_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    data = random_data(60, 3, 2)
    trials = [(i, MlpConfig(max_epochs=2, hidden=(5, 4), batch_size=7, dropout=0.4)) for i in range(3)]
    expected = lane_curves(stacked(data, 3), trials)
    monkeypatch.setattr(feeds, "BLOCK_BYTES", 100)
    found = lane_curves(stacked(data, 3), trials)
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

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainables.conftest import CPU
from trainables.derive import derive
from trainables.seeding import STEPS, BitStream, generator, keep_scale, threshold

SEEDS = st.integers(0, 2**63 - 1)
STREAMS = [("weights",), ("shuffle",), ("dropout", 0), ("dropout", 1)]


def test_derived_seeds_never_change():
    # The first 63 bits of the sha256 of "0/trial/1" and of "7": written into ledgers, and every curve depends on them.
    assert derive(0, "trial", 1) == 4388322166562454657
    assert derive(7) == 4359823973405836615


@given(SEEDS, st.lists(st.text("abc", min_size=1) | st.integers(0, 99), max_size=3))
def test_a_derived_seed_fits_a_signed_64_bit_integer(seed, names):
    assert 0 <= derive(seed, *names) < 2**63


def test_derived_seeds_are_all_different():
    seeds = {derive(s, name, i) for s in range(20) for name in ("trial", "dropout") for i in range(50)}
    assert len(seeds) == 20 * 2 * 50


def test_a_generator_depends_on_its_seed_and_names_alone():
    torch.manual_seed(1)
    first = torch.rand(5, generator=generator(3, "weights"))
    torch.manual_seed(2)
    assert torch.equal(first, torch.rand(5, generator=generator(3, "weights")))
    assert not torch.equal(first, torch.rand(5, generator=generator(4, "weights")))


@pytest.mark.parametrize("seed", [0, 1, 2**62])
def test_the_streams_of_a_trial_are_independent(seed):
    n = 20_000
    drawn = [torch.rand(n, generator=generator(seed, *names)) for names in STREAMS]
    for one, other in itertools.combinations(drawn, 2):
        correlation = torch.corrcoef(torch.stack([one, other]))[0, 1].item()
        assert abs(correlation) < 5 / math.sqrt(n)  # 5 standard deviations of the correlation of independent draws


@given(SEEDS, st.lists(st.integers(0, 20).map(lambda words: 4 * words), min_size=1, max_size=8))
def test_drawing_in_blocks_equals_drawing_batch_by_batch(seed, sizes):
    whole = BitStream(seed, CPU).draw(sum(sizes))
    stream = BitStream(seed, CPU)
    assert torch.equal(whole, torch.cat([stream.draw(n) for n in sizes]))


@given(SEEDS, st.integers(0, 50), st.integers(1, 50))
def test_a_draw_that_fills_no_whole_word_wastes_its_rest(seed, n, m):
    whole = BitStream(seed, CPU).draw(1000)
    stream = BitStream(seed, CPU)
    assert torch.equal(stream.draw(n), whole[:n])
    start = 4 * math.ceil(n / 4)
    assert torch.equal(stream.draw(m), whole[start : start + m])


@given(SEEDS, st.integers(0, 100), st.integers(1, 100))
def test_a_bit_stream_continues_from_its_state(seed, before, after):
    stream, other = BitStream(seed, CPU), BitStream(seed + 1, CPU)
    stream.draw(before)
    state = stream.get_state()
    kept = state.clone()
    expected = stream.draw(after)
    other.draw(7)
    other.set_state(state)
    assert torch.equal(other.draw(after), expected)
    assert torch.equal(state, kept)  # a saved state does not move with the stream it came from


def test_a_bit_stream_depends_on_its_seed():
    assert not torch.equal(BitStream(1, CPU).draw(64), BitStream(2, CPU).draw(64))


def test_bit_stream_values_are_16_bits_spread_evenly():
    n = 1 << 20
    values = BitStream(5, CPU).draw(n)
    assert values.dtype == torch.int16
    counts = np.bincount(values.numpy().astype(np.int64) + STEPS // 2 >> 8, minlength=256)
    # Chi-square over 256 bins: mean 255, deviation sqrt(2 * 255) = 22.6; 6 deviations.
    expected = n / 256
    assert ((counts - expected) ** 2 / expected).sum() < 255 + 6 * math.sqrt(2 * 255)


@given(st.floats(0, 1 - 2**-16))
def test_the_threshold_drops_exactly_the_resolved_rate(rate):
    every = torch.arange(-(STEPS // 2), STEPS // 2, dtype=torch.int32).to(torch.int16)
    dropped = int((every < threshold(rate)).sum())
    assert dropped == round(rate * STEPS)
    assert abs(dropped / STEPS - rate) <= 0.5 / STEPS
    assert keep_scale(rate) * (STEPS - dropped) / STEPS == pytest.approx(1, rel=1e-15)  # two roundings of float64


def test_a_dropout_rate_of_zero_drops_nothing():
    assert threshold(0.0) == -(STEPS // 2)
    assert keep_scale(0.0) == 1.0

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.early_stopping import EarlyStopping

LOSS = st.floats(0, 10) | st.sampled_from([math.nan, math.inf])


def ends_at(losses, patience, min_delta):
    """Return the epoch after which patience is used up, by the definition; None if never."""
    best_epoch, best = 0, math.inf
    for epoch, loss in enumerate(losses, 1):
        if loss < best - min_delta:
            best_epoch, best = epoch, loss
        if epoch - best_epoch == patience:
            return epoch
    return None


@given(st.lists(LOSS, max_size=20), st.integers(1, 5), st.floats(0, 1))
def test_it_ends_after_patience_epochs_without_an_improvement(losses, patience, min_delta):
    stopping = EarlyStopping(patience, min_delta)
    ended = None
    for epoch, loss in enumerate(losses, 1):
        stopping.update(loss)
        if stopping.exhausted:
            ended = epoch
            break
    assert ended == ends_at(losses, patience, min_delta)


@given(st.lists(LOSS, max_size=20))
def test_patience_zero_never_ends_a_trial(losses):
    stopping = EarlyStopping(0)
    for loss in losses:
        stopping.update(loss)
        assert not stopping.exhausted


def test_an_improvement_of_exactly_min_delta_is_none():
    stopping = EarlyStopping(patience=1, min_delta=0.25)
    stopping.update(1.0)
    stopping.update(0.75)
    assert stopping.exhausted
    assert stopping.best == 1.0


def test_a_gain_below_min_delta_does_not_change_the_best_loss():
    stopping = EarlyStopping(patience=3, min_delta=0.25)
    for loss in (1.0, 0.9, 0.8, 0.7):
        stopping.update(loss)
    assert (stopping.best, stopping.waited) == (0.7, 0)  # together more than min_delta below the mark


def test_a_nan_loss_counts_as_no_improvement():
    stopping = EarlyStopping(patience=2)
    for loss in (1.0, math.nan, math.nan):
        stopping.update(loss)
    assert stopping.exhausted
    assert stopping.best == 1.0


@pytest.mark.parametrize("at", range(6))
def test_early_stopping_continues_from_its_state(at):
    losses = [1.0, 1.2, 0.9, 1.0, 1.1, 1.2]
    whole, first, second = EarlyStopping(3), EarlyStopping(3), EarlyStopping(0)
    for loss in losses:
        whole.update(loss)
    for loss in losses[:at]:
        first.update(loss)
    second.load_state_dict(first.state_dict())
    for loss in losses[at:]:
        second.update(loss)
    assert second == whole
    assert second.exhausted

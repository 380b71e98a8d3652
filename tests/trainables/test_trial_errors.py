"""What a trial raises is the trial's own, but for what a signal raises."""

import signal

import pytest
import torch

from trainables.errors import is_of_a_signal
from trainables.lanes.looped import LoopedLanes


class Own(BaseException):
    pass


class Raises:
    def __init__(self, error):
        self.error = error

    def step(self):
        raise self.error


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit("bye"), GeneratorExit(), Own("own"), ValueError("x")])
def test_whatever_a_looped_trial_raises_is_its_own_error(error):
    lanes = LoopedLanes(None, device=torch.device("cpu"), start=lambda config, data, *, seed, device: Raises(config))
    lanes.seat(3, error, seed=0)
    assert lanes.advance()[3].error is error


def test_what_a_signal_raises_is_no_trials(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job has it ignored
    try:
        assert is_of_a_signal(KeyboardInterrupt())
        signal.signal(signal.SIGINT, lambda *_: None)  # as a search handles it: none of it is an error then
        assert not is_of_a_signal(KeyboardInterrupt())
    finally:
        signal.signal(signal.SIGINT, before)
    of_ray = SystemExit(1)
    of_ray.is_ray_terminate = True
    assert is_of_a_signal(of_ray) and not is_of_a_signal(SystemExit(1))

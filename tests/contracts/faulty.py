"""Trainables that go wrong on purpose; named by ``tests.contracts.faulty:Class`` in a study."""

import os
import time
from pathlib import Path

from trainables.network_trainables import MlpTrainable


class Looped(MlpTrainable):
    """The MLP, trained one model after another: the same curves, nothing stacked."""

    stacks = False


class _Breaks(Looped):
    """Breaks in the third epoch of trial seeds that ``SEED_MODULUS`` divides."""

    def start(self, config, data, *, seed, device):
        run = super().start(config, data, seed=seed, device=device)
        return _Breaking(run, self.break_now) if config.plateau_patience == 5 else run

    def break_now(self):
        raise NotImplementedError


class _Breaking:
    def __init__(self, run, break_now):
        self._run, self._break_now = run, break_now
        self.state_dict, self.load_state_dict = run.state_dict, run.load_state_dict

    def step(self):
        if self._run.epoch == 2:
            self._break_now()
        return self._run.step()


class Raises(_Breaks):
    def break_now(self):
        raise ValueError("this trial is wrong")


class OutOfMemory(_Breaks):
    def break_now(self):
        raise MemoryError("no room")


class Exits(_Breaks):
    def break_now(self):
        os._exit(7)


class ExitsOnce(_Breaks):
    """Exits where no trial has before it, once for each trial: the marks lie where the test began the search."""

    def start(self, config, data, *, seed, device):
        run = MlpTrainable.start(self, config, data, seed=seed, device=device)
        mark = Path(os.environ["LANEWISE_TEST_MARKS"]) / str(seed)

        def break_once():
            if not mark.exists():
                mark.touch()
                os._exit(7)

        return _Breaking(run, break_once) if config.plateau_patience == 5 else run


class Hangs(_Breaks):
    def break_now(self):
        time.sleep(600)

"""Processes of a search are killed twenty times: every trial ends, and at most an epoch is trained again for each."""

import os
import random
import signal
import threading
from collections import Counter

import pytest

from search.ledger.outcome import TrialState
from tests.search.executors.conftest import local_ray, record, steady_study
from tests.support.steady import release, trained, undisturbed

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(300)]

HITS, HOLD_AFTER, TRIALS, EPOCHS = 2, 2, 10, 12
KILLS = HITS * TRIALS
EXECUTORS = {
    "tune": {"executor": "tune"},
    "lanes": {"executor": "lanes", "lanes": {"lanes": 2}, "resources": {"workers": 2}, "faults": {"max_failures": 20}},
}


class Killer(threading.Thread):
    """Kills processes in the middle of a trial, each of them once it has trained two epochs of it.

    A trial waits there until it has been hit ``HITS`` times, so that none can end before its turn. Of several the
    furthest is hit: in a lane beside others it is sent back by their kills too, and must not come to its end by them.

    Args:
        folder: where the trials count their epochs.
    """

    def __init__(self, folder):
        super().__init__(daemon=True)
        self._folder = folder
        self._rng, self._done = random.Random(7), threading.Event()
        self._hit = Counter()
        self.killed = []

    def run(self):
        while len(self.killed) < KILLS and not self._done.wait(self._rng.uniform(0.0, 0.1)):
            victims = self._victims()
            if victims:
                _, seed, pid = max(victims)
                os.kill(pid, signal.SIGKILL)
                self.killed.append(pid)
                self._hit[seed] += 1
                if self._hit[seed] == HITS:
                    release(self._folder, seed)

    def _victims(self):
        """Return the trials that may be hit: how far they are, their seeds, their processes."""
        victims = []
        for seed, epochs in trained(self._folder).items():
            pid = epochs[-1].pid
            here = sum(e.pid == pid for e in epochs)
            if here >= HOLD_AFTER and pid not in self.killed and self._hit[seed] < HITS:
                victims.append((epochs[-1].epoch, seed, pid))
        return victims

    def stop(self):
        self._done.set()
        self.join()


@pytest.fixture(scope="module", params=EXECUTORS)
def disturbed(request, tmp_path_factory):
    folder, home = tmp_path_factory.mktemp("steady"), tmp_path_factory.mktemp("home")
    killer = Killer(folder)
    with local_ray(num_cpus=2):
        killer.start()
        try:
            study = steady_study(
                folder,
                epoch_s=0.1,
                hold_after=HOLD_AFTER,
                trials=TRIALS,
                max_epochs=EPOCHS,
                **EXECUTORS[request.param],
            )
            recorded = record(study, home)
        finally:
            killer.stop()
    return request.param, recorded, killer, trained(folder)


def test_every_trial_ends_though_its_processes_are_killed(disturbed):
    _, recorded, killer, _ = disturbed
    assert len(killer.killed) == KILLS
    assert [(t.number, t.state) for t in recorded.trials] == [(n, TrialState.COMPLETE) for n in range(TRIALS)]
    assert [s.ending for s in recorded.sessions] == ["done"]


def test_no_epoch_is_recorded_twice_or_left_out_where_processes_are_killed(disturbed, tmp_path):
    _, recorded, _, _ = disturbed
    for trial in recorded.trials:
        rows = recorded.epochs[recorded.epochs["number"] == trial.number]
        assert rows["epoch"].tolist() == list(range(1, EPOCHS + 1))
        assert recorded.curve(trial.number) == undisturbed(trial, EPOCHS, tmp_path), "bit for bit"


def test_at_most_an_epoch_is_trained_again_for_each_process_that_was_killed(disturbed):
    """A checkpoint is written after every epoch, so an epoch is a checkpoint's interval."""
    _, recorded, killer, found = disturbed
    for trial in recorded.trials:
        epochs = found[trial.seed]
        killed_under_it = len({e.pid for e in epochs} & set(killer.killed))
        again = len(epochs) - EPOCHS
        assert 0 <= again <= killed_under_it


def test_each_killed_process_is_an_event_with_its_reason(disturbed):
    executor, recorded, _, _ = disturbed
    kind = {"tune": "actor_lost", "lanes": "worker_lost"}[executor]
    messages = recorded.events[recorded.events["kind"] == kind]["message"].tolist()
    assert len(messages) == KILLS
    assert all("its worker process has died" in m for m in messages)
    if executor == "tune":
        waits = [m.partition("started again in ")[2].partition(" s ")[0] for m in messages]
        assert Counter(waits) == {"0.5": TRIALS, "1": TRIALS}, "doubled with each failure of a trial"

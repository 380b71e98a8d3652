"""What lanes do about workers that are lost, start anew, or never come up: real hosts, whose ends are written down.

That Ray's actors really end like this is for ``test_killed_processes`` and ``test_lost_node`` to show.
"""

import time
from collections import defaultdict
from contextlib import contextmanager

import pytest

from search.errors import RunError
from search.executors.lane_host import Advance, LaneHost
from search.executors.lanes import LanesExecutor
from search.executors.pool import WorkerLost
from search.executors.timing import Timing
from search.ledger import Ledger, sqlite_url
from search.ledger.outcome import TrialState
from search.ledger.paths import CHECKPOINTS
from tests.search.executors.conftest import record, steady_study
from tests.support.controls import SpentOnce
from tests.support.steady import trained, undisturbed

EPOCHS = 5


class ShakyPool:
    """Workers in this process, one order after the other; ``before`` and ``after`` an epoch they may be lost.

    Args:
        before, after: index of a worker -> a ``WorkerLost``, or None.
        comes_up: index of a worker that was replaced -> it is up (True), never will be (None), died (False).
    """

    def __init__(self, search, workers, *, before=None, after=None, comes_up=None, late=(), joins=0):
        self._search = search
        self._before, self._after = before or (lambda i: None), after or (lambda i: None)
        self._comes_up = comes_up or (lambda i: True)
        self._late = late
        self._joins = joins
        self._hosts = [self._host() for _ in range(workers)]
        self._running = {}
        self.lanes, self.reasons, self.starting = [2] * workers, [], ()
        self.saved, self.replaced, self.trained = {}, [], defaultdict(int)

    def _host(self):
        study, splits = self._search.study, self._search.splits
        return LaneHost(study, splits, device="cpu", checkpoints=self._search.folder / CHECKPOINTS)

    def launch(self, index, orders):
        assert index not in self._running
        self._running[index] = orders

    def wait(self, timeout_s):
        for index in sorted(self._running, key=lambda i: self._running[i] is not None):
            orders = self._running[index]
            if orders is None:
                up = self._comes_up(index)
                if up is None:
                    continue
                del self._running[index]
                return index, Advance({}) if up else WorkerLost("no memory for it")
            if index in self._late:
                continue
            del self._running[index]
            return index, self._before(index) or self._train(index, orders)
        time.sleep(min(timeout_s, 0.01))
        return None

    def _train(self, index, orders):
        advance = self._hosts[index].advance(orders)
        self.trained[index] += 1
        return self._after(index) or advance

    def replace(self, index):
        self.replaced.append(index)
        self._hosts[index] = self._host()
        self._running[index] = None

    def grow(self):
        """Start, once, ``joins`` more workers."""
        joins, self._joins = self._joins, 0
        for _ in range(joins):
            self._running[len(self._hosts)] = None
            self._hosts.append(self._host())
        return [2] * joins

    def take_best(self, index, numbers):
        for number in numbers:
            self._hosts[index].write_best([number])

    def write_best(self, keeps):
        return []

    def save(self, numbers):
        self.saved = dict(numbers)
        return [note for index, trials in numbers.items() for note in self._hosts[index].save(trials)]


AT_ONCE = Timing(poll_s=0.01, back_off_s=0.0, resize_every_s=0.01)
"""With a back-off, a worker would take new trials before those that wait."""


@pytest.fixture
def run(tmp_path):
    """Run a search on a ``ShakyPool`` of two workers; return what it recorded."""
    pools = []

    def run(*, trials=4, epoch_s=0.0, max_failures=3, workers=2, control=None, **behaviour):
        @contextmanager
        def open_pool(search, timing):
            pools.append(ShakyPool(search, workers, **behaviour))
            yield pools[-1]

        study = steady_study(
            tmp_path,
            epoch_s=epoch_s,
            trials=trials,
            max_epochs=EPOCHS,
            executor="lanes",
            lanes={"lanes": 2},
            faults={"max_failures": max_failures, "trial_timeout_s": 9.0},
        )
        executor = LanesExecutor(open_pool=open_pool, timing=AT_ONCE)
        return record(study, tmp_path / "home", control=control, executor=executor)

    run.pools = pools
    return run


def check_whole(recorded, folder, numbers):
    """The trials ended, and their curves are those of trials to which nothing happened."""
    for trial in recorded.trials:
        if trial.number in numbers:
            assert trial.state is TrialState.COMPLETE, trial.message
            assert recorded.curve(trial.number) == undisturbed(trial, EPOCHS, folder / "home")


def messages(recorded):
    return recorded.events[recorded.events["kind"] == "worker_lost"]["message"].tolist()


def first(times, lost):
    """Lose worker 0 in the first ``times`` chances."""
    left = [times]

    def lose(index):
        if index == 0 and left[0] > 0:
            left[0] -= 1
            return lost
        return None

    return lose


def test_where_it_is_unknown_which_trial_killed_the_worker_each_counts_a_failure_and_the_others_go_on(run, tmp_path):
    recorded = run(before=first(3, WorkerLost("it was killed")), max_failures=2, workers=1, trials=4)
    failed = [t for t in recorded.trials if t.state is TrialState.FAILED]
    assert [t.number for t in failed] == [0, 1], "the worker has two lanes"
    assert {t.message for t in failed} == {
        "its worker process died while training it, 3 times (--max-failures 2): it was killed"
    }
    check_whole(recorded, tmp_path, {2, 3})
    assert messages(recorded) == [
        "worker 0 was lost (it was killed); trial 0 is tried again in 0 s; trial 1 is tried again in 0 s",
        "worker 0 was lost (it was killed); trial 0 is tried again in 0 s; trial 1 is tried again in 0 s",
        "worker 0 was lost (it was killed); trial 0 is given up; trial 1 is given up",
    ]


def test_a_trial_that_gets_further_between_two_losses_of_its_worker_is_not_to_blame(run, tmp_path):
    """The worker dies before every second epoch; two failures without an epoch between would be too many."""
    calls = []

    def every_second(index):
        calls.append(index)
        return WorkerLost("it was killed") if len(calls) % 2 == 0 else None

    recorded = run(before=every_second, max_failures=1, workers=1, trials=2)
    assert len(messages(recorded)) >= EPOCHS - 1
    check_whole(recorded, tmp_path, {0, 1})


def test_where_the_trial_that_killed_its_worker_is_known_it_alone_counts_a_failure(run, tmp_path):
    recorded = run(before=first(3, WorkerLost("exit code 7", at=1)), max_failures=2, workers=1, trials=3)
    assert [t.state for t in recorded.trials] == [TrialState.COMPLETE, TrialState.FAILED, TrialState.COMPLETE]
    check_whole(recorded, tmp_path, {0, 2})
    assert messages(recorded)[0].endswith("trial 0 is tried again in 0 s; trial 1 is tried again in 0 s")


def test_where_one_of_several_in_training_killed_the_worker_none_is_blamed(run, tmp_path):
    recorded = run(before=first(3, WorkerLost("exit code 7", among=(0, 1))), max_failures=0, workers=1, trials=3)
    check_whole(recorded, tmp_path, {0, 1, 2})
    assert messages(recorded)[0].endswith("trial 0 is tried again in 0 s; trial 1 is tried again in 0 s")


def test_a_trial_that_hung_is_not_tried_again_and_its_neighbours_are(run, tmp_path):
    recorded = run(before=first(1, WorkerLost("killed", at=0, hung=True)), workers=1, trials=2)
    assert recorded.trials[0].message == "no report in 9 s (--trial-timeout)"
    check_whole(recorded, tmp_path, {1})


def test_a_worker_lost_between_a_checkpoint_and_its_report_leaves_out_no_epoch(run, tmp_path):
    """The checkpoint has an epoch that nobody heard of; the trial goes on from the one before."""
    recorded = run(after=first(2, WorkerLost("it was killed")), trials=3)
    check_whole(recorded, tmp_path, {0, 1, 2})
    again = sum(len(e) for e in trained(tmp_path).values()) - 3 * EPOCHS
    assert again == 4, "two trials, two times, an epoch each"


def test_trials_of_a_worker_that_never_comes_up_again_move_to_the_other(run, tmp_path):
    recorded = run(before=first(1, WorkerLost("its node was removed")), comes_up=lambda i: None, trials=6)
    check_whole(recorded, tmp_path, set(range(6)))
    (pool,) = run.pools
    assert pool.replaced == [0], "and whoever is never up holds nobody up"


def test_a_worker_that_comes_up_later_takes_its_part(run, tmp_path):
    recorded = run(before=first(1, WorkerLost("killed")), trials=8)
    check_whole(recorded, tmp_path, set(range(8)))
    assert recorded.result.ending == "done"


def test_a_worker_that_joins_a_search_under_way_takes_its_part(run, tmp_path):
    recorded = run(workers=1, joins=1, trials=8, epoch_s=0.02)
    check_whole(recorded, tmp_path, set(range(8)))
    (pool,) = run.pools
    assert pool.trained.keys() == {0, 1}
    chosen = recorded.events[recorded.events["kind"] == "lanes"]["message"].tolist()
    assert chosen == ["worker 1: 2 lanes, as the others; the cluster has room for it now"]


def test_workers_that_are_not_up_when_the_search_begins_hold_nobody_up(run, tmp_path):
    recorded = run(workers=1, joins=1, comes_up=lambda i: None, trials=6)
    check_whole(recorded, tmp_path, set(range(6)))
    (pool,) = run.pools
    assert pool.trained.keys() == {0}


def test_a_worker_that_always_dies_before_it_is_up_is_given_up(run, tmp_path):
    recorded = run(before=first(1, WorkerLost("killed")), comes_up=lambda i: False, max_failures=2, trials=6)
    check_whole(recorded, tmp_path, set(range(6)))
    assert messages(recorded)[-1] == (
        "worker 0 was lost (no memory for it); it died 3 times before it was up and is given up"
    )


def test_where_no_worker_comes_up_the_search_ends_with_one_line(run, tmp_path):
    with pytest.raises(RunError, match="no worker comes up: no memory for it"):
        run(after=lambda i: WorkerLost("killed"), comes_up=lambda i: False, max_failures=2, workers=1)
    with Ledger(sqlite_url(tmp_path / "home" / "here" / "ledger.db")) as ledger:
        study_id = ledger.study("here").id
        assert [s.ending for s in ledger.sessions(study_id)] == ["failed"]
        assert [t.state for t in ledger.trials(study_id)] == [TrialState.RUNNING] * 2, "a resume goes on with them"


def test_a_stop_waits_for_the_epochs_in_flight_but_not_for_ever(run, tmp_path):
    spent = SpentOnce(lambda: trained(tmp_path), grace_s=0.1)
    recorded = run(late={1}, control=spent)
    (pool,) = run.pools
    assert pool.saved == {0: [0, 1]}, "worker 1 is late: its trials keep the checkpoints they have"
    assert {(t.state, t.stop_reason) for t in recorded.trials} == {(TrialState.CANCELLED, "budget")}
    assert sorted(recorded.epochs["number"]) == [0, 1]


def test_the_wait_before_a_retry_doubles_up_to_half_a_minute():
    timing = Timing()
    assert [timing.wait_s(n) for n in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 4.0]
    assert timing.wait_s(0) == 0.5, "Ray does not count a node that was preempted"
    assert timing.wait_s(1000) == timing.longest_back_off_s == 30.0

"""Freeze-thaw: it finds the best with few epochs, chooses the same after a replay, and says where it cannot work."""

import itertools
import math
import random
import signal
from pathlib import Path

import pytest
from scipy.linalg import LinAlgError

from search.brain.encoding import SpaceCandidates
from search.brain.freeze_thaw import FIRST, FreezeThawScheduler
from search.brain.promotion import PromotionScheduler
from search.brain.replaced import replaced
from search.brain.sampler import OptunaSampler
from search.brain.scheduler import build_scheduler
from search.drive.finalists import by_surrogate
from search.executors.control import Control
from search.executors.control_loop import ControlLoop
from search.executors.search import Search
from search.face.present import scheduler_text
from search.ledger import LedgerWriter
from search.ledger.events import ChoicesWeighed, CurvesSmoothed, SurrogateFailed
from search.report.leaderboard import leaderboard
from spaces import Space, category, float_
from tests.search.conftest import make_study
from tests.search.drive import Drive, ScriptedPool

SPACE = Space((float_("x", 0.0, 1.0, baseline=0.1), category("kind", ("a", "b", "c"), baseline="a")))


def study(space=SPACE, **values):
    scheduler = {"name": "freeze_thaw", "epochs_a_choice": 1, **values.pop("scheduler", {})}
    budget = {"trials": 40, "max_epochs": 9, **values.pop("budget", {})}
    return make_study(space, scheduler=scheduler, budget=budget, **values)


def curve(params):
    level = (params["x"] - 0.7) ** 2 + {"a": 0.2, "b": 0.0, "c": 0.4}[params["kind"]]
    return [level + 0.5 / epoch for epoch in range(1, 10)]


def played(declared, values=curve, **keywords):
    return Drive(declared, values, **keywords)


def epochs_of(drive):
    return sum(len(c) for c in drive.scheduler._curves.values())


def test_with_a_quarter_of_the_epochs_it_trains_the_best_to_its_end():
    drive = played(study()).run()
    best = min(curve(params)[8] for params in drive.params)
    complete = [n for n, label in drive.ended.items() if label == "max_epochs"]
    assert best < 0.075, "0.0556 is the lowest there is"
    ends = [curve(drive.params_of(order))[8] for order in drive.orders if order.number in complete]
    assert min(ends) == pytest.approx(best, abs=0.02)
    assert 90 <= epochs_of(drive) <= 90 + 9, "the epochs of the search, and then the baseline's"
    assert drive.ended[0] == "max_epochs"
    assert "ms each" in drive.scheduler.cost


def test_the_first_trials_are_the_baseline_and_points_that_fill_the_space():
    drive = played(study(scheduler={"total_epochs": FIRST})).run()
    firsts = [order.params for order in drive.orders[:FIRST]]
    assert firsts[0] == SPACE.baseline and len({p["kind"] for p in firsts}) == 3


def test_a_third_of_what_begins_comes_from_anywhere_whatever_the_surrogate_expects():
    firsts = []

    class Told(SpaceCandidates):
        def draw(self, count, rng):
            points = super().draw(count, rng)
            firsts.extend(points[:2])  # of 80 to 120 candidates for two lanes
            return points

    declared = study(scheduler={"total_epochs": 150}, budget={"trials": 100})
    drive = played(declared)
    drive.scheduler = FreezeThawScheduler(declared, candidates=Told(SPACE, 3))
    drive.run()
    begun = [order.params for order in {o.number: o for o in drive.orders}.values()][FIRST:]
    assert len(begun) > 20
    assert 0.15 < sum(params in firsts for params in begun) / len(begun) < 0.6


@pytest.mark.parametrize("epochs", [3, 12, 30, 71])
def test_a_search_that_is_resumed_chooses_as_one_that_was_not_interrupted(ledger, study_id, epochs):
    declared = study()
    whole = played(declared).run()
    writer = LedgerWriter(ledger, study_id)
    first = played(declared, writer=writer)
    stop_after(first, epochs)
    writer.flush()
    again = played(declared).replay(ledger, study_id).run()
    assert again.scheduler._log == whole.scheduler._log


class StoppedAfter(Control):
    """Asks for an end, as a signal does, once a search has trained so many epochs."""

    def __init__(self, scheduler, epochs):
        super().__init__()
        self._scheduler, self._epochs = scheduler, epochs

    @property
    def stopping(self):
        if len(self._scheduler._log) >= self._epochs:
            self.request(signal.SIGINT)
        return super().stopping


def test_choices_that_take_longer_than_epochs_are_for_several_and_a_replay_keeps_to_that():
    told = []
    declared = study(scheduler={"epochs_a_choice": None})
    whole = weighed(declared, note=told.append).run()
    ((event),) = told
    assert isinstance(event, ChoicesWeighed) and (event.epochs, event.epochs_a_choice) == (64, 3), "a third of 9 epochs"
    runs = [len(list(group)) for _, group in itertools.groupby(n for n, _ in whole.scheduler._log[64:90])]
    assert len(runs) > 3 and all(run % 3 == 0 for run in runs[1:-1])  # the first one began before
    pinned = weighed(study(scheduler={"epochs_a_choice": 3})).run()
    assert pinned.scheduler._log == whole.scheduler._log, "declared, it is the same search again"


def test_a_search_with_shared_choices_that_is_resumed_goes_on_as_one_that_was_not_interrupted(ledger, study_id):
    declared = study(scheduler={"epochs_a_choice": None})
    whole = weighed(declared).run()
    first = weighed(declared, writer=(writer := LedgerWriter(ledger, study_id)))
    stop_after(first, 71)
    writer.flush()
    again = weighed(declared, found=3).replay(ledger, study_id).run()
    assert again.scheduler._log == whole.scheduler._log


def weighed(declared, *, writer=None, found=None, note=lambda event: None):
    drive = played(declared, writer=writer)
    drive.scheduler = build_scheduler(declared, note=note, weighed=found)
    return drive


def stop_after(drive, epochs):
    control = StoppedAfter(drive.scheduler, epochs)
    search = Search(drive.study, None, drive.sampler, drive.scheduler, drive._recorder, control, Path("nowhere"))
    ControlLoop(search, ScriptedPool(drive)).run()


def test_a_metric_that_is_missing_in_some_epochs_is_left_out():
    drive = played(study())
    scheduler = drive.scheduler
    for n in range(10):
        scheduler.add(n, {"x": n / 10, "kind": "b"})
        report = drive.report(1, math.nan if n % 2 else 0.5 + n / 10)
        scheduler._reported(n, report)
    assert scheduler.choose(2, [], 5).begin


def test_without_any_value_trials_begin_until_there_are_no_more():
    scheduler = build_scheduler(study())
    for n in range(12):
        scheduler.add(n, {"x": n / 20, "kind": "b"})
        scheduler._take(n, math.nan)
    assert len(scheduler.choose(3, [], 2).begin) == 2
    assert not scheduler.choose(3, [], 0)


def test_a_surrogate_that_does_not_fit_leaves_a_round_to_the_best_so_far_and_says_so(monkeypatch):
    told = []

    def fails(self, seen):
        raise LinAlgError("a covariance of 40 values is singular")

    monkeypatch.setattr("search.brain.curve_gp.CurveGP.condition", fails)
    declared = study(scheduler={"total_epochs": 30})
    drive = played(declared)
    drive.scheduler = build_scheduler(declared, note=told.append)
    drive.run()
    assert epochs_of(drive) >= 30 and drive.ended[0] == "max_epochs"
    assert {type(event) for event in told} == {SurrogateFailed}
    assert "a covariance of 40 values is singular" in told[0].sentence


def wide(n):
    return Space(tuple(float_(f"p{i}", 0.0, 1.0, baseline=0.5) for i in range(n)))


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        (study(wide(200)), "the space is encoded as 200 numbers, more than 50"),
        (study(budget={"max_epochs": 1}), "trials of one epoch have no curves"),
        (study(budget={"trials": 2}), "2 trials are fewer than 9: there is nothing to model"),
        (study(balanced="kind"), "equal numbers of trials for each kind are proposed by the sampler"),
    ],
)
def test_where_it_cannot_work_promotion_does_and_it_is_said_before_anything_is_trained(declared, reason):
    line = f"freeze_thaw: {reason}; promote decides in its place"
    assert replaced(declared).sentence == line
    assert isinstance(build_scheduler(declared), PromotionScheduler)
    assert scheduler_text(declared).startswith(line)


def test_else_nothing_takes_its_place():
    assert replaced(study()) is None and isinstance(build_scheduler(study()), FreezeThawScheduler)
    assert replaced(make_study(SPACE)) is None
    assert "90 epochs in all" in scheduler_text(study())


def test_no_configuration_is_trained_twice():
    space = Space((category("a", tuple("abcd"), baseline="a"), category("b", tuple("uvwxyz"), baseline="u")))
    drive = played(study(space, budget={"trials": 60}), lambda p: [float(ord(p["a"])) / e for e in range(1, 10)]).run()
    points = [tuple(sorted(order.params.items())) for order in {o.number: o for o in drive.orders}.values()]
    assert len(points) == len(set(points)) <= 24
    assert isinstance(drive.sampler, OptunaSampler)


def test_under_noise_the_finalists_of_the_model_are_better_than_those_that_were_lucky(ledger, study_id):
    """The best of many noisy values is a lucky one; what the model expects of a trial is not."""
    space = Space((float_("x", 0.0, 1.0, baseline=0.1),))
    declared = study(space=space, scheduler={"total_epochs": 120}, budget={"trials": 60})

    def level(x):
        return 2 * (x - 0.7) ** 2

    def noisy(params):
        rng = random.Random(str(params["x"]))
        return [level(params["x"]) + 0.3 / epoch + rng.gauss(0, 0.2) for epoch in range(1, 10)]

    drive = played(declared, noisy, writer=(writer := LedgerWriter(ledger, study_id))).run()
    writer.flush()
    board = leaderboard(ledger.trials_frame(study_id), ledger.epochs_frame(study_id), declared.objective)
    ordered = by_surrogate(declared, ledger, study_id, board)
    by_value, by_model = (sum(map(level, frame["params_x"].iloc[:5])) for frame in (board, ordered))
    assert by_model < by_value  # 0.046 beside 0.062
    assert sorted(ordered["number"]) == sorted(board["number"])
    means = drive.scheduler.means()
    found = ordered.set_index("number")["expected"].dropna()
    assert found.to_dict() == means, "fitted again it is the same"
    writer.event(CurvesSmoothed(epochs=epochs_of(drive), metric="val_loss", means=means))
    writer.flush()
    assert by_surrogate(declared, ledger, study_id, board).equals(ordered)
    assert by_surrogate(make_study(SPACE), ledger, study_id, board) is board


def test_the_baseline_keeps_its_lane_where_time_may_end_the_search():
    trained = []
    for time_s in (3600.0, None):
        drive = played(study(budget={"time_s": time_s})).run()
        assert drive.ended[0] == "max_epochs"
        trained.append([number for number, _ in drive.scheduler._log])
    timed, other = trained
    assert timed[-9:].count(0) == 0 and other[-1] == 0, "else it trains to its end after all others"

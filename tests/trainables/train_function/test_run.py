import contextlib
import gc
import math
import random
import threading

import numpy as np
import pytest
import torch

from tests.trainables import train_functions
from trainables import checkpoint
from trainables.errors import CheckpointError, ConfigError
from trainables.notice import SOUGHT, UNREAD
from trainables.report import MAX_EPOCHS, RunEnded
from trainables.stepping import reports_of
from trainables.train_function import handover

FUNCTIONS = ["train", "train_yielding"]


def losses(run, epochs):
    return [run.step().metrics["val_loss"] for _ in range(epochs)]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_trial_goes_on_from_its_checkpoint_bit_for_bit(make, tmp_path, function):
    undisturbed = losses(make(function), 5)
    run = make(function)
    assert losses(run, 2) == undisturbed[:2]
    checkpoint.save(run.state_dict(), tmp_path / "state.pt")
    again = make(function)
    again.load_state_dict(checkpoint.load(tmp_path / "state.pt"))
    assert losses(again, 3) == undisturbed[2:]
    assert losses(run, 3) == undisturbed[2:], "saving changes nothing"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_trials_in_turn_draw_none_of_each_others_numbers(make, function):
    alone = losses(make(function, seed=3), 5)
    one, other = make(function, seed=3), make(function, seed=4)
    mixed = []
    for _ in range(5):
        mixed += losses(one, 1)
        other.step()
        torch.rand(3), np.random.rand(3), random.random()
    assert mixed == alone


def test_the_global_generators_stay_as_they_were(make):
    def drawn():
        return torch.rand(1).item(), np.random.rand(), random.random()

    torch.manual_seed(0), np.random.seed(0), random.seed(0)
    expected = drawn()
    torch.manual_seed(0), np.random.seed(0), random.seed(0)
    losses(make("train"), 3)
    assert drawn() == expected


def test_the_last_epoch_says_so_and_what_follows_the_loop_is_done(make):
    run = make("works_after_the_loop", max_epochs=2)
    first = run.step()
    assert (first.epoch, first.stop) == (1, None)
    assert run.step().stop == MAX_EPOCHS
    assert [notice.text for notice in run.take_notices()] == ["done"]
    assert run.full_weights()()["net"]["weight"].item() != 0, "the weights are those of the report"


def test_a_function_that_returns_early_has_no_further_epoch(make):
    run = make("returns_early")
    assert losses(run, 3)[-1] == 1 / 3
    with pytest.raises(RunEnded) as ended:
        run.step()
    assert ended.value.stop == "returned"


def test_a_function_with_a_range_of_its_own_ends_at_its_last_report(make):
    run = make("has_its_own_range", max_epochs=3)
    losses(run, 2)
    assert run.step().stop == MAX_EPOCHS
    run.close()
    assert run.take_notices() == []


@pytest.mark.parametrize("function", ["train", "raises_late"])
def test_a_run_that_is_closed_or_let_go_of_leaves_no_thread(make, function):
    before = threading.active_count()
    run = make(function)
    run.step()
    assert threading.active_count() == before + 1
    run.close()
    from tests.trainables.train_function.conftest import run_of

    dropped = run_of(function)
    dropped.step()
    del dropped
    gc.collect()
    assert threading.active_count() == before


def test_nan_makes_a_trial_diverge_and_only_in_a_loss_or_an_objective(make):
    run = make(train_functions.reports(val_loss=math.nan, f1=1.0))
    assert run.step().stop == "diverged"
    run = make(train_functions.reports(val_loss=1.0, f1=math.nan))
    assert run.step().stop is None
    run = make(train_functions.reports(val_loss=1.0, f1=math.nan), required=("f1",))
    assert run.step().stop == "diverged"


def test_numbers_of_every_kind_are_taken_without_their_gradients(make):
    weight = torch.ones(1, requires_grad=True)
    run = make(train_functions.reports(val_loss=weight.sum() * 2, a=np.float32(0.5), b=np.array([3]), c=True, d=weight))
    assert run.step().metrics == {"val_loss": 2.0, "a": 0.5, "b": 3.0, "c": 1.0, "d": 1.0}


BAD = [
    ("never_reports", "returned without a report; call trial.report"),
    ("skips_a_report", "epoch 2 passed without trial.report(...), which each epoch ends with"),
    ("reports_twice", "epoch 1 was reported twice; call trial.report once an epoch"),
    ("changes_its_metrics", "each epoch reports the same metrics: extra is new, first is missing in epoch 2"),
    (train_functions.reports(val_loss="low"), "metric val_loss must be a number, got 'low'"),
    (train_functions.reports(val_loss=torch.ones(2)), "metric val_loss must be a number, got a Tensor of shape (2,)"),
    (train_functions.reports(val_loss=10**400), "f: metric val_loss is too large for a number, above 1.8e+308; report"),
    (train_functions.reports(val_loss=None), "metric val_loss must be a number, got nothing"),
    (train_functions.reports(val_loss=1 + 2j), "metric val_loss must be a number, got (1+2j)"),
    (train_functions.reports(**{"val/loss": 1.0, "val_loss": 1.0}), "metric 'val/loss': a name has letters, digits"),
    (train_functions.reports(epoch=1.0, val_loss=1.0), "metric 'epoch': this name means something else here"),
    (
        train_functions.reports(vall_loss=1.0, accuracy=2.0),
        "val_loss, the objective, is not reported, but vall_loss, accuracy. Did you mean 'vall_loss'? Report it",
    ),
    ("keeps_a_list", "trial.keep(net, history, kind): history is a list; kind is the class Linear, which has no state"),
    ("keeps_a_widget", "cannot be read back from a checkpoint"),
    (lambda trial: trial.artifact("nowhere.png"), "trial.artifact('nowhere.png'): there is no such file"),
]


@pytest.mark.parametrize(("function", "line"), BAD, ids=range(len(BAD)))
def test_what_is_wrong_with_a_function_is_one_line(make, function, line):
    run = make(function)
    with pytest.raises(ConfigError) as error:
        losses(run, 3)
    assert any(line in said for said in error.value.errors), error.value.errors


def test_a_generator_is_told_where_it_yields(make):
    def yields_text(trial):
        yield "low"

    with pytest.raises(ConfigError, match="it yielded 'low'; yield a dictionary of metrics") as error:
        make(yields_text).step()
    assert "yields_text" in [frame.name for frame in error.traceback], "the traceback has the line"


def test_what_a_function_raises_is_raised(make):
    run = make("raises_late")
    run.step()
    with pytest.raises(ValueError, match="late"):
        run.step()


@pytest.mark.parametrize("function", ["swallows_the_end", "yields_on"])
def test_a_function_that_swallows_its_end_is_ended_all_the_same_and_that_is_said(make, function):
    run = make(function)
    run.step()
    run.close()
    (notice,) = run.take_notices()
    assert "went on after it was told to end" in notice.text
    assert notice.warning


def test_a_function_that_goes_on_once_is_told_again(make):
    run = make("goes_on_once")
    run.step()
    run.close()
    (notice,) = run.take_notices()
    assert notice.text.endswith("went on after it was told to end, and was told again")


def test_a_function_that_raises_when_it_is_ended_is_said_to(make):
    run = make("cleans_up_badly")
    run.step()
    run.close()
    (notice,) = run.take_notices()
    assert "raised OSError: the disk is gone when it was told to end" in notice.text


def test_a_body_that_does_not_end_in_time_is_left_behind():
    blocked = threading.Event()

    def body():
        try:
            driver.hand_over(1)
        finally:
            blocked.wait()

    driver = handover.Handover(body, name="blocked")
    assert driver.resume() == 1
    assert driver.end(wait_s=0.01) == handover.Ending(over=False)
    blocked.set()


def test_a_checkpoint_from_which_nothing_can_go_on_says_so(make):
    run = make("has_its_own_range")
    run.step()
    with pytest.raises(CheckpointError, match=r"it can only begin anew"):
        make("has_its_own_range").load_state_dict(run.state_dict())


def test_a_state_that_is_not_kept_this_time_or_does_not_fit_is_named(make):
    run = make("train")
    run.step()
    state = run.state_dict()
    other = make("train_yielding")
    other.load_state_dict(state)
    with pytest.raises(CheckpointError, match="the checkpoint's state of net does not fit: RuntimeError: Error"):
        other.step()
    fewer = make("works_after_the_loop")
    fewer.load_state_dict({**state, "kept": {"ema": {}}})
    with pytest.raises(CheckpointError, match=r"the checkpoint has ema, which was not given to trial\.keep"):
        fewer.step()


def test_generators_of_every_kind_are_kept(make):
    def draws(trial):
        streams = {"a": torch.Generator().manual_seed(1), "b": np.random.default_rng(1), "c": random.Random(1)}
        legacy = np.random.RandomState(1)
        trial.keep(**streams, legacy=legacy, streams=trial.streams())
        for _epoch in trial.epochs():
            numbers = torch.rand(1, generator=streams["a"]), streams["b"].random(), streams["c"].random(), legacy.rand()
            trial.report(val_loss=float(sum(numbers)))

    undisturbed = losses(make(draws), 4)
    run = make(draws)
    losses(run, 2)
    again = make(draws)
    again.load_state_dict(run.state_dict())
    assert losses(again, 2) == undisturbed[2:]


def test_what_is_never_read_is_told_after_the_last_epoch(make):
    run = make("reads_all_but", params={"learning_rate": 1.0, "momentun": 0.5}, max_epochs=2)
    run.step()
    assert run.take_notices() == []
    run.step()
    assert {notice.kind: notice.names for notice in run.take_notices()} == {UNREAD: ("momentun",), SOUGHT: ()}


def test_a_trial_has_what_its_page_says(make, tmp_path):
    seen = {}

    def looks(trial):
        seen.update(number=trial.number, seed=trial.seed, device=trial.device, data=trial.data, most=trial.max_epochs)
        with pytest.raises(TypeError):
            trial.params["a"] = 2
        (trial.folder / "log.txt").write_text("x")
        seen["kept"] = trial.artifact(trial.folder / "log.txt")
        trial.note("two\nlines")
        trial.report(val_loss=1.0)

    run = make(looks, params={"a": 1}, number=3, folder=tmp_path / "trial_00003")
    run.step()
    assert seen["kept"].read_text() == "x"
    assert seen["kept"] == tmp_path / "trial_00003" / "artifacts" / "log.txt"
    assert [(n.kind, n.text) for n in run.take_notices()] == [("artifact", "log.txt"), ("note", "two lines")]
    assert (seen["number"], seen["seed"], seen["data"], seen["most"]) == (3, 1, None, 5)
    assert seen["device"] == torch.device("cpu")


def reads_by_a_helper(trial):
    helper(trial.params)
    trial.report(val_loss=1.0)


def helper(params):
    if params["optimizer"] == "sgd":
        params["momentum"]


def reads_by_a_table(trial):
    TABLE["sgd"](trial.params)
    trial.report(val_loss=1.0)


TABLE = {"sgd": lambda params: params["optimizer"]}


@pytest.mark.parametrize("function", [reads_by_a_helper, reads_by_a_table])
def test_a_name_that_is_looked_up_under_other_values_counts_as_read(make, function):
    run = make(function, params={"optimizer": "adamw", "momentum": 0.9, "momentun": 0.5}, max_epochs=1)
    run.step()
    assert {notice.kind: notice.names for notice in run.take_notices()} == {UNREAD: ("momentun",), SOUGHT: ()}


def test_a_function_that_swallows_its_end_after_its_last_epoch_is_ended_too(make):
    def goes_on_for_ever(trial):
        while True:
            with contextlib.suppress(BaseException):
                trial.report(val_loss=1.0)

    run = make(goes_on_for_ever, max_epochs=1)
    assert run.step().stop == MAX_EPOCHS
    run.close()
    (notice,) = run.take_notices()
    assert "went on after it was told to end" in notice.text


@pytest.mark.parametrize(
    ("function", "epochs", "reported"), [("returns_early", 9, 3), ("train", 2, 2), ("train", 9, 5)]
)
def test_the_reports_of_a_run_end_with_it_and_close_it(make, function, epochs, reported):
    before = threading.active_count()
    run = make(function)
    assert [report.epoch for report in reports_of(run, epochs=epochs)] == list(range(1, reported + 1))
    assert threading.active_count() == before

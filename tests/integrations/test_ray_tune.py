"""Ray Tune's function trainables as they are: their space, their reports, their checkpoints."""

from pathlib import Path

import pytest
from ray import tune
from ray.train._internal import session

from search import UsageError
from search.integrations.ray_space import config_of, space_of
from search.integrations.ray_tune import TuneFunction, declare
from tests.integrations.scripts import ray_first, ray_pytorch
from tests.search.test_train_function import search
from trainables import checkpoint
from trainables.errors import ConfigError
from trainables.report import MAX_EPOCHS, RunEnded

SHORT = {"executor": "lanes", "confirm": {"pairs": 0}, "tracking": {"enabled": False}, "sampler": "random"}
PARAMS = {"model/l1": 8, "model/l2": 5, "activation": "Tanh", "lr": 0.05, "batch_size": 64}


def test_the_first_example_of_ray_tune_is_searched_as_it_is(tmp_path):
    budget = {"trials": 5, "max_epochs": 1}
    study = declare(ray_first.objective, ray_first.search_space, metric="score", name="mine", budget=budget, **SHORT)
    result = search(study, tmp_path)
    assert result.answer.states == {"COMPLETE": 5}
    assert result.answer.best.value == pytest.approx(1.0, abs=1e-4)


def test_a_function_trainable_is_searched_and_pruned_as_it_is(tmp_path):
    budget = {"trials": 8, "max_epochs": 5}
    study = declare(ray_pytorch.train, ray_pytorch.search_space, metric="loss", name="mine", budget=budget, **SHORT)
    assert study.space["activation"].distribution.choices == ("ReLU", "Tanh")
    result = search(study, tmp_path)
    assert result.answer.states.keys() == {"COMPLETE", "PRUNED"}


def train_run(make, folder):
    function = TuneFunction(ray_pytorch.train, ray_pytorch.search_space)
    return make(function, params=PARAMS, required=("loss",), folder=folder)


def test_a_trainable_goes_on_from_the_checkpoint_that_it_reported(make, tmp_path):
    undisturbed = [train_run(make, tmp_path / "a")]
    expected = [undisturbed[0].step().metrics for _ in range(5)]
    assert expected[0].keys() == {"loss", "accuracy"}
    run = train_run(make, tmp_path / "b")
    assert [run.step().metrics for _ in range(2)] == expected[:2]
    assert run.take_notices()[0].text == "not kept of what is reported: epoch"
    checkpoint.save(run.state_dict(), tmp_path / "state.pt")
    again = train_run(make, tmp_path / "c")
    again.load_state_dict(checkpoint.load(tmp_path / "state.pt"))
    reports = [again.step() for _ in range(3)]
    assert [report.metrics for report in reports] == expected[2:], "bit for bit: nothing is drawn behind its load"
    assert reports[-1].stop == MAX_EPOCHS


def counting(config):
    """Reports what it counts, and a checkpoint every third time."""
    start = 0
    if (saved := tune.get_checkpoint()) is not None:
        start = int((Path(saved.path) / "count").read_text())
    for count in range(start, 20):
        given = None
        if count % 3 == 2:
            (Path(config["folder"]) / "count").write_text(str(count + 1))
            given = tune.Checkpoint.from_directory(config["folder"])
        tune.report({"loss": config["x"] + count}, checkpoint=given)


def test_what_was_reported_after_the_checkpoint_is_not_reported_twice(make, tmp_path):
    (tmp_path / "saved").mkdir()
    function = TuneFunction(counting, {"x": tune.uniform(0, 1), "folder": str(tmp_path / "saved")})
    how = {"params": {"x": 0.0}, "required": ("loss",), "max_epochs": 8}
    run = make(function, folder=tmp_path / "a", **how)
    assert [run.step().metrics["loss"] for _ in range(5)] == [0, 1, 2, 3, 4]
    again = make(function, folder=tmp_path / "b", **how)
    again.load_state_dict(run.state_dict())
    reports = [again.step() for _ in range(3)]
    assert [(report.epoch, report.metrics["loss"]) for report in reports] == [(6, 5), (7, 6), (8, 7)]
    assert reports[-1].stop == MAX_EPOCHS


def test_sessions_of_two_trials_in_turn_are_each_their_own(make, tmp_path):
    def function(config):
        for i in range(3):
            assert tune.get_context().get_trial_id() == f"trial_{config['number']}"
            tune.report({"loss": config["number"] + i})

    space = {"number": tune.randint(0, 9)}
    runs = [
        make(
            TuneFunction(function, space), params={"number": n}, required=("loss",), number=n, folder=tmp_path / str(n)
        )
        for n in (3, 7)
    ]
    assert [[run.step().metrics["loss"] for run in runs] for _ in range(3)] == [[3, 7], [4, 8], [5, 9]]
    assert session.get_session() is None


def test_what_a_trainable_yields_and_returns_is_reported(make, tmp_path):
    def yielding(config):
        yield {"loss": config["x"]}
        yield {"loss": 2.0}

    def returning(config):
        return config["x"]

    space = {"x": tune.uniform(0, 1)}
    run = make(TuneFunction(yielding, space), params={"x": 0.5}, required=("loss",), folder=tmp_path / "a")
    assert [run.step().metrics["loss"] for _ in range(2)] == [0.5, 2.0]
    with pytest.raises(RunEnded):
        run.step()
    run = make(TuneFunction(returning, space), params={"x": 0.5}, required=("value",), folder=tmp_path / "b")
    assert run.step().metrics == {"value": 0.5}
    run = make(TuneFunction(lambda config: "done", space), params={"x": 0.5}, folder=tmp_path / "c")
    with pytest.raises(ConfigError, match="expected a number or a dictionary"):
        run.step()


def test_every_domain_becomes_a_parameter_or_a_line():
    good = {
        "a": tune.quniform(0.0, 1.0, 0.25),
        "b": {"c": tune.lograndint(1, 100), "d": [1, 2], "e": tune.choice([[8, 8], None])},
    }
    space = space_of(good, {"b/c": 3})
    assert {p.name: p.range_text() for p in space} == {
        "a": "0 .. 1, step 0.25",
        "b/c": "1 .. 99 (log)",
        "b/e": "[8, 8] | None",
    }
    params = {**space.baseline, "b/e": "None"}
    assert config_of(good, params) == {"a": 0.5, "b": {"c": 3, "d": [1, 2], "e": None}}
    bad = {"n": tune.randn(0, 1), "f": tune.sample_from(lambda spec: 1), "x": tune.uniform(0, 1)}
    with pytest.raises(UsageError) as raised:
        space_of(bad, {"y": 1})
    assert [line.partition(": ")[2].partition(":")[0] for line in raised.value.errors[:2]] == ["n", "f"]
    assert raised.value.errors[2] == "baseline: y is not sampled in the param_space"
    with pytest.raises(UsageError, match="nothing in it is sampled"):
        space_of({"x": 1}, {})


def test_a_class_is_refused_in_a_line():
    with pytest.raises(UsageError, match="a function trainable of Ray Tune"):
        declare(tune.Trainable, {"x": tune.uniform(0, 1)})

"""The study of architectures, by every way of training that it allows, and what it answers."""

import dataclasses
import json
from functools import cache

import pytest
import torch

from search.declaration.options import Options
from search.declaration.studies import find
from search.declaration.study import Study
from search.drive.engine import conduct, resume
from search.drive.examples import load_data
from search.drive.preflight import resolve
from search.errors import UsageError
from search.executors.choice import choose_number
from search.face.live_view import Silent
from search.ledger import Ledger, sqlite_url
from search.ledger.paths import Paths
from tests.support.marks import some_slow
from trainables.data import DataSpec
from trainables.registry import find_trainable

DATA = DataSpec("digits", train_examples=200)
RELATIVE = 1e-4  # float32 sums in another order; 8 updates left less than 1e-6
WAYS = {
    "tune": {"executor": "tune"},
    "usual": {"executor": "lanes", "lanes": {"lanes": 3}},
    "looped": {"executor": "lanes", "lanes": {"lanes": 2, "mode": "looped"}},
    "stacked": {"executor": "lanes", "lanes": {"lanes": 3, "mode": "stacked"}},
    "auto": {"executor": "lanes", "lanes": {"lanes": 3, "mode": "auto"}},
}
SMALL = {"channels": "4,8", "hidden": "16,32", "head": "none,16"}


class Heard(Silent):
    """Keeps what a user would read."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def small_study(name, **values):
    """Return a random search of four small models of digits, the second and third of them CNNs."""
    declared = find("architectures")
    changes = {
        "name": name,
        "data": dataclasses.asdict(DATA),
        "budget": {"trials": 4, "max_epochs": 2, "time_s": None},
        "scheduler": {"name": "none"},
        "sampler": "random",
        "tracking": {"uri": None, "enabled": False},
        "seed": 11,
    }
    study = Study.model_validate({**declared.model_dump(), **changes, **values})
    return study.model_copy(update={"space": resolve(Options("architectures", set_=SETS)).space})


SETS = [f"{name}.choices={choices}" for name, choices in SMALL.items()]


def search(study, home):
    view = Heard()
    result = conduct(study, home, load_data, view=view)
    with Ledger(sqlite_url(home / study.name / "ledger.db")) as ledger:
        row = ledger.study(study.name)
        frames = ledger.trials_frame(row.id), ledger.epochs_frame(row.id), ledger.events_frame(row.id)
    return result, *frames, view.lines, row.facts


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Return what one of the ways leaves, searched when first asked for."""
    home = tmp_path_factory.mktemp("ways")
    return cache(lambda way: search(small_study(way, **WAYS[way]), home))


@pytest.mark.parametrize("way", some_slow(sorted(WAYS.keys() - {"tune"}), "auto"))
def test_every_way_trains_the_same_models_and_curves(searched, way):
    trials, others = (searched(w)[1] for w in (way, "tune"))
    assert [params["model"] for params in trials["params"]] == ["mlp", "cnn", "cnn", "mlp"]
    assert trials["params"].tolist() == others["params"].tolist()
    assert set(trials["state"]) == set(others["state"]) == {"COMPLETE"}
    curves, expected = (searched(w)[2].sort_values(["number", "epoch"]) for w in (way, "tune"))
    assert len(curves) == len(expected) == 8
    assert curves["val_loss"].tolist() == pytest.approx(expected["val_loss"].tolist(), rel=RELATIVE)
    assert curves["parameters"].tolist() == expected["parameters"].tolist()


def test_looped_cnns_are_the_other_executors_bit_for_bit(searched):
    """Each trains with one core there and here."""
    here, there = (
        [row for row in sorted(searched(way)[2][["number", "epoch", "val_loss"]].values.tolist()) if row[0] in (1, 2)]
        for way in ("usual", "tune")
    )
    assert len(here) == 4
    assert here == there


def test_the_answer_weighs_the_loss_against_the_parameters(searched):
    result = searched("usual")[0].answer
    assert (result.metric, result.further) == ("val_loss", {"parameters": "min"})
    front = [tuple(entry.values.values()) for entry in result.front]
    assert front and front == sorted(front)
    assert [size for _, size in front] == sorted((size for _, size in front), reverse=True)
    assert result.front[0].trial == result.best.trial
    json.dumps(result.to_dict())


def test_a_measured_mode_is_printed_recorded_and_remembered(searched):
    *_, events, lines, facts = searched("auto")
    groups = facts.lane_modes
    said = events[events["kind"] == "lane_mode"]["message"].tolist()
    assert len(said) == len(groups) >= 2
    for group, mode in groups.items():
        (line,) = [line for line in said if line.startswith(f"{group}: {mode} (")]
        assert "ms stacked" in line and "ms looped" in line
        assert line in lines
    assert any(group.startswith("cnn ") for group in groups)
    assert any(group.startswith("mlp ") for group in groups)


def test_a_resume_measures_nothing_again(tmp_path):
    study = small_study("again", **WAYS["auto"])
    *_, facts = search(study, tmp_path)
    view = Heard()
    more = lambda s: s.model_copy(update={"budget": s.budget.model_copy(update={"trials": 6})})  # noqa: E731
    resume(Paths(tmp_path, "again"), view=view, load=load_data, change=more)
    with Ledger(sqlite_url(tmp_path / "again" / "ledger.db")) as ledger:
        row = ledger.study("again")
        events = ledger.events_frame(row.id)
    said = events[events["kind"] == "lane_mode"]["message"].tolist()
    assert len(said) == len({line.rpartition(" (")[0] for line in said}) == len(row.facts.lane_modes)
    assert facts.lane_modes.items() <= row.facts.lane_modes.items()


@pytest.mark.parametrize(("mode", "looped"), [("usual", True), ("looped", True), ("stacked", False)])
def test_the_number_of_looped_lanes_is_not_measured(mode, looped, tmp_path):
    given = {
        "lanes": "auto",
        "lane_mode": mode,
        "set_": ["model=cnn", "channels=4"],
        "trials": 8,
        "train_examples": 100,
    }
    study = resolve(Options("architectures", home=tmp_path, **given))
    net, cpu = find_trainable("net"), torch.device("cpu")
    _, reason = choose_number(study, net, net.prepare(load_data(study), cpu), cpu)
    assert ("looped trials cost the same" in reason) == looped
    assert ("measured ms an epoch" in reason) != looped


def test_a_cnn_on_a_table_is_refused_before_any_trial(tmp_path):
    study = resolve(Options("architectures", home=tmp_path, dataset="wine"))
    with pytest.raises(UsageError) as caught:
        load_data(study)
    assert caught.value.errors == (
        "model=cnn needs images, and wine has rows of 13 numbers; "
        "use --set model=mlp, or a --dataset of images such as digits",
    )
    load_data(resolve(Options("architectures", home=tmp_path, dataset="wine", set_=["model=mlp"])))


def test_one_objective_can_be_asked_for(tmp_path):
    study = resolve(Options("architectures", home=tmp_path, objective=["val_accuracy"]))
    assert [(o.metric, o.mode) for o in study.objectives] == [("val_accuracy", "max")]
    assert study.extra_metrics == ()
    assert resolve(Options("architectures", home=tmp_path)).extra_metrics == ("parameters",)

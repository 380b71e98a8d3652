"""A recorded study as Optuna reads it back from a database, beside what the ledger has of it."""

import math
import sqlite3
from datetime import datetime

import optuna
import pytest
from optuna.trial import TrialState

from benchmarks.report_page import DATA, record_study
from search import UsageError, load
from search.declaration.studies import find
from search.declaration.validate import valid_study
from search.errors import RunError
from search.export.optuna_storage import export_to_optuna
from search.export.optuna_study import as_optuna_study, read_for_optuna
from search.export.optuna_trials import widened
from search.ledger import Ledger, LedgerWriter, StudyFacts
from search.ledger.outcome import Outcome, SessionEnding, StopReason
from search.ledger.paths import Paths
from spaces import Space, hash_params
from spaces.parameter import category, float_, int_
from tests.support.command import invoke

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

CURVES = {
    StopReason.MAX_EPOCHS: [0.9, 0.4, 0.6],
    StopReason.PATIENCE: [0.7, 0.8],
    StopReason.RUNG: [0.3],
    StopReason.DIVERGED: [0.5, math.nan],
    StopReason.ERROR: [0.8],
    StopReason.BUDGET: [0.75],
    StopReason.DIED: [],
}
"""The objective by epoch of a trial for each of these ends."""


def record(home, *, ending=SessionEnding.DONE, **changes):
    """Record a study with a trial for each end of ``CURVES``, and one that has none."""
    study = valid_study({**find("regularization").model_dump(), "name": "ends", **changes})
    paths = Paths(home, "ends")
    paths.folder.mkdir(parents=True)
    facts = StudyFacts.model_validate({"uid": "u", "versions": {}, "data": {**DATA, "notices": []}})
    declaration = study.model_dump(mode="json")
    with Ledger(paths.ledger_url, create=True) as ledger:
        study_id = ledger.create_study("ends", declaration, fingerprint="f" * 64, facts=facts)
        session, writer = ledger.start_session(study_id), LedgerWriter(ledger, study_id)
        for number, (reason, curve) in enumerate([*CURVES.items(), (None, [0.65])]):
            params = {**study.space.baseline, "learning_rate": 10 ** (-3 - number / 10)}
            params["schedule"] = "none"
            writer.trial_started(
                number, params, config_hash=hash_params(params), seed=40 + number, sampler_attrs={}, repeats=[]
            )
            for epoch, loss in enumerate(curve, 1):
                metrics = {"train_loss": loss / 2, "val_loss": loss, "val_accuracy": 1 - loss, "parameters": 100.0}
                writer.epoch(number, epoch, seconds=0.1, metrics=metrics)
            if reason is not None:
                message = "ValueError: of no use" if reason is StopReason.ERROR else ""
                writer.trial_ended(number, Outcome(reason, 1 if reason is StopReason.RUNG else None, message))
        writer.flush()
        if ending is not None:
            ledger.end_session(session, ending)
    return paths


def exported(tmp_path, paths):
    """Write a study to a database, and return it as Optuna loads it."""
    url = f"sqlite:///{tmp_path}/optuna.db"
    export_to_optuna(paths, url)
    return optuna.load_study(study_name=paths.name, storage=url)


def in_memory(home, **changes):
    """Record a study with a trial for each end, and return it as Optuna has it, without a database."""
    return as_optuna_study(read_for_optuna(record(home, **changes)))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A made-up study of 12 trials in its ledger, and as Optuna has it."""
    folder = tmp_path_factory.mktemp("both")
    record_study(folder / "home", "mine", trials=12, epochs=9)
    found = load("mine", home=folder / "home")
    return found, exported(folder, found.paths)


def test_numbers_states_values_params_curves_and_times_are_those_of_the_ledger(both):
    ledger, study = both
    best = {row.number: row for row in ledger.leaderboard.itertuples()}
    assert len(study.trials) == len(ledger.trials) == 12
    for theirs, ours in zip(study.trials, ledger.trials.to_dict("records"), strict=True):
        number = ours["number"]
        assert theirs.number == number == theirs.user_attrs["lanewise.trial"]
        assert theirs.state.name == ours["state"]
        assert theirs.value == best[number].value
        curve = ledger.epochs[ledger.epochs["number"] == number]
        assert theirs.intermediate_values == dict(zip(curve["epoch"], curve["val_loss"], strict=True))
        assert theirs.datetime_start == datetime.fromtimestamp(ours["started_at"])
        assert theirs.datetime_complete == datetime.fromtimestamp(ours["ended_at"])
        told = {
            "config_hash": ours["config_hash"],
            "seed": ours["seed"],
            "stop_reason": ours["stop_reason"],
            "best_epoch": best[number].epoch,
            "epochs": len(curve),
        }
        assert {name: theirs.user_attrs[f"lanewise.{name}"] for name in told} == told
        assert theirs.user_attrs["val_accuracy"] == best[number].metrics["val_accuracy"]
        if number:
            assert theirs.params == ours["params"], "conditional ones too"
    assert {"step_size" in trial.params for trial in study.trials} == {True, False}


def test_the_study_has_its_direction_its_metric_and_what_was_found(both):
    ledger, study = both
    assert study.direction.name == "MINIMIZE"
    assert study.metric_names == ["val_loss"]
    told = study.user_attrs
    assert (told["lanewise.study"], told["lanewise.kind"]) == ("mine", "regularization")
    assert told["lanewise.data_fingerprint"] == "f" * 64
    assert told["lanewise.best_trial"] == ledger.answer.best.trial
    assert told["lanewise.verdict"].startswith("best val_loss")
    assert study.best_trial.value == min(t.value for t in study.trials if t.state is TrialState.COMPLETE)


def test_a_baseline_that_no_range_can_hold_is_the_nearest_value_and_said(both, tmp_path):
    ledger, study = both
    baseline = study.trials[0]
    assert ledger.trials["params"][0]["weight_decay"] == 0
    assert baseline.params["weight_decay"] == baseline.distributions["weight_decay"].low == 1e-6
    assert baseline.user_attrs["lanewise.outside_of_the_space"] == {"weight_decay": 0}
    told = invoke("export", "mine", "--home", ledger.paths.home, "--optuna", f"sqlite:///{tmp_path}/o.db").stdout
    assert "moved       weight_decay is 0 in trial 0, which 1e-06 .. 0.1 (log) cannot hold" in told
    assert "exported    12 trials of mine as a study of Optuna's: 4 COMPLETE, 8 PRUNED" in told


def test_every_end_of_a_trial_has_a_state_of_optunas(tmp_path):
    study = in_memory(tmp_path / "home")
    by_end = dict(zip([*CURVES, "none"], study.trials, strict=True))
    failed = {StopReason.ERROR, StopReason.BUDGET, StopReason.DIED, "none"}
    assert {end for end, trial in by_end.items() if trial.state is TrialState.FAIL} == failed
    assert {end for end, t in by_end.items() if t.state is TrialState.PRUNED} == {StopReason.RUNG, StopReason.DIVERGED}
    assert [by_end[end].value for end in CURVES] == [0.4, 0.7, 0.3, 0.5, None, None, None]
    assert by_end[StopReason.ERROR].user_attrs["lanewise.message"] == "ValueError: of no use"
    assert by_end[StopReason.ERROR].intermediate_values == {1: 0.8}
    assert math.isnan(by_end[StopReason.DIVERGED].intermediate_values[2])
    assert study.user_attrs["lanewise.best_trial"] == 2 != study.best_trial.number == 0


def test_a_trial_that_a_process_still_trains_is_running(tmp_path):
    study = in_memory(tmp_path / "home", ending=None)
    assert [t.number for t in study.trials if t.state is TrialState.RUNNING] == [6, 7]


def test_several_objectives_have_a_direction_each_and_the_front_of_the_answer(tmp_path):
    further = [{"metric": "val_accuracy", "mode": "max"}, {"metric": "parameters", "mode": "min"}]
    study = in_memory(tmp_path / "home", further=further)
    assert [d.name for d in study.directions] == ["MINIMIZE", "MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["val_loss", "val_accuracy", "parameters"]
    assert study.trials[0].values == [0.4, 0.6, 100.0]
    front = {entry.trial for entry in load("ends", home=tmp_path / "home").answer.front}
    assert {trial.number for trial in study.best_trials} == front == {2}
    assert study.trials[2].user_attrs["lanewise.state"] == "PRUNED"


@pytest.mark.parametrize("further", [[], [{"metric": "parameters", "mode": "min"}]])
def test_optuna_goes_on_with_it(tmp_path, further):
    study = in_memory(tmp_path / "home", further=further)
    study.sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=1)
    trial = study.ask({"learning_rate": study.trials[0].distributions["learning_rate"]})
    study.tell(trial, [0.2] * len(study.directions))
    assert study.trials[-1].number == 8


def test_optunas_own_figures_are_drawn_of_what_python_has(both):
    from optuna import visualization as of

    ledger, written = both
    study = ledger.to_optuna()
    assert study.trials[3].user_attrs == written.trials[3].user_attrs
    curves = of.plot_intermediate_values(study)
    assert len(curves.data) == 12
    history, best, *_ = of.plot_optimization_history(study, target_name="val_loss").data
    assert (history.name, best.name) == ("val_loss", "Best Value")
    assert history.y[0] == study.trials[0].value
    assert len(of.plot_slice(study, ["learning_rate", "weight_decay"]).data) == 2
    assert of.plot_timeline(study).data
    assert of.plot_parallel_coordinate(study, ["learning_rate", "dropout"]).data


SPACE = Space(
    (
        float_("rate", 0.1, 1.0, baseline=0.01, log=True),
        float_("share", 0.0, 0.5, baseline=0.8),
        int_("width", 4, 8, baseline=2),
        category("kind", ["a", "b"], baseline="c"),
        category("fixed", [0.3], baseline=0.3),
    )
)


def test_a_space_is_widened_to_hold_every_trial():
    trials = [SPACE.baseline, {"rate": 2.0, "share": -0.5, "width": 20, "kind": "b", "fixed": 0.7}]
    wide = widened(SPACE, trials)
    assert [p.range_text() for p in wide] == ["0.01 .. 2 (log)", "-0.5 .. 0.8", "2 .. 20", "a | b | c", "0.3 .. 0.7"]
    assert all(wide[name].contains(value) for trial in trials for name, value in trial.items())
    assert widened(SPACE, [{"rate": 0.2, "kind": "a"}]) == SPACE


def test_steps_are_kept_where_a_range_is_widened():
    from dataclasses import replace

    from optuna.distributions import FloatDistribution, IntDistribution

    floats = replace(SPACE["share"], distribution=FloatDistribution(0.5, 1.0, step=0.25))
    whole = replace(SPACE["width"], distribution=IntDistribution(8, 32, step=8))
    wide = widened(Space((floats, whole)), [{"share": 0.25, "width": 48}, {"share": 1.5, "width": 7}])
    assert [p.range_text() for p in wide] == ["0.25 .. 1.5, step 0.25", "0 .. 48, step 8"]
    assert [wide["width"].contains(v) for v in (48, 7)] == [True, False], "no step leads to 7"


@pytest.fixture
def ends(tmp_path):
    return record(tmp_path / "home")


def refusal(paths, url, kind=UsageError):
    with pytest.raises(kind) as caught:
        export_to_optuna(paths, str(url))
    (line,) = caught.value.errors
    return line


def test_a_study_of_that_name_is_left_alone_and_another_may_be_beside_it(ends, tmp_path):
    study = exported(tmp_path, ends)
    line = refusal(ends, f"sqlite:///{tmp_path}/optuna.db")
    assert line.startswith(f"--optuna sqlite:///{tmp_path}/optuna.db has a study ends already; name another database")
    assert len(study.trials) == 8
    record_study(tmp_path / "home", "mine", trials=2, epochs=3)
    assert len(exported(tmp_path, Paths(tmp_path / "home", "mine")).trials) == 2
    assert optuna.get_all_study_names(f"sqlite:///{tmp_path}/optuna.db") == ["ends", "mine"]


def test_what_is_no_database_of_optunas_is_a_line_and_stays_as_it_is(ends, tmp_path):
    (tmp_path / "text.db").write_text("some words, and no database")
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("create table mine (id)")
    connection.close()
    before = {name: (tmp_path / name).read_bytes() for name in ("text.db", "other.db")}
    assert "the file is no SQLite database" in refusal(ends, f"sqlite:///{tmp_path}/text.db")
    assert "is a database of something else" in refusal(ends, f"sqlite:///{tmp_path}/other.db")
    assert "is a database of something else" in refusal(ends, ends.ledger_url)
    assert before == {name: (tmp_path / name).read_bytes() for name in before}


def test_what_is_no_url_is_a_line(ends, tmp_path):
    assert "'mine.db' is no database URL; of a file it is sqlite:///mine.db" in refusal(ends, "mine.db")
    assert "is gone when the command ends" in refusal(ends, "sqlite://")
    assert "there is no folder" in refusal(ends, f"sqlite:///{tmp_path}/no/o.db")
    assert "is a folder; name a file" in refusal(ends, f"sqlite:///{tmp_path}")
    assert "names no database that SQLAlchemy knows" in refusal(ends, "mumble://host/name")


def test_a_server_that_is_not_there_is_a_line_without_its_password(ends):
    line = refusal(ends, "postgresql+psycopg://me:secret@127.0.0.1:1/x", RunError)
    assert line.startswith("--optuna postgresql+psycopg://me:***@127.0.0.1:1/x cannot be written: ")
    assert "secret" not in line


def test_options_of_a_model_are_refused_together(ends):
    from typer.testing import CliRunner

    from search.commands.verbs import app

    given = ["--optuna", "sqlite:///o.db", "--onnx", "--trial", "0", "--to", "x"]
    done = CliRunner().invoke(app, ["export", "ends", "--home", str(ends.home), *given])
    assert isinstance(done.exception, UsageError)
    assert done.exception.errors == ("--optuna writes the trials, and no model: it goes without --trial, --to, --onnx",)


def test_nothing_of_a_study_stays_that_could_not_be_written_whole(ends, tmp_path):
    url = f"sqlite:///{tmp_path}/optuna.db"
    optuna.storages.RDBStorage(url)  # makes the tables
    with sqlite3.connect(tmp_path / "optuna.db") as connection:
        late, refuse = "(select count(*) from trials) = 4", "begin select raise(abort, 'the disk is full'); end"
        connection.execute(f"create trigger full before insert on trial_params when {late} {refuse}")
    connection.close()
    assert "cannot be written: the disk is full" in refusal(ends, url, RunError)
    assert optuna.get_all_study_names(url) == []

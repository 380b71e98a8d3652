"""The values of a whole-number parameter side by side, beside what a plain loop over the trials finds."""

import io
import json
import math
from dataclasses import replace
from statistics import median

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from search import declare, load
from search.commands.verbs import app
from search.declaration import declare_study, study_schema, study_yaml
from search.declaration.study import Study
from search.errors import UsageError
from search.face.grid import print_grid
from search.face.tables import curve_table, curve_text
from search.ledger import LedgerWriter
from search.ledger.outcome import Outcome, StopReason
from search.report.answer import answer
from search.report.curve import MOST_LISTED, curve_csv, stage_name
from search.report.curve_plot import artifact_stem, curve_figure, tick_name
from spaces import Space, category, float_, int_, when
from tests.search.conftest import make_study
from tests.search.test_cli import search_run
from tests.support.facts import DATA, FACTS

SPACE = Space(
    (
        int_("depth", 0, 4, baseline=0),
        float_("x", 0, 1, baseline=0.5),
        category("mode", ("a", "b"), baseline="a"),
        int_("size", 1, 3, baseline=1, when=when("mode", "b")),
        category("whole", (0, 3, 5), baseline=0),
        category("mixed", (1, 2.5), baseline=1),
        category("flag", (False, True), baseline=False),
    )
)
DONE, PRUNED = Outcome(StopReason.MAX_EPOCHS), Outcome(StopReason.RUNG, rung=1)
FAILED = Outcome(StopReason.ERROR, message="ValueError: no")
STAGES = ["stem", "layer1", "layer2", "layer3"]


def curve_of(ledger, trials, space=SPACE, data=None, prepared=None, **values):
    """Record (depth, outcome, [(accuracy, loss) an epoch]) as trials and return the answer's curve."""
    facts = FACTS.model_copy(update={"data": {**DATA, **(data or {})}, "prepared": prepared or {}})
    study_id = ledger.create_study(f"s{len(ledger.studies())}", {}, fingerprint="", facts=facts)
    writer = LedgerWriter(ledger, study_id)
    for number, (depth, outcome, epochs) in enumerate(trials):
        params = {"depth": depth}
        writer.trial_started(number, params, config_hash=str(number), seed=0, sampler_attrs={}, repeats=[])
        for epoch, (accuracy, loss) in enumerate(epochs, 1):
            metrics = {"val_accuracy": accuracy, "val_loss": loss}
            writer.epoch(number, epoch, seconds=epoch / (1 + depth), metrics=metrics)
        if outcome is not None:
            writer.trial_ended(number, outcome)
    writer.flush()
    study = make_study(space, **{"curve": "depth", **values})
    found = answer(study, ledger.trials_frame(study_id), ledger.epochs_frame(study_id), facts)
    json.dumps(found.to_dict()["curve"], allow_nan=False)
    return found.curve


TRIALS = [
    (0, DONE, [(0.7, 0.9), (0.8, 0.5)]),  # the baseline: no trial of depth 0
    (0, DONE, [(0.5, 0.9), (0.85, 0.6), (0.9, 0.7)]),  # by the loss its second epoch is the best
    (2, DONE, [(0.95, 0.3)]),
    (2, PRUNED, [(0.6, 0.8), (0.7, 0.9)]),
    (2, FAILED, []),
    (3, DONE, [(0.86, 0.2)]),
    (3, PRUNED, [(0.85, math.nan)]),  # its objective was never finite
    (1, Outcome(StopReason.DIVERGED), [(math.nan, 0.4), (0.3, math.nan)]),  # the metric was not, where the loss was
]


def told(row):
    metric = row.values, row.best, row.trial, row.median
    return row.value, row.trials, row.pruned, *metric, row.objective, row.epochs, row.seconds


def test_a_trial_counts_at_its_best_epoch_and_the_baseline_is_apart(ledger):
    found = curve_of(ledger, TRIALS)
    assert (found.parameter, found.metric, found.mode, found.objective) == ("depth", "val_accuracy", "max", "val_loss")
    assert [told(row) for row in found.rows] == [
        (0, 1, 0, (0.85,), 0.85, 1, 0.85, 0.6, 3, 2.0),
        (1, 1, 1, (), None, None, None, 0.4, 2, 0.75),
        (2, 3, 1, (0.95, 0.6), 0.95, 2, pytest.approx(0.775), 0.3, 3, pytest.approx(1 / 3)),
        (3, 2, 1, (0.86,), 0.86, 5, 0.86, 0.2, 2, 0.25),
        (4, 0, 0, (), None, None, None, None, 0, None),
    ]
    assert told(found.baseline) == (None, 1, 0, (0.8,), 0.8, 0, 0.8, 0.5, 2, 1.5)
    assert found.possible == 5


POINT = st.tuples(st.sampled_from([0.5, 0.75, 1.0, math.nan]), st.sampled_from([0.1, 0.2, math.nan]))
TRIAL = st.tuples(st.integers(0, 4), st.sampled_from([DONE, PRUNED, None]), st.lists(POINT, min_size=1, max_size=3))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TRIAL, min_size=1, max_size=8))
def test_the_table_is_what_a_plain_loop_finds(ledger, trials):
    found = curve_of(ledger, trials)
    losses = [[loss for _, loss in epochs if not math.isnan(loss)] for _, _, epochs in trials]
    if not any(losses):
        assert found is None
        return
    for row in found.rows:
        own = [i for i, (depth, *_) in enumerate(trials) if depth == row.value and i > 0]
        at_best = [next(a for a, loss in trials[i][2] if loss == min(losses[i])) for i in own if losses[i]]
        finite = [a for a in at_best if not math.isnan(a)]
        assert row.trials == len(own)
        assert row.pruned == sum(trials[i][1] is PRUNED for i in own)
        assert row.values == tuple(finite)
        assert row.best == (max(finite) if finite else None)
        assert row.median == (median(finite) if finite else None)
        assert row.objective == min((min(losses[i]) for i in own if losses[i]), default=None)
        assert row.epochs == sum(len(trials[i][2]) for i in own)
        assert (row.seconds is None) == (not own)


def test_a_baseline_outside_of_the_space_is_its_own_row_alone(ledger):
    space = SPACE.with_parameters({"depth": int_("depth", 1, 2, baseline=0)})
    found = curve_of(ledger, [TRIALS[0], *TRIALS[2:5]], space)
    assert [(row.value, row.trials) for row in found.rows] == [(1, 0), (2, 3)]
    assert found.baseline.best == 0.8


def test_a_value_that_the_space_has_no_more_is_still_told(ledger):
    space = SPACE.with_parameters({"depth": int_("depth", 0, 1, baseline=0)})
    found = curve_of(ledger, TRIALS, space)
    assert [row.value for row in found.rows] == [0, 1, 2, 3]
    assert found.possible == 4


def test_a_parameter_that_was_fixed_has_one_row(ledger):
    found = curve_of(ledger, [TRIALS[0], *TRIALS[2:5]], SPACE.with_parameters({"depth": SPACE["depth"].fixed_at(2)}))
    assert [row.value for row in found.rows] == [2]
    assert found.verdict.endswith("; no other value reported anything, and this is one seed")


def test_of_a_long_range_only_what_was_tried_is_listed(ledger):
    space = SPACE.with_parameters({"depth": int_("depth", 0, MOST_LISTED, baseline=0)})
    found = curve_of(ledger, TRIALS, space)
    assert [row.value for row in found.rows] == [0, 1, 2, 3]
    assert curve_text(found).startswith(f"4 of {MOST_LISTED + 1} values tried; ")


def test_where_a_number_is_learned_the_objective_is_compared(ledger):
    found = curve_of(ledger, TRIALS, data={"task": "regression"})
    assert (found.metric, found.mode) == ("val_loss", "min")
    assert [row.best for row in found.rows] == [0.6, 0.4, 0.3, 0.2, None]
    assert found.rows[3].values == (0.2,)
    assert found.verdict.startswith("best at depth 3: val_loss 0.2 against 0.5 of the baseline (trial 0), -0.3; ")


def test_an_objective_that_is_the_accuracy_is_compared_once(ledger):
    found = curve_of(ledger, TRIALS, objective={"metric": "val_accuracy", "mode": "max"})
    assert found.objective == found.metric == "val_accuracy"
    assert found.rows[0].best == found.rows[0].objective == 0.9


@pytest.mark.parametrize("trials", [[], [(1, FAILED, [])], [(1, DONE, [(0.5, math.nan)])]])
def test_where_nothing_finite_was_reported_there_is_no_curve(ledger, trials):
    assert curve_of(ledger, trials) is None


def test_a_study_that_names_no_parameter_has_none(ledger):
    assert curve_of(ledger, TRIALS, curve=None) is None


def one(depth, *accuracies):
    return [(depth, DONE, [(a, 1 - a)]) for a in accuracies]


BASE = one(0, 0.8)
VERDICTS = {
    "clear": (
        one(1, 0.9, 0.88) + one(2, 0.7),
        "best at depth 1: val_accuracy 0.9 against 0.8 of the baseline (trial 0), +0.1; one seed each, "
        "not yet confirmed",
    ),
    "an example": (
        one(1, 0.9, 0.9) + one(2, 0.89) + one(3, 0.9),
        "best at depth 1: val_accuracy 0.9 against 0.8 of the baseline (trial 0), +0.1; one seed each, so it is not "
        "settled: 2 and 3 no more than one validation example away",
    ),
    "the spread": (
        one(1, 0.9, 0.8) + one(2, 0.86) + one(3, 0.7) + one(4, 0.895),
        "best at depth 1: val_accuracy 0.9 against 0.8 of the baseline (trial 0), +0.1; one seed each, so it is not "
        "settled: 4 no more than one validation example away, 2 closer than the trials at 1 are to each other "
        "(best to median: 0.05)",
    ),
    "a single trial": (
        one(1, 0.9) + one(2, 0.7),
        "best at depth 1: val_accuracy 0.9 against 0.8 of the baseline (trial 0), +0.1; one seed each, so it is not "
        "settled: the one trial at 1 has no spread to hold the others against",
    ),
    "worse": (
        one(1, 0.7, 0.69) + one(2, 0.5),
        "best at depth 1: val_accuracy 0.7 against 0.8 of the baseline (trial 0), -0.1: the baseline is better; "
        "one seed each, not yet confirmed",
    ),
    "no gain": (
        one(1, 0.81, 0.8) + one(2, 0.5),
        "best at depth 1: val_accuracy 0.81 against 0.8 of the baseline (trial 0), +0.01 (no more than one validation "
        "example); one seed each, not yet confirmed",
    ),
    "the baseline alone": ([], "no trial but the baseline reported a finite val_accuracy"),
}


@pytest.mark.parametrize(("trials", "verdict"), VERDICTS.values(), ids=VERDICTS)
def test_the_verdict_says_what_was_seen_and_what_that_does_not_settle(ledger, trials, verdict):
    assert curve_of(ledger, BASE + trials).verdict == verdict


def test_without_a_baseline_nothing_is_said_to_be_gained(ledger):
    found = curve_of(ledger, [(0, FAILED, []), *one(1, 0.9, 0.88), *one(2, 0.5)])
    assert found.verdict == (
        "best at depth 1: val_accuracy 0.9; the baseline (trial 0) reported no finite val_accuracy; "
        "one seed each, not yet confirmed"
    )


def test_of_equal_accuracies_the_lower_loss_is_the_best(ledger):
    found = curve_of(ledger, [*BASE, (1, DONE, [(0.9, 0.5)]), (2, DONE, [(0.9, 0.4)])])
    assert found.verdict.startswith("best at depth 2: ")


def test_stages_name_the_values(ledger):
    found = curve_of(ledger, TRIALS, prepared={"stages": STAGES})
    assert [row.name for row in found.rows] == [
        "nothing",
        "stem",
        "stem, layer1",
        "stem, layer1, layer2",
        "everything (features only)",
    ]
    assert stage_name(4, [*STAGES, "layer4"]) == "stem .. layer3"
    assert [stage_name(k, STAGES) for k in (-1, 5)] == [None, None]
    assert [stage_name(k, []) for k in (0, 1)] == [None, None]
    names = [tick_name(k, STAGES) for k in range(-1, 6)]
    assert names == ["", "nothing", "stem", "to layer1", "to layer2", "everything", ""]


def printed(found, width=110):
    console = Console(width=width, record=True)
    print_grid(console, curve_table(found))
    return [line.split() for line in console.export_text().splitlines() if line.strip()]


def test_the_printed_table_has_every_value_and_the_baseline(ledger):
    lines = printed(curve_of(ledger, TRIALS, prepared={"stages": STAGES}))
    header = "depth trials pruned best val_accuracy trial median best val_loss an epoch"
    assert sorted(lines[0] + lines[1]) == sorted(header.split())
    assert "2 stem, layer1 3 1 0.95 2 0.775 0.3 333 ms".split() in lines
    assert "1 stem 1 1 - - - 0.4 750 ms".split() in lines
    assert "4 everything (features only) 0 no trial".split() in lines
    assert lines[-1] == "baseline 1 0 0.8 0 0.8 0.5 1.5 s".split()


def test_without_stages_the_numbers_stand_alone_and_one_metric_is_one_column(ledger):
    lines = printed(curve_of(ledger, TRIALS, objective={"metric": "val_accuracy", "mode": "max"}))
    assert lines[0] == "depth trials pruned best val_accuracy trial median an epoch".split()
    assert "4 0 no trial".split() in lines
    assert "0 1 0 0.9 1 0.9 2 s".split() in lines


def test_the_csv_has_a_row_for_each_value_and_the_baseline_last(ledger):
    table = pd.read_csv(io.StringIO(curve_csv(curve_of(ledger, TRIALS, prepared={"stages": STAGES}))))
    assert table["depth"].tolist() == ["0", "1", "2", "3", "4", "baseline"]
    assert table["trials"].tolist() == [1, 1, 3, 2, 0, 1]
    assert table["best_val_accuracy"].dropna().tolist() == [0.85, 0.95, 0.86, 0.8]
    assert table["best_trial"].dropna().tolist() == [1, 2, 5, 0]
    assert table["best_val_loss"].dropna().tolist() == [0.6, 0.4, 0.3, 0.2, 0.5]
    assert table["epochs"].tolist() == [3, 2, 3, 2, 0, 2]
    assert table["name"][2] == "stem, layer1"


def test_the_figure_has_every_point_the_baseline_and_the_time(ledger, tmp_path):
    found = curve_of(ledger, TRIALS, prepared={"stages": STAGES})
    figure = curve_figure(found)
    upper, lower = figure.axes
    lines = {line.get_label(): line for line in upper.lines}
    assert sorted(lines["a trial"].get_ydata()) == [0.6, 0.85, 0.86, 0.95]
    best = dict(zip(lines["best"].get_xdata(), lines["best"].get_ydata(), strict=True))
    assert {x: y for x, y in best.items() if not math.isnan(y)} == {0: 0.85, 2: 0.95, 3: 0.86}
    assert set(best) == {0, 1, 2, 3, 4}
    assert lines["median"].get_ydata()[2] == pytest.approx(0.775)
    assert set(lines["baseline (trial 0)"].get_ydata()) == {0.8}
    assert [text.get_text() for text in upper.texts] == ["no trial"]
    assert [bar.get_height() for bar in lower.patches] == pytest.approx([2.0, 0.75, 1 / 3, 0.25])
    figure.savefig(tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes()[1:4] == b"PNG"
    labels = [label.get_text() for label in lower.get_xticklabels()]
    assert labels == ["0\nnothing", "1\nstem", "2\nto layer1", "3\nto layer2", "4\neverything"]


def test_what_is_written_in_the_figure_does_not_overlap(ledger):
    for stages in (STAGES, [f"features.{i}.of_the_network" for i in range(4)], []):
        figure = curve_figure(curve_of(ledger, TRIALS, prepared={"stages": stages}))
        figure.draw_without_rendering()
        upper, lower = figure.axes
        labels = [label for label in lower.get_xticklabels() if label.get_text()]
        assert len(labels) == 5
        if labels[0].get_rotation() == 0:  # boxes of slanted ones overlap though their letters do not
            boxes = [label.get_window_extent() for label in labels]
            assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
        (legend,) = figure.legends
        below = min(lower.xaxis.get_tightbbox().y0, lower.xaxis.label.get_window_extent().y0)
        assert legend.get_window_extent().y1 <= below + 1, "the legend is below the names"
        assert upper.title.get_window_extent().y1 <= figure._suptitle.get_window_extent().y0 + 1


def test_a_trial_that_learned_nothing_does_not_press_the_rest_together(ledger):
    trials = BASE + one(1, 0.9, 0.89, 0.88, 0.01) + one(2, 0.85, 0.84, 0.84)
    upper = curve_figure(curve_of(ledger, trials)).axes[0]
    lines = {line.get_label(): line for line in upper.lines}
    assert upper.get_ylim()[0] > 0.65
    assert list(lines["below the axis: 1"].get_ydata()) == [upper.get_ylim()[0]]
    assert len(lines["a trial"].get_ydata()) == 6


def test_where_less_is_better_it_is_above_the_axis(ledger):
    trials = BASE + one(1, 0.9, 0.89, 0.88, -1e6) + one(2, 0.85)
    upper = curve_figure(curve_of(ledger, trials, data={"task": "regression"})).axes[0]
    lines = {line.get_label(): line for line in upper.lines}
    assert upper.get_ylim()[1] < 0.4
    assert list(lines["above the axis: 1"].get_ydata()) == [upper.get_ylim()[1]]


@pytest.mark.parametrize("trials", [BASE, BASE + one(3, 0.9), BASE + one(3, 0.8)])
def test_a_curve_with_one_value_or_none_or_without_a_baseline_is_drawn(ledger, trials, tmp_path):
    found = curve_of(ledger, trials)
    for shown in (found, replace(found, baseline=None), replace(found, rows=()), replace(found, rows=found.rows[3:4])):
        curve_figure(shown).savefig(tmp_path / "x.png", dpi=20)
        assert (tmp_path / "x.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("parameter", "stem"),
    [("freeze_depth", "freeze_depth"), ("../up", "curve"), ("a b", "curve"), ("leaderboard", "curve")],
)
def test_the_files_are_named_by_the_parameter_where_it_can_name_a_file(ledger, parameter, stem):
    assert artifact_stem(replace(curve_of(ledger, TRIALS), parameter=parameter)) == stem


@pytest.mark.parametrize("name", ["dpeth", "x", "mode", "size", "mixed", "flag"])
def test_a_parameter_that_has_no_whole_numbers_or_a_condition_is_refused(name):
    with pytest.raises(UsageError) as caught:
        make_study(SPACE, curve=name)
    line = f"curve: {name!r} is no whole-number parameter of the space without a condition"
    assert caught.value.errors == (line,)


@pytest.mark.parametrize("name", ["depth", "whole"])
def test_a_range_and_choices_of_whole_numbers_can_be_compared_and_are_written_to_yaml(name):
    study = make_study(SPACE, curve=name)
    text = study_yaml(study)
    assert yaml.safe_load(text)["curve"] == name
    again = declare_study(yaml.safe_load(text))
    assert (again.mistakes, again.study) == ((), study.model_copy(update={"name": ""}))
    assert Study.model_validate(json.loads(json.dumps(study.model_dump(mode="json")))) == study


def test_the_json_schema_says_what_the_curve_of_a_study_is():
    field = study_schema()["properties"]["curve"]
    assert field["description"] == "a whole-number parameter whose values the answer compares one by one."
    assert field["anyOf"] == [{"type": "string"}, {"type": "null"}]


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A real study of digits by the command line, with MLflow on its default; its curve is over an MLP's patience."""
    home = tmp_path_factory.mktemp("home")
    (home / "study.yaml").write_text(
        "kind: regularization\n"
        "set: {patience: {type: int, low: 1, high: 3, baseline: 0}}\n"
        "curve: patience\n"
        "data: {name: digits, train_examples: 200}\n"
        "budget: {trials: 6, max_epochs: 5}\n"
    )
    done = search_run("--config", home / "study.yaml", "--home", home, "--name", "s")
    assert done.returncode == 0, done.stderr
    return home, done.stdout


def test_a_search_ends_with_its_curve_and_every_view_of_it_agrees(searched):
    home, printed = searched
    found = load("s", home=home)
    shown = found.answer.curve
    rows = {k: frame for k, frame in found.trials[found.trials["number"] > 0].groupby("params_patience")}
    assert {row.value: row.trials for row in shown.rows} == {k: len(rows.get(k, ())) for k in (1, 2, 3)}
    ranked = found.leaderboard.set_index("number")["metrics"]
    assert shown.baseline.values == (ranked[0]["val_accuracy"],)
    for row in shown.rows:
        expected = [ranked[n]["val_accuracy"] for n in sorted(rows[row.value]["number"]) if n in ranked]
        assert row.values == tuple(expected)
    assert f"curve      {shown.verdict}\n" in printed
    again = CliRunner().invoke(app, ["show", "s", "--home", str(home)], catch_exceptions=False)
    assert f"curve      {shown.verdict}\n" in again.stdout
    as_json = CliRunner().invoke(app, ["show", "s", "--home", str(home), "--json"], catch_exceptions=False)
    assert json.loads(as_json.stdout)["curve"] == json.loads(json.dumps(found.answer.to_dict()["curve"]))


def test_mlflow_has_the_curve_at_the_end_of_a_search(searched):
    home, _ = searched
    (picture,) = home.glob("mlflow-artifacts/*/artifacts/patience.png")
    assert picture.read_bytes()[1:4] == b"PNG"
    (table,) = home.glob("mlflow-artifacts/*/artifacts/patience.csv")
    assert table.read_text() == curve_csv(load("s", home=home).answer.curve)


def test_the_declaration_is_printed_with_its_curve(searched):
    home, _ = searched
    done = CliRunner().invoke(app, ["show", "s", "--config", "--home", str(home)], catch_exceptions=False)
    assert yaml.safe_load(done.stdout)["curve"] == "patience"
    declared = declare_study(yaml.safe_load(done.stdout)).study
    assert declared == load("s", home=home).study.model_copy(update={"name": ""})
    assert declare("schedules", curve="patience").curve == "patience"
    with pytest.raises(UsageError, match="^curve: 'schedule' is no whole-number parameter of the space"):
        declare("schedules", curve="schedule")

import dataclasses
import importlib
import json
import math
import pkgutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from search.declaration import studies
from search.declaration.fields import names_at
from search.declaration.from_options import in_options
from search.declaration.options import Options, table
from search.declaration.parts import SchedulerSpec
from search.declaration.studies import find, registered
from search.declaration.study import Budget, Objective, Resources, Study
from search.declaration.validate import valid_study
from search.drive.preflight import resolve
from search.errors import UsageError
from spaces.regularization import SPACE
from trainables.data import DATASETS, DataSpec
from trainables.metrics import METRICS
from trainables.registry import TRAINABLES

KINDS = sorted(registered())


def declare(**values):
    return valid_study({"kind": "regularization", "space": SPACE, **values})


def errors_of(**values):
    with pytest.raises(UsageError) as caught:
        declare(**values)
    return tuple(in_options(caught.value.mistakes))


def test_the_registry_is_built_from_the_files():
    files = [module.name for module in pkgutil.iter_modules(studies.__path__)]
    assert [importlib.import_module(f"search.declaration.studies.{name}").STUDY for name in files] == list(
        registered().values()
    )
    assert "regularization" in registered()


@pytest.mark.parametrize("kind", KINDS)
def test_every_declared_study_is_complete_and_reads_back(kind):
    study = find(kind)
    assert study.kind == kind
    assert study.question.endswith("?")
    assert study.data.name in DATASETS
    again = Study.model_validate(json.loads(json.dumps(study.model_dump(mode="json"))))
    assert again == study
    assert again.space.names == study.space.names
    assert again.space.baseline == study.space.baseline


@pytest.mark.parametrize("kind", KINDS)
def test_every_preset_is_of_a_known_data_set_and_is_applied_whole(kind, tmp_path):
    study = find(kind)
    assert set(study.presets) <= set(DATASETS)
    for name, preset in study.presets.items():
        found = resolve(Options(kind, home=tmp_path, dataset=name))
        for target, value in preset.items():
            parameter, _, field = target.partition(".")
            if field:
                assert field == "choices"
                assert list(found.space[parameter].distribution.choices) == value.split(",")
            else:
                assert found.settings[parameter] == value


def test_the_main_job_is_what_the_readme_promises():
    study = find("regularization")
    assert (study.budget.trials, study.budget.max_epochs) == (64, 30)
    assert (study.sampler, study.scheduler.name, study.objective) == ("tpe", "asha", Objective())
    assert (study.objective.metric, study.objective.mode) == ("val_loss", "min")
    assert study.data == DataSpec("digits")


def test_an_unknown_study_gets_the_nearest_name():
    with pytest.raises(UsageError, match=r"unknown study 'regularisation'\. Did you mean 'regularization'\? Known: "):
        find("regularisation")


BAD = [
    ({"budget": {"trials": 0}}, "--trials must be >= 1, got 0"),
    ({"budget": {"trials": 2.5}}, "--trials must be a whole number, got 2.5"),
    ({"budget": {"max_epochs": -1}}, "--max-epochs must be >= 1, got -1"),
    ({"budget": {"time_s": 0}}, "--time-budget must be > 0, got 0"),
    (
        {"scheduler": {"name": "ahsa"}},
        "--scheduler must be 'asha', 'median', 'none', 'promote' or 'freeze_thaw', got 'ahsa'",
    ),
    ({"scheduler": {"grace": 0}}, "--grace must be >= 1, got 0"),
    ({"scheduler": {"reduction_factor": 1}}, "--reduction-factor must be >= 2, got 1"),
    ({"resources": {"cpus_per_trial": 0}}, "--cpus-per-trial must be > 0, got 0"),
    ({"resources": {"gpus_per_trial": -0.5}}, "--gpus-per-trial must be >= 0, got -0.5"),
    (
        {"resources": {"gpus_per_trial": 1.5}},
        "--gpus-per-trial must be a fraction up to 1 or a whole number of GPUs, got 1.5",
    ),
    ({"resources": {"workers": 0}}, "--workers must be >= 1, got 0"),
    (
        {"sampler": "tpee"},
        "--sampler must be 'tpe', 'random', 'gp', 'cmaes', 'qmc', 'nsga2' or 'optuna_tpe', got 'tpee'",
    ),
    ({"executor": "slurm"}, "--executor must be 'auto', 'tune' or 'lanes', got 'slurm'"),
    ({"seed": -1}, "--seed must be >= 0, got -1"),
    ({"seed": 2**32}, f"--seed must be < {2**32}, got {2**32}"),
    ({"checkpoint_every_s": -1}, "--checkpoint-every must be >= 0, got -1"),
    ({"data": {"name": "digit"}}, "--dataset 'digit' is unknown. Did you mean 'digits'? Known: " + ", ".join(DATASETS)),
    (
        {"objective": {"metric": "val_los"}},
        "--objective 'val_los' is not reported. Did you mean 'val_loss'? "
        "Reported: " + ", ".join((*METRICS, "epoch_seconds")),
    ),
    (
        {"trainable": "mpl"},
        f"unknown trainable 'mpl'; known: {', '.join(TRAINABLES)}, or package.module:attribute",
    ),
    ({"settings": {"batch_size": 0}}, "batch_size must be a whole number >= 1, got 0"),
    (
        {"budget": {"max_epochs": 2}},
        "--grace 3 is above --max-epochs 2; a trial must be able to reach its first rung",
    ),
    ({"trials": 3}, "trials is unknown; did you mean budget.trials?"),
    ({"image_size": 8}, "image_size is unknown; did you mean data.image_size?"),
    ({"budgets": {}}, f"budgets is unknown. Did you mean 'budget'? Known: {', '.join(names_at(()))}"),
]


@pytest.mark.parametrize(("values", "line"), BAD, ids=[line for _, line in BAD])
def test_a_wrong_field_gets_its_one_line(values, line):
    assert errors_of(**values) == (line,)


def test_every_wrong_field_is_named_at_once():
    values = {
        "budget": {"trials": 0, "max_epochs": 0},
        "scheduler": {"grace": 0, "reduction_factor": 1},
        "resources": {"gpus_per_trial": 1.5, "cpus_per_trial": 0},
        "data": {"name": "digit"},
        "objective": {"metric": "val_los"},
        "sampler": "tpee",
        "seed": -1,
    }
    said = [e.partition(" ")[0] for e in errors_of(**values)]
    assert sorted(said) == sorted(
        ["--trials", "--max-epochs", "--grace", "--reduction-factor", "--gpus-per-trial", "--cpus-per-trial"]
        + ["--dataset", "--objective", "--sampler", "--seed"]
    )


def test_a_wrong_baseline_is_named_beside_other_errors():
    errors = errors_of(settings={"batch_size": 0, "hiden": "64"}, scheduler={"grace": 50}, sampler="tpee")
    assert {e.partition(" ")[0] for e in errors} == {"batch_size", "unknown", "--grace", "--sampler"}
    errors = errors_of(settings={"batch_size": 0}, budget={"trials": 0})
    assert {e.partition(" ")[0] for e in errors} == {"batch_size", "--trials"}


@pytest.mark.parametrize("gpus", [0, 0.25, 1, 2, 8])
def test_a_fraction_or_a_whole_number_of_gpus_is_fine(gpus):
    assert Resources(gpus_per_trial=gpus).gpus_per_trial == gpus


def test_grace_may_be_the_whole_budget_and_does_not_matter_without_a_scheduler():
    assert declare(budget={"max_epochs": 3}).scheduler.grace == 3
    assert declare(budget={"max_epochs": 2}, scheduler={"name": "none"}).budget.max_epochs == 2


@pytest.mark.parametrize("path", [option.sets for option in table().values() if option.sets])
def test_every_flag_belongs_to_a_field(path):
    model = Study
    *parents, last = path.split(".")
    for name in parents:
        model = model.model_fields[name].annotation
    names = model.model_fields if issubclass(model, BaseModel) else [f.name for f in dataclasses.fields(model)]
    assert last in names


@pytest.mark.parametrize("part", [Objective(), Budget(), SchedulerSpec(), Resources(), declare()])
def test_nothing_can_be_changed_or_added(part):
    with pytest.raises(ValidationError):
        setattr(part, next(iter(type(part).model_fields)), "x")
    with pytest.raises(ValidationError):
        type(part).model_validate({**part.model_dump(), "surplus": 1})


@pytest.mark.parametrize(
    ("text", "metric", "mode"),
    [
        ("val_loss", "val_loss", "min"),
        ("val_accuracy", "val_accuracy", "max"),
        ("val_accuracy:min", "val_accuracy", "min"),
        ("lr:max", "lr", "max"),
        ("train_loss:", "train_loss", "min"),
    ],
)
def test_an_objective_is_read(text, metric, mode):
    assert Objective.parse(text) == Objective(metric=metric, mode=mode)


@pytest.mark.parametrize("text", ["val_loss:down", "val_loss:MAX", "val_loss:min:max"])
def test_a_mode_that_is_none_is_refused(text):
    with pytest.raises(UsageError) as caught:
        Objective.parse(text)
    (line,) = in_options(caught.value.mistakes)
    assert line.startswith(f"--objective {text}: the part after the colon must be min or max, got ")


@given(st.floats(), st.floats())
def test_better_is_a_strict_order_with_nan_last(a, b):
    for mode in ("min", "max"):
        better = Objective(mode=mode).better
        assert not (better(a, b) and better(b, a))
        if not math.isnan(a):
            assert better(a, math.nan)
        assert not better(math.nan, a)
    if not math.isnan(a) and not math.isnan(b):
        assert Objective(mode="min").better(a, b) == (a < b) == Objective(mode="max").better(b, a)


def test_a_trial_gets_the_settings_and_its_own_parameters_over_them():
    study = declare(settings={"batch_size": 32, "dropout": 0.1})
    assert study.params_of({"dropout": 0.5}) == {"batch_size": 32, "dropout": 0.5}
    assert study.settings == {"batch_size": 32, "dropout": 0.1}


@pytest.mark.parametrize("value", [1, 1.5, True, "1", "on"])
def test_a_setting_keeps_its_type(value):
    study = declare(settings={}, trainable="tests.search.loose:Loose")
    kept = Study.model_validate({**study.model_dump(), "settings": {"x": value}}).settings["x"]
    assert (kept, type(kept)) == (value, type(value))

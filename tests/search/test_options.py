import dataclasses
import re
from pathlib import Path

import pytest

from search.declaration.option import parse_duration
from search.declaration.options import Options
from search.declaration.studies import find
from search.drive import preflight
from search.drive.examples import load_data
from search.drive.preflight import fresh_name
from search.errors import UsageError
from tests.support.machine import StatedMachine

KIND = "regularization"
NAMED = r"regularization-\d{4}-\d{4}-[a-z2-9]{4}"
MANY = 10_000
"""More cores, or GPUs, than the machine has."""


MACHINE = StatedMachine(cores=8, gpus=0, bf16=True)


def resolve(options):
    """Resolve options on a machine that is the same wherever the tests run."""
    return preflight.resolve(options, MACHINE)


def errors_of(home, **options):
    with pytest.raises(UsageError) as caught:
        resolve(Options(**{"kind": KIND, "home": home, **options}))
    assert caught.value.exit_code == 2
    assert all("\n" not in line for line in caught.value.errors)
    return caught.value.errors


TABLE = {"data": f"table:{__file__}", "target": "y"}

BAD = [
    ({"kind": "regularisation"}, "unknown study 'regularisation'. Did you mean 'regularization'?"),
    ({"kind": "mine.yaml"}, "unknown study 'mine.yaml'; a study in a file is given as --config mine.yaml"),
    ({"set_": ["dropuot=0.1"]}, "unknown parameter 'dropuot'. Did you mean 'dropout'?"),
    ({"set_": ["dropout.low=0.7"]}, "dropout: low 0.7 must be below high 0.6"),
    ({"set_": ["learning_rate.low=0"]}, "learning_rate: a log range needs low > 0, got 0"),
    ({"set_": ["schedule.choices="]}, "schedule.choices: empty; allowed: none | step | cosine | plateau"),
    ({"set_": ["dropout"]}, "--set 'dropout': expected PARAM=VALUE or PARAM.low=VALUE"),
    ({"set_": ["batch_size=0"]}, "batch_size must be a whole number >= 1, got 0"),
    ({"trials": 0}, "--trials must be >= 1, got 0"),
    ({"max_epochs": -3}, "--max-epochs must be >= 1, got -3"),
    ({"grace": 31}, "--grace 31 is above --max-epochs 30"),
    ({"reduction_factor": 1}, "--reduction-factor must be >= 2, got 1"),
    ({"keep_checkpoints": -1}, "--keep-checkpoints must be >= 0, got -1"),
    ({"gpus_per_trial": -0.25}, "--gpus-per-trial must be >= 0, got -0.25"),
    ({"gpus_per_trial": 1.5}, "--gpus-per-trial must be a fraction up to 1 or a whole number of GPUs, got 1.5"),
    ({"gpus_per_trial": MANY, "executor": "tune"}, f"--gpus-per-trial {MANY}: no GPU found on this machine; use 0"),
    ({"gpus_per_worker": MANY}, f"--gpus-per-worker {MANY}: no GPU found on this machine; use 0"),
    ({"cpus_per_worker": MANY}, f"--cpus-per-worker {MANY} is more than the 8 cores here"),
    ({"cpus_per_trial": MANY, "executor": "tune"}, f"--cpus-per-trial {MANY} is more than the 8 cores here"),
    ({"dataset": "minst"}, "--dataset 'minst' is unknown. Did you mean 'mnist'? Known: digits, mnist, "),
    ({**TABLE, "memory_mb": 5}, "--memory-mb 5 is for --data images:FOLDER or python:MODULE:FUNCTION; the data are "),
    ({"workers_per_trial": 2}, "--workers-per-trial 2 is for --data python:MODULE:FUNCTION; the data are digits"),
    ({"metric": ["val_macrof1"]}, "--metric 'val_macrof1' is unknown. Did you mean 'val_macro_f1'?"),
    ({"objective": ["val_los"]}, "--objective 'val_los' is not reported. Did you mean 'val_loss'?"),
    ({"objective": ["val_loss:up"]}, "--objective val_loss:up: the part after the colon must be min or max, got 'up'"),
    (
        {"objective": ["val_loss", "paramters"]},
        "--objective 'paramters' is not reported. Did you mean 'parameters'? Reported: ",
    ),
    ({"objective": ["val_loss", "val_loss"]}, "--objective val_loss is given twice"),
    ({"objective": ["val_loss", "parameters", "lr", "epoch_seconds"]}, "--objective may be given 3 times, got 4"),
    (
        {"objective": ["val_loss", "parameters"], "sampler": "cmaes"},
        "--sampler cmaes takes one --objective, got 2; others: tpe, random, gp, qmc, nsga2, optuna_tpe",
    ),
    (
        {"sampler": "grid"},
        "--sampler must be 'tpe', 'random', 'gp', 'cmaes', 'qmc', 'nsga2' or 'optuna_tpe', got 'grid'",
    ),
    ({"data": "minst"}, "--data 'minst' is unknown. Did you mean 'mnist'? Known: digits, mnist, "),
    ({"data": "tabel:a.csv"}, "--data tabel:a.csv: 'tabel' is no kind of data. Did you mean 'table'? Known: table:FI"),
    ({"data": "table:"}, "--data table: names no file"),
    ({"data": "images:"}, "--data images: names no folder"),
    ({"data": "images:/nowhere"}, "--data images:/nowhere: there is no such folder"),
    ({"data": f"images:{__file__}"}, f"--data images:{__file__} is a file; expected a folder (--data table:FILE "),
    ({"data": "table:/nowhere.csv", "target": "y"}, "--data table:/nowhere.csv: there is no such file"),
    ({"data": "table:/tmp", "target": "y"}, "--data table:/tmp is a folder; expected a file: .csv, .tsv or .parquet"),
    ({"data": f"table:{__file__}"}, f"--data table:{__file__} needs --target COLUMN, the column to predict"),
    ({"data": __file__}, f"--data {__file__} is no data set by name; your own are given as --data table:{__file__} "),
    ({"data": "/tmp"}, "--data /tmp is no data set by name; your own are given as --data images:/tmp"),
    ({"data": "wine", "dataset": "iris"}, "--data wine and --dataset iris name different data; give one of them"),
    ({"target": "y"}, "--target 'y' is for --data table:FILE; the data are digits"),
    ({"drop": ["a", "b"]}, "--drop 'a, b' is for --data table:FILE; the data are digits"),
    ({"task": "regression"}, "--task 'regression' is for --data table:FILE; the data are digits"),
    (
        {"data": f"table:{__file__}", "target": "y", "task": "clustering"},
        "--task must be auto, classification or regression, got 'clustering'",
    ),
    ({"missing": ["NA", "?"]}, "--missing 'NA, ?' is for --data table:FILE; the data are digits"),
    ({"as_": ["a=text"]}, "--as 'a=text' is for --data table:FILE; the data are digits"),
    ({**TABLE, "as_": ["a=word"]}, "--as must be COLUMN=number, COLUMN=text or COLUMN=date, got 'a=word'"),
    ({**TABLE, "as_": ["=text"]}, "--as must be COLUMN=number, COLUMN=text or COLUMN=date, got '=text'"),
    ({**TABLE, "separator": "ab"}, "--separator must be one character that is no letter, figure, quote or point, or "),
    ({**TABLE, "decimal": ";"}, "--decimal must be a point or a comma, got ';'"),
    ({**TABLE, "encoding": "klingon"}, "--encoding must be an encoding that Python knows, such as utf-8, cp1252 or "),
    ({**TABLE, "encoding": "hex"}, "--encoding must be an encoding that Python knows, such as utf-8, cp1252 or "),
    ({"val_file": Path("/v.csv")}, "--val-file '/v.csv' is for --data table:FILE; the data are digits"),
    ({"test_file": Path("/t.csv")}, "--test-file '/t.csv' is for --data table:FILE; the data are digits"),
    ({**TABLE, "test_file": Path("/nowhere.csv")}, "--test-file /nowhere.csv: there is no such file"),
    ({"group": "a"}, "--group 'a' is for --data table:FILE; the data are digits"),
    ({"time": "a"}, "--time 'a' is for --data table:FILE; the data are digits"),
    ({"weight": "a"}, "--weight 'a' is for --data table:FILE; the data are digits"),
    ({"class_weight": "even"}, "--class-weight must be 'balanced', got 'even'"),
    ({"folds": 1}, "--folds must be between 2 and 20, got 1; one fold is no cross-validation; leave --folds out"),
    ({"folds": 21}, "--folds must be between 2 and 20, got 21"),
    (
        {**TABLE, "val_file": Path(__file__), "folds": 5},
        "--folds 5 cuts train and validation anew, and --val-file says which rows validate; give one of them",
    ),
    ({"image_size": 16}, "--image-size 16 is for --data images:FOLDER; the data are digits"),
    ({"data": "images:/tmp", "image_size": 0}, "--image-size must be between 1 and 1024 pixels, got 0"),
    ({"data": "images:/tmp", "image_size": 2000}, "--image-size must be between 1 and 1024 pixels, got 2000"),
    ({"background": "black"}, "--background 'black' is for --data images:FOLDER; the data are digits"),
    (
        {"data": "images:/tmp", "background": "blakc"},
        "--background 'blakc' is no opaque colour such as white, #ff8800 or rgb(255, 136, 0)",
    ),
    ({"data": "images:/tmp", "background": "#ff000080"}, "--background '#ff000080' is no opaque colour such as white"),
    (
        {"scheduler": "hyperband"},
        "--scheduler must be 'asha', 'median', 'none', 'promote' or 'freeze_thaw', got 'hyperband'",
    ),
    ({"total_epochs": 0}, "--total-epochs must be >= 1, got 0"),
    ({"total_epochs": 9}, "--total-epochs 9 is for --scheduler promote or freeze_thaw, got asha"),
    ({"executor": "slurm"}, "--executor must be 'auto', 'tune' or 'lanes', got 'slurm'"),
    ({"time_budget": "soon"}, "--time-budget 'soon': expected a duration such as 90s, 10m or 1h30m"),
    (
        {"audit_fraction": 0.1, "scheduler": "none"},
        "--audit-fraction 0.1: --scheduler none prunes no trial that could be audited",
    ),
    (
        {"audit_fraction": 0.1, "scheduler": "promote"},
        "--audit-fraction 0.1: --scheduler promote prunes no trial that could be audited",
    ),
    ({"epochs_a_choice": 0, "scheduler": "freeze_thaw"}, "--epochs-a-choice must be >= 1, got 0"),
    ({"epochs_a_choice": 4}, "--epochs-a-choice 4 is for --scheduler freeze_thaw, got asha"),
    ({"paused_mb": -1.0}, "--paused-mb must be >= 0, got -1.0"),
    ({"audit_fraction": 1.5}, "--audit-fraction must be <= 1, got 1.5"),
    ({"time_budget": "0s"}, "--time-budget must be > 0, got 0.0"),
    ({"seed": -1}, "--seed must be >= 0, got -1"),
    ({"workers": 0}, "--workers must be >= 1, got 0"),
    ({"keep_checkpoints": -1}, "--keep-checkpoints must be >= 0, got -1"),
    ({"checkpoint_every": -1.0}, "--checkpoint-every must be >= 0, got -1.0"),
    ({"name": "my study"}, "--name 'my study': use letters, digits, '.', '_' and '-' only"),
    ({"name": "../elsewhere"}, "--name '../elsewhere': use letters, digits, '.', '_' and '-' only"),
    ({"name": "taken"}, "--name taken: a study of this name exists in "),
    ({"resume": True}, "--resume needs --name NAME: the study to continue, or to start where there is none"),
    ({"accept_changed_model": True}, "--accept-changed-model is for --resume: a new study has no other model yet"),
    ({"space": Path("absent.yaml")}, "--space absent.yaml: cannot be read "),
    ({"config": Path("absent.yaml")}, "--config absent.yaml: cannot be read (no such file or directory)"),
    ({"kind": None}, "name a STUDY, or a file with --config FILE; `python -m search list` shows the studies"),
    ({"backbone": "resnet18"}, "--backbone is for a study that transfers; regularization does not"),
    ({"weights": "imagenet"}, "--weights is for a study that transfers; regularization does not"),
    ({"source_data": "mnist"}, "--source-data is for a study that transfers; regularization does not"),
    ({"model": "net"}, "model 'net' must be package.module:function, such as models:small_net"),
    ({"model": "no_such_module:net"}, "model no_such_module:net: there is no module 'no_such_module' in "),
    (
        {"model": "tests.trainables.user_models:smal"},
        "model tests.trainables.user_models:smal: tests.trainables.user_models has no 'smal'. Did you mean 'small'?",
    ),
    ({"train": "loop"}, "train 'loop' must be package.module:function, such as train_mine:train"),
    (
        {"train": "tests.trainables.train_functions:trian"},
        "train tests.trainables.train_functions:trian: "
        "tests.trainables.train_functions has no 'trian'. Did you mean 'train'?",
    ),
    (
        {"train": "tests.trainables.train_functions:train", "model": "tests.trainables.user_models:small"},
        "--train and --model exclude each other",
    ),
    (
        {"train": "tests.trainables.train_functions:two_arguments"},
        "train tests.trainables.train_functions:two_arguments takes (trial, data); expected one argument, "
        "function(trial)",
    ),
    (
        {"train": "tests.trainables.train_functions:train", "objective": ["val_f1"]},
        "--objective 'val_f1': say which way it is better, val_f1:max or val_f1:min",
    ),
    (
        {"train": "tests.trainables.train_functions:train", "metric": ["val_macro_f1"]},
        "--metric 'val_macro_f1': a training function reports what it likes",
    ),
]


@pytest.fixture
def home(tmp_path):
    (tmp_path / "taken").mkdir()
    return tmp_path


@pytest.mark.parametrize(("options", "start"), BAD, ids=[start for _, start in BAD])
def test_a_bad_option_gets_its_one_line(home, options, start):
    (line,) = errors_of(home, **options)
    assert line.startswith(start)
    assert sorted(p.name for p in home.iterdir()) == ["taken"]  # nothing was started


def test_a_gpu_asked_where_there_are_too_few_says_what_to_do(home):
    advice = "on this machine; use 0 for CPU, or --address to join a cluster that has one"
    for gpus, found in ((0, "no GPU found"), (1, "1 found")):
        with pytest.raises(UsageError) as caught:
            options = Options(KIND, home=home, gpus_per_trial=2, executor="tune")
            preflight.resolve(options, StatedMachine(gpus=gpus))
        assert caught.value.errors == (f"--gpus-per-trial 2: {found} {advice}",)


def test_bf16_asked_where_the_machine_lacks_it_says_what_to_do(home):
    with pytest.raises(UsageError) as caught:
        preflight.resolve(Options(KIND, home=home, precision="bf16"), StatedMachine(bf16=False))
    assert caught.value.errors == (
        "--precision bf16 is not offered by the cpu of this machine; use fp32, or auto to take what fits",
    )


def test_as_many_cores_as_there_are_may_be_asked_for_and_no_more(home):
    options = Options(KIND, home=home, cpus_per_worker=2.0)
    assert preflight.resolve(options, StatedMachine(cores=2)).resources.cpus_per_worker == 2.0
    with pytest.raises(UsageError, match=r"--cpus-per-worker 2 is more than the 1 cores here"):
        preflight.resolve(options, StatedMachine(cores=1))


def test_every_mistake_is_in_one_error(home, tmp_path):
    (tmp_path / "file").touch()
    errors = errors_of(
        tmp_path / "file" / "home",
        set_=["dropuot=0.1", "dropout.low=0.7", "learning_rate.low=0", "schedule.choices=", "hidden"],
        trials=0,
        max_epochs=0,
        reduction_factor=1,
        gpus_per_trial=1.5,
        dataset="minst",
        objective=["val_loss:up"],
        time_budget="soon",
        name="my study",
    )
    expected = [
        "unknown parameter 'dropuot'",
        "dropout: low 0.7",
        "learning_rate: a log range",
        "schedule.choices: empty",
        "--set 'hidden'",
        "--objective val_loss:up",
        "--time-budget 'soon'",
        "--dataset 'minst'",
        "--trials must",
        "--max-epochs must",
        "--reduction-factor must",
        "--gpus-per-trial must",
        "--name 'my study'",
        "--home ",
    ]
    unsaid = [start for start in expected if not any(e.startswith(start) for e in errors)]
    assert unsaid == []
    assert len(errors) == len(expected)


def test_mistakes_that_only_a_valid_study_can_show_are_named_together(home):
    errors = errors_of(home, name="taken", gpus_per_trial=MANY, cpus_per_trial=MANY, executor="tune")
    assert {e.partition(" ")[0] for e in errors} == {"--name", "--gpus-per-trial", "--cpus-per-trial"}


def test_a_home_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    (line,) = errors_of(tmp_path / "file" / "home")
    assert line == f"--home {tmp_path / 'file' / 'home'}: {tmp_path / 'file'} is no folder"


@pytest.mark.parametrize("below", ["home", "deep/home", "."])
@pytest.mark.parametrize("mode", [0o500, 0o000])
def test_a_home_that_cannot_be_written_is_refused(tmp_path, unprivileged, below, mode):
    resolve(Options(KIND, home=tmp_path))  # whoever has no permissions cannot import the rest either
    closed = tmp_path / "closed"
    closed.mkdir(mode)
    try:
        with unprivileged():
            (line,) = errors_of(closed / below)
            named = errors_of(closed / below, name="mine", trials=0)
    finally:
        closed.chmod(0o700)
    assert re.fullmatch(rf"--home {closed / below} cannot be written: no permission in /.*", line)
    assert {e.partition(" ")[0] for e in named} == {"--trials", "--home"}


def test_nothing_given_is_the_study_as_declared(home):
    study, declared = resolve(Options(KIND, home=home)), find(KIND)
    assert study == declared.model_copy(update={"name": study.name})
    assert re.fullmatch(NAMED, study.name)


def test_names_drawn_at_one_moment_differ_and_avoid_what_is_there(home, monkeypatch):
    drawn = [fresh_name(KIND, home) for _ in range(20)]
    assert len(set(drawn)) == 20
    assert all(re.fullmatch(NAMED, name) and len(name) <= len(KIND) + 15 for name in drawn)
    letters = iter("aaaabbbb")
    monkeypatch.setattr(preflight.time, "strftime", lambda _: "1128-1405")
    monkeypatch.setattr(preflight.secrets, "choice", lambda _: next(letters))
    (home / f"{KIND}-1128-1405-aaaa").mkdir()
    assert fresh_name(KIND, home) == f"{KIND}-1128-1405-bbbb"


GIVEN = [
    ("name", "n-1", lambda s: s.name, "n-1"),
    (
        "model",
        "tests.trainables.user_models:small",
        lambda s: s.trainable,
        "model:tests.trainables.user_models:small",
    ),
    (
        "train",
        "tests.trainables.train_functions:train",
        lambda s: s.trainable,
        "train:tests.trainables.train_functions:train",
    ),
    ("trials", 5, lambda s: s.budget.trials, 5),
    ("max_epochs", 7, lambda s: s.budget.max_epochs, 7),
    ("time_budget", "1h30m", lambda s: s.budget.time_s, 5400),
    ("until_gain_below", 0.01, lambda s: s.budget.until_gain_below, 0.01),
    ("seed", 3, lambda s: s.seed, 3),
    ("no_ablate", True, lambda s: s.confirm.ablate, False),
    ("dataset", "mnist", lambda s: s.data.name, "mnist"),
    ("data", "mnist", lambda s: s.data.name, "mnist"),
    ("data", "images:/tmp", lambda s: (s.data.source, s.data.path, s.data.name), ("images", "/tmp", "tmp")),
    ("data_dir", Path("/data"), lambda s: s.data.data_dir, "/data"),
    ("download", True, lambda s: s.data.download, True),
    ("train_examples", 500, lambda s: s.data.train_examples, 500),
    ("keep_checkpoints", 0, lambda s: s.keep_checkpoints, 0),
    ("metric", ["val_macro_f1"], lambda s: s.metrics, ("val_macro_f1",)),
    ("objective", ["val_accuracy"], lambda s: (s.objective.metric, s.objective.mode), ("val_accuracy", "max")),
    ("objective", ["val_loss", "parameters"], lambda s: [o.metric for o in s.objectives], ["val_loss", "parameters"]),
    ("sampler", "random", lambda s: s.sampler, "random"),
    ("sampler", "nsga2", lambda s: s.sampler, "nsga2"),
    ("scheduler", "median", lambda s: s.scheduler.name, "median"),
    ("grace", 4, lambda s: s.scheduler.grace, 4),
    ("reduction_factor", 2, lambda s: s.scheduler.reduction_factor, 2),
    ("audit_fraction", 0.05, lambda s: s.scheduler.audit_fraction, 0.05),
    ("executor", "tune", lambda s: s.executor, "tune"),
    ("cpus_per_trial", 0.5, lambda s: s.resources.cpus_per_trial, 0.5),
    ("workers", 3, lambda s: s.resources.workers, 3),
    ("address", "auto", lambda s: s.resources.address, "auto"),
    (
        "tracking",
        "http://127.0.0.1:5000",
        lambda s: (s.tracking.uri, s.tracking.enabled),
        ("http://127.0.0.1:5000", True),
    ),
    ("tracking", "offline", lambda s: (s.tracking.uri, s.tracking.enabled), (None, False)),
    ("untracked_ok", True, lambda s: s.tracking.untracked_ok, True),
    ("cpus_per_worker", 2.0, lambda s: s.resources.cpus_per_worker, 2.0),
    ("ledger", "postgresql+psycopg://u@h/n", lambda s: s.ledger, "postgresql+psycopg://u@h/n"),
    ("lanes", "6", lambda s: s.lanes.lanes, 6),
    ("lane_mode", "looped", lambda s: s.lanes.mode, "looped"),
    ("precision", "bf16", lambda s: s.lanes.precision, "bf16"),
    ("max_failures", 1, lambda s: s.faults.max_failures, 1),
    ("abort_after_failures", 7, lambda s: s.faults.abort_after, 7),
    ("trial_timeout", 9.0, lambda s: s.faults.trial_timeout_s, 9.0),
    ("keep_checkpoints", 0, lambda s: s.keep_checkpoints, 0),
    ("checkpoint_every", 5.0, lambda s: s.checkpoint_every_s, 5.0),
    ("set_", ["dropout.high=0.3"], lambda s: s.space["dropout"].distribution.high, 0.3),
    ("set_", ["hidden=16-8"], lambda s: s.settings["hidden"], "16-8"),
]


@pytest.mark.parametrize(("option", "value", "read", "expected"), GIVEN, ids=[f"{o}={v}" for o, v, _, _ in GIVEN])
def test_an_option_changes_its_own_field(home, option, value, read, expected):
    assert read(resolve(Options(KIND, home=home))) != expected
    assert read(resolve(Options(KIND, **{"home": home, option: value}))) == expected


def test_a_cluster_is_asked_for_its_gpus_only_once_it_is_joined(home):
    study = resolve(Options(KIND, home=home, gpus_per_trial=MANY, address="auto"))
    assert study.resources.gpus_per_trial == MANY


def test_workers_on_a_cluster_may_ask_for_a_share_of_a_gpu(home):
    study = resolve(Options(KIND, home=home, gpus_per_worker=0.5, address="auto"))
    assert study.resources.gpus_per_worker == 0.5


def test_a_cluster_cannot_be_driven_through_ray_client(home):
    (line,) = errors_of(home, address="ray://head:10001")
    assert line.startswith("--address ray://head:10001: a search cannot drive a cluster through Ray Client; submit it")


def test_a_file_of_changes_is_read_and_set_has_the_last_word(home):
    file = home / "space.yaml"
    file.write_text("dropout: {low: 0.1, high: 0.5}\nlearning_rate: 0.01\nbatch_size: 32\n")
    study = resolve(Options(KIND, home=home, space=file, set_=["dropout.high=0.2", "batch_size=16"]))
    assert (study.space["dropout"].distribution.low, study.space["dropout"].distribution.high) == (0.1, 0.2)
    assert study.space.baseline["learning_rate"] == 0.01
    assert study.settings["batch_size"] == 16


def test_set_replaces_what_the_file_fixed(home):
    file = home / "space.yaml"
    file.write_text("dropout: 0.3\nweight_decay: {low: 0.001}\n")
    study = resolve(Options(KIND, home=home, space=file, set_=["dropout.high=0.2", "weight_decay=0"]))
    assert study.space["dropout"].distribution.high == 0.2
    assert study.space.baseline["weight_decay"] == 0.0


def test_a_file_that_is_no_yaml_says_where(home):
    file = home / "space.yaml"
    file.write_text("dropout: [1\n")
    (line,) = errors_of(home, space=file)
    assert line.startswith(f"--space {file} line 2: not valid YAML: ")


def test_a_data_sets_preset_is_used_and_set_has_the_last_word(home):
    preset = find(KIND).presets["mnist"]["hidden"]
    assert preset != find(KIND).settings["hidden"]
    assert resolve(Options(KIND, home=home, dataset="mnist")).settings["hidden"] == preset
    assert resolve(Options(KIND, home=home, dataset="mnist", set_=["hidden=8"])).settings["hidden"] == 8


def test_a_name_that_exists_may_be_resumed(home):
    (line,) = errors_of(home, name="taken")
    assert line.endswith("choose another, leave --name out, or continue it with --resume")
    assert resolve(Options(KIND, home=home, name="taken", resume=True)).name == "taken"


def test_a_preset_narrows_the_space_and_set_has_the_last_word(home):
    given = {"kind": "architectures", "home": home, "dataset": "mnist"}
    declared, narrow = (
        s.space["channels"].distribution.choices for s in (find("architectures"), resolve(Options(**given)))
    )
    assert set(narrow) < set(declared)
    wider = resolve(Options(**given, set_=["channels.choices=4,16-32"]))
    assert wider.space["channels"].distribution.choices == ("4", "16-32")
    assert resolve(Options(**given)).settings["batch_size"] == 128
    assert resolve(Options(**{**given, "dataset": None})).space == find("architectures").space


@pytest.mark.parametrize(
    ("assignment", "start"),
    [
        ("dropout.high=1.5", "dropout must satisfy 0 <= dropout < 1, got 1.5"),
        ("plateau_factor.high=2", "plateau_factor must satisfy 0 <= plateau_factor < 1, got 2.0"),
        ("hidden.choices=64-32,wide", "hidden must be widths such as 128-64, got 'wide'"),
        ("step_size=0", "step_size must be a whole number >= 1, got 0"),
    ],
)
def test_values_that_the_trainable_refuses_are_named_before_anything_starts(home, assignment, start):
    (line,) = errors_of(home, set_=[assignment])
    assert line == start


def test_values_that_no_trial_can_have_are_not_looked_at(home):
    study = resolve(Options(KIND, home=home, set_=["schedule.choices=none,step", "plateau_factor.high=2"]))
    assert study.space["plateau_factor"].distribution.high == 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("1h0m5s", 3605), (" 2M ", 120)],
)
def test_durations_are_read(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", " ", "10 minutes", "-5s", "m10", "5s10m", "nan", "1e3"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError, match="expected a duration such as 90s, 10m or 1h30m"):
        parse_duration(text)


def test_absent_data_names_the_path_and_the_flag(home):
    study = resolve(Options(KIND, home=home, dataset="mnist", data_dir=home / "data"))
    with pytest.raises(UsageError) as caught:
        load_data(study)
    (line,) = caught.value.errors
    assert str(home / "data" / "MNIST" / "raw") in line
    assert "--download fetches it" in line


def test_too_many_examples_are_a_usage_error(home):
    with pytest.raises(UsageError, match="train_examples must be between 10 and 1079 for digits, got 5000"):
        load_data(resolve(Options(KIND, home=home, train_examples=5000)))


def test_data_are_loaded_as_the_study_says(home):
    splits = load_data(resolve(Options(KIND, home=home, train_examples=100)))
    assert (splits.name, len(splits.train)) == ("digits", 100)


CONFIG = """\
kind: tabular
name: from-file
budget: {trials: 7, max_epochs: 9}
settings: {optimizer: sgd}
data: {name: iris}
tracking: {enabled: false}
ledger: sqlite:///elsewhere.db
seed: 4
"""


@pytest.fixture
def config(home):
    file = home / "study.yaml"
    file.write_text(CONFIG)
    return file


def test_a_file_declares_the_study_and_options_go_before_it(home, config):
    study = resolve(Options(home=home, config=config))
    assert (study.kind, study.name, study.data.name, study.seed) == ("tabular", "from-file", "iris", 4)
    assert (study.budget.trials, study.settings, study.tracking.enabled) == (7, {"optimizer": "sgd"}, False)
    assert study.ledger == "sqlite:///elsewhere.db"
    changed = resolve(
        Options(
            *("tabular", config),
            **{"home": home, "trials": 5, "name": "n", "set_": ["optimizer=adamw"], "tracking": "http://here"},
        )
    )
    assert (changed.budget.trials, changed.budget.max_epochs, changed.name) == (5, 9, "n")
    assert (changed.settings, changed.tracking.uri) == ({"optimizer": "adamw"}, "http://here")


def test_mistakes_of_file_and_options_are_named_together(home, config):
    config.write_text(CONFIG.replace("seed: 4", "seed: -4").replace("trials: 7", "trails: 7"))
    errors = errors_of(home, kind=None, config=config, trials=0, set_=["dropuot=1"])
    assert [e.removeprefix(str(config)).split(" ")[0] for e in errors] == [":3:", ":8:", "unknown", "--trials"]


def test_the_name_in_a_file_must_be_free(home, config):
    config.write_text("kind: tabular\nname: taken\n")
    (line,) = errors_of(home, kind=None, config=config)
    assert line.startswith("--name taken: a study of this name exists in ")


def test_a_preset_belongs_to_the_registered_settings_alone(home, config):
    preset = find(KIND).presets["mnist"]["hidden"]
    config.write_text(f"kind: {KIND}\ndata: {{name: mnist}}\n")
    assert resolve(Options(home=home, config=config)).settings["hidden"] == preset
    config.write_text(f"kind: {KIND}\ndata: {{name: mnist}}\nsettings: {{hidden: 8-8}}\n")
    assert resolve(Options(home=home, config=config)).settings == {"hidden": "8-8"}
    assert resolve(Options(home=home, config=config, dataset="mnist")).settings == {"hidden": preset}


def test_a_model_and_its_parameters_may_be_given_to_any_study(home):
    file = home / "space.yaml"
    file.write_text("width: {type: int, low: 4, high: 32, baseline: 8, when: {batch_norm: true}}\nchannels: {low: 1}\n")
    model = "tests.trainables.user_models:small"
    (line,) = errors_of(home, model=model, space=file)
    assert line.startswith("unknown parameter 'channels'")
    file.write_text(file.read_text().splitlines()[0])
    study = resolve(Options(KIND, home=home, model=model, space=file, set_=["width.high=16"]))
    assert study.space["width"].distribution.high == 16
    (line,) = errors_of(home, space=file)
    assert line.startswith("unknown setting 'width'; known: ")


def test_a_model_is_tried_out_when_the_data_are_there(home):
    study = resolve(Options(KIND, home=home, model="tests.trainables.user_models:small", train_examples=100))
    with pytest.raises(UsageError, match="raised KeyError: 'width' .*params holds hidden, activation"):
        load_data(study)


def test_every_option_is_tried_here():
    tried = {option for option, *_ in GIVEN} | {option for options, _ in BAD for option in options}
    assert {f.name for f in dataclasses.fields(Options)} - tried == {
        "home",
        "dry_run",
        "json_",
        "no_confirm",
        "from_",
        "quiet",
    }  # given elsewhere

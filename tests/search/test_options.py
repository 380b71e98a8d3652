import dataclasses
import re
from pathlib import Path

import pytest

from search.errors import UsageError
from search.options import Options, load_data, parse_duration, resolve
from search.studies import find

KIND = "regularization"
MANY = 10_000
"""More cores, or GPUs, than any machine that runs these tests has."""


def errors_of(home, **options):
    with pytest.raises(UsageError) as caught:
        resolve(Options(**{"kind": KIND, "home": home, **options}))
    assert caught.value.exit_code == 2
    assert all("\n" not in line for line in caught.value.errors)
    return caught.value.errors


BAD = [
    ({"kind": "regularisation"}, "unknown study 'regularisation'. Did you mean 'regularization'?"),
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
    ({"gpus_per_trial": -0.25}, "--gpus-per-trial must be >= 0, got -0.25"),
    ({"gpus_per_trial": 1.5}, "--gpus-per-trial must be a fraction up to 1 or a whole number of GPUs, got 1.5"),
    ({"gpus_per_trial": MANY, "executor": "tune"}, f"--gpus-per-trial {MANY}: "),
    ({"gpus_per_worker": MANY}, f"--gpus-per-worker {MANY}: "),
    ({"cpus_per_worker": MANY}, f"--cpus-per-worker {MANY} is more than the "),
    ({"cpus_per_trial": MANY, "executor": "tune"}, f"--cpus-per-trial {MANY} is more than the "),
    ({"dataset": "minst"}, "--dataset 'minst' is unknown. Did you mean 'mnist'? Known: digits, mnist, fashion_mnist"),
    ({"objective": "val_los"}, "--objective 'val_los' is not reported. Did you mean 'val_loss'?"),
    ({"objective": "val_loss:up"}, "--objective val_loss:up: the part after the colon must be min or max, got 'up'"),
    ({"sampler": "grid"}, "--sampler must be 'tpe', 'random', 'gp', 'cmaes' or 'qmc', got 'grid'"),
    ({"scheduler": "hyperband"}, "--scheduler must be 'asha', 'median' or 'none', got 'hyperband'"),
    ({"executor": "slurm"}, "--executor must be 'auto', 'tune' or 'lanes', got 'slurm'"),
    ({"time_budget": "soon"}, "--time-budget 'soon': expected a duration such as 90s, 10m or 1h30m"),
    ({"time_budget": "0s"}, "--time-budget must be > 0, got 0.0"),
    ({"seed": -1}, "--seed must be >= 0, got -1"),
    ({"workers": 0}, "--workers must be >= 1, got 0"),
    ({"keep_checkpoints": -1}, "--keep-checkpoints must be >= 0, got -1"),
    ({"checkpoint_every": -1.0}, "--checkpoint-every must be >= 0, got -1.0"),
    ({"name": "my study"}, "--name 'my study': use letters, digits, '.', '_' and '-' only"),
    ({"name": "../elsewhere"}, "--name '../elsewhere': use letters, digits, '.', '_' and '-' only"),
    ({"name": "taken"}, "--name taken: a study of this name exists in "),
    ({"space": Path("absent.yaml")}, "--space absent.yaml: cannot be read "),
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
    (line,) = errors_of(home, gpus_per_trial=MANY, executor="tune")
    assert re.search(r"(no GPU|\d+) found on this machine; use 0 for CPU, or --address to join a cluster", line)


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
        objective="val_loss:up",
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
    assert re.fullmatch(r"regularization-\d{8}-\d{6}", study.name)


def test_a_fresh_name_avoids_what_is_there(home):
    first = resolve(Options(KIND, home=home)).name
    # The name is the time to the second: take that of this second and of the next few.
    import time

    now = time.time()
    for second in range(-1, 60):
        (home / f"regularization-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now + second))}").mkdir(exist_ok=True)
    again = resolve(Options(KIND, home=home)).name
    assert again != first
    assert re.fullmatch(r"regularization-\d{8}-\d{6}-[0-9a-f]{6}", again)


GIVEN = [
    ("name", "n-1", lambda s: s.name, "n-1"),
    ("trials", 5, lambda s: s.budget.trials, 5),
    ("max_epochs", 7, lambda s: s.budget.max_epochs, 7),
    ("time_budget", "1h30m", lambda s: s.budget.time_s, 5400),
    ("seed", 3, lambda s: s.seed, 3),
    ("dataset", "mnist", lambda s: s.data.name, "mnist"),
    ("data_dir", Path("/data"), lambda s: s.data.data_dir, "/data"),
    ("download", True, lambda s: s.data.download, True),
    ("train_examples", 500, lambda s: s.data.train_examples, 500),
    ("objective", "val_accuracy", lambda s: (s.objective.metric, s.objective.mode), ("val_accuracy", "max")),
    ("sampler", "random", lambda s: s.sampler, "random"),
    ("scheduler", "median", lambda s: s.scheduler.name, "median"),
    ("grace", 4, lambda s: s.scheduler.grace, 4),
    ("reduction_factor", 2, lambda s: s.scheduler.reduction_factor, 2),
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


def test_every_option_is_tried_here():
    tried = {option for option, *_ in GIVEN} | {option for options, _ in BAD for option in options}
    assert {f.name for f in dataclasses.fields(Options)} - tried == {"home"}  # given everywhere

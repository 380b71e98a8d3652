import os

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from search.declaration import read_study, study_yaml
from search.declaration.studies import find, registered
from search.declaration.study import Objective, Study
from search.declaration.text_file import MOST_BYTES
from search.errors import UsageError
from tests.fuzz.nested import changed

OWN = """\
kind: mine
question: Which width?
data: {name: wine}
space:
  hidden: {type: category, choices: ["8", "16"], baseline: "8"}
  schedule: {type: category, choices: [none, step], baseline: none}
  step_size: {type: int, low: 2, high: 4, baseline: 2, when: {schedule: step}}
settings: {batch_size: 16}
objective: {metric: val_accuracy}
budget: {trials: 4, max_epochs: 5}
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "study.yaml"


def read(file, text, **options):
    file.write_text(text)
    return read_study(file, **options)


def errors_of(file, text, **options):
    """Return what is wrong with a text, without the file's name."""
    try:
        _, errors = read(file, text, **options)
    except UsageError as error:
        errors = error.errors
    assert errors
    assert all(line.startswith((f"{file}", "--config ")) and "\n" not in line for line in errors)
    return [line.removeprefix(str(file)) for line in errors]


def test_a_study_of_ones_own_is_read_whole(file):
    declared, errors = read(file, OWN)
    study = declared.study
    assert errors == []
    assert (study.kind, study.question, study.data.name) == ("mine", "Which width?", "wine")
    assert study.space.names == ("hidden", "schedule", "step_size")
    assert str(study.space["step_size"].when) == "schedule = step"
    assert study.space.baseline == {"hidden": "8", "schedule": "none"}
    assert study.settings == {"batch_size": 16}
    assert (study.objective.metric, study.objective.mode) == ("val_accuracy", "max")
    assert (study.budget.trials, study.budget.max_epochs) == (4, 5)
    assert study.seed == Study.model_fields["seed"].default


def test_a_registered_study_is_changed_field_by_field(file):
    text = "kind: regularization\nbudget: {trials: 5}\nscheduler: {grace: 2}\ntracking: {enabled: false}\nseed: 7\n"
    study = read(file, text)[0].study
    base = find("regularization")
    changes = {
        "budget": {**base.budget.model_dump(), "trials": 5},
        "scheduler": {**base.scheduler.model_dump(), "grace": 2},
        "tracking": {"enabled": False},
        "seed": 7,
    }
    assert study == Study.model_validate({**base.model_dump(), **changes})


def test_space_settings_and_objective_are_taken_whole(file):
    text = """
    kind: regression
    space: {dropout: {type: float, low: 0, high: 0.5, baseline: 0}}
    settings: {batch_size: 16}
    objective: {metric: val_r2}
    """
    study = read(file, text)[0].study
    assert study.space.names == ("dropout",)
    assert study.settings == {"batch_size": 16}
    assert study.objective == Objective(metric="val_r2", mode="max")


def test_set_changes_single_parameters_and_settings(file):
    text = """
    kind: regularization
    set:
      dropout: {high: 0.3}
      schedule: cosine
      l1: {choices: [off]}
      batch_norm: on
      batch_size: {choices: [32, 64]}
      hidden: 16-8
    """
    study = read(file, text)[0].study
    assert study.space["dropout"].distribution.high == 0.3
    assert study.space.baseline["schedule"] == "cosine"
    assert study.space["l1"].distribution.choices == ("off",)
    assert study.space.baseline["batch_norm"] is True
    assert study.space["batch_size"].distribution.choices == (32, 64)
    assert study.settings["hidden"] == "16-8"
    assert set(find("regularization").space.names) < set(study.space.names)


def test_the_kind_may_be_named_beside_the_file(file):
    assert read(file, "budget: {trials: 5}", kind="tabular")[0].study.kind == "tabular"
    assert read(file, "kind: tabular", kind="tabular")[0].study == find("tabular")
    (line,) = errors_of(file, "seed: 3\nkind: tabular", kind="regression")
    assert line == ":2: kind 'tabular' is not the STUDY 'regression' that was named; leave one out"


def test_a_users_model_is_named_in_short_or_in_full(file):
    short = read(file, OWN + "model: mine.models:net")[0].study
    full = read(file, OWN + "trainable: model:mine.models:net")[0].study
    given = read(file, OWN + "model: other:net", model="mine.models:net")[0].study
    assert short == full == given
    assert short.trainable == "model:mine.models:net"
    assert errors_of(file, OWN + "model: net") == [
        ":11: model 'net' must be package.module:function, such as models:small_net"
    ]
    assert errors_of(file, OWN + "model: 3") == [":11: model must be package.module:function, got 3"]
    assert errors_of(file, OWN + "model: a:b\ntrainable: mlp") == [":11: model and trainable exclude each other"]


BAD = [
    ("kind: regularization\nbudget:\n  trials: 0\n", ":3: budget.trials must be >= 1, got 0"),
    ("kind: regularization\nbudget: {trails: 3}", ":2: budget.trails is unknown. Did you mean 'trials'? Known: trials"),
    ("kind: regularization\nbuget: {}", ":2: buget is unknown. Did you mean 'budget'? Known: kind, name"),
    ("kind: regularization\ndata: {nmae: wine}", ":2: data.nmae is unknown. Did you mean 'name'? Known: name, "),
    ("kind: regularization\ndata: {name: wien}", ":2: data.name 'wien' is unknown. Did you mean 'wine'? Known: digits"),
    ("kind: regularization\nbudget: {trials: '5'}", ":2: budget.trials must be a whole number, got '5'"),
    ("kind: regularization\nbudget: {trials: true}", ":2: budget.trials must be a whole number, got true"),
    ("kind: regularization\nbudget: {trials: 2.5}", ":2: budget.trials must be a whole number, got"),
    ("kind: regularization\nbudget: 5", ":2: budget must be a mapping, got 5"),
    ("kind: regularization\nbudget:", ":2: budget must be a mapping, got nothing"),
    ("kind: regularization\nbudget: {time_s: 10m}", ":2: budget.time_s must be a number, got '10m'"),
    (
        "kind: regularization\nsampler: tpee",
        ":2: sampler must be 'tpe', 'random', 'gp', 'cmaes', 'qmc', 'nsga2' or 'optuna_tpe', got 'tpee'",
    ),
    (
        "kind: regularization\nlanes:\n  mode: stacked\n  lanes: many",
        ":4: lanes.lanes must be a whole number or 'auto'",
    ),
    ("kind: regularization\nmetrics: val_macro_f1", ":2: metrics must be a list, got 'val_macro_f1'"),
    ("kind: regularization\nmetrics: [val_f2]", ":2: metrics 'val_f2' is unknown."),
    ("kind: regularization\nmetrics:\n- 3", ":3: metrics.0 must be a word, got 3"),
    ("kind: regularization\nobjective: {metric: val_los}", ":2: objective.metric 'val_los' is not reported. Did you"),
    ("kind: regularization\nobjective: {metric: [a]}", ":2: objective.metric must be a word, got ['a']"),
    ("kind: regularization\nobjective: {mode: up}", ":2: objective.mode must be 'min' or 'max', got 'up'"),
    ("kind: regularization\nseed: -1", ":2: seed must be >= 0, got -1"),
    ("kind: regularization\nname: my study", ":2: name 'my study': use letters, digits, '.', '_' and '-' only"),
    (
        "kind: ../up\nspace: {x: {type: float, low: 0, high: 1, baseline: 0}}\ntrainable: tests.search.loose:Loose",
        ":1: kind '../up': use",
    ),
    ("kind: regularization\ntrainable: mpl", ":2: unknown trainable 'mpl'; known: mlp"),
    (
        "kind: regularization\nscheduler:\n  grace: 31",
        ":3: scheduler.grace 31 is above budget.max_epochs 30; a trial must be able to reach its first rung",
    ),
    (
        "kind: regularization\nbudget: {max_epochs: 2}\nscheduler: {grace: 3}",
        ":3: scheduler.grace 3 is above budget.max_epochs 2; a trial",
    ),
    ("kind: regularization\nsettings:\n  batch_size: 64\n  hiden: 3", ":4: unknown setting 'hiden'; known: activation"),
    ("kind: regularization\nsettings:\n  batch_size: 0", ":3: batch_size must be a whole number >= 1, got 0"),
    (
        "kind: regularization\nsettings:\n  batch_size:\n  - 1",
        ":3: settings.batch_size must be a number or a whole number or a word or true or false, got [1]",
    ),
    ("kind: regularization\nsettings: {max_epochs: 3}", ":2: unknown setting 'max_epochs'; known: activation"),
    ("kind: regularization\nspace: {}\n", ":2: space must have at least one parameter"),
    ("kind: regularization\nspace: 3\n", ":2: space must be a mapping of parameters, got 3"),
    (
        "kind: regularization\nspace:\n  dropout: {high: 0.3}\n",
        ":3: space.dropout.type is missing: float, int, category; what",
    ),
    (
        "kind: regularization\nspace:\n  dropout:\n    type: float\n    low: 2\n    high: 1\n    baseline: 0\n",
        ":5: space.dropout.low must be at most high, got 2 and 1",
    ),
    (
        "kind: regularization\nspace:\n  a: {type: float, low: 0, high: 1, baseline: 0, when: {b: 1}}\n",
        ":3: space: 'a' depends on 'b', which must be declared before it",
    ),
    (
        "kind: regularization\nspace:\n\n  dropout: {type: float, low: 0, high: 2, baseline: 0}\n",
        ":4: dropout must satisfy 0 <= dropout < 1, got 2.0",
    ),
    ("kind: regularization\nset:\n  dropuot: 0.1", ":3: unknown parameter 'dropuot'. Did you mean 'dropout'?"),
    ("kind: regularization\nset:\n  dropout:\n    low: 0.7", ":3: dropout: low 0.7 must be below high 0.6"),
    ("kind: regularization\nset:\n  dropout:\n    low: x", ":4: dropout.low='x': expected a number"),
    ("kind: regularization\nset: [dropout]", ":2: set must be a mapping of parameters to changes, got ['dropout']"),
    ("seed: 3", ": kind is missing"),
    (
        "kind: regularisation",
        ":1: kind 'regularisation' is no registered study, so space must be declared. Did you mean 'regularization'?",
    ),
    ("kind: [a]", ":1: kind must be a word, got ['a']"),
    ("kind: regularization\nkind: tabular", ":2: kind is given twice; first in line 1"),
    ("kind: regularization\nseed: !!python/name:os.system x", ":2: the tag '!!python/name:os.system' is not allowed"),
    ("kind: regularization\nbudget: {trials: 5", ":2: not valid YAML: expected ',' or '}', but got '<stream end>'"),
    ("- kind: regularization", ":1: expected the fields of a study, such as kind: regularization, got a list"),
    ("regularization", ":1: expected the fields of a study, such as kind: regularization, got a value"),
]


@pytest.mark.parametrize(("text", "start"), BAD, ids=[start for _, start in BAD])
def test_a_mistake_gets_its_one_line_with_file_and_line(file, text, start):
    (line,) = errors_of(file, text)
    assert line.startswith(start)


def test_every_mistake_is_named_at_once_in_the_order_of_the_lines(file):
    text = """\
kind: regularization
budget: {trials: 0, trails: 3, max_epochs: 2}
scheduler: {grace: 5}
sampler: tpee
data: {name: minst, seed: true}
objective: {metric: val_los}
settings: {hiden: 64, batch_size: 0, x: [1]}
faults:
space:
  dropout: {type: float, low: 0.7, high: 0.1, baseline: 0}
set:
  dropuot: 0.1
resources: {gpus_per_trial: 1.5, workers: "2"}
nmae: x
"""
    found = [(int(line.split(":")[1]), line.split(": ", 1)[1].split(" ")[0]) for line in errors_of(file, text)]
    assert [number for number, _ in found] == sorted(number for number, _ in found)
    assert sorted(found) == sorted(
        [
            *((2, "budget.trials"), (2, "budget.trails"), (3, "scheduler.grace"), (4, "sampler"), (5, "data.seed")),
            *((5, "data.name"), (6, "objective.metric"), (7, "settings.x"), (7, "unknown"), (7, "batch_size")),
            *((8, "faults"), (10, "space.dropout.low"), (12, "unknown")),
            *((13, "resources.gpus_per_trial"), (13, "resources.workers"), (14, "nmae")),
        ]
    )


def test_what_a_left_out_mistake_would_lead_to_is_not_said(file):
    text = "kind: regularization\nbudget: {max_epochs: 2}\nscheduler: {grace: x}"
    assert errors_of(file, text) == [":3: scheduler.grace must be a whole number, got 'x'"]


def test_a_wrong_file_still_gives_a_study_to_check_the_options_against(file):
    declared, errors = read(file, "kind: regularization\nseed: -1\nbudget: {trials: 7}\nsettings: {batch_size: 0}")
    assert len(errors) == 2
    assert (declared.study.kind, declared.study.budget.trials, declared.study.seed) == ("regularization", 7, 0)
    assert read(file, "seed: -1")[0].study is None


def test_a_file_that_cannot_be_read_is_one_line(file, tmp_path):
    def said(path):
        with pytest.raises(UsageError) as caught:
            read_study(path)
        (line,) = caught.value.errors
        return line

    assert said(file) == f"--config {file}: cannot be read (no such file or directory)"
    assert said(tmp_path) == f"--config {tmp_path}: cannot be read (is a directory)"
    file.write_bytes(b"kind: x\nname: \xff\n")
    assert said(file) == f"{file}:2: not UTF-8 (byte 0xff)"
    file.write_bytes(b"")
    assert said(file) == f"--config {file} is empty: a study has at least a kind"
    file.write_bytes(b"# nothing but a comment\n")
    assert said(file) == f"--config {file} is empty: a study has at least a kind"
    file.write_bytes(b"#" * (MOST_BYTES + 1))
    assert said(file) == f"--config {file}: has more than 256 KiB; a study is a few"
    assert said(tmp_path / "a\0b").startswith(rf"--config {tmp_path}/a\x00b: cannot be read (")
    if os.path.exists("/dev/zero"):
        from pathlib import Path

        assert said(Path("/dev/zero")) == (
            "--config /dev/zero: is no regular file (a pipe, a socket or a device); save it in one first"
        )


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(file):
    file.write_bytes(b"\xef\xbb\xbf" + OWN.replace("\n", "\r\n").encode())
    declared, errors = read_study(file)
    assert errors == []
    assert declared.study.kind == "mine"


def test_anchors_may_be_used(file):
    text = """
    kind: mine
    space:
      a: &half {type: float, low: 0, high: 0.5, baseline: 0}
      b: *half
      c: {<<: *half, high: 1.0}
    trainable: tests.search.loose:Loose
    """
    space = read(file, text)[0].study.space
    assert [p.distribution.high for p in space] == [0.5, 0.5, 1.0]


WHOLE = {kind: yaml.safe_load(study_yaml(study)) for kind, study in registered().items()}
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.just(2**70)
    | st.floats(allow_nan=False, allow_infinity=False, width=16)
    | st.sampled_from(["", "none", "val_loss", "x:y", "model:a:b", "float", "category", "../x", "dropout"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "low", "a"]), inner, max_size=2)
    ),
    max_leaves=3,
)


def damaged():
    """Return a registered study as data, with some places replaced, removed or renamed."""
    names = st.sampled_from(["trails", "low", "when", "set", "model"])
    return changed(st.sampled_from(list(WHOLE.values())), odd=ODD, names=names)


@given(damaged())
def test_damaged_data_never_raise_anything_else(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "damaged.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    try:
        declared, errors = read_study(file)
    except UsageError as error:
        assert error.errors
        return
    assert errors or declared.study is not None


TEXT = study_yaml(find("regularization"))


@given(
    st.lists(
        st.tuples(st.integers(0, len(TEXT)), st.integers(0, 3), st.text(":-[]{}&*'\"# \n\tax0.", max_size=4)),
        min_size=1,
        max_size=4,
    )
)
def test_damaged_text_never_raises_anything_else(tmp_path_factory, cuts):
    file, text = tmp_path_factory.getbasetemp() / "damaged.yaml", TEXT
    for at, length, new in cuts:
        text = text[:at] + new + text[at + length :]
    file.write_text(text)
    try:
        declared, errors = read_study(file)
    except UsageError as error:
        assert error.errors
        return
    assert errors or declared.study is not None

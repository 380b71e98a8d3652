import copy
import random
import sys
import textwrap

import pytest
import torch

from tests.trainables.conftest import CPU
from trainables import checkpoint
from trainables.config import MODEL_FIELDS, SCHEDULES, MlpConfig
from trainables.data import DataSpec, load_splits
from trainables.errors import ConfigError
from trainables.lanes import LaneWorker
from trainables.models import Mlp
from trainables.protocols import CanTryOut, ChecksFit
from trainables.registry import find_trainable
from trainables.user_model import TRAINING_PARAMETERS, ModelTrainable

SPLITS = load_splits(DataSpec("digits", train_examples=193))
NUMBERS = load_splits(DataSpec("diabetes"))
MODULE = "tests.trainables.user_models"
SMALL = {"width": 12, "drop": 0.3, "learning_rate": 0.01, "batch_size": 32}


def model(function):
    return find_trainable(f"model:{MODULE}:{function}")


def start(function, params, *, seed=1, max_epochs=4, splits=SPLITS):
    trainable = model(function)
    config = trainable.configure(params, max_epochs=max_epochs)
    return trainable.start(config, trainable.prepare(splits, CPU), seed=seed, device=CPU)


def curve(run, epochs=4):
    return [dict(run.step().metrics) for _ in range(epochs)]


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Return what writes a module into the current directory and tries its function ``net`` on the digits."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write(text, *, name="mine", path="mine:net", params=None, splits=SPLITS, corner=None):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        trainable = ModelTrainable(path)
        points = [params or {}, *([corner] if corner else [])]
        return list(trainable.try_out([trainable.configure(p, max_epochs=2) for p in points], splits).errors)

    yield write
    for module in set(sys.modules) - before:
        if module.split(".")[0] in ("mine", "mine_too"):
            del sys.modules[module]


def test_a_users_model_is_a_trainable_that_loops_and_is_tried_out():
    trainable = model("small")
    assert (trainable.stacks, trainable.loops) == (False, True)
    assert isinstance(trainable, ChecksFit)
    assert isinstance(trainable, CanTryOut)


@pytest.mark.parametrize(
    ("function", "params", "splits"),
    [
        ("small", SMALL, SPLITS),
        ("small", {**SMALL, "l1": "on", "l1_penalty": 1e-4, "schedule": "cosine", "optimizer": "sgd"}, SPLITS),
        ("convolutions", {"channels": 4, "learning_rate": 0.01}, SPLITS),
        ("Noisy", {"learning_rate": 0.01}, SPLITS),
        ("small", {**SMALL, "loss": "huber"}, NUMBERS),
    ],
)
def test_a_users_model_trains_and_ends_itself(function, params, splits):
    trainable = model(function)
    found = trainable.try_out([trainable.configure(params, max_epochs=4)], splits)
    assert (found.errors, found.notices, found.unread) == ((), (), ())
    run = start(function, params, splits=splits)
    reports = [run.step() for _ in range(4)]
    assert [r.stop for r in reports] == [None, None, None, "max_epochs"]
    assert reports[-1].metrics["train_loss"] < reports[0].metrics["train_loss"]
    assert run.epoch == 4


def test_the_training_parameters_drive_the_loop_and_all_are_handed_on():
    config = model("small").configure({**SMALL, "schedule": "step", "step_size": 2, "l1": "off"}, max_epochs=7)
    assert config.training == MlpConfig(7, learning_rate=0.01, batch_size=32, schedule="step", step_size=2)
    assert config.params == {**SMALL, "schedule": "step", "step_size": 2, "l1": "off"}
    rates = [metrics["lr"] for metrics in curve(start("small", {**SMALL, "schedule": "step", "step_size": 2}))]
    assert rates == [0.01, 0.01, 0.005, 0.005]


def test_a_users_function_cannot_change_its_params(written):
    (line,) = written(
        """
        def net(params, input_shape, outputs):
            params["width"] = 3
        """
    )
    assert line.startswith("model mine:net raised TypeError: 'mappingproxy' object does not support item assignment")


def test_the_training_parameters_are_those_of_the_loop():
    assert {"learning_rate", "weight_decay", "schedule", "loss", "l1", "l1_penalty", "patience"} <= TRAINING_PARAMETERS
    assert not TRAINING_PARAMETERS & {*MODEL_FIELDS, "max_epochs", "width"}


@pytest.mark.parametrize(
    ("params", "line"),
    [
        ({"learning_rate": -1}, "learning_rate must satisfy 0 <= learning_rate, got -1"),
        (
            {"schedule": "cosin"},
            f"schedule must be one of {', '.join(SCHEDULES)}, got 'cosin'",
        ),
        ({"max_epochs": 3}, "max_epochs is part of the budget; it can be no parameter or setting of a model"),
    ],
)
def test_a_wrong_training_parameter_is_refused(params, line):
    with pytest.raises(ConfigError) as caught:
        model("small").configure(params, max_epochs=2)
    assert caught.value.errors == (line,)


def test_a_users_model_with_a_loss_of_the_other_task_is_refused():
    trainable = model("small")
    config = trainable.configure({"loss": "mse"}, max_epochs=2)
    assert trainable.misfits(config, SPLITS) == [
        "loss must be one of auto, cross_entropy for classification, got 'mse'"
    ]
    assert trainable.misfits(config, NUMBERS) == []


def test_weights_are_those_of_the_seed_and_of_torchs_own_drawing():
    first, again, other = (start("small", SMALL, seed=seed).state_dict()["model"] for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(("function", "params"), [("small", SMALL), ("Noisy", {"learning_rate": 0.01})])
def test_the_curve_of_a_users_model_depends_on_its_seed_alone(function, params):
    torch.manual_seed(5)
    expected = curve(start(function, params))
    torch.manual_seed(6)
    run = start(function, params)
    found = []
    for _ in range(4):
        torch.randn(7)  # a neighbour draws from the global generator
        found += curve(run, 1)
    assert found == expected
    assert curve(start(function, params, seed=2)) != expected


def test_torchs_global_generator_stays_where_it_was():
    torch.manual_seed(5)
    expected = torch.randn(3)
    torch.manual_seed(5)
    curve(start("small", SMALL), 1)
    model("small").try_out([model("small").configure(SMALL, max_epochs=1)], SPLITS)
    assert torch.equal(torch.randn(3), expected)


@pytest.mark.parametrize(("function", "params"), [("small", SMALL), ("Noisy", {}), ("convolutions", {"channels": 3})])
def test_a_users_model_resumes_bit_for_bit(tmp_path, function, params):
    whole = start(function, params)
    expected = curve(whole)
    half = start(function, params)
    curve(half, 2)
    checkpoint.save(half.state_dict(), tmp_path / "trial.pt")
    torch.manual_seed(99)
    resumed = start(function, params, seed=7)  # another seed: all that counts is in the state
    resumed.load_state_dict(checkpoint.load(tmp_path / "trial.pt"))
    assert curve(resumed, 2) == expected[2:]
    final, again = whole.state_dict()["model"], resumed.state_dict()["model"]
    assert all(torch.equal(final[name], again[name]) for name in final)


def test_looped_lanes_train_what_a_trial_alone_does():
    trainable = model("small")
    data = trainable.prepare(SPLITS, CPU)
    worker = LaneWorker(data, device=CPU, lanes=3, mode="looped", start=trainable.start)
    config = trainable.configure(SMALL, max_epochs=4)
    seats = {seed: worker.seat(seed, config, seed=seed) for seed in (1, 2, 3)}
    rounds = [worker.advance() for _ in range(2)]
    saved = copy.deepcopy(seats[2].state())
    seats[2].retire()
    guest = worker.seat(4, config, seed=4)
    worker.advance()
    guest.retire()
    worker.seat(2, config, seed=2, state=saved)
    events = worker.advance()
    alone = curve(start("small", SMALL, seed=2))
    found = [dict(events[2].report.metrics) for events in rounds] + [dict(events[2].report.metrics)]
    assert found == alone[:3]


def test_the_plain_loop_trains_any_users_model():
    from trainables.device_data import DeviceData
    from trainables.loop import TrainingRun

    data, config = DeviceData.of(SPLITS, CPU), MlpConfig(3)
    given = TrainingRun(config, data, seed=1, device=CPU, model=Mlp(config, 64, 10, seed=1, device=CPU))
    assert curve(given, 3) == curve(TrainingRun(config, data, seed=1, device=CPU), 3)


@pytest.mark.parametrize("path", ["", "net", "mine:", ":net", "mine/net.py:net", "mine:net()", "a b:c", "mine:net:x"])
def test_a_model_that_is_not_named_module_colon_function_is_refused(path):
    with pytest.raises(ConfigError, match=r"must be package\.module:function, such as models:small_net"):
        ModelTrainable(path)


NET = "from torch import nn\n\n\ndef net(params, input_shape, outputs):\n    "

BAD = [
    ({"text": NET + "return 5"}, "model mine:net returned a int, expected a torch.nn.Module"),
    ({"text": NET + "pass"}, "model mine:net returned a NoneType, expected a torch.nn.Module"),
    ({"text": NET + "return nn.Linear"}, "model mine:net returned a type, expected a torch.nn.Module"),
    (
        {"text": NET + "raise ValueError('no such width\\nat all')"},
        "model mine:net raised ValueError: no such width (mine.py, line 5)",
    ),
    (
        {"text": NET + "params['width']", "params": {"depth": 2, "batch_size": 8}},
        "model mine:net raised KeyError: 'width' (mine.py, line 5); params holds depth, batch_size",
    ),
    ({"text": NET + "raise SystemExit(3)"}, "model mine:net raised SystemExit: 3 (mine.py, line 5)"),
    ({"text": NET + "assert False"}, "model mine:net raised AssertionError: no message (mine.py, line 5)"),
    (
        {"text": "def net(params):\n    pass"},
        "model mine:net raised TypeError: net() takes 1 positional argument but 3 were given; "
        "expected function(params, input_shape, outputs) -> torch.nn.Module",
    ),
    (
        {"text": NET + "return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))"},
        "model mine:net: its module, given 2 examples [2, 1, 8, 8], returned [2, 7], expected [2, 10]: [B, outputs]",
    ),
    (
        {"text": NET + "return nn.Linear(8, outputs)"},
        "model mine:net: its module, given 2 examples [2, 1, 8, 8], returned [2, 1, 8, 10], "
        "expected [2, 10]: [B, outputs]",
    ),
    (
        {"text": NET + "return nn.Sequential(nn.Linear(10, outputs), nn.Flatten(0))", "splits": NUMBERS},
        "model mine:net: its module, given 2 examples [2, 10], returned [2], expected [2, 1]: [B, outputs]",
    ),
    (
        {"text": NET + "return nn.Linear(5, outputs)"},
        "model mine:net: its module, given examples [2, 1, 8, 8], raised RuntimeError: "
        "mat1 and mat2 shapes cannot be multiplied (16x8 and 5x10)",
    ),
    (
        {"text": "from torch import nn\nN = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\ndef net(*_): return N"},
        "model mine:net returned the same parameters twice; each call must build a new module",
    ),
    (
        {
            "text": NET + "return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs).requires_grad_(False))",
        },
        "model mine:net returned a module without trainable parameters: there is nothing to train",
    ),
    (
        {
            "text": NET
            + "return nn.Sequential(nn.ConvTranspose2d(1, outputs, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())",
            "corner": {"l1": "on", "l1_penalty": 0.1},
        },
        "model mine:net: l1_penalty has nothing to penalise: its module has no linear layer and no convolution",
    ),
    ({"text": "net = 5"}, "model mine:net is a int, expected function(params, input_shape, outputs)"),
    ({"text": "def nett(): pass"}, "model mine:net: mine has no 'net'. Did you mean 'nett'?"),
    ({"text": "", "path": "mine:Net.make"}, "model mine:Net.make: mine has no 'Net.make'."),
    (
        {"text": "x = 1\ny = xx"},
        "model mine:net cannot be imported: NameError: name 'xx' is not defined (mine.py, line 2)",
    ),
    ({"text": "x = 1\ndef net(:"}, "model mine:net cannot be imported: SyntaxError: invalid syntax (mine.py, line 2)"),
    (
        {"text": "import no_such_thing"},
        "model mine:net cannot be imported: ModuleNotFoundError: No module named 'no_such_thing' (mine.py, line 1)",
    ),
    ({"text": "raise SystemExit"}, "model mine:net cannot be imported: SystemExit: no message (mine.py, line 1)"),
    ({"text": "from torch import nn", "path": "mine:nm"}, "model mine:nm: mine has no 'nm'."),
    ({"text": "", "path": "mine.py:net"}, "model mine.py:net: there is no module 'mine.py' in "),
    ({"text": "", "path": "mime:net"}, "model mime:net: there is no module 'mime' in "),
    ({"text": "", "path": "mine.net:net"}, "model mine.net:net: there is no module 'mine.net' in "),
    ({"text": "", "path": "torch.nnn:Linear"}, "model torch.nnn:Linear: there is no module 'torch.nnn' in "),
]


@pytest.mark.parametrize(("case", "start"), BAD, ids=[start for _, start in BAD])
def test_a_model_that_cannot_be_used_gets_its_one_line(written, case, start):
    (line,) = written(**case)
    assert line.startswith(start)
    assert "\n" not in line


def test_an_unknown_module_gets_the_nearest_name(written, tmp_path):
    (line,) = written("", path="mime:net")
    assert line == (
        f"model mime:net: there is no module 'mime' in {tmp_path} or among the installed packages. Did you mean 'mine'?"
    )
    (line,) = written("", path="torch.nnn:Linear")
    assert line.endswith("Did you mean 'nn'?")


def test_everything_that_a_module_does_wrong_is_said_at_once(written):
    errors = written(NET + "return nn.Flatten()", corner={"l1": "on", "l1_penalty": 0.1})
    assert [e.partition(": ")[2] or e for e in errors][0].startswith("its module, given 2 examples")
    assert len(errors) == 3


def test_a_module_of_whole_numbers_is_refused(written):
    text = """
    import torch
    from torch import nn
    class Whole(nn.Linear):
        def forward(self, x):
            return super().forward(x.flatten(1)).long()
    def net(params, input_shape, outputs):
        return Whole(64, outputs)
    """
    assert written(text) == ["model mine:net: its module returned torch.int64, expected floating point numbers"]


def test_a_module_that_returns_no_tensor_is_refused(written):
    text = """
    from torch import nn
    class Pair(nn.Linear):
        def forward(self, x):
            return {"boxes": x}
    def net(params, input_shape, outputs):
        return Pair(64, outputs)
    """
    assert written(text) == [
        "model mine:net: its module, given 2 examples [2, 1, 8, 8], returned a dict with keys boxes, expected a "
        "tensor, or one as logits"
    ]


def test_a_module_of_the_current_directory_is_found_without_being_on_the_path(written, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    assert written(NET + "return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))") == []


def test_pythons_own_random_numbers_are_left_alone(written):
    random.seed(3)
    expected = random.random()
    random.seed(3)
    written(NET + "return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))")
    assert random.random() == expected


@pytest.mark.gpu
def test_on_a_gpu_a_curve_depends_on_its_seed_alone_and_resumes(tmp_path):
    cuda, trainable = torch.device("cuda"), model("small")
    config, data = trainable.configure(SMALL, max_epochs=4), trainable.prepare(SPLITS, cuda)
    whole, half = (trainable.start(config, data, seed=1, device=cuda) for _ in range(2))
    expected = curve(whole)
    torch.cuda.manual_seed(6)
    found = curve(half, 2)
    checkpoint.save(half.state_dict(), tmp_path / "trial.pt")
    torch.randn(7, device=cuda)
    resumed = trainable.start(config, data, seed=7, device=cuda)
    resumed.load_state_dict(checkpoint.load(tmp_path / "trial.pt"))
    assert found + curve(resumed, 2) == expected

"""What a user's model is tried for before a search: outputs, a training step, its state, the parameters it reads."""

import copy
import os
import signal
import sys
import textwrap
import threading
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables import own_process
from trainables.data import DataSpec, load_splits
from trainables.device_data import DeviceData
from trainables.own_process import OwnProcessError, in_own_process
from trainables.user_model import TRAINING_PARAMETERS, ModelTrainable

SPLITS = load_splits(DataSpec("digits", train_examples=97))
CPU = torch.device("cpu")

HEAD = """
import os, sys, ctypes, time, collections, datetime, pathlib, fractions, dataclasses
import numpy as np
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.body, self.head, self.aux = nn.Linear(64, 8), nn.Linear(8, outputs), nn.Linear(8, outputs)
    def logits(self, x):
        return self.head(self.body(x.flatten(1)).relu())
"""


@pytest.fixture
def tried(tmp_path, monkeypatch):
    """Return what writes a module with a class ``Mine`` of ``Net``, or a function ``net``, and tries it out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def write(text, params=({},), limit_s=60.0):
        text = textwrap.dedent(text)
        if "def net" not in text:
            text += "\ndef net(params, shape, outputs):\n    return Mine(outputs)\n"
        (tmp_path / "mine.py").write_text(HEAD + text)
        sys.modules.pop("mine", None)
        trainable = ModelTrainable("mine:net", limit_s=limit_s)
        return trainable.try_out([trainable.configure(p, max_epochs=2) for p in params], SPLITS)

    yield write
    sys.modules.pop("mine", None)


def forward(*lines):
    body = "\n".join(f"        {line}" for line in lines)
    return f"class Mine(Net):\n    def forward(self, x):\n{body}\n"


POINT = "Out = collections.namedtuple('Out', 'logits aux')\n"
LOGITS = [
    ("(self.logits(x), self.aux(x[:, 0, 0, :]))", "the first of a tuple of 2"),
    ("[self.logits(x)]", "the first of a list of 1"),
    ("Out(self.logits(x), None)", "logits of a Out"),
    ("{'loss': 1, 'logits': self.logits(x)}", "logits of a dict"),
    ("collections.OrderedDict(logits=self.logits(x))", "logits of a OrderedDict"),
    ("type('Record', (), {'logits': self.logits(x)})()", "logits of a Record"),
]


@pytest.mark.parametrize(("returned", "where"), LOGITS)
def test_logits_in_something_else_are_taken_and_said_and_train(tried, returned, where):
    found = tried(POINT + forward(f"return {returned} if self.training else self.logits(x)"))
    assert found.errors == ()
    (notice,) = found.notices
    assert notice.text == f"model mine:net: its module returns more than a tensor in training; what counts is {where}"
    trainable = ModelTrainable("mine:net")
    run = trainable.start(trainable.configure({}, max_epochs=2), DeviceData.of(SPLITS, CPU), seed=1, device=CPU)
    assert run.step().metrics["val_loss"] > 0
    saved = copy.deepcopy(run.state_dict())  # the other head had no gradient, and has no moments
    again = trainable.start(trainable.configure({}, max_epochs=2), DeviceData.of(SPLITS, CPU), seed=2, device=CPU)
    again.load_state_dict(saved)
    assert again.step().metrics == run.step().metrics


WRONG = [
    (
        forward("assert not self.training, 'no sigma'", "return self.logits(x)"),
        "in training on 4 examples, raised A",
    ),
    (
        forward("return {'boxes': self.logits(x)}"),
        "returned a dict with keys boxes, expected a tensor, or",
    ),
    (forward("return None"), "returned a NoneType, expected a tensor"),
    (forward("return (1, self.logits(x))"), "returned a tuple of int, Tensor, expected a tensor"),
    (forward("return (self.logits(x).sum(), self.logits(x))"), "returned [] (the first of a tuple of 2), expected [2"),
    (forward("return self.logits(x)[:1] if self.training else self.logits(x)"), "in training on 4 examples, raised"),
    (forward("return self.logits(x).detach()"), "in training on 4 examples, raised RuntimeError: element 0 of tensors"),
    (
        forward("return self.logits(x)") + "    def state_dict(self, *a, **k):\n        return {}\n",
        "its state_dict() is empty, so that nothing of it could be kept",
    ),
    (
        forward("return self.logits(x)") + "    def load_state_dict(self, s, **k):\n        raise KeyError('old')\n",
        "its state, read back by a new module of the same params, raised KeyError: 'old'",
    ),
]


@pytest.mark.parametrize(("text", "words"), WRONG, ids=[words for _, words in WRONG])
def test_what_would_fail_in_a_trial_is_an_error_before_it(tried, text, words):
    found = tried(text)
    (line,) = found.errors
    assert line.startswith("model mine:net: ") and words in line and "\n" not in line


def extra(value):
    return (
        forward("return self.logits(x)")
        + f"    def get_extra_state(self):\n        return {value}\n"
        + "    def set_extra_state(self, s):\n        self.s = s\n"
    )


KEPT = [
    "np.arange(3)",
    "{'hist': np.ones((2, 2)), 'when': datetime.datetime(2024, 1, 1), 'n': np.int64(3)}",
    "collections.deque([1, torch.ones(2)], maxlen=4)",
    "collections.defaultdict(list, {'a': [1]})",
    "{'at': pathlib.Path('/tmp'), 'set': {1, 2}, 'part': fractions.Fraction(1, 3)}",
    "[self.training] * 3",
]


@pytest.mark.parametrize("value", KEPT)
def test_extra_state_that_holds_values_is_kept(tried, value):
    assert tried(extra(value)).errors == ()


def test_extra_state_that_grows_is_kept(tried):
    text = (
        extra("self.seen")
        .replace("    def forward(self, x):\n", "    seen = None\n    def forward(self, x):\n", 1)
        .replace("return self.logits(x)", "self.seen = [*(self.seen or []), len(x)]\n        return self.logits(x)")
    )
    assert tried(text).errors == ()


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ("{'a': [1, Net(2)]}", "model/_extra_state/a/1: a mine.Net"),
        ("lambda: 1", "model/_extra_state: a function"),
        ("{'rng': np.random.default_rng(0)}", "model/_extra_state/rng: a numpy.random._generator.Generator"),
        ("collections.defaultdict(lambda: 0)", "model/_extra_state: a collections.defaultdict"),
    ],
)
def test_extra_state_that_would_not_be_read_back_is_refused_with_its_type_and_place(tried, value, where):
    (line,) = tried(extra(value)).errors
    assert f"its state cannot be read back from a checkpoint: {where}" in line


def test_a_model_that_depends_on_more_than_its_state_is_pointed_out(tried):
    found = tried(
        """
        class Mine(Net):
            seen = 0.0
            def forward(self, x):
                self.seen += float(self.training)
                return self.logits(x) + self.seen * torch.arange(10)
        """
    )
    (notice,) = found.notices
    assert found.errors == () and notice.warning
    assert "restored from its state_dict(), it gives other outputs" in notice.text


READS = [
    "params['width']",
    "params.get('width')",
    "'width' in params",
    "dict(params)",
    "list(params)",
    "params.items()",
    "params.values()",
    "params.copy()",
    "params | {}",
    "{} | params",
    "(lambda **k: k)(**params)",
    "{**params}",
    "list(reversed(params))",
    "__import__('types').SimpleNamespace(**params).width",
]


@pytest.mark.parametrize("read", READS)
def test_every_way_of_reading_counts(tried, read):
    body = f"def net(params, shape, outputs):\n    {read}\n    return Mine(outputs)\n"
    found = tried(forward("return self.logits(x)") + body, ({"width": 3, "learning_rate": 0.1},))
    assert (found.errors, found.unread) == ((), ())


@pytest.mark.parametrize("seen", ["print(params)", "len(params)", "repr(params)", "bool(params)", "params == {}"])
def test_a_look_at_no_value_does_not_count(tried, seen):
    body = f"def net(params, shape, outputs):\n    {seen}\n    return Mine(outputs)\n"
    found = tried(forward("return self.logits(x)") + body, ({"width": 3, "learning_rate": 0.1},))
    assert found.unread == ("width",)


def test_what_is_read_under_any_configuration_is_read_and_what_may_be_is_in_doubt(tried):
    body = """
def net(params, shape, outputs):
    if params["kind"] == "deep":
        params["depth"]
    if params["kind"] == "nobody tries this":
        params["rare"], params[f"width_{len(shape)}"]
    return Mine(outputs)
"""
    names = {"depth": 2, "rare": 1, "width_3": 4, "wdith": 5}
    found = tried(forward("return self.logits(x)") + body, ({"kind": "flat", **names}, {"kind": "deep", **names}))
    assert found.unread == ("wdith",)
    assert [(n.kind, n.names, n.warning) for n in found.notices] == [
        ("unread_parameter", ("rare",), True),
        ("unread_parameter", ("width_3",), True),
    ]


def test_params_may_be_read_while_the_module_trains(tried):
    text = """
    class Mine(Net):
        def __init__(self, outputs, params):
            super().__init__(outputs)
            self.params = params
        def forward(self, x):
            return self.logits(x) * (self.params["scale"] if self.training else 1)
    def net(params, shape, outputs):
        return Mine(outputs, params)
    """
    assert tried(text, ({"scale": 2.0},)).unread == ()


HOSTILE = [
    ("os._exit(0)", "trying it out ended its process with exit code 0, as os._exit does"),
    ("ctypes.string_at(0)", "trying it out ended its process with SIGSEGV (mine.py, line "),
    ("os.abort()", "trying it out ended its process with SIGABRT (mine.py, line "),
    ("os.kill(os.getpid(), 9)", "trying it out ended its process with SIGKILL: was there enough memory?"),
    ("raise GeneratorExit", "raised GeneratorExit: no message (mine.py, line "),
    ("raise KeyboardInterrupt", "raised KeyboardInterrupt: no message (mine.py, line "),
    ("sys.exit()", "raised SystemExit: no message (mine.py, line "),
    ("sys.exit('bye')", "raised SystemExit: bye (mine.py, line "),
    ("raise BaseException('own')", "raised BaseException: own (mine.py, line "),
    ("raise MemoryError", "raised MemoryError: no message (mine.py, line "),
    ("net(params, shape, outputs)", "raised RecursionError: maximum recursion depth exceeded"),
    ("os.closerange(3, 100); os._exit(7)", "trying it out ended its process with exit code 7, as os._exit does"),
]


@pytest.mark.parametrize(("line", "words"), HOSTILE)
@pytest.mark.parametrize("at", ["function", "forward"])
def test_whatever_a_model_does_to_its_process_is_one_line(tried, line, words, at):
    if at == "forward" and "net(" in line:
        pytest.skip("is of the function alone")
    where = {"function": ("pass", line), "forward": (line, "pass")}[at]
    text = forward(where[0], "return self.logits(x)")
    found = tried(text + f"def net(params, shape, outputs):\n    {where[1]}\n    return Mine(outputs)\n")
    (said,) = found.errors
    assert said.startswith("model mine:net") and words in said and "\n" not in said


@pytest.mark.parametrize("line", ["sys.stdout = sys.stderr = None", "os.closerange(0, 3)", "os.dup2(0, 1)"])
def test_a_model_may_do_away_with_its_streams(tried, line, capfd):
    body = f"def net(params, shape, outputs):\n    {line}\n    return Mine(outputs)\n"
    assert tried(forward("return self.logits(x)") + body).errors == ()
    print("still here")
    assert capfd.readouterr().out == "still here\n"


def test_what_a_model_prints_is_not_on_standard_output(tried, capfd):
    tried(forward("print('forward'); os.write(1, b'raw '); os.system('echo child')", "return self.logits(x)"))
    out, err = capfd.readouterr()
    assert out == "" and {"forward", "raw", "child"} <= set(err.split())


def test_a_model_that_hangs_is_ended_and_says_where(tried):
    began = time.monotonic()
    (line,) = tried("def net(*_):\n    time.sleep(600)\n", limit_s=1.0).errors
    assert line.startswith("model mine:net: trying it out was not done within 1 s (mine.py, line ")
    assert time.monotonic() - began < 60


def test_threads_that_a_model_leaves_keep_nothing_waiting(tried):
    body = "def net(params, shape, outputs):\n    import threading\n"
    body += "    threading.Thread(target=time.sleep, args=(600,)).start()\n    return Mine(outputs)\n"
    assert tried(forward("return self.logits(x)") + body).errors == ()


def test_a_process_of_its_own_returns_what_it_was_asked_for_and_leaves_this_one_alone():
    here, before = os.getpid(), signal.getsignal(signal.SIGINT)
    assert in_own_process(os.getpid, limit_s=60) != here
    assert in_own_process(lambda: torch.get_num_threads(), limit_s=60) == 1
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(OwnProcessError, match="raised ZeroDivisionError: division by zero .test_model_try_out.py"):
        in_own_process(lambda: 1 / 0, limit_s=60)


def waits_for_ever_once(marker):
    """As a fork does that needs a lock which another thread held."""
    if marker.exists():
        return "done"
    marker.touch()
    lock = threading.Lock()
    lock.acquire()
    return lock.acquire()


def test_a_fork_that_waits_for_a_lock_for_ever_is_forked_again(tmp_path, monkeypatch):
    monkeypatch.setattr(own_process, "STUCK_S", 1.0)
    assert in_own_process(lambda: waits_for_ever_once(tmp_path / "tried"), limit_s=60) == "done"


def test_a_function_that_waits_for_anything_else_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(own_process, "STUCK_S", 0.2)
    calls = tmp_path / "calls"

    def slow():
        with calls.open("a") as file:
            file.write("x")
        time.sleep(1.5)
        return "done"

    assert in_own_process(slow, limit_s=60) == "done"
    assert calls.read_text() == "x", "called once"


@given(st.sampled_from(sorted(TRAINING_PARAMETERS)), st.data())
@settings(max_examples=60, deadline=None)
def test_a_misspelling_of_a_training_parameter_is_never_read_by_the_loop(name, data):
    from trainables.params_read import Reads

    at = data.draw(st.integers(0, len(name) - 1))
    letter = data.draw(st.sampled_from("abcxyz_"))
    before, after = name[:at], name[at + 1 :]
    wrong = data.draw(st.sampled_from([before + after, before + letter + name[at:], before + letter + after]))
    reads = Reads()
    reads.read |= TRAINING_PARAMETERS
    reads.of({wrong: 1, "learning_rate": 0.1})
    assert (wrong in reads.unread) == (wrong not in TRAINING_PARAMETERS)


def test_a_module_keeps_returning_logits_where_it_is_rebuilt(tried):
    tried(POINT + forward("return Out(self.logits(x), None)"))
    trainable = ModelTrainable("mine:net")
    config = trainable.configure({}, max_epochs=1)
    state = trainable.build(config, (1, 8, 8), 10).state_dict()
    model = trainable.rebuild(config, state, shape=(1, 8, 8), outputs=10)
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)

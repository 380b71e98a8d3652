"""``--data python:module:function``: what a function returns is held as arrays, or refused in one line."""

import importlib
import json

import pytest

from search import declare, load
from search.commands.check import check
from search.commands.main_command import run
from search.commands.verbs import extend, resume_
from search.declaration.held_function import function_fields
from search.drive.examples import load_data
from search.errors import RunError, UsageError

MODULE = """
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

def part(rows, seed, columns=3):
    x = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.int64)

def as_set(rows, seed):
    return TensorDataset(*map(torch.tensor, part(rows, seed)))

class Items(Dataset):
    def __init__(self, item, rows=20):
        self.item, self.rows = item, rows
    def __len__(self):
        return self.rows
    def __getitem__(self, number):
        return self.item(number)

class Lengthless(IterableDataset):
    def __iter__(self):
        yield torch.zeros(3), 0

def broken(number):
    raise OSError("3.png is damaged")

def arrays(): return part(80, 0), part(20, 1), part(20, 2)
def tensors(): return tuple(tuple(map(torch.tensor, part(n, s))) for n, s in ((80, 0), (20, 1), (20, 2)))
def sets(): return as_set(80, 0), Subset(as_set(40, 1), range(20)), as_set(20, 2)
def mixed(): return as_set(80, 0), part(20, 1)
def numbers(): return tuple((x, 3 * x[:, 0]) for x, _ in (part(80, 0), part(20, 1)))

def nothing(): pass
def two_arrays(): return part(80, 0)
def a_dict(): return {"train": part(80, 0)}
def four(): return (*part(80, 0), *part(20, 1))
def no_targets(): return part(80, 0)[0][:, :, None], as_set(20, 1), Items(lambda i: torch.zeros(3))
def unequal(): return Items(lambda i: (torch.zeros(3 + i // 7), 0)), part(20, 1)
def endless(): return Lengthless(), part(20, 1)
def loader(): return DataLoader(as_set(80, 0)), part(20, 1)
def marked(): return arrays()
marked.fingerprint = "rows of March"
def counted(): return sets()
counted.fingerprint = lambda: "rows of April"
def unmarked(): return arrays()
unmarked.fingerprint = 3
def unmarkable(): return arrays()
def _raise(): raise OSError("no such bucket")
unmarkable.fingerprint = _raise
def surrogate(): return arrays()
surrogate.fingerprint = "rows of \\udcff"
class Odd(Items):
    def __len__(self):
        raise OSError("no such bucket")
def lengthless(): return Odd(None), Items(None, rows=-1)
def huge(): return Items(lambda i: (torch.zeros(3, 224, 224), 0), rows=10**8), part(20, 1)
def damaged(): return Items(broken), part(20, 1)
def wanting(folder): return part(80, 0), part(20, 1)
def failing(): return 1 / 0
def unlike(): return part(80, 0), part(20, 1, columns=4)
def short(): return (part(80, 0)[0], part(20, 0)[1]), part(20, 1)
value = 3
"""
EACH = "each part is (x, y), or a map-style Dataset of such pairs"


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "held_mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def splits_of(name, **values):
    return load_data(declare("regularization", data={"path": f"python:held_mine:{name}", **values}))


def test_arrays_tensors_and_datasets_are_the_same_examples():
    found = [splits_of(name) for name in ("arrays", "tensors", "sets")]
    assert len({splits.fingerprint for splits in found}) == 1
    assert (len(found[0].train), len(found[0].val), found[0].test_examples) == (80, 20, 20)
    assert (found[0].name, found[0].classes) == ("held_mine.arrays", 2)


def test_without_a_test_part_one_is_cut_and_numbers_are_told_from_classes():
    mixed, numbers = splits_of("mixed"), splits_of("numbers")
    assert (len(mixed.train), mixed.test_examples, mixed.classes) == (64, 16, 2)
    assert any("16 examples are cut from x_train" in notice.text for notice in mixed.notices)
    assert numbers.scale is not None
    assert len(splits_of("arrays", class_weight="balanced").train.weights) == 80


BAD = {
    "nothing": f"returned nothing; expected (train, val) or (train, val, test), {EACH}",
    "two_arrays": "returned 2 arrays; expected (train, val)",
    "a_dict": "returned a dict of 1; expected (train, val)",
    "four": "returned a tuple of 4; expected (train, val)",
    "no_targets": f"train is a ndarray of shape (80, 3, 1) without targets; {EACH}",
    "unequal": "train: item 7 has the shape (4,), item 0 (3,); resize them in a transform",
    "endless": f"train is a Lengthless without a length or items by number; {EACH}",
    "loader": "train is a DataLoader of 80; give its dataset",
    "huge": "train: 60211.2 GB of examples are more than half of the free memory",
    "lengthless": "train: the length of the Odd failed: OSError: no such bucket (held_mine.py, line",
    "damaged": "train: item 0 of the Items failed: OSError: 3.png is damaged (held_mine.py, line 26)",
    "wanting": "cannot be called without arguments (missing a required argument: 'folder')",
    "failing": "failed: ZeroDivisionError: division by zero (held_mine.py, line",
    "unlike": "the parts' examples differ in shape: (3,), (4,)",
    "short": "x_train has 80 examples, y_train has 20",
    "value": "is a int, expected function() -> (train, val)",
    "arays": "held_mine has no 'arays'. Did you mean 'arrays'?",
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_examples_is_refused_in_a_line_that_names_the_function(name):
    with pytest.raises(UsageError) as caught:
        function_fields(f"held_mine:{name}")
    assert all(line.startswith(f"data held_mine:{name}") and "\n" not in line for line in caught.value.errors)
    assert BAD[name] in caught.value.errors[0]


def test_every_part_that_is_wrong_is_said():
    with pytest.raises(UsageError) as caught:
        function_fields("held_mine:no_targets")
    assert [line.split(": ")[1].split()[0] for line in caught.value.errors] == ["train", "test"]


def test_the_task_can_be_said_where_the_targets_do_not_tell_it():
    assert splits_of("arrays", task="regression").scale is not None


def test_check_shows_what_was_understood(capsys):
    assert check(data="python:held_mine:arrays", json_=True) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["data"]["name"], shown["data"]["train"], shown["data"]["classes"]) == ("held_mine.arrays", 80, 2)


def test_a_search_keeps_the_examples_and_a_resume_wants_the_same(tmp_path, capsys):
    given = {"data": "python:held_mine:arrays", "name": "a", "home": tmp_path / "home", "tracking": "offline"}
    quick = {"trials": 2, "max_epochs": 2, "no_confirm": True, "executor": "lanes"}
    assert run("regularization", **given, **quick) == 0
    assert (tmp_path / "home" / "a" / "data" / "data.npz").is_file()
    assert run("regularization", **given, **quick, resume=True) == 0
    assert "0 trials go on" in capsys.readouterr().out
    with pytest.raises(RunError, match="the data of a are not what they were"):
        run("regularization", **{**given, "data": "python:held_mine:mixed"}, **quick, resume=True)


def test_datasets_beyond_the_limit_are_streamed_and_those_within_are_held():
    streamed = function_fields("held_mine:sets", memory_mb=0)
    assert {name: streamed[name] for name in ("source", "function", "path", "fingerprint")} == {
        "source": "stream",
        "function": "held_mine:sets",
        "path": None,
        "fingerprint": None,
    }
    assert function_fields("held_mine:sets", memory_mb=1)["source"] == "arrays"
    assert function_fields("held_mine:sets")["source"] == "arrays"
    assert function_fields("held_mine:mixed", memory_mb=0)["source"] == "arrays"  # arrays are in memory as it is


def test_a_study_says_whether_its_examples_are_held_or_streamed():
    texts = {}
    for most in (0, None):
        splits = load_data(declare("regularization", data={"path": "python:held_mine:sets", "memory_mb": most}))
        texts[splits.streamed] = " / ".join(notice.text for notice in splits.notices)
    assert "held in memory: " in texts[False] and "streamed" not in texts[False]
    assert (
        "streamed: " in texts[True] and "of examples, as --memory-mb 0 asks; each epoch reads them anew" in texts[True]
    )


def test_a_function_says_what_its_data_are():
    given = [function_fields(f"held_mine:{name}")["fingerprint"] for name in ("arrays", "marked", "counted")]
    assert given == [None, "rows of March", "rows of April"]
    splits = [load_data(declare("regularization", data=f"python:held_mine:{n}")) for n in ("arrays", "marked")]
    assert splits[0].fingerprint != splits[1].fingerprint


def test_a_fingerprint_that_is_no_text_is_refused():
    with pytest.raises(UsageError, match="its fingerprint is 3; expected a text, or what returns one"):
        function_fields("held_mine:unmarked")
    with pytest.raises(UsageError, match="its fingerprint failed: OSError: no such bucket"):
        function_fields("held_mine:unmarkable")


def test_a_fingerprint_that_cannot_be_written_is_refused():
    with pytest.raises(UsageError, match=r"its fingerprint 'rows of \\udcff' is no text that can be written"):
        function_fields("held_mine:surrogate")


def test_both_parts_without_a_length_are_said():
    with pytest.raises(UsageError) as caught:
        function_fields("held_mine:lengthless", memory_mb=0)
    assert "val: the length of the Items failed: ValueError: __len__() should return >= 0" in caught.value.errors[1]


@pytest.mark.parametrize(("begun", "resumed", "source"), [(0, None, "stream"), (None, 0, "arrays")])
def test_a_resume_holds_or_streams_as_the_study_began(tmp_path, begun, resumed, source):
    given = {"data": "python:held_mine:sets", "name": "a", "home": tmp_path / "home", "tracking": "offline"}
    quick = {"trials": 1, "max_epochs": 1, "no_confirm": True, "executor": "lanes"}
    assert run("regularization", **given, **quick, memory_mb=begun) == 0
    assert run("regularization", **given, **quick, memory_mb=resumed, resume=True) == 0
    assert load("a", home=tmp_path / "home").study.data.source == source


def test_estimators_and_stacks_refuse_what_is_streamed():
    streamed = {"path": "python:held_mine:sets", "memory_mb": 0}
    with pytest.raises(UsageError, match="is streamed, and an estimator takes all examples at once; raise --memory-mb"):
        load_data(declare("sklearn_comparison", data=streamed))
    study = declare("regularization", data=streamed, executor="lanes", lanes={"mode": "stacked"})
    with pytest.raises(UsageError, match="--lane-mode stacked: a stack takes what is in memory"):
        load_data(study)


def test_folds_of_what_is_streamed_are_refused():
    with pytest.raises(UsageError, match="sets is streamed, and each fold would need a pass over it; a larger"):
        declare("regularization", data={"path": "python:held_mine:sets", "memory_mb": 0, "folds": 5})


def test_a_changed_fingerprint_of_streamed_data_is_refused_as_other_data_are(tmp_path, monkeypatch):
    module = importlib.import_module("held_mine")
    monkeypatch.setattr(module.sets, "fingerprint", "v1", raising=False)
    given = {"data": "python:held_mine:sets", "memory_mb": 0, "name": "s", "home": tmp_path / "home"}
    quick = {"trials": 2, "max_epochs": 2, "no_confirm": True, "executor": "lanes", "tracking": "offline"}
    assert run("regularization", **given, **quick) == 0
    monkeypatch.setattr(module.sets, "fingerprint", "v44")
    with pytest.raises(RunError, match="the data of s are not what they were"):
        extend("s", home=tmp_path / "home", trials=1)
    with pytest.raises(RunError, match="the data of s are not what they were"):
        resume_("s", home=tmp_path / "home")
    line = (
        "--resume s: the data changed, as the fingerprint of their function says: 'v1' when the study began, 'v44' now"
    )
    with pytest.raises(UsageError, match=line):
        run("regularization", **given, **quick, resume=True)

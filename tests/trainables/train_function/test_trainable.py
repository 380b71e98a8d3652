import pytest

from tests.trainables import train_functions
from trainables.errors import ConfigError
from trainables.train_function.trainable import FunctionTrainable

MODULE = train_functions.__name__

NO_FUNCTIONS = [
    ("nothing_such", f"{MODULE} has no 'nothing_such'."),
    ("two_arguments", "takes (trial, data); expected one argument, function(trial)"),
    ("awaited", "is an async function; expected function(trial)"),
    ("Loop", "is a class; expected function(trial)"),
    ("LEAKED", "is a list, expected function(trial)"),
]


@pytest.mark.parametrize(("name", "why"), NO_FUNCTIONS)
def test_what_cannot_be_called_with_a_trial_is_refused_in_a_line(name, why):
    (line,) = FunctionTrainable(f"{MODULE}:{name}").import_mistakes()
    assert line.startswith(f"train {MODULE}:{name}")
    assert why in line
    assert "\n" not in line


@pytest.mark.parametrize("path", ["train_mine", "train_mine.py", "a b:train", ":train", "train_mine:"])
def test_a_path_of_another_form_is_refused_with_one_that_is_right(path):
    with pytest.raises(ConfigError, match=r"must be package\.module:function, such as train_mine:train"):
        FunctionTrainable(path)


@pytest.mark.parametrize("name", ["train", "train_yielding", "trains_side_by_side"])
def test_a_function_of_one_argument_is_taken(name):
    assert FunctionTrainable(f"{MODULE}:{name}").import_mistakes() == []

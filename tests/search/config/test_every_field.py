"""Every field and every option, broken in turn: a mistake names its line in a file, its flag on the command line."""

import typing
from collections.abc import Sequence

import pytest

from search.declaration import read_study
from search.declaration.fields import fields_of, part_of
from search.declaration.from_options import declare_from_options
from search.declaration.options import Options, table
from search.declaration.study import Study

MAPPINGS = ("space", "settings", "presets")
"""Fields that hold names of the user's own, not parts with fields of ours."""


def leaves(part=Study, path=()):
    """Yield the path of every field of a study that has no fields of ours below it."""
    for name, annotation in fields_of(part).items():
        below = part_of(annotation)
        if below is None or typing.get_origin(annotation) is tuple:
            yield (*path, name)
        else:
            yield from leaves(below, (*path, name))


LEAVES = list(leaves())


def broken(path):
    """Return a file in which a field alone is wrong, and the number of its line."""
    lines = ["kind: regularization", "", "# a comment"]
    if path == ("kind",):
        return "question: Why?\nkind: [[1]]\n", 2
    for depth, name in enumerate(path[:-1]):
        lines.append(f"{'  ' * depth}{name}:")
    value = "3" if path[-1] in MAPPINGS else "[[1]]"
    lines.append(f"{'  ' * (len(path) - 1)}{path[-1]}: {value}")
    return "\n".join(lines) + "\n", len(lines)


def test_the_fields_are_those_of_the_model():
    assert ("budget", "trials") in LEAVES
    assert ("data", "target") in LEAVES
    assert ("further",) in LEAVES
    assert {path[0] for path in LEAVES} == set(Study.model_fields)


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_a_wrong_field_of_a_file_is_named_with_its_line(path, tmp_path):
    text, line = broken(path)
    file = tmp_path / "study.yaml"
    file.write_text(text)
    _, errors = read_study(file)
    assert errors
    assert all(error.startswith(f"{file}:{line}: {'.'.join(path)}") for error in errors), errors


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_an_unknown_field_beside_it_is_named_with_its_line(path, tmp_path):
    *parts, last = path
    text = "".join(f"{'  ' * depth}{name}:\n" for depth, name in enumerate([*parts, f"{last}x"]))
    file = tmp_path / "study.yaml"
    file.write_text(f"kind: regularization\n{text.rstrip()} 1\n")
    _, errors = read_study(file)
    assert errors == [
        error for error in errors if error.startswith(f"{file}:{1 + len(path)}: {'.'.join(path)}x is unknown.")
    ]
    assert len(errors) == 1


WRONG = {int: -1, float: -1.0, str: "no such thing"}
"""A value that most options of a type refuse."""

ANY = {"address", "from_", "ledger"}
"""Options that take any word: where they lead to is looked at when the search starts."""


@pytest.mark.parametrize("name", [name for name, entry in table().items() if entry.sets and name not in ANY])
def test_a_wrong_option_is_named_by_its_flag(name):
    kind = typing.get_type_hints(Options)[name]
    inner = next((t for t in (kind, *typing.get_args(kind)) if t in WRONG), None)
    value = [WRONG[inner]] if typing.get_origin(kind) is Sequence else WRONG[inner]
    _, errors = declare_from_options(Options("regularization", **{name: value}))
    assert errors
    assert all(error.startswith(f"{table()[name].flag} ") for error in errors), errors


def test_every_flag_that_sets_a_field_sets_one_that_there_is():
    paths = {".".join(path[:length]) for path in LEAVES for length in range(1, len(path) + 1)}
    assert {entry.sets for entry in table().values() if entry.sets} <= paths

"""The examples in the docstrings of what programs import are run as they stand there, in a folder of their own."""

import doctest
import inspect
from contextlib import chdir

import pytest

import search
import spaces

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
EXAMPLES = {
    f"{package.__name__}.{test.name}": test
    for package in (search, spaces)
    for name in package.__all__
    if (shown := getattr(package, name)) is not None and (inspect.isclass(shown) or inspect.isfunction(shown))
    for test in doctest.DocTestFinder(exclude_empty=True).find(shown, name, globs={})
    if test.examples
}
"""By the name of what has them."""
WITHOUT = {
    "search.Budget",
    "search.Objective",
    "search.RunError",
    "search.Study",
    "search.Trial",
    "search.TrialEnded",
    "search.UsageError",
    "search.StudyComparison",
    "search.StudyResult",
    "search.compare",
}
"""Public names of ``search`` without an example: what the functions take and return, and what takes two studies."""


def output_of(test):
    """Run a docstring's examples; return what is wrong with them."""
    said = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    runner.run(test, out=said.append, clear_globs=False)
    return "".join(said)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the study that the example of ``run`` records."""
    folder = tmp_path_factory.mktemp("examples")
    with chdir(folder):
        assert output_of(EXAMPLES["search.run"]) == ""
    return folder


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "search.run"])
def test_an_example_does_what_it_says(name, folder):
    with chdir(folder):
        assert output_of(EXAMPLES[name]) == ""
    assert [path.name for path in folder.iterdir()] == ["lanewise-home"], "it leaves nothing else behind"


def test_an_example_that_is_wrong_is_found():
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert "Expected:\n    3\nGot:\n    2" in output_of(wrong)


def test_what_a_program_calls_has_an_example():
    public = {f"search.{name}" for name in search.__all__} - WITHOUT
    public |= {f"spaces.{name}" for name in ("Space", "category", "float_", "int_", "when")}
    assert public - EXAMPLES.keys() == set()

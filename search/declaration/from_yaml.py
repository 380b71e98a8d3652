"""A study from a YAML file: every mistake at once, each with file and line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as File

from search.declaration.from_data import Declared, declare_study
from search.declaration.text_file import read_text_file
from search.errors import UsageError
from spaces.located_yaml import YamlDocument, YamlError, load_yaml
from trainables.mistake import Mistake, Path, dotted, sentence


def read_study(file: File, *, kind: str | None = None, model: str | None = None) -> tuple[Declared, list[str]]:
    """Read the study that a file declares; see ``declare_study``.

    Returns:
        The study as far as it can be told, and what is wrong, a line each: ``study.yaml:12: budget.trials must be
        >= 1, got 0``.

    Raises:
        UsageError: the file cannot be read at all.
    """
    text = read_text_file(file, "--config")
    try:
        document = load_yaml(text)
    except YamlError as error:
        raise UsageError([f"{_place(file, line)}: {what}" for line, what in error.errors]) from None
    if document.data is None:
        raise UsageError(f"--config {file} is empty: a study has at least a kind")
    if not isinstance(document.data, Mapping):
        found = "a list" if isinstance(document.data, list) else "a value"
        raise UsageError(
            f"{_place(file, 1)}: expected the fields of a study, such as kind: regularization, got {found}"
        )
    declared = declare_study(document.data, kind=kind, model=model)
    lines = [(_line(document, mistake), sentence(mistake, dotted)) for mistake in declared.mistakes]
    lines.sort(key=lambda pair: pair[0] or 0)
    return declared, [f"{_place(file, number)}: {line}" for number, line in lines]


def _line(document: YamlDocument, mistake: Mistake) -> int | None:
    """Return the line that a mistake is about; None where the file does not say what is wrong (a default is).

    That is where its path leads. What a file does not say itself may break a rule with what it does say: where the
    file has more of a path of the others, the mistake is there.
    """
    places = [_known(document, path) for path in (mistake.path, *mistake.others)]
    return document.lines.get(max(places, key=len))


def _known(document: YamlDocument, path: Path) -> Path:
    """Return the longest beginning of ``path`` that the file has."""
    while path and path not in document.lines:
        path = path[:-1]
    return path


def _place(file: File, line: int | None) -> str:
    return str(file) if line is None else f"{file}:{line}"

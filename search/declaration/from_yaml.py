"""A study from a YAML file: every mistake at once, each with file and line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path as File

from search.declaration.from_data import SET_HINT, Declared, declare_study
from search.declaration.text_file import read_text_file
from search.errors import UsageError
from spaces.located_yaml import YamlDocument, YamlError, load_yaml
from trainables.mistake import Mistake, Path, dotted, sentence


def read_study(
    file: File, *, kind: str | None = None, model: str | None = None, train: str | None = None
) -> tuple[Declared, list[str]]:
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
    declared = declare_study(document.data, kind=kind, model=model, train=train)
    return declared, _lines(file, document, declared.mistakes)


def read_space_study(file: File, *, kind: str, train: str) -> tuple[Declared, list[str]]:
    """Read a file that is a training function's whole space; see ``declare_study``.

    A name with a plain value is a setting, which every trial shares.

    Args:
        file: of ``--space``.
        kind: what the study is called.
        train: ``package.module:function``.

    Returns:
        As ``read_study`` does.

    Raises:
        UsageError: the file cannot be read at all.
    """
    text = read_text_file(file, "--space")
    try:
        document = load_yaml(text)
    except YamlError as error:
        raise UsageError([f"{_place(file, line)}: {what}" for line, what in error.errors]) from None
    if not isinstance(document.data, Mapping) or not document.data:
        example = "learning_rate: {type: float, low: 1e-4, high: 1e-1, log: true, baseline: 1e-3}"
        raise UsageError(f"--space {file}: expected parameters, such as {example}")
    space = {name: value for name, value in document.data.items() if isinstance(value, Mapping)}
    settings = {name: value for name, value in document.data.items() if name not in space}
    declared = declare_study({"space": space, "settings": settings}, kind=kind, train=train)
    # where no parameter is left, the kind is one that has no space; nothing else here is of a registered study
    mistakes = [replace(m, hint="" if m.hint == SET_HINT else m.hint) for m in declared.mistakes if m.path != ("kind",)]
    here = [replace(m, path=m.path[1:], others=()) for m in mistakes]
    places = zip(mistakes, here, strict=True)
    numbered = [(_line(document, inner), sentence(outer, _without_part)) for outer, inner in places]
    numbered.sort(key=lambda pair: pair[0] or 0)
    return declared, [f"{_place(file, number)}: {line}" for number, line in numbered]


def _lines(file: File, document: YamlDocument, mistakes: Iterable[Mistake]) -> list[str]:
    """Return the mistakes in the order of their lines in the file."""
    lines = [(_line(document, mistake), sentence(mistake, dotted)) for mistake in mistakes]
    lines.sort(key=lambda pair: pair[0] or 0)
    return [f"{_place(file, number)}: {line}" for number, line in lines]


def _without_part(path: Path) -> str:
    """Return a field's name in a file that is a space: without ``space`` or ``settings`` before it."""
    return dotted(path[1:]) if path[:1] in (("space",), ("settings",)) and len(path) > 1 else dotted(path)


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

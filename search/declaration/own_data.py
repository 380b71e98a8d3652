"""From ``--data`` and what goes with it to a declaration of data, and what is wrong with such a declaration."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.declaration.held_function import function_fields
from search.declaration.mistakes import usage_error
from search.declaration.options import Options
from search.errors import UsageError
from spaces import nearest
from trainables.data.datasets import DATASETS
from trainables.data.fold_cut import FEWEST_FOLDS, MOST_FOLDS
from trainables.data.image_modes import background_colour
from trainables.data.spec import LARGEST_IMAGE, NO_DATA, READ_AS, SEPARATOR_WORDS, WHITE, DataSpec
from trainables.mistake import Mistake
from trainables.task import AUTO, Task

KINDS = ("table", "images", "arrays")
FUNCTION = "python"
"""Begins the data that a function returns, after ``--data``: ``python:package.module:function``."""
TASKS = (AUTO, *(task.value for task in Task))
DATA, SOURCE = ("data",), ("data", "source")
OF_TABLES = ("target", "task", "separator", "decimal", "encoding", "val_file", "test_file", "group", "time", "weight")
"""The fields of one word that are for tables alone."""

KEPT = ("seed", "train_examples", "folds")
"""What a study's own data say of how examples are used, whichever these are."""


def declared_data(declared: DataSpec, options: Options, *, any_size: bool = False) -> DataSpec:
    """Return what ``options`` say of the data; what they do not say stays as ``declared``.

    Args:
        declared: by the study.
        options: what the user typed.
        any_size: whether ``--image-size`` also means something for named data sets, to somebody else.

    Raises:
        UsageError: everything that is wrong.
    """
    mistakes: list[Mistake] = []
    chosen = _chosen(options, mistakes)
    if chosen.get("source", declared.source) != declared.source:
        declared = DataSpec(**{name: getattr(declared, name) for name in KEPT})
    given: dict[str, Any] = {
        "data_dir": None if options.data_dir is None else str(options.data_dir.absolute()),
        "download": options.download or None,
        "train_examples": options.train_examples,
        "target": options.target,
        "task": options.task,
        "drop": tuple(options.drop) or None,
        "missing": tuple(options.missing) or None,
        "read_as": tuple(options.as_) or None,
        "separator": options.separator,
        "decimal": options.decimal,
        "encoding": options.encoding,
        "val_file": _absolute(options.val_file),
        "test_file": _absolute(options.test_file),
        "group": options.group,
        "time": options.time,
        "weight": options.weight,
        "class_weight": options.class_weight,
        "folds": options.folds,
        "image_size": options.image_size,
        "background": options.background,
        "memory_mb": options.memory_mb,
        "workers_per_trial": options.workers_per_trial,
    }
    data = dataclasses.replace(declared, **chosen, **{k: v for k, v in given.items() if v is not None})
    if options.image_size is not None and data.source != "images" and not mistakes and not any_size:
        rule = f"{{value}} is for {{0}} images:FOLDER; the data are {data.name}"
        mistakes.append(Mistake(("data", "image_size"), rule, options.image_size, others=(SOURCE,)))
    if mistakes:
        raise usage_error(mistakes)
    return data


def data_mistakes(data: DataSpec) -> list[Mistake]:
    """Return what is wrong with a declaration of data; no file is looked at."""
    if data.source == "named" and data.name not in DATASETS:
        return [Mistake(("data", "name"), "{value} is unknown", data.name, allowed=tuple(DATASETS))]
    mistakes = []
    if data.source != "table":
        lists = {name: ", ".join(getattr(data, name)) for name in ("drop", "missing", "read_as")}
        words = {name: getattr(data, name) for name in OF_TABLES}
        if data.source in ("arrays", "stream"):
            del words["task"]
        rule = f"{{value}} is for {{0}} table:FILE; the data are {data.name}"
        mistakes += [
            Mistake(("data", field), rule, value, others=(SOURCE,))
            for field, value in {**words, **lists}.items()
            if value and value != AUTO
        ]
    elif data.target is None:
        rule = f"table:{data.path} needs {{0}} COLUMN, the column to predict"
        mistakes.append(Mistake(SOURCE, rule, others=(("data", "target"),)))
    if data.task not in TASKS:
        mistakes.append(Mistake(("data", "task"), f"must be {', '.join(TASKS[:-1])} or {TASKS[-1]}", data.task))
    mistakes += _text_mistakes(data)
    if data.source == NO_DATA and data.class_weight is not None:
        rule = "{value} weighs the classes of {0}, and the training function brings its own"
        mistakes.append(Mistake(("data", "class_weight"), rule, data.class_weight, others=(DATA,)))
    if data.source == NO_DATA and data.train_examples is not None:
        rule = "{value}: there are no examples, the training function brings its own"
        mistakes.append(Mistake(("data", "train_examples"), rule, data.train_examples))
    mistakes += _fold_mistakes(data)
    mistakes += _reading_mistakes(data)
    if data.source not in ("named", "stream", NO_DATA) and data.path is None:
        mistakes.append(_names_nothing(data.source))
    if not 1 <= data.image_size <= LARGEST_IMAGE:
        size = data.image_size
        mistakes.append(Mistake(("data", "image_size"), f"must be between 1 and {LARGEST_IMAGE} pixels", size))
    return mistakes + _background_mistakes(data)


def _fold_mistakes(data: DataSpec) -> list[Mistake]:
    at, folds = ("data", "folds"), data.folds
    if folds is None:
        return []
    mistakes = []
    if not FEWEST_FOLDS <= folds <= MOST_FOLDS:
        hint = "one fold is no cross-validation; leave {0} out for one validation part" if folds == 1 else ""
        rule = f"must be between {FEWEST_FOLDS} and {MOST_FOLDS}"
        mistakes.append(Mistake(at, rule, folds, hint=hint, others=(at,)))
    if data.val_file is not None:
        rule = "{value} cuts train and validation anew, and {0} says which rows validate; give one of them"
        mistakes.append(Mistake(at, rule, folds, others=(("data", "val_file"),)))
    if data.source == "stream":
        rule = f"{{value}}: {data.name} is streamed, and each fold would need a pass over it; a larger {{0}} holds it"
        mistakes.append(Mistake(at, rule, folds, others=(("data", "memory_mb"),)))
    return mistakes


def _reading_mistakes(data: DataSpec) -> list[Mistake]:
    """Return what is wrong with what is said of memory, and of who reads what does not fit there."""
    mistakes = []
    of_function = data.function is not None
    for name, value, unused, kinds in (
        ("memory_mb", data.memory_mb, not of_function and data.source != "images", f"images:FOLDER or {FUNCTION}:"),
        ("workers_per_trial", data.workers_per_trial or None, not of_function, f"{FUNCTION}:"),
    ):
        if value is not None and unused:
            rule = f"{{value}} is for {{0}} {kinds}MODULE:FUNCTION; the data are {data.name}"
            mistakes.append(Mistake(("data", name), rule, value, others=(SOURCE,)))
        elif value is not None and value < 0:
            mistakes.append(Mistake(("data", name), "must be >= 0", value))
    if data.source == "stream" and not of_function:
        mistakes.append(Mistake(("data", "function"), "stream needs {0}, package.module:function", others=(SOURCE,)))
    return mistakes


def _background_mistakes(data: DataSpec) -> list[Mistake]:
    at = ("data", "background")
    if data.background == WHITE:
        return []
    if data.source != "images":
        rule = f"{{value}} is for {{0}} images:FOLDER; the data are {data.name}"
        return [Mistake(at, rule, data.background, others=(SOURCE,))]
    try:
        background_colour(data.background)
    except ValueError:
        return [Mistake(at, "{value} is no opaque colour such as white, #ff8800 or rgb(255, 136, 0)", data.background)]
    return []


def _text_mistakes(data: DataSpec) -> list[Mistake]:
    """Return what is wrong with what is said of a table's text."""
    mistakes = []
    rule = f"must be COLUMN={', COLUMN='.join(READ_AS[:-1])} or COLUMN={READ_AS[-1]}"
    for entry in data.read_as:
        column, _, kind = entry.rpartition("=")
        if not column or kind not in READ_AS:
            mistakes.append(Mistake(("data", "read_as"), rule, entry))
    mark = data.separator
    if mark is not None and mark not in SEPARATOR_WORDS and (len(mark) != 1 or mark.isalnum() or mark in '"\r\n.'):
        rule = f"must be one character that is no letter, figure, quote or point, or {', '.join(SEPARATOR_WORDS)}"
        mistakes.append(Mistake(("data", "separator"), rule, mark))
    if data.decimal not in (None, ".", ","):
        mistakes.append(Mistake(("data", "decimal"), "must be a point or a comma", data.decimal))
    if data.encoding is not None:
        try:
            "a".encode(data.encoding)
        except (LookupError, ValueError):  # of text alone: Python's others, such as hex, are refused here too
            rule = "must be an encoding that Python knows, such as utf-8, cp1252 or utf-16"
            mistakes.append(Mistake(("data", "encoding"), rule, data.encoding))
    return mistakes


def _chosen(options: Options, mistakes: list[Mistake]) -> dict[str, Any]:
    """Return the fields that ``--data`` or ``--dataset`` decides."""
    text = options.data if options.data is not None else options.dataset
    if text is None:
        return {}
    if options.dataset not in (None, text):
        rule = f"{text} and {{0}} {options.dataset} name different data; give one of them"
        mistakes.append(Mistake(DATA, rule, others=(("data", "name"),)))
    kind, colon, path = text.partition(":")
    if options.data is None or text in DATASETS:
        return {"source": "named", "name": text, "path": None}
    if colon and kind == FUNCTION:
        return _of_function(path, options.task or AUTO, options.memory_mb, mistakes)
    return _own(kind, path, mistakes) if colon and kind in KINDS else _refused(text, kind if colon else "", mistakes)


def data_of(given: Any, declared: Mapping[str, Any], *, transfers: bool, mistakes: list[Mistake]) -> Any:
    """Return the data that a file or a call declares, laid over those of the study that it changes.

    Data of another source keep nothing of the study's own but how many examples are used and how they are split.
    A path without a source is taken for what lies there.

    Args:
        given: a mapping of ``DataSpec``'s fields, or text as after ``--data``.
        declared: the fields of the study's own data; empty where it has none.
        transfers: whether the study transfers: its weights use fields that named data do not.
        mistakes: takes what is wrong.
    """
    if isinstance(given, str):
        given = _of_text(given, mistakes)
    if not isinstance(given, Mapping):
        return given
    given = dict(given)
    given |= {name: _absolute(given[name]) for name in ("val_file", "test_file") if isinstance(given.get(name), str)}
    if str(given.get("path")).startswith(f"{FUNCTION}:"):
        path = given.pop("path").removeprefix(f"{FUNCTION}:")
        given |= _of_function(path, str(given.get("task", AUTO)), given.get("memory_mb"), mistakes)
    elif isinstance(given.get("path"), str):
        _place(given, mistakes)
    source = given.get("source", "named" if _is_known(given.get("name")) else declared.get("source", "named"))
    mistakes += _unused(given, source, given.get("name", declared.get("name")), transfers=transfers)
    if source != declared.get("source"):
        declared = {name: value for name, value in declared.items() if name in KEPT}
    return {**declared, **given, "source": source}


def data_of_text(text: str) -> dict[str, Any]:
    """Return the fields that a text as after ``--data`` stands for, or that lie at a path.

    Raises:
        UsageError: it is neither.
    """
    mistakes: list[Mistake] = []
    found = _of_text(text, mistakes)
    if mistakes:
        raise usage_error(mistakes)
    return found


def _of_text(text: str, mistakes: list[Mistake]) -> dict[str, Any]:
    kind, colon, path = text.partition(":")
    if text in DATASETS:
        return {"source": "named", "name": text, "path": None}
    if colon and kind == FUNCTION:
        return _of_function(path, AUTO, None, mistakes)
    if colon and kind in KINDS:
        return _own(kind, path, mistakes)
    if not os.path.exists(os.path.expanduser(text)):
        return _refused(text, kind if colon else "", mistakes)
    return {"path": text}


def _of_function(path: str, task: str, memory_mb: Any, mistakes: list[Mistake]) -> dict[str, Any]:
    most = memory_mb if isinstance(memory_mb, int) else None
    try:
        return function_fields(path, task=task, memory_mb=most)
    except UsageError as error:
        mistakes += [Mistake(DATA, line, whole=True) for line in error.errors]
        return {}


def _place(given: dict[str, Any], mistakes: list[Mistake]) -> None:
    """Make a path absolute, and say what lies there where nobody did."""
    path = Path(os.path.abspath(os.path.expanduser(given["path"])))
    given["path"] = str(path)
    name, source = given.get("name"), given.get("source")
    if _is_known(name):
        rule = f"{name} and {{0}} {path} name different data; give one of them"
        mistakes.append(Mistake(("data", "name"), rule, others=(("data", "path"),)))
        del given["name"]
    elif source == "named":
        rule = f"{path} is for {{0}} {', '.join(KINDS[:-1])} or {KINDS[-1]}, and it is named"
        mistakes.append(Mistake(("data", "path"), rule, others=(SOURCE,)))
        del given["path"]
        return
    if source is None:
        found = _kind_of(path)
        if found is None:
            mistakes.append(Mistake(("data", "path"), f"{path}: there is no such file or folder"))
            del given["path"]
            return
        given["source"] = found
    if "name" not in given:
        given["name"] = _name(path, str(given["source"]))


def _absolute(file: str | Path | None) -> str | None:
    return None if file is None else os.path.abspath(os.path.expanduser(file))


def _is_known(name: Any) -> bool:
    return isinstance(name, str) and name in DATASETS


def _kind_of(path: Path) -> str | None:
    """Return what kind of data lie at a path; None where nothing does."""
    if os.path.isdir(path):
        return "images"
    if not os.path.exists(path):
        return None
    return "arrays" if path.suffix.lower() == ".npz" else "table"


def _unused(given: Mapping[str, Any], source: str, name: Any, *, transfers: bool) -> list[Mistake]:
    """Return which of the given fields nothing would read, where their value is not the usual one."""
    downloads = source == "named" and _is_known(name) and DATASETS[name].needs_files
    unused = {"image_size": source != "images", "data_dir": not downloads, "download": not downloads}
    usual = DataSpec()
    return [
        Mistake(("data", field), f"{{value}} is not used by {{0}} {source}", given[field], others=(SOURCE,))
        for field, not_used in unused.items()
        if field in given and not_used and not transfers and given[field] != getattr(usual, field)
    ]


def _refused(text: str, kind: str, mistakes: list[Mistake]) -> dict[str, Any]:
    mistakes.append(_unknown(text, kind))
    return {}


def _own(kind: str, text: str, mistakes: list[Mistake]) -> dict[str, Any]:
    if not text:
        mistakes.append(_names_nothing(kind))
        return {}
    path = Path(os.path.abspath(os.path.expanduser(text)))  # the shell leaves a ~ after the colon as it is
    return {"source": kind, "name": _name(path, kind), "path": str(path)}


def _names_nothing(kind: str) -> Mistake:
    return Mistake(SOURCE, f"{kind}: names no {'folder' if kind == 'images' else 'file'}")


def _name(path: Path, kind: str) -> str:
    """Return the name of a file without its endings, or of a folder."""
    if kind == "images":
        return path.name or kind
    return path.name.removesuffix(".gz").rsplit(".", 1)[0] or path.name


def _unknown(text: str, kind: str) -> Mistake:
    if kind:
        known = f"Known: table:FILE, images:FOLDER, arrays:FILE.npz, {FUNCTION}:MODULE:FUNCTION"
        return Mistake(DATA, f"{text}: {{value}} is no kind of data.{nearest(kind, (*KINDS, FUNCTION))} {known}", kind)
    if os.path.exists(text):
        own = f"images:{text}" if os.path.isdir(text) else f"table:{text} --target COLUMN"
        return Mistake(DATA, f"{text} is no data set by name; your own are given as {{0}} {own}", others=(DATA,))
    if os.path.dirname(text) or os.path.splitext(text)[1]:
        return Mistake(DATA, f"{text} is no file, no folder and no data set by name")
    return Mistake(DATA, "{value} is unknown", text, allowed=(*DATASETS, "or table:FILE", "images:FOLDER"))

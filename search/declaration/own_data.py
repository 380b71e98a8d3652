"""From ``--data`` and what goes with it to a declaration of data."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.errors import UsageError
from spaces import nearest
from trainables.data.datasets import DATASETS, LARGEST_IMAGE, DataSpec
from trainables.task import AUTO, Task

if TYPE_CHECKING:
    from search.declaration.options import Options

KINDS = ("table", "images")
TASKS = (AUTO, *(task.value for task in Task))


def declared_data(declared: DataSpec, options: Options, *, any_size: bool = False) -> DataSpec:
    """Return what ``options`` say of the data; what they do not say stays as ``declared``.

    Args:
        declared: by the study.
        options: what the user typed.
        any_size: whether ``--image-size`` also means something for named data sets, to somebody else.

    Raises:
        UsageError: everything that is wrong, a line each.
    """
    errors: list[str] = []
    chosen = _chosen(options, errors)
    if chosen.get("source", declared.source) != declared.source:
        declared = DataSpec(seed=declared.seed, train_examples=declared.train_examples)
    given: dict[str, Any] = {
        "data_dir": None if options.data_dir is None else str(options.data_dir.absolute()),
        "download": options.download or None,
        "train_examples": options.train_examples,
        "target": options.target,
        "task": options.task,
        "drop": tuple(options.drop) or None,
        "image_size": options.image_size,
    }
    data = dataclasses.replace(declared, **chosen, **{k: v for k, v in given.items() if v is not None})
    if options.image_size is not None and data.source != "images" and not errors and not any_size:
        errors.append(f"--image-size {options.image_size} is for --data images:FOLDER; the data are {data.name}")
    if errors:
        raise UsageError(errors)
    return data


def declaration_errors(data: DataSpec) -> list[str]:
    """Return what is wrong with a declaration of data, a line each; no file is looked at."""
    if data.source == "named" and data.name not in DATASETS:
        return [f"--dataset {data.name!r} is unknown.{nearest(data.name, DATASETS)} Known: {', '.join(DATASETS)}"]
    errors = []
    if data.source != "table":
        of_tables = {"--target": data.target, "--drop": ", ".join(data.drop), "--task": data.task}
        errors += [
            f"{option} {value!r} is for --data table:FILE; the data are {data.name}"
            for option, value in of_tables.items()
            if value and value != AUTO
        ]
    elif data.target is None:
        errors.append(f"--data table:{data.path} needs --target COLUMN, the column to predict")
    if data.task not in TASKS:
        errors.append(f"--task must be {', '.join(TASKS[:-1])} or {TASKS[-1]}, got {data.task!r}")
    if data.source != "named" and data.path is None:
        errors.append(f"--data {data.source}: names no {'file' if data.source == 'table' else 'folder'}")
    if not 1 <= data.image_size <= LARGEST_IMAGE:
        errors.append(f"--image-size must be between 1 and {LARGEST_IMAGE} pixels, got {data.image_size}")
    return errors


def _chosen(options: Options, errors: list[str]) -> dict[str, Any]:
    """Return the fields that ``--data`` or ``--dataset`` decides."""
    text = options.data if options.data is not None else options.dataset
    if text is None:
        return {}
    if options.dataset not in (None, text):
        errors.append(f"--data {text} and --dataset {options.dataset} name different data; give one of them")
    kind, colon, path = text.partition(":")
    if options.data is None or text in DATASETS:
        return {"source": "named", "name": text, "path": None}
    if colon and kind in KINDS:
        return _own(kind, path, errors)
    errors.append(_unknown(text, kind if colon else ""))
    return {}


def _own(kind: str, text: str, errors: list[str]) -> dict[str, Any]:
    if not text:
        errors.append(f"--data {kind}: names no {'file' if kind == 'table' else 'folder'}")
        return {}
    path = Path(os.path.abspath(os.path.expanduser(text)))  # the shell leaves a ~ after the colon as it is
    return {"source": kind, "name": _name(path, kind), "path": str(path)}


def _name(path: Path, kind: str) -> str:
    """Return the name of a file without its endings, or of a folder."""
    if kind == "images":
        return path.name or kind
    return path.name.removesuffix(".gz").rsplit(".", 1)[0] or path.name


def _unknown(text: str, kind: str) -> str:
    if kind:
        return f"--data {text}: {kind!r} is no kind of data.{nearest(kind, KINDS)} Known: table:FILE, images:FOLDER"
    if os.path.exists(text):
        own = f"images:{text}" if os.path.isdir(text) else f"table:{text} --target COLUMN"
        return f"--data {text} is no data set by name; your own are given as --data {own}"
    known = ", ".join(DATASETS)
    return f"--data {text!r} is unknown.{nearest(text, DATASETS)} Known: {known}, or table:FILE, images:FOLDER"

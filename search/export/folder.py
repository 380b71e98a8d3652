"""The folder of an export: everything that using a model takes, in plain files, each with its sha256."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.errors import RunError, UsageError
from search.export.plain_files import json_text, read_json, read_weights, write_weights
from trainables.disk import space_hint
from trainables.errors import CheckpointError, ConfigError, first_line

if TYPE_CHECKING:
    from trainables.kept_model import KeptModel

FORMAT = 1
CONFIG = "config.json"
PREPROCESSING = "preprocessing.json"
CLASSES = "classes.json"
ONNX = "model.onnx"

OF_THE_STATE = ("trainable", "params", "settings", "max_epochs", "seed", "shape", "outputs")
"""What ``config.json`` says from which the model is built again, beside what it tells a reader."""


def is_export(path: Path) -> bool:
    """Say whether a folder is an export."""
    return (path / CONFIG).is_file()


def refuse_taken(folder: Path) -> None:
    """Raise where something lies at ``folder`` already.

    Raises:
        UsageError: something does, or its parent is no folder.
    """
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"--to {folder} exists; name another folder, or remove it")
    if folder.parent.exists() and not folder.parent.is_dir():
        raise UsageError(f"--to {folder}: {folder.parent} is no folder")


def write_export(
    folder: Path,
    state: Mapping[str, Any],
    about: Mapping[str, Any],
    *,
    further: Callable[[Path, KeptModel], Mapping[str, Any]] = lambda made, model: {},
    last: Callable[[Path, KeptModel], None] = lambda made, model: None,
) -> None:
    """Write a model as a folder, which appears whole or not at all.

    Args:
        folder: must not be there.
        state: of a kept model, as ``trainables.best`` holds it; with ``settings`` beside ``params``.
        about: what ``config.json`` says besides.
        further: writes more files into the folder, given the model as it is read back from it; returns what
            ``config.json`` says of them.
        last: done with the whole folder, before it appears.

    Raises:
        UsageError: the folder is there.
        RunError: it cannot be written, or the model cannot be held in such files.
    """
    refuse_taken(folder)
    work = folder.parent / f".{folder.name}.{os.getpid()}.tmp"
    made = work / folder.name
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made.mkdir(parents=True)
        _write(made, state, about)
        if found := further(made, read_export(made)):
            _write_config(made, {**read_json((made / CONFIG).read_text()), **found})
        last(made, read_export(made))
        os.rename(made, folder)
    except CheckpointError as error:
        raise RunError(str(error)) from None
    except OSError as error:
        raise RunError(f"{folder} cannot be written: {error.strerror or error}{space_hint(folder.parent)}") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def read_export(folder: Path) -> KeptModel:
    """Return the model of an export, on CPU and in evaluation mode.

    Raises:
        CheckpointError: it is damaged, not whole, or of a version that is not known here.
        ConfigError: its trainable, a user's function say, cannot be found.
    """
    from trainables.best import kept_model

    what = f"export {folder}"
    config = read_config(folder)
    for name, digest in config["files"].items():
        try:
            found = _digest(folder / name)
        except OSError as error:
            raise CheckpointError(f"{what} is not whole: {name}: {error.strerror}") from None
        if found != digest:
            raise CheckpointError(f"{what} is damaged: the sha256 of {name} is not the one in {CONFIG}")
    try:
        data = read_json((folder / PREPROCESSING).read_text(encoding="utf-8"))
        classes = read_json((folder / CLASSES).read_text(encoding="utf-8"))
        params = {**config["settings"], **config["params"]}
        facts = {name: value for name, value in config.items() if name not in ("files", "format")}
        state = {**facts, "params": params, "data": None if data is None else {**data, "classes": classes}}
        return kept_model({**state, "model": read_weights(folder / config["weights"])}, what=what)
    except (CheckpointError, ConfigError):
        raise
    except Exception as error:  # what other versions, or another function of the user's, lead to
        raise CheckpointError(f"{what} cannot be used here: {type(error).__name__}: {first_line(error)}") from None


def _write(folder: Path, state: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    data = None if state["data"] is None else dict(state["data"])
    classes = [] if data is None else data.pop("classes")
    (folder / PREPROCESSING).write_text(json_text(data), encoding="utf-8")
    (folder / CLASSES).write_text(json_text(classes), encoding="utf-8")
    built = {name: state[name] for name in OF_THE_STATE}
    _write_config(folder, {**about, **built, "weights": write_weights(state["model"], folder)})


def _write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write ``config.json`` with the sha256 of every other file, and see that all of them are on the disk."""
    files = sorted(path for path in folder.iterdir() if path.name != CONFIG)
    listed = {path.name: _digest(path) for path in files}
    (folder / CONFIG).write_text(json_text({"format": FORMAT, **config, "files": listed}), encoding="utf-8")
    for path in (*files, folder / CONFIG, folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_config(folder: Path) -> dict[str, Any]:
    """Return what ``config.json`` says.

    Raises:
        CheckpointError: there is none, it is damaged, or of a version that is not known here.
    """
    what = f"export {folder}"
    try:
        config = read_json((folder / CONFIG).read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{what} cannot be read: {CONFIG}: {error.strerror}") from None
    except ValueError:
        raise CheckpointError(f"{what} is damaged: {CONFIG} is no JSON") from None
    found = config.get("format") if isinstance(config, dict) else None
    if found != FORMAT:
        raise CheckpointError(f"{what} has format {found!r}, this version of Lanewise reads {FORMAT}")
    whole: dict[str, Any] = config
    missing = {*OF_THE_STATE, "files", "weights"} - whole.keys()
    if missing:
        raise CheckpointError(f"{what} is damaged: {CONFIG} lacks {', '.join(sorted(missing))}")
    return whole


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

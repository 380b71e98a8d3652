"""What a study trains, told apart by its source: a resume must not put two models into one search."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from pathlib import Path

from search.drive.versions import version_of
from trainables.errors import ConfigError
from trainables.model_function import in_main, source_of_main
from trainables.protocols import IsUserCode
from trainables.registry import find_trainable, function_path


def model_of(trainable: str) -> dict[str, str]:
    """Return what tells this model from another, as plain data: the fact ``model`` of a study.

    ``package.module:attribute`` is the sha256 of its module's file; one of ours is the version of Lanewise.

    Args:
        trainable: as a study names it; it can be imported.
    """
    found = find_trainable(trainable)
    if isinstance(found, IsUserCode) and (mistakes := found.import_mistakes()):
        raise ConfigError(mistakes)
    if in_main(path := function_path(trainable)):
        where, sha256 = source_of_main(path)
        return {"trainable": trainable, "file": where, "sha256": sha256}
    module, colon, _ = function_path(trainable).partition(":")
    file = getattr(importlib.import_module(module), "__file__", None) if colon else None
    if file is None:  # ours, or of a module that has no file
        return {"trainable": trainable, "lanewise": version_of("lanewise") or "unknown"}
    return {"trainable": trainable, "file": file, "sha256": hashlib.sha256(Path(file).read_bytes()).hexdigest()}


def model_change(before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """Return in words how the model differs from what it was, or None where it does not.

    Where its file lies is no part of it.
    """
    if all(before.get(name) == now.get(name) for name in ("trainable", "lanewise", "sha256")):
        return None
    return f"{_text(before)} when the study began, {_text(now)} now"


def _text(model: Mapping[str, str]) -> str:
    if "sha256" in model:
        return f"{model['trainable']} of {model['file']} with sha256 {model['sha256'][:16]}"
    return f"{model['trainable']} of Lanewise {model['lanewise']}"

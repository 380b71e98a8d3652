"""The registered studies, one declaration a file; the registry is built from the files."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from search.declaration.study import Study
from search.errors import UsageError
from spaces import nearest


@cache
def registered() -> dict[str, Study]:
    """Return every declared study by its kind, in alphabetical order."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    studies = (importlib.import_module(f"{__name__}.{name}").STUDY for name in names)
    return {study.kind: study for study in studies}


def find(kind: str) -> Study:
    """Return the declaration of ``kind``.

    Raises:
        UsageError: no such study; the nearest name is suggested.
    """
    known = registered()
    if kind.endswith((".yaml", ".yml")):
        raise UsageError(f"unknown study {kind!r}; a study in a file is given as --config {kind}")
    if kind not in known:
        raise UsageError(f"unknown study {kind!r}.{nearest(kind, known)} Known: {', '.join(known)}")
    return known[kind]

"""Lanewise: distributed hyperparameter search for PyTorch. Declares, asks, decides, records, explains.

From Python: ``from search import declare, load, load_model, run``; see ``search.api``. What is not asked for is
not imported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.api import StudyResult, declare, load, load_model, run
    from search.declaration.study import Budget, Objective, Study
    from search.errors import RunError, UsageError

_HOMES = {
    "Budget": "search.declaration.study",
    "Objective": "search.declaration.study",
    "RunError": "search.errors",
    "Study": "search.declaration.study",
    "StudyResult": "search.api",
    "UsageError": "search.errors",
    "declare": "search.api",
    "load": "search.api",
    "load_model": "search.api",
    "run": "search.api",
}
"""Where each name is defined."""

__all__ = [
    "Budget",
    "Objective",
    "RunError",
    "Study",
    "StudyResult",
    "UsageError",
    "declare",
    "load",
    "load_model",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

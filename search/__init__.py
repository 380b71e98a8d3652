"""Lanewise: distributed hyperparameter search for PyTorch. Declares, asks, decides, records, explains.

From Python: ``from search import declare, load, load_model, run``; see ``search.api``. What is not asked for is
not imported.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.api import compare, declare, load, load_model, run
    from search.declaration.study import Budget, Objective, Study
    from search.errors import RunError, UsageError
    from search.export.results import StudyComparison, StudyResult
    from trainables.train_function.handover import TrialEnded
    from trainables.train_function.trial import Trial

_HOMES = {
    "Budget": "search.declaration.study",
    "Objective": "search.declaration.study",
    "RunError": "search.errors",
    "Study": "search.declaration.study",
    "StudyComparison": "search.export.results",
    "StudyResult": "search.export.results",
    "Trial": "trainables.train_function.trial",
    "TrialEnded": "trainables.train_function.handover",
    "UsageError": "search.errors",
    "compare": "search.api",
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
    "StudyComparison",
    "StudyResult",
    "Trial",
    "TrialEnded",
    "UsageError",
    "compare",
    "declare",
    "load",
    "load_model",
    "run",
]


def _refuse_shadows() -> None:
    """Say in one line which file of the user's hides a package of ours: its import fails in a place that tells nothing.

    Raises:
        SystemExit: one does, and this is a command.
        ImportError: one does, and this is a program of the user's.
    """
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for name in ("spaces", "trainables"):
        spec = find_spec(name)
        where = None if spec is None else spec.origin
        if where is not None and os.path.dirname(os.path.dirname(os.path.abspath(where))) != root:
            line = f"{where} hides Lanewise's package {name!r} from Python; rename it, or start in another folder"
            if sys.argv[:1] != ["-m"] and os.path.basename(sys.argv[0] if sys.argv else "") != "lanewise":
                raise ImportError(line)
            print(f"error: {line}", file=sys.stderr)
            raise SystemExit(2)


_refuse_shadows()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""The versions that a result depends on."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from search.ledger.events import VersionsChanged

PACKAGES = ("lanewise", "torch", "torchvision", "ray", "optuna", "mlflow", "numpy", "pandas", "scikit-learn")

IN_RESULTS = ("python", "torch", "ray", "optuna", "numpy", "scikit-learn")
"""The names whose change may show in the last digits of a curve, in a proposal or in a decision."""


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter, without importing them."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        if (number := version_of(package)) is not None:
            found[package] = number
    return found


def version_of(package: str) -> str | None:
    """Return the version of an installed package, without importing it; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def version_changes(before: Mapping[str, str], now: Mapping[str, str]) -> VersionsChanged | None:
    """Return what became of the versions that results depend on, or None where they are the same."""
    found = {name: (before.get(name), now.get(name)) for name in IN_RESULTS}
    changes = {name: (old, new) for name, (old, new) in found.items() if old != new}
    return VersionsChanged(changes=changes) if changes else None

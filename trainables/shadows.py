"""Files of a user's own that Python would import in place of Lanewise's packages."""

from __future__ import annotations

from importlib.machinery import PathFinder
from pathlib import Path

PACKAGES = ("search", "spaces", "trainables")
ROOT = Path(__file__).parents[1]
"""Where the packages of Lanewise lie."""


def shadow_in(folder: Path) -> str | None:
    """Return in one line what hides a package of Lanewise once ``folder`` is on the import path; None if nothing does.

    Args:
        folder: the current one, say.
    """
    if folder.resolve() == ROOT:
        return None
    for name in PACKAGES:
        spec = PathFinder.find_spec(name, [str(folder)])
        if spec is not None and spec.origin is not None:
            return f"{spec.origin} hides Lanewise's package {name!r} from Python; rename it, or start in another folder"
    return None

"""A user without a home directory, as containers have them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def give_home(home: Path, say: Callable[[str], None]) -> None:
    """Set ``HOME`` and ``USER`` where neither they nor the system's list of users has them: Ray and torch need them.

    Args:
        home: folder of all studies, which takes what would lie in the user's own folder.
        say: is told of it.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(home.absolute())
        os.environ.setdefault("USER", f"user-{os.getuid()}")
        say(f"user {os.getuid()} has no home directory (HOME is not set): {home.absolute()} is taken for it")

"""Obstacles to a Ray that a search starts here, told before it starts: Ray's own words name no remedy."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from search.declaration.study import Study
from search.executors.choice import choose_executor
from trainables.mistake import Mistake
from trainables.shadows import shadow_in

SOCKET = "/ray/session_2026-11-28_14-56-01_900161_4194304/sockets/plasma_store"
"""The longest that Ray adds to its temporary folder, for a socket."""

LONGEST_SOCKET = 107
"""Bytes of a socket's path that the system takes (``sun_path`` of ``AF_UNIX``)."""


def ray_mistakes(study: Study, folder: Path) -> list[Mistake]:
    """Return why Ray cannot run the trials of a study; empty if it can, or need not.

    Args:
        study: a valid one, whose executor can run it.
        folder: the current one, in which Ray's processes import modules first.
    """
    choice = choose_executor(study)
    if choice.forks or not choice.several_processes:
        return []
    found = []
    if (shadow := shadow_in(folder)) is not None:
        found.append(Mistake(("executor",), f"Ray's processes cannot import Lanewise: {shadow}", whole=True))
    if study.resources.address is None:
        found += _socket_mistakes()
    return found


def _socket_mistakes() -> list[Mistake]:
    names = ("RAY_TMPDIR", "TMPDIR") if sys.platform.startswith("linux") else ("RAY_TMPDIR",)
    variable = next((name for name in names if os.environ.get(name)), None)
    if variable is None:
        return []
    place = os.environ[variable]
    length, most = len(os.fsencode(place)), LONGEST_SOCKET - len(SOCKET)
    if length <= most:
        return []
    line = (
        f"Ray cannot be started: {variable}={place} has {length} bytes, and its sockets there can have at most {most}; "
        "set a shorter one: RAY_TMPDIR=/tmp"
    )
    return [Mistake(("executor",), line, whole=True)]

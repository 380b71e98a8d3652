"""The commands that are printed for a user to copy: each runs as it stands, from any folder, on the same ledger."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from search.ledger.paths import Paths


def resume_command(paths: Paths) -> str:
    """Return the command that continues the study."""
    return _command("resume", paths)


def extend_command(paths: Paths) -> str:
    """Return the command that continues the study with a larger budget; its options are to be appended."""
    return _command("extend", paths)


def sync_command(paths: Paths) -> str:
    """Return the command that sends to MLflow whatever it does not have of the study."""
    return _command("sync", paths)


def mlflow_command(uri: str) -> str:
    """Return what shows MLflow's pages of the runs at ``uri``: the address of a server, or a command."""
    if uri.startswith(("http://", "https://")):
        return uri
    python = Path(sys.executable)
    shown = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    return f"{shown} -m mlflow ui --backend-store-uri {shlex.quote(uri)}"


def _command(verb: str, paths: Paths) -> str:
    command = f"python -m search {verb} {shlex.quote(paths.name)} --home {shlex.quote(str(paths.home))}"
    return command if paths.database is None else f"{command} --ledger {shlex.quote(paths.ledger)}"

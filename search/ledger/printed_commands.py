"""The commands that are printed for a user to copy: each runs as it stands, from any folder, on the same ledger.

But for passwords, which none has: where the command at hand was given one, a comment says where others may find it.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from search.credentials import better_way, were_given
from search.ledger.paths import Paths


def resume_command(paths: Paths) -> str:
    """Return the command that continues the study."""
    return _command("resume", paths)


def confirm_command(paths: Paths, options: str = "") -> str:
    """Return the command that trains what is missing of the study's confirmation."""
    return _command("confirm", paths, options)


def extend_command(paths: Paths, options: str) -> str:
    """Return the command that continues the study with a larger budget, which ``options`` say."""
    return _command("extend", paths, options)


def config_command(paths: Paths) -> str:
    """Return the command that prints the study's declaration as YAML."""
    return _command("show", paths, "--config")


def run_config_command(paths: Paths, file: str) -> str:
    """Return the command that searches, as a new study of the same home, what a file declares."""
    return f"python -m search.run --config {shlex.quote(file)} --home {shlex.quote(str(paths.home))}"


def report_command(paths: Paths) -> str:
    """Return the command that writes the study's report."""
    return _command("report", paths)


def export_command(paths: Paths, options: str = "") -> str:
    """Return the command that writes a model of the study as a folder."""
    return _command("export", paths, options)


def sync_command(paths: Paths, uri: str | None = None) -> str:
    """Return the command that sends to MLflow whatever it does not have of the study.

    Args:
        paths: where the study lies.
        uri: the study's own tracking URI, if it has one.
    """
    return _command("sync", paths, uri=uri)


def mlflow_command(uri: str) -> str:
    """Return what shows MLflow's pages of the runs at ``uri``: the address of a server, or a command."""
    if uri.startswith(("http://", "https://")):
        return f"{uri}{_passwords(uri)}"
    python = Path(sys.executable)
    shown = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    return f"{shown} -m mlflow ui --backend-store-uri {shlex.quote(uri)}{_passwords(uri)}"


def _command(verb: str, paths: Paths, options: str = "", *, uri: str | None = None) -> str:
    command = f"python -m search {verb} {shlex.quote(paths.name)} --home {shlex.quote(str(paths.home))}"
    if paths.database is not None:
        command += f" --ledger {shlex.quote(paths.database)}"
    return f"{command} {options}".rstrip() + _passwords(paths.database, uri)


def _passwords(*addresses: str | None) -> str:
    """Return a comment of the shell that says where passwords of addresses can be, if this process was given any."""
    given = [better_way(address) for address in addresses if address is not None and were_given(address)]
    return f"  # its passwords are not stored: {'; '.join(given)}" if given else ""

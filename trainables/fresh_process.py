"""Starts a process of Python that runs one of our modules, whatever lies in the current folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
"""Where the packages of Lanewise lie."""

CODE = """
import json, runpy, sys
sys.path[:] = json.loads(sys.argv.pop())
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def start_module(module: str, *arguments: str, **options: Any) -> subprocess.Popen[Any]:
    """Start a process that runs a module as ``python -m`` does; Ctrl-C does not reach it.

    Args:
        module: its dotted name.
        arguments: what ``sys.argv`` has after the program.
        options: further ones of ``subprocess.Popen``.
    """
    return subprocess.Popen(
        # -P: what lies in the current folder is the user's, a file search.py included
        [sys.executable, "-P", "-c", CODE, module, *arguments, json.dumps(_import_path())],
        start_new_session=True,
        **options,
    )


def _import_path() -> list[str]:
    """Return this process's import path without the current folder, unless Lanewise itself is imported from there."""
    here = Path.cwd()
    return [entry for entry in sys.path if ROOT == here or Path(entry).absolute() != here]

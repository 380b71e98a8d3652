"""The outermost frame of every command: user errors become lines and an exit code."""

from __future__ import annotations

import gc
import sys

import typer

from search.commands.streams import forgiving_output
from search.errors import OutputError, UserError


def about_to_exit() -> None:
    """Spare the interpreter its last search for cycles among everything that torch and MLflow loaded.

    The memory goes back with the process either way; the search for it took a second of each command.
    """
    gc.freeze()


def guarded(app: typer.Typer, *, prog: str) -> int:
    """Run ``app`` and return the process's exit code.

    Errors that a user can mend print a line each on standard error, without a traceback; anything else
    is a defect of ours and keeps its traceback. What cannot be printed, where the reader of a pipe is gone say, stops
    nothing; the exit code is then that of ``OutputError``.
    """
    try:
        with forgiving_output() as output:
            code = _guarded(app, prog)
            sys.stdout.flush()
            if output.lost is None:
                return code
            lost = OutputError(output.lost)
            print(f"error: {lost}", file=sys.stderr)
            return lost.exit_code if code == 0 else code
    finally:
        about_to_exit()


def _guarded(app: typer.Typer, prog: str) -> int:
    try:
        code = app(prog_name=prog, standalone_mode=False)
    except UserError as error:
        for line in error.errors:
            print(f"error: {line}", file=sys.stderr)
        return error.exit_code
    except typer.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        show = getattr(error, "show", None)
        if show is None or not hasattr(error, "exit_code"):
            raise
        show()  # a usage error of the command-line library: wrong option, wrong type
        return int(error.exit_code)
    return code if isinstance(code, int) else 0

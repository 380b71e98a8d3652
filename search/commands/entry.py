"""The outermost frame of every command: user errors become lines and an exit code."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

import typer

from search.commands.streams import forgiving_output
from search.credentials import better_way, mask_command_line, masked, masked_address, print_masked_traceback
from search.errors import OutputError, UserError
from search.signs.life import command_running
from search.signs.stopping import Stopped


def about_to_exit() -> None:
    """Spare the interpreter its last search for cycles among everything that torch and MLflow loaded.

    The memory goes back with the process either way; the search for it took a second of each command.
    """
    gc.freeze()


def guarded(app: typer.Typer, *, prog: str) -> int:
    """Run ``app`` and return the process's exit code.

    Errors that a user can mend print a line each on standard error, without a traceback; anything else
    is a defect of ours and keeps its traceback. What cannot be printed, where the reader of a pipe is gone say, stops
    nothing; the exit code is then that of ``OutputError``. Secrets in the command line are masked in it, and in
    whatever is printed of errors.
    """
    sys.excepthook = print_masked_traceback
    try:
        with forgiving_output() as output, command_running():
            code = _guarded(app, prog)
            sys.stdout.flush()
            if output.lost is None:
                return code
            lost = OutputError(output.lost)
            print(f"error: {lost}", file=sys.stderr)
            return lost.exit_code if code == 0 else code
    finally:
        about_to_exit()


def _warn_of_typed_secrets(arguments: Sequence[str]) -> None:
    """Say that a secret in the command line may have been seen there, and where it is better kept."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, _, value = argument.partition("=") if argument.startswith("--") else (before, "", argument)
        if "://" in value and masked_address(value) != value:
            text = f"{option or 'an argument'} has a password or token in it, which is not stored"
            print(f"note: {text}; others may see it in the list of processes: {better_way(value)}", file=sys.stderr)


def _guarded(app: typer.Typer, prog: str) -> int:
    arguments = mask_command_line()
    _warn_of_typed_secrets(arguments)
    try:
        code = app(args=arguments, prog_name=prog, standalone_mode=False)
    except UserError as error:
        for line in error.errors:
            print(f"error: {line}", file=sys.stderr)
        return error.exit_code
    except typer.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return stopped.exit_code
    except Exception as error:
        show = getattr(error, "show", None)
        if show is None or not hasattr(error, "exit_code"):
            raise
        if hasattr(error, "message"):
            error.message = masked(str(error.message))
        show()  # a usage error of the command-line library: wrong option, wrong type
        return int(error.exit_code)
    return code if isinstance(code, int) else 0

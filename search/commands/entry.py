"""The outermost frame of every command: user errors become lines and an exit code."""

from __future__ import annotations

import gc
import sys
import traceback
from types import TracebackType

import typer

from search.commands.streams import OUTPUT_LOST, forgiving_output
from search.credentials import mask_command_line, masked
from search.declaration.options import addresses
from search.errors import UserError


def about_to_exit() -> None:
    """Spare the interpreter its last search for cycles among everything that torch and MLflow loaded.

    The memory goes back with the process either way; the search for it took a second of each command.
    """
    gc.freeze()


def guarded(app: typer.Typer, *, prog: str) -> int:
    """Run ``app`` and return the process's exit code.

    Errors that a user can mend print a line each on standard error, without a traceback; anything else
    is a defect of ours and keeps its traceback. What cannot be printed, where the reader of a pipe is gone say, stops
    nothing; the exit code is then ``OUTPUT_LOST``. Secrets in the command line are masked in it, and in whatever is
    printed of errors.
    """
    sys.excepthook = _masked_traceback
    try:
        with forgiving_output() as output:
            code = _guarded(app, prog)
            sys.stdout.flush()
            if output.lost is None:
                return code
            hint = "what was recorded stays, see: python -m search list"
            print(f"error: standard output could not be written ({output.lost}); {hint}", file=sys.stderr)
            return OUTPUT_LOST if code == 0 else code
    finally:
        about_to_exit()


def _masked_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    print(masked("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr, end="")


def _mask_command_line() -> list[str]:
    """Return the arguments that were typed, which only this process knows from now on if secrets are among them."""
    arguments, flags = sys.argv[1:], addresses().values()
    for flag in mask_command_line(flags):
        place = f"in {flag}" if flag else "in an argument"
        print(
            f"note: the password or token {place} is used, not stored; a command line shows it to others: "
            + ("PGPASSWORD or ~/.pgpass" if flag == "--ledger" else "a variable or file of its client")
            + " does not (docs/security.md)",
            file=sys.stderr,
        )
    return arguments


def _guarded(app: typer.Typer, prog: str) -> int:
    try:
        code = app(args=_mask_command_line(), prog_name=prog, standalone_mode=False)
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
        if hasattr(error, "message"):
            error.message = masked(str(error.message))
        show()  # a usage error of the command-line library: wrong option, wrong type
        return int(error.exit_code)
    return code if isinstance(code, int) else 0

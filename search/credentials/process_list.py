"""The command line that every user of the machine can read of a process, without the secrets that were typed in it."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from search.credentials.address import masked_address
from search.credentials.text import masked

_ARGUMENTS_FROM, _ARGUMENTS_TO = 45, 46
"""Where ``/proc/PID/stat`` says, behind the name of the command, in which memory the arguments lie (proc(5))."""


_typed: dict[tuple[str, ...], list[str]] = {}
"""What was typed, by what ``sys.argv`` shows of it."""


def mask_command_line() -> list[str]:
    """Mask the secrets in this process's command line: in ``sys.argv``, and as other processes see it.

    Ray, for one, shows the driver's command line to everybody on its cluster. Until this is called, anybody can see it.
    What other processes see is changed on Linux alone.

    Returns:
        The arguments as they were typed; at a second call, too.
    """
    typed = sys.argv[1:]
    shown = [_masked_argument(argument) for argument in typed]
    if shown != typed:
        _typed[tuple(shown)] = typed
        sys.argv[1:] = shown
        if sys.orig_argv[-len(typed) :] == typed:
            sys.orig_argv[-len(typed) :] = shown
            _overwrite(sys.orig_argv)
    return _typed.get(tuple(shown), typed)


def _masked_argument(argument: str) -> str:
    """Return an argument as others may see it: of what may be an address, but cannot be read, hardly anything."""
    option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    may_have_user = "://" in value or (":" in value and "@" in value)
    return f"{option}{equals}{masked_address(value) if may_have_user else masked(value)}"


def _overwrite(arguments: list[str]) -> None:
    """Write over the memory that the system shows as this process's command line, where it is found as expected."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        line = Path("/proc/self/cmdline").read_bytes()
    except OSError:
        return  # no Linux
    start, end = int(fields[_ARGUMENTS_FROM]), int(fields[_ARGUMENTS_TO])
    old = line.removesuffix(b"\0").split(b"\0")
    as_expected = start and end - start == len(line) and len(old) == len(arguments)
    if not as_expected or ctypes.string_at(start, len(line)) != line:
        return
    # every argument keeps its length: those behind it stay where they are
    texts = [argument.encode(errors="surrogateescape") for argument in arguments]
    text = b"".join(_fitted(new, len(was)) + b"\0" for new, was in zip(texts, old, strict=True))
    ctypes.memmove(start, text, len(text))


def _fitted(text: bytes, length: int) -> bytes:
    return text[:length].ljust(length)

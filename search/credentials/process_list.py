"""The command line that every user of the machine can read of a process, without the secrets that were typed in it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable
from pathlib import Path

from search.credentials.address import masked_address
from search.credentials.text import masked

_ARGUMENTS_FROM, _ARGUMENTS_TO = 45, 46
"""Where ``/proc/PID/stat`` says, behind the name of the command, in which memory the arguments lie (proc(5))."""


def mask_command_line(options: Iterable[str]) -> list[str]:
    """Mask the secrets in this process's command line: in ``sys.argv``, and as other processes see it.

    Ray, for one, shows the driver's command line to everybody on its cluster. Until this is called, anybody can see it.
    What other processes see is changed on Linux alone.

    Args:
        options: those that take an address, of which nothing is shown where it cannot be read.

    Returns:
        The options in whose values secrets stood; for an argument without one, an empty text.
    """
    shown = _masked_arguments(sys.orig_argv, frozenset(options))
    found = [flag for (_, flag), before in zip(shown, sys.orig_argv, strict=True) if flag is not None]
    if found:
        _overwrite([argument for argument, _ in shown])
        own = len(sys.orig_argv) - len(sys.argv) + 1
        sys.argv[1:] = [argument for argument, _ in shown][own:]
        sys.orig_argv[:] = [argument for argument, _ in shown]
    return list(dict.fromkeys(found))


def _masked_arguments(arguments: list[str], options: frozenset[str]) -> list[tuple[str, str | None]]:
    """Return each argument masked, with the option that it belongs to where that changed it."""
    out: list[tuple[str, str | None]] = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        flag, equals, value = argument.partition("=")
        if flag in options and equals:
            shown = f"{flag}={masked_address(value)}"
        elif before in options:
            flag, shown = before, masked_address(argument)
        else:
            flag, shown = flag if flag.startswith("-") else "", masked(argument)
        out.append((shown, None if shown == argument else flag))
    return out


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

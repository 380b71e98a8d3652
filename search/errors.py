"""Errors a user can cause; each prints as one line a cause and an exit code, no traceback."""

from __future__ import annotations

import os
from collections.abc import Sequence

from search.credentials import masked
from trainables.mistake import Mistake

LIST = "python -m search list"
"""The command that shows what was recorded."""


class UserError(Exception):
    """Something the user can mend.

    Attributes:
        errors: one line each: what failed, the value, what is allowed, what to do. A character that would break
            the line, or cannot be shown, is written as its escape, and the secrets of addresses as ``***``: names and
            messages come from anywhere.
        exit_code: the process's.
    """

    exit_code = 1

    def __init__(self, errors: str | Sequence[str]) -> None:
        lines = (errors,) if isinstance(errors, str) else errors
        self.errors: tuple[str, ...] = tuple(_one_line(masked(line)) for line in lines)
        super().__init__("\n".join(self.errors))


def _one_line(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


class UsageError(UserError):
    """The command or a configuration is wrong; nothing was started.

    Attributes:
        mistakes: records of what is wrong with a declaration, where that is it; ``errors`` has them in words.
    """

    exit_code = 2

    def __init__(self, errors: str | Sequence[str], mistakes: Sequence[Mistake] = ()) -> None:
        super().__init__(errors)
        self.mistakes = tuple(mistakes)


class RunError(UserError):
    """Something failed at run time; what was recorded until then stays."""

    exit_code = 1


class OutputError(UserError):
    """Not everything could be printed: the reader of a pipe is gone, a disk is full; the rest was done as asked."""

    exit_code = os.EX_IOERR

    def __init__(self, why: str) -> None:
        super().__init__(f"standard output could not be written ({why}); what was recorded stays, see: {LIST}")


class LedgerError(RunError):
    """The ledger cannot be read, or what it holds contradicts itself; nothing in it was changed."""


class StorageError(RunError):
    """The ledger or a checkpoint cannot be written (a full disk, say); the search can go on from what is recorded."""

"""Errors a user can cause; each prints as one line a cause and an exit code, no traceback."""

from __future__ import annotations

from collections.abc import Sequence


class UserError(Exception):
    """Something the user can mend.

    Attributes:
        errors: one line each: what failed, the value, what is allowed, what to do.
        exit_code: of the process.
    """

    exit_code = 1

    def __init__(self, errors: str | Sequence[str]) -> None:
        self.errors: tuple[str, ...] = (errors,) if isinstance(errors, str) else tuple(errors)
        super().__init__("\n".join(self.errors))


class UsageError(UserError):
    """The command or a configuration is wrong; nothing was started."""

    exit_code = 2


class RunError(UserError):
    """Something failed at run time; what was recorded until then stays."""

    exit_code = 1


class LedgerError(RunError):
    """The ledger cannot be read, or what it holds contradicts itself; nothing in it was changed."""


class StorageError(RunError):
    """The ledger or a checkpoint cannot be written (a full disk, say); the search can go on from what is recorded."""

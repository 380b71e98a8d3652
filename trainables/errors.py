"""What can go wrong inside a trial, by name."""

from collections.abc import Sequence


class ConfigError(ValueError):
    """Everything wrong in one configuration.

    Attributes:
        errors: one line each: the field, the rule and the value.
    """

    def __init__(self, errors: str | Sequence[str]) -> None:
        self.errors: tuple[str, ...] = (errors,) if isinstance(errors, str) else tuple(errors)
        super().__init__("\n".join(self.errors))


class DataError(ValueError):
    """A data set is absent, damaged or unfit; the message says what to do."""


class CheckpointError(RuntimeError):
    """A checkpoint is absent, truncated, altered or of another format."""


class CheckpointWriteError(OSError):
    """A checkpoint cannot be written (a full disk, say): a fault of the machine, not of the trial."""

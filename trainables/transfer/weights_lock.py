"""One process at a time makes the same weights; the others see how far it is, and wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from trainables.errors import CheckpointWriteError, ConfigError
from trainables.file_lock import file_lock


@contextmanager
def weights_lock(file: Path, say: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """While inside, no other process makes ``file``; the lock ends with the process, however that ends.

    Args:
        file: the weights; the lock lies beside them.
        say: shows a line to the user.

    Yields:
        What shows a line to the user, and to the users of the processes that wait.

    Raises:
        ConfigError: the folder, or the weights, cannot be written.
    """
    with ExitStack() as stack:
        try:
            say_to_all = stack.enter_context(file_lock(file.with_suffix(".lock"), say, what="weights"))
        except OSError as error:
            raise ConfigError(
                f"{file.parent} cannot be written ({error.strerror}); XDG_CACHE_HOME names another folder"
            ) from None
        try:
            yield say_to_all
        except CheckpointWriteError as error:
            raise ConfigError(f"weights source: {error}; XDG_CACHE_HOME names another folder") from None

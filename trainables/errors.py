"""What can go wrong inside a trial, or with what a user gives, by name. Imports plain data alone."""

import errno
import re
import signal
import threading
from collections.abc import Sequence

from trainables.mistake import Mistake, dotted, sentence

NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "alloc_failed")
"""What the messages of torch's allocators and of CUDA's libraries say, in small letters: on a CPU, and inside cuBLAS
or cuDNN, the error is a plain ``RuntimeError``."""


ESCAPE_CODE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|.)")
"""A terminal's escape code; torch's messages hold some."""


class InputError(ValueError):
    """Everything that is wrong with something a user gave.

    Attributes:
        mistakes: each with where it is, as far as that is known.
        errors: the same as a line each: what it is, the rule, the value, and what to do.
    """

    def __init__(self, errors: str | Mistake | Sequence[str | Mistake]) -> None:
        given = (errors,) if isinstance(errors, str | Mistake) else errors
        self.mistakes = tuple(Mistake((), e, whole=True) if isinstance(e, str) else e for e in given)
        self.errors = tuple(sentence(mistake, dotted) for mistake in self.mistakes)
        super().__init__("\n".join(self.errors))


class ConfigError(InputError):
    """Everything that is wrong with the configuration of a trial."""


class DataError(InputError):
    """A data set is absent, damaged or unfit to learn from."""


class CheckpointError(RuntimeError):
    """A checkpoint is absent, truncated, altered or of another format."""


class CheckpointWriteError(OSError):
    """A checkpoint cannot be written (a full disk, say): a fault of the machine, not of the trial."""


class CannotStackError(RuntimeError):
    """A module does something that lanes of a stack cannot do at the same time; it trains in the plain loop."""


def is_of_a_signal(error: BaseException) -> bool:
    """Say whether a signal raised this in the midst of a trial, whose own fault it is not: Ctrl-C, SIGTERM, or Ray's.

    Anything else that a trial raises is its own, ``SystemExit`` and ``KeyboardInterrupt`` of its code included.
    """
    if isinstance(error, KeyboardInterrupt):
        raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is handled without an error
        return raises and threading.current_thread() is threading.main_thread()
    return getattr(error, "is_ray_terminate", False) is True or getattr(error, "is_of_signal", False) is True


def is_out_of_memory(error: BaseException | None) -> bool:
    """Say whether a trial ended for want of memory, on the device or the host.

    Python's, NumPy's and torch's errors count, and Ray's where its memory monitor ended a worker.
    """
    # by name, so that neither torch nor Ray is imported to ask
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in NO_MEMORY)


def named_with_last_line(error: BaseException | None) -> str:
    """Return an error's type and the last line that it says, such as ``ValueError: boom``, or the type alone."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__


def first_line(error: BaseException, *, most: int = 160) -> str:
    """Return the first sentence that an error says, without a terminal's escape codes and at most ``most`` long.

    One that ends at a colon goes on with the next line, as torch's ``Error(s) in loading state_dict for Mlp:`` does.
    """
    lines = [line.strip() for line in ESCAPE_CODE.sub("", str(error)).splitlines() if line.strip()]
    text = " ".join(lines[:2]) if lines and lines[0].endswith(":") else next(iter(lines), "")
    return text if len(text) <= most else f"{text[: most - 3]}..."

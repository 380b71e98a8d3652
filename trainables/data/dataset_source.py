"""A user's datasets, read where they are needed: by this process, or ahead of it by others, the same either way."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.arrays import as_inputs
from trainables.data.streamed import Indices
from trainables.derive import derive
from trainables.errors import ConfigError, DataError
from trainables.notice import Notice
from trainables.user_code import error_line
from trainables.user_function import UserFunction

KIND = "data"
SIGNATURE = "function() -> (train, val) or (train, val, test)"
PARTS = ("train", "val", "test")

_opened: dict[str, tuple[Any, ...]] = {}
"""What this process's call of a function returned, by its path."""


def remember(function: str, parts: Sequence[Any]) -> None:
    """Take the datasets that a function returned in this process, so that it is not called again."""
    _opened[function] = tuple(parts)


def opened(function: str) -> tuple[Any, ...]:
    """Return the datasets of a function, called once in this process.

    Raises:
        DataError: there is no such function, or it raises.
    """
    if function not in _opened:
        try:
            remember(function, UserFunction(function, KIND, SIGNATURE, "mine:load").find()())
        except ConfigError as error:
            raise DataError(error.errors) from None
        except (Exception, SystemExit) as error:
            raise DataError(f"{KIND} {function} failed: {error_line(error)}") from None
    return _opened[function]


def own_fingerprint(function: UserFunction) -> str | None:
    """Return what a function's attribute ``fingerprint`` says now that its data are; None where it has none.

    Raises:
        ConfigError: there is no such function, or what it says is no text.
    """
    given = getattr(function.find(), "fingerprint", None)
    try:
        given = given() if callable(given) else given
    except Exception as error:
        raise ConfigError(f"{function.who}: its fingerprint failed: {error_line(error)}") from None
    if given is not None and not (isinstance(given, str) and given):
        raise ConfigError(f"{function.who}: its fingerprint is {given!r:.60}; expected a text, or what returns one")
    if given is not None and given.encode(errors="replace").decode() != given:
        raise ConfigError(f"{function.who}: its fingerprint {given!a:.60} is no text that can be written (a surrogate)")
    return given


def fingerprint_of(function: str) -> str | None:
    """Return ``own_fingerprint`` of the function whose path it is.

    Raises:
        DataError: there is no such function, or what it says is no text.
    """
    try:
        return own_fingerprint(UserFunction(function, KIND, SIGNATURE, "mine:load"))
    except ConfigError as error:
        raise DataError(error.errors) from None


def lengths_of(function: str, parts: Sequence[Any]) -> tuple[int, ...]:
    """Return how many examples each part of a function has.

    Raises:
        DataError: a part does not say it, or says no number of examples; a line for each.
    """
    lengths, errors = [], []
    for name, part in zip(PARTS, parts, strict=False):
        try:
            lengths.append(len(part))
        except (Exception, SystemExit) as error:  # also ``len``'s own, of what is negative or no whole number
            of = f"{KIND} {function}: {name}: the length of the {type(part).__name__}"
            errors.append(f"{of} failed: {error_line(error)}")
    if errors:
        raise DataError(errors)
    return tuple(lengths)


@dataclass(frozen=True)
class Batch:
    """Some examples.

    Attributes:
        x: [B, ...] float32.
        y: [B, ...] as the dataset gives them.
        notices: how their shape was understood.
        error: why they could not be read, a line; the rest then means nothing.
    """

    x: Any = None
    y: Any = None
    notices: tuple[Notice, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class DatasetSource:
    """The examples of all parts, one part after another; pickled by the function's path, and opened where read.

    Attributes:
        function: ``package.module:function``, which returns the datasets.
        lengths: of the parts.
        workers: processes that read ahead; 0 reads in this one.
        shape: of an example as the dataset gives it; None while it is not known.
    """

    function: str
    lengths: tuple[int, ...]
    workers: int = 0
    shape: tuple[int, ...] | None = None

    @property
    def who(self) -> str:
        """What messages begin with."""
        return f"{KIND} {self.function}"

    @property
    def inputs_shape(self) -> tuple[int, ...]:
        """The shape of an example as a model is given it; that of the dataset's must be known."""
        assert self.shape is not None
        return as_inputs(np.zeros((1, *self.shape), np.float32), self.who, [], []).shape[1:]

    def read(self, batches: Sequence[Indices], *, seed: int) -> Iterator[Batch]:
        """Yield each batch, in order; what is drawn for one depends on ``seed`` and its place alone.

        Args:
            batches: the numbers of examples, counted over all parts.
            seed: seeds torch's, NumPy's and Python's global generators for each batch.

        Raises:
            DataError: an example cannot be read, or is not like the others; it is named.
        """
        import torch
        from torch.utils.data import DataLoader

        examples: Any = _Examples(self)
        seeded: Any = [(derive(seed, "batch", i), numbers) for i, numbers in enumerate(batches)]
        loader: DataLoader[Any] = DataLoader(
            examples,
            batch_sampler=seeded,
            num_workers=min(self.workers, len(batches)),
            collate_fn=_only,
            generator=torch.Generator(),  # else it draws from the global one, which a model's dropout draws from
        )
        for batch in _each(loader, self.who):
            if batch.error:
                raise DataError(batch.error)
            yield batch

    def parts(self) -> tuple[Any, ...]:
        """Return the datasets.

        Raises:
            DataError: they cannot be had, or are not as many and as long as they were.
        """
        parts = opened(self.function)
        lengths = lengths_of(self.function, parts)
        if lengths != self.lengths:
            raise DataError(f"{self.who} returned parts of {lengths} examples here, and of {self.lengths} before")
        return parts


class _Examples:
    """The examples of a source as torch's ``DataLoader`` reads them: whole batches, each with its seed."""

    def __init__(self, source: DatasetSource) -> None:
        self._source = source
        self._parts = source.parts()
        self._ends = list(accumulate(source.lengths))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitems__(self, batch: tuple[int, Indices]) -> list[Batch]:
        seed, numbers = batch
        with _seeded(seed):
            try:
                return [self._batch(numbers)]
            except DataError as error:
                return [Batch(error=error.errors[0])]  # raised in a worker it would come with a traceback of its own

    def _batch(self, numbers: Indices) -> Batch:
        xs, ys = [], []
        for number in numbers.tolist():
            x, y = self._example(number)
            xs.append(x)
            ys.append(y)
        import torch

        notices: list[Notice] = []
        errors: list[str] = []
        what = f"{self._source.who}: items {numbers.min()} to {numbers.max()}"
        inputs = as_inputs(np.stack(xs), what, errors, notices)
        if errors:
            raise DataError(errors)
        return Batch(torch.from_numpy(inputs.astype(np.float32)), np.stack(ys), tuple(notices))

    def _example(self, number: int) -> tuple[NDArray[Any], NDArray[Any]]:
        part = next(i for i, end in enumerate(self._ends) if number < end)
        at = number - ([0, *self._ends][part])
        what = f"{self._source.who}: item {at} of {PARTS[part]}"
        try:
            item = self._parts[part][at]
        except (Exception, SystemExit) as error:
            raise DataError(f"{what} failed: {error_line(error)}") from None
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise DataError(f"{what} is a {type(item).__name__}; expected (x, y)")
        x, y = _array(item[0], f"x of {what}"), _array(item[1], f"y of {what}")
        shape = self._source.shape
        if shape is not None and x.shape != shape:
            raise DataError(f"{what} has the shape {x.shape}, the first {shape}; resize them in a transform")
        if x.dtype.kind == "f" and (strange := int((~np.isfinite(x)).sum())):
            raise DataError(f"{what}: {strange:,} of {x.size:,} numbers are NaN or infinite; fill them")
        return x, y


def _array(value: Any, what: str) -> NDArray[Any]:
    try:
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except Exception as error:
        raise DataError(f"{what} is no array: {error_line(error)}") from None
    if array.dtype == object:
        raise DataError(f"{what} is {'missing' if value is None else f'a {type(value).__name__}'}; expected numbers")
    return array


def _only(batches: list[Batch]) -> Batch:
    return batches[0]


def _each(loader: Iterable[Batch], who: str) -> Iterator[Batch]:
    """Yield what a loader does; its processes are forked in a plain thread, which ends with that.

    A process that is forked in a thread of a ``ThreadPoolExecutor`` waits at its end for that thread, itself, and
    fails. And beside the main thread torch sets no handler of ``SIGCHLD``, which would raise in the main thread that a
    process is gone, whatever that is at: here the one who reads is told.

    Raises:
        DataError: a process that reads ahead ended.
    """
    made: list[Iterator[Batch] | BaseException] = []

    def begin() -> None:
        try:
            made.append(iter(loader))
        except BaseException as error:  # raised by the caller, as if it had called
            made.append(error)

    thread = Thread(target=begin, name="begins to read")
    thread.start()
    thread.join()
    (batches,) = made
    if isinstance(batches, BaseException):
        raise batches
    try:
        yield from batches
    except RuntimeError as error:
        if "exited unexpectedly" not in str(error):
            raise
        why = "its own exit (os._exit), a crash, or too little memory"
        raise DataError(f"{who}: a process that read items ahead ended before it had read them: {why}") from None


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """While inside, the global generators draw from ``seed``; afterwards they are as they were."""
    import torch

    states: Mapping[str, Any] = {"numpy": np.random.get_state(), "python": random.getstate()}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(states["numpy"])
            random.setstate(states["python"])

"""Data that a user's function returns: called where the study is declared, and held as arrays from there."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from search.declaration.held_data import hold_arrays
from search.declaration.held_objects import described, is_array, is_dataset, of_dataset, to_array
from search.errors import UsageError
from trainables.data.dataset_source import PARTS, SIGNATURE, own_fingerprint, remember
from trainables.data.room import MemoryLimit
from trainables.errors import ConfigError
from trainables.model_function import in_main
from trainables.stage import stage
from trainables.task import AUTO
from trainables.user_code import error_line
from trainables.user_function import UserFunction

INPUT_BYTES = 4
"""Bytes of a number that a model is given, a float32."""

TO_STREAM = (
    "its datasets are larger than memory should hold, and a function of the script or notebook cannot be called where "
    "they are streamed; move it into a module"
)
EACH = "each part is (x, y), or a map-style Dataset of such pairs"


def function_fields(
    path: str, *, task: str = AUTO, memory_mb: int | None = None, streamed: bool | None = None
) -> dict[str, Any]:
    """Return fields of ``DataSpec`` for what the function ``package.module:function`` returns.

    It is called without arguments, in this process, and returns the training and the validation part, and maybe the
    test part (cut from train without): each ``(x, y)`` of arrays or tensors, or a ``torch.utils.data.Dataset`` with a
    length whose items are such pairs. What it returned is written to a file, as all data that a program holds, so that
    resumes and other processes have the same examples without calling it again. Datasets larger than memory should
    hold are not: each process calls the function, and streams them.

    Its attribute ``fingerprint``, a text or what returns one, says what the data are, in place of a digest of them.

    Args:
        path: of the function.
        task: ``classification``, ``regression``, or ``auto`` to tell by the targets.
        memory_mb: MiB that the examples may take in memory; by default half of what is free.
        streamed: whether datasets are streamed, whatever they take in memory; None goes by that.

    Raises:
        UsageError: there is no such function, it raises, or what it returns cannot be examples; a line each.
    """
    try:
        function = UserFunction(path, "data", SIGNATURE, "mine:load")
        returned = _called(function)
        fingerprint = own_fingerprint(function)
    except ConfigError as error:
        raise UsageError(error.errors) from None
    fields = {"function": path, "fingerprint": fingerprint}
    if streamed is not False and is_to_be_streamed(returned, 0 if streamed else memory_mb):
        if in_main(path):
            raise UsageError(f"{function.who}: {TO_STREAM}")
        remember(path, returned)
        return {**fields, "source": "stream", "path": None, "name": path.replace(":", ".")}
    with stage(f"taking what {function.who} returned"):
        found = hold_arrays(_arrays(returned, function.who), path.replace(":", "."), task=task, what=function.who)
    return {**found, **fields}


def _called(function: UserFunction) -> Any:
    found = function.find()
    try:
        inspect.signature(found).bind()
    except TypeError as error:
        raise ConfigError(f"{function.who} cannot be called without arguments ({error}): {SIGNATURE}") from None
    except ValueError:
        pass  # written in C, and without a signature
    try:
        with stage(f"calling {function.who}"):
            return found()
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{function.who} failed: {error_line(error)}") from None


def is_to_be_streamed(returned: Any, memory_mb: int | None) -> bool:
    """Say whether a function returned datasets that are larger than memory should hold, judged by the first example."""
    parts = returned if isinstance(returned, Sequence) and not isinstance(returned, str) else ()
    if len(parts) not in (2, 3) or not all(is_dataset(part) for part in parts):
        return False
    try:
        lengths = [len(part) for part in parts]
        if 0 in lengths:
            return False
        x = to_array(parts[0][0][0], "x")
    except (Exception, SystemExit):  # said of the part or the item, where all of them are read
        return False
    return MemoryLimit.of(memory_mb).exceeded_by(INPUT_BYTES * x.size * sum(lengths))


def _arrays(returned: Any, who: str) -> dict[str, Any]:
    """Return inputs and targets of each part, by the names under which they are held."""
    if not isinstance(returned, Sequence) or isinstance(returned, str) or len(returned) not in (2, 3):
        raise UsageError(f"{who} returned {_said(returned)}; expected (train, val) or (train, val, test), {EACH}")
    if all(is_array(part) for part in returned):
        raise UsageError(f"{who} returned {len(returned)} arrays; expected (train, val) or (train, val, test), {EACH}")
    fits = all(is_dataset(part) for part in returned)  # else they would have been streamed
    found: dict[str, Any] = {}
    errors: list[str] = []
    for name, part in zip(PARTS, returned, strict=False):
        try:
            found |= dict(zip((f"x_{name}", f"y_{name}"), _part(part, f"{who}: {name}", fits=fits), strict=True))
        except UsageError as error:
            errors += error.errors
    if errors:
        raise UsageError(errors)
    return found


def _part(part: Any, what: str, *, fits: bool) -> tuple[Any, Any]:
    if isinstance(part, tuple | list) and len(part) == 2:
        return part[0], part[1]
    if is_dataset(part):
        return of_dataset(part, what, fits=fits)
    if is_array(part):
        raise UsageError(f"{what} is {described(part)} without targets; {EACH}")
    if hasattr(part, "dataset"):
        raise UsageError(f"{what} is {described(part)}; give its dataset, as a search makes its own batches")
    if (hasattr(part, "__iter__") or hasattr(part, "__getitem__")) and not hasattr(part, "__len__"):
        raise UsageError(f"{what} is {described(part)} without a length or items by number; {EACH}")
    raise UsageError(f"{what} is {_said(part)}; {EACH}")


def _said(value: Any) -> str:
    return "nothing" if value is None else described(value)

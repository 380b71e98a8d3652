"""What a program may hold as data, by what it can do: frames, arrays, tensors, datasets. Nothing is imported for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search.errors import UsageError
from trainables.errors import first_line
from trainables.user_code import error_line

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


def described(value: Any) -> str:
    """Return what a value is in a few words, never what it holds: ``a DataFrame of 150 rows x 5 columns``."""
    kind, shape = type(value).__name__, getattr(value, "shape", None)
    article = "an" if kind[:1].lower() in "aeiou" else "a"
    if isinstance(value, str | int | float | bool | None):
        return repr(value) if len(repr(value)) <= 60 else f"{article} {kind} of {len(str(value))} characters"
    if isinstance(shape, tuple) and len(shape) == 2 and hasattr(value, "columns"):
        return f"{article} {kind} of {shape[0]} rows x {shape[1]} columns"
    if isinstance(shape, tuple):
        return f"{article} {kind} of shape {tuple(shape)}"
    try:
        return f"{article} {kind} of {len(value)}"
    except Exception:  # it has no length, or its own code fails
        return f"{article} {kind}"


def to_frame(value: Any) -> pd.DataFrame | None:
    """Return a pandas frame, or what can become one (Polars, Arrow), as one; None for anything else."""
    if hasattr(value, "to_pandas") and hasattr(value, "columns"):
        value = value.to_pandas()
    is_frame = type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "columns")
    return value if is_frame else None


def is_array(value: Any) -> bool:
    """Say whether a value is an array, a tensor, a series or a frame."""
    return hasattr(value, "__array__") or hasattr(value, "detach")


def to_array(value: Any, what: str) -> NDArray[np.generic]:
    """Return an array, a tensor on any device, a series, a frame of numbers or a list of these as an array.

    Raises:
        UsageError: it is none, or holds objects; ``what`` begins the line.
    """
    import numpy as np

    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    if hasattr(value, "toarray"):
        raise UsageError(f"{what}: {described(value)} is sparse; give .toarray()")
    try:
        array = np.asarray(value)
    except Exception as error:
        raise UsageError(f"{what}: {described(value)} is no array: {first_line(error)}") from None
    if array.dtype == object:
        if array.ndim == 1 and all(isinstance(item, str) for item in array):
            return array.astype(str)
        raise UsageError(f"{what}: {described(value)} holds objects; expected numbers, or text as targets")
    return array


def is_dataset(value: Any) -> bool:
    """Say whether a value is a dataset of torch or like one: it has a length, and items by number."""
    if isinstance(value, str | bytes | list | tuple | dict) or is_array(value) or to_frame(value) is not None:
        return False
    return hasattr(value, "__getitem__") and hasattr(value, "__len__")


def of_dataset(dataset: Any, what: str, *, fits: bool = False) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Return all inputs and targets of a dataset, each item read once.

    Args:
        dataset: its items are pairs.
        what: begins each message.
        fits: whether it is known that there is room for all of them.

    Raises:
        UsageError: its items are no pairs of one shape, or there is no room for them.
    """
    import numpy as np

    xs: list[NDArray[np.generic]] = []
    ys: list[NDArray[np.generic]] = []
    try:
        length = len(dataset)
    except (Exception, SystemExit) as error:  # also ``len``'s own, of what is negative or no whole number
        raise UsageError(f"{what}: the length of the {type(dataset).__name__} failed: {error_line(error)}") from None
    for number in range(length):
        try:
            item = dataset[number]
        except Exception as error:
            raise UsageError(
                f"{what}: item {number} of the {type(dataset).__name__} failed: {error_line(error)}"
            ) from None
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise UsageError(
                f"{what}: item {number} of the {type(dataset).__name__} is {described(item)}; expected (x, y)"
            )
        if item[1] is None:
            raise UsageError(f"{what}: y of item {number} is missing; leave such examples out")
        x, y = to_array(item[0], f"{what}: x of item {number}"), to_array(item[1], f"{what}: y of item {number}")
        if number == 0:
            if not fits:
                _refuse_if_too_large(x.nbytes * length, what)
        elif x.shape != xs[0].shape:
            raise UsageError(
                f"{what}: item {number} has the shape {x.shape}, item 0 {xs[0].shape}; resize them in a transform"
            )
        xs.append(x)
        ys.append(y)
    if not xs:
        raise UsageError(f"{what}: the {type(dataset).__name__} is empty")
    y = np.stack(ys)
    classes = getattr(dataset, "classes", None)
    if isinstance(classes, list | tuple) and y.ndim == 1 and y.dtype.kind in "iu" and y.max() < len(classes):
        y = np.asarray([str(name) for name in classes])[y]
    return np.stack(xs), y


def _refuse_if_too_large(size: int, what: str) -> None:
    from trainables.data.room import free_memory

    free = free_memory()
    if size > free / 2:
        raise UsageError(
            f"{what}: {size / 1e9:.1f} GB of examples are more than half of the free memory ({free / 1e9:.1f} GB); "
            "python:MODULE:FUNCTION streams them, where every part that it returns is a Dataset"
        )

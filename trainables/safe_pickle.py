"""What a saved state may hold beside tensors, so that it can be read back without running anything in it."""

from __future__ import annotations

import collections
import copyreg
import datetime
import decimal
import fractions
import io
import pathlib
import pickle
import threading
import uuid
from collections.abc import Iterator, Mapping
from typing import IO, Any

import numpy as np
import torch

_numpy_array: Any = np.zeros(1).__reduce__()[0]
_numpy_scalar: Any = np.float32(0).__reduce__()[0]

HARMLESS: tuple[Any, ...] = (
    *(bool, int, float, str, bytes, list, dict, tuple, set, frozenset, complex, range, slice),
    *(datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone),
    *(pathlib.PosixPath, pathlib.WindowsPath, pathlib.PurePosixPath, pathlib.PureWindowsPath),
    *(collections.deque, collections.defaultdict, collections.Counter, collections.OrderedDict),
    *(decimal.Decimal, fractions.Fraction, uuid.UUID),
    *(np.ndarray, np.dtype, _numpy_array, _numpy_scalar),
    *sorted({type(np.dtype(code)) for code in np.typecodes["All"]}, key=lambda kind: kind.__name__),
)
"""What torch's reader is told to make beside tensors and plain data: types that hold values and do nothing."""

READING = threading.Lock()
"""Held while torch's list of what it may make is longer."""


class _Pickler(pickle.Pickler):
    """Python's, which writes containers by their constructors alone: torch's reader fills none but lists and dicts."""

    dispatch_table = copyreg.dispatch_table.copy()


_Pickler.dispatch_table[collections.deque] = lambda d: (collections.deque, (list(d), d.maxlen))
_Pickler.dispatch_table[collections.defaultdict] = lambda d: (collections.defaultdict, (d.default_factory, dict(d)))
_Pickler.dispatch_table[uuid.UUID] = lambda u: (uuid.UUID, (u.hex,))


class _Module:
    """A module of pickling, as torch asks for one."""

    Pickler = _Pickler
    Unpickler = pickle.Unpickler


def write(state: Any, file: IO[bytes]) -> None:
    """Write ``state`` as ``torch.save`` does.

    Raises:
        Exception: it holds what cannot be pickled.
    """
    torch.save(state, file, pickle_module=_Module)


def read(file: IO[bytes]) -> Any:
    """Read what ``write`` wrote, tensors on CPU, and run nothing in it (``weights_only``).

    Raises:
        Exception: it holds more than tensors, plain data and ``HARMLESS``, or is damaged.
    """
    with READING, torch.serialization.safe_globals(list(HARMLESS)):
        return torch.load(file, map_location="cpu", weights_only=True)


def unreadable(state: Any) -> list[str]:
    """Return what of ``state`` would not be read back, as ``a/b/0: a module.Widget``; empty if all would be."""
    return list(_unreadable(state, ""))


def _unreadable(value: Any, where: str) -> Iterator[str]:
    if _comes_back(value):
        return
    inner: list[str] = []
    for name, part in _parts(value):
        inner += _unreadable(part, f"{where}/{name}" if where else str(name))
    if not inner:
        kind = type(value)
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        inner = [f"{where or 'the state'}: a {module}{kind.__qualname__}"]
    yield from inner


def _parts(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, list | tuple | set | frozenset | collections.deque):
        return list(enumerate(value))
    return []


def _comes_back(value: Any) -> bool:
    packed = io.BytesIO()
    try:
        write(value, packed)
        packed.seek(0)
        read(packed)
    except Exception:  # picklers and readers raise whatever a value leads them to
        return False
    return True

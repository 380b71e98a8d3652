"""The source that a function may run: its own, and that of what it names."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from types import CodeType, FunctionType, ModuleType
from typing import Any

from trainables.user_code import is_users_file, user_sources

PLAIN = (str, bytes, int, float, complex, bool, type(None), ModuleType)


def reached_sources(function: Any) -> list[str]:
    """Return the source of a function and of the functions and classes of the user's that it names, and so on.

    Of what is reached by other ways (a table of functions, an object's method) the whole module counts; of what has no
    source here, each string that its code holds.

    Args:
        function: imported; of a module, or of the script or notebook.
    """
    found: list[str] = []
    waiting, seen = [function], set[int]()
    while waiting:
        part = inspect.unwrap(waiting.pop())
        if id(part) in seen or not _is_users(part):
            continue
        seen.add(id(part))
        if not isinstance(part, FunctionType | type):
            return user_sources(str(getattr(function, "__module__", "")))
        methods = [inner for inner in vars(part).values() if isinstance(inner, FunctionType)]
        functions = [part, *methods] if isinstance(part, FunctionType) else methods
        try:
            found.append(textwrap.dedent(inspect.getsource(part)))
        except (OSError, TypeError):  # of a notebook, in another process
            found += [f"x[{word!r}]" for inner in functions for word in _words(inner.__code__)]
        for inner in functions:
            waiting += _named_by(inner)
    return found


def _named_by(function: FunctionType) -> list[Any]:
    """Return the values that a function's names have, in its module and around it."""
    around = [cell.cell_contents for cell in function.__closure__ or () if cell.cell_contents is not None]
    named = [function.__globals__[name] for name in _names(function.__code__) if name in function.__globals__]
    return [value for value in (*around, *named) if not isinstance(value, PLAIN)]


def _words(code: CodeType) -> Iterator[str]:
    """Return every string in a function's code: what it looks up is among them."""
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, CodeType):
            yield from _words(constant)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _is_users(part: Any) -> bool:
    """Say whether a value is the user's own; one of a library reads none of the user's parameters."""
    if isinstance(part, FunctionType):
        return is_users_file(part.__code__.co_filename)
    if isinstance(part, type):
        with suppress(OSError, TypeError):
            return is_users_file(inspect.getfile(part))
        return part.__module__ == "__main__"
    return not type(part).__module__.startswith(("torch", "numpy", "builtins")) or isinstance(part, dict | list | tuple)

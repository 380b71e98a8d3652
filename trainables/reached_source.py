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
    for part in _reached(function):
        if not isinstance(part, FunctionType | type):
            return user_sources(str(getattr(function, "__module__", "")))
        try:
            found.append(textwrap.dedent(inspect.getsource(part)))
        except (OSError, TypeError):  # of a notebook, in another process
            found += [f"x[{word!r}]" for inner in _functions_of(part) for word in _words(inner.__code__)]
    return found


def reached_definitions(function: Any) -> list[str]:
    """Return a function and the functions and classes that it names, and so on, of the same module: each as text.

    It is another text where one of them is defined anew: its source, or, where there is none, its code.

    Args:
        function: of a script or notebook, in whose process this is called.
    """
    found: list[str] = []
    for part in _reached(function):
        if isinstance(part, FunctionType | type) and part.__module__ == function.__module__:
            try:
                found.append(inspect.getsource(part))
            except (OSError, TypeError):  # typed at a prompt
                found += [_code_text(inner.__code__) for inner in _functions_of(part)]
    return found


def _reached(function: Any) -> Iterator[Any]:
    """Yield a function, what of the user's it names, and so on."""
    waiting, seen = [function], set[int]()
    while waiting:
        part = inspect.unwrap(waiting.pop())
        if id(part) in seen or not _is_users(part):
            continue
        seen.add(id(part))
        yield part
        for inner in _functions_of(part):
            waiting += _named_by(inner)


def _functions_of(part: Any) -> list[FunctionType]:
    """Return a function and its methods, or those of a class."""
    if not isinstance(part, FunctionType | type):
        return []
    methods = [inner for inner in vars(part).values() if isinstance(inner, FunctionType)]
    return [part, *methods] if isinstance(part, FunctionType) else methods


def _code_text(code: CodeType) -> str:
    """Return what a function does as text: its instructions, names and constants."""
    constants = [
        _code_text(part)
        if isinstance(part, CodeType)
        else sorted(map(repr, part))
        if isinstance(part, frozenset)
        else part
        for part in code.co_consts
    ]
    return repr((code.co_code, code.co_names, constants))


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

"""Whether a forward does the same each time, told by its code: then its operations may be done again without it."""

from __future__ import annotations

import dis
import functools
import inspect
import types
from collections.abc import Container, Iterator
from typing import Any

import torch
from torch import nn

from trainables.lanes.modules.form import SIMPLE
from trainables.user_code import is_users_file

STORES = ("STORE_ATTR", "DELETE_ATTR", "STORE_GLOBAL", "DELETE_GLOBAL")
"""Instructions that leave something behind for the next call."""

CALLS = ("print", "input", "open", "exec", "eval", "next", "setattr", "delattr", "globals", "vars", "__import__")
"""Functions of Python's that do, or may."""

NOT_IN_FORWARD = (
    "__init__", "__new__", "__post_init__", "__init_subclass__", "__setstate__", "__getstate__", "__reduce__",
    "__reduce_ex__", "__copy__", "__deepcopy__", "__repr__", "__str__", "__dict__", "__doc__", "__module__",
    "__annotations__", "__weakref__", "__slots__",
)  # fmt: skip
"""What a class has under names of that kind that no forward calls."""

STEADY_MODULES = ("torch", "math", "operator", "functools", "itertools", "typing", "collections", "enum", "copy")
"""Modules of which a function may name anything; of the user's own, what it names there is looked at."""


def why_run_anew(model: nn.Module) -> str:
    """Return why a module's forward has to run for each batch; empty where it does the same to each.

    A forward may count, print or read what others change: then doing its operations again is not what it does. Looked
    at are the user's functions that it reaches by the names in their code; torch's, and those of other packages, are
    taken to do the same each time. What depends on numbers cannot: a stack has none to show.
    """
    try:
        return _Reached(model).why()
    except Exception as error:  # what looks into anybody's objects may meet one that does not bear it
        return f"its code cannot be looked at ({type(error).__name__})"


class _Reached:
    def __init__(self, model: nn.Module) -> None:
        self._waiting: list[Any] = []
        self._seen: dict[int, Any] = {}  # held, so that no other has the identity of one
        self._changing = ""
        self._names = {"forward"}
        self._classes: list[type] = []
        self._buffers = {name.rpartition(".")[2] for name, _ in model.named_buffers()}
        for module in model.modules():
            self._class(type(module))
            for key, value in vars(module).items():
                if key not in ("_parameters", "_buffers", "_modules"):
                    self._waiting.append(value)

    def why(self) -> str:
        while self._waiting or self._take_members():
            part = self._waiting.pop()
            if id(part) not in self._seen:
                self._seen[id(part)] = part
                if reason := self._look(part):
                    return reason
        return self._changing

    def _look(self, part: Any) -> str:
        """Follow what an object leads to; return why it may be another the next time."""
        if isinstance(part, types.FunctionType):
            return self._function(part) if is_users_file(part.__code__.co_filename) else ""
        if isinstance(part, functools.partial):
            self._waiting += [part.func, *part.args, *part.keywords.values()]
        elif isinstance(part, types.MethodType):
            self._waiting += [part.__func__, part.__self__]
        elif isinstance(part, staticmethod | classmethod):
            self._waiting.append(part.__func__)
        elif isinstance(part, property):
            self._waiting.append(part.fget)
        elif isinstance(part, list | tuple):
            self._waiting += part
        elif isinstance(part, dict):
            self._waiting += part.values()
        else:
            self._class(part if isinstance(part, type) else type(part))
            self._waiting.append(getattr(part, "__wrapped__", None))  # of a cache, say
        return ""

    def _class(self, found: type) -> None:
        for each in found.__mro__:
            if each not in self._classes and not each.__module__.startswith(("torch.", "builtins")):
                self._classes.append(each)

    def _take_members(self) -> bool:
        """Go on with what some name in the code may mean in a class; say whether there is more."""
        for each in self._classes:
            for name, part in vars(each).items():
                named = name in self._names
                if named and isinstance(part, list | dict | set):
                    self._changing = f"{each.__qualname__}.{name} may change"
                elif (named or _is_called_unnamed(name)) and id(part) not in self._seen:
                    self._waiting.append(part)
        return bool(self._waiting)

    def _function(self, function: types.FunctionType) -> str:
        for code in _codes(function.__code__):
            self._names.update(code.co_names)
            if reason := _why_not_steady(code, self._buffers):
                return f"{function.__qualname__} {reason}"
            for name in code.co_names:
                if name in function.__globals__ and (reason := self._named(function.__globals__[name], code)):
                    return f"{function.__qualname__} reads {name}, {reason}"
        around = inspect.getclosurevars(function).nonlocals
        for name, value in around.items():
            if reason := self._named(value, function.__code__):
                return f"{function.__qualname__} reads {name}, {reason}"
        return ""

    def _named(self, value: Any, code: types.CodeType) -> str:
        """Follow what code names outside of itself; return why that may change."""
        if isinstance(value, types.ModuleType):
            if is_users_file(_file(value)):
                found = [getattr(value, name) for name in code.co_names if hasattr(value, name)]
                return next(filter(None, (self._named(part, code) for part in found)), "")
            known = value.__name__.partition(".")[0] in STEADY_MODULES or "site-packages" in _file(value)
            return "" if known else "of which no two calls need be the same"
        if isinstance(value, tuple | frozenset):
            return next(filter(None, (self._named(part, code) for part in value)), "")
        steady = isinstance(value, (*SIMPLE, float, type(None), torch.Tensor, nn.Module, type)) or callable(value)
        if not steady and not type(value).__module__.startswith(("torch", "typing")):
            return "which may change"
        self._waiting.append(value)
        return ""


def _file(module: types.ModuleType) -> str:
    return getattr(module, "__file__", None) or "<built-in>"


def _is_called_unnamed(name: str) -> bool:
    """Say whether a method may be called by what is no name: an index, an operator, a call."""
    return name.startswith("__") and name not in NOT_IN_FORWARD


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield the code of a function, and of those within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _why_not_steady(code: types.CodeType, buffers: Container[str]) -> str:
    """Return what code does that may make the next call another; to set a buffer, which a stack keeps, does not."""
    for step in dis.get_instructions(code):
        if step.opname in STORES and not (step.opname == "STORE_ATTR" and step.argval in buffers):
            return f"sets {step.argval}"
        if step.opname == "STORE_DEREF" and step.argval in code.co_freevars:
            return f"sets {step.argval}"
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME") and step.argval in CALLS:
            return f"calls {step.argval}"
        if step.opname == "IMPORT_NAME" and step.argval.partition(".")[0] not in STEADY_MODULES:
            return f"imports {step.argval}"
    return ""

"""Whether a forward does the same each time, told by its code: then its operations may be done again without it."""

from __future__ import annotations

import dis
import enum
import functools
import inspect
import sys
import types
from collections.abc import Container, Iterable, Iterator, MutableMapping, MutableSequence, MutableSet
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as torchs

from trainables.lanes.modules.form import SIMPLE
from trainables.user_code import is_users_file

STORES = ("STORE_ATTR", "DELETE_ATTR", "STORE_GLOBAL", "DELETE_GLOBAL")
"""Instructions that leave something behind for the next call."""

CALLS = ("print", "input", "open", "exec", "eval", "next", "setattr", "delattr", "globals", "vars", "__import__")
"""Functions of Python's that do, or may."""

ATTRIBUTES = ("__dict__", "__setattr__", "__delattr__", "__next__", "default_rng", "RandomState", "load")
"""What does the same as an attribute of anything, or may answer otherwise the next time."""

ENTRIES = ("forward", "train", "backward", "setup_context", "vmap")
"""What torch, or a stack, calls for a batch or an epoch: of a module, and of an ``autograd.Function``."""

NOT_IN_FORWARD = (
    "__init__", "__new__", "__post_init__", "__init_subclass__", "__setstate__", "__getstate__", "__reduce__",
    "__reduce_ex__", "__copy__", "__deepcopy__", "__repr__", "__str__", "__dict__", "__doc__", "__module__",
    "__annotations__", "__weakref__", "__slots__",
)  # fmt: skip
"""What a class has under names of that kind that no forward calls."""

STEADY_MODULES = ("torch", "math", "operator", "functools", "itertools", "typing", "collections", "enum", "copy")
"""Modules of which a function may name anything; of the user's own, what it names there is looked at."""

HARMLESS = (*STEADY_MODULES, "builtins", "abc", "types", "numbers", "contextlib", "dataclasses")
"""Modules of Python's of which a function may call what it took from them."""

BOUND = (types.BuiltinFunctionType, types.MethodWrapperType)
"""What a method of an object of Python's is, once taken from it."""

OF_ANY_MODULE = frozenset(vars(nn.Module()))
"""Attributes that torch gives every module."""


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
        self._seen_held: dict[int, Any] = {}
        self._changing = ""
        self._names = set(ENTRIES)
        self._names_any = False  # by ``getattr``
        self._classes: list[type] = []
        self._buffers = {name.rpartition(".")[2] for name, _ in model.named_buffers()}
        self._waiting += model.modules()
        self._waiting += [torchs._global_forward_hooks, torchs._global_forward_pre_hooks]

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
            if is_users_file(part.__code__.co_filename):
                return self._function(part)
            self._waiting += _decorated(part)
        if isinstance(part, functools.partial):
            self._waiting += [part.func, *part.args, *part.keywords.values()]
        elif isinstance(part, types.MethodType):
            self._waiting += [part.__func__, part.__self__]
        elif isinstance(part, functools.partialmethod):
            if reason := self._any_held([part.func, *part.args, *part.keywords.values()]):
                return f"a partialmethod has an argument {reason}"
        elif isinstance(part, staticmethod | classmethod):
            self._waiting.append(part.__func__)
        elif isinstance(part, property):
            self._waiting.append(part.fget)
        elif isinstance(part, list | tuple):
            self._waiting += part
        elif isinstance(part, dict):
            self._waiting += part.values()
        else:
            self._class(type(part))
            if isinstance(part, type):
                self._class(part)
            self._waiting.append(getattr(part, "__wrapped__", None))  # of a cache, say
            if isinstance(part, nn.Module) or _is_users(type(part)):
                held = getattr(part, "__dict__", {})
                self._waiting += [value for key, value in held.items() if key not in ("_parameters", "_buffers")]
        return ""

    def _class(self, found: type) -> None:
        for each in found.__mro__:
            if each not in self._classes and not each.__module__.startswith(("torch.", "builtins")):
                self._classes.append(each)

    def _take_members(self) -> bool:
        """Go on with what some name in the code may mean in a class; say whether there is more."""
        for each in self._classes:
            for name, part in vars(each).items():
                named = name in self._names or (self._names_any and not name.startswith("__"))
                if id(part) in self._seen or not (named or _is_called_unnamed(name)):
                    continue
                if named and _is_users(each) and not _is_method(part) and (reason := self._held(part)):
                    self._changing = f"{each.__qualname__}.{name} {reason.removeprefix('which ')}"
                self._waiting.append(part)
        return bool(self._waiting)

    def _function(self, function: types.FunctionType) -> str:
        for code in _codes(function.__code__):
            self._names.update(code.co_names)
            self._names_any |= "getattr" in code.co_names
            if reason := _why_not_steady(code, self._buffers):
                return f"{function.__qualname__} {reason}"
            for name in code.co_names:
                if name in function.__globals__ and (reason := self._named(function.__globals__[name], code)):
                    return f"{function.__qualname__} reads {name}, {reason}"
        if reason := self._any_held([*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]):
            return f"{function.__qualname__} has a default {reason}"
        if reason := self._any_held(vars(function).values()):
            return f"{function.__qualname__} has an attribute {reason}"
        around = inspect.getclosurevars(function).nonlocals
        for name, value in around.items():
            if reason := self._held(value):
                return f"{function.__qualname__} reads {name}, {reason}"
        return ""

    def _named(self, value: Any, code: types.CodeType) -> str:
        """Follow what code names outside of itself; return why that may change."""
        if not isinstance(value, types.ModuleType):
            return self._held(value)
        if is_users_file(_file(value)):
            found = [getattr(value, name) for name in code.co_names if hasattr(value, name)]
            return next(filter(None, (self._named(part, code) for part in found)), "")
        known = value.__name__.partition(".")[0] in STEADY_MODULES or "site-packages" in _file(value)
        return "" if known else "of which no two calls need be the same"

    def _held(self, value: Any) -> str:
        """Follow what lies outside of the model's attributes, where no change is noticed; return why it may change."""
        if isinstance(value, MutableMapping | MutableSequence | MutableSet):
            return "which may change"
        if isinstance(value, tuple | frozenset):
            return self._any_held(value)
        if isinstance(value, functools.partial):
            return self._any_held([value.func, *value.args, *value.keywords.values()])
        if isinstance(value, types.MethodType):
            return self._any_held([value.__func__, value.__self__])
        if isinstance(value, BOUND) and not isinstance(value.__self__, types.ModuleType | type):
            return "which may change"  # what it is a method of
        steady = isinstance(value, (*SIMPLE, float, type(None), torch.Tensor, nn.Module, type)) or callable(value)
        if not steady and type(value).__module__.partition(".")[0] not in ("torch", "typing"):
            return "which may change"
        if callable(value) and not _is_harmless(value):
            return "of which no two calls need be the same"
        if id(value) in self._seen_held:
            return ""
        self._seen_held[id(value)] = value
        self._waiting.append(value)
        if isinstance(value, nn.Module) or (_is_users(type(value)) and not isinstance(value, enum.Enum)):
            return self._any_held(_own(value))
        return ""

    def _any_held(self, values: Iterable[Any]) -> str:
        return next(filter(None, map(self._held, values)), "")


def _decorated(function: types.FunctionType) -> list[Any]:
    """Return the functions that one of a package calls as it was made around them, as ``torch.no_grad()`` makes one."""
    around = [getattr(function, "__wrapped__", None), *inspect.getclosurevars(function).nonlocals.values()]
    around += getattr(function, "registry", {}).values()  # of ``functools.singledispatch``
    return [part for part in around if isinstance(part, types.FunctionType)]


def _is_method(part: Any) -> bool:
    """Say whether a member of a class is one of Python's kinds of methods, or the place of an attribute."""
    return hasattr(type(part), "__get__") and not _is_users(type(part))


def _own(value: Any) -> list[Any]:
    """Return what an object of the user's holds, or a module: of torch's attributes its parts and hooks."""
    slots = [n for c in type(value).__mro__ for n, m in vars(c).items() if isinstance(m, types.MemberDescriptorType)]
    held = {**{name: getattr(value, name, None) for name in slots}, **getattr(value, "__dict__", {})}
    if not isinstance(value, nn.Module):
        return list(held.values())
    own = [part for key, part in held.items() if key not in OF_ANY_MODULE] if _is_users(type(value)) else []
    return [*own, *value.children(), *value._forward_hooks.values(), *value._forward_pre_hooks.values()]


def _is_users(found: type) -> bool:
    """Say whether a class is neither of Python nor of a package."""
    module = sys.modules.get(found.__module__)
    return module is None or found.__module__ == "__main__" or is_users_file(_file(module))


def _is_harmless(called: Any) -> bool:
    """Say whether what is called by its own name is not of a module of Python's that tells the time, say, or draws."""
    top = (getattr(called, "__module__", None) or "").partition(".")[0].lstrip("_")
    return top in HARMLESS or top not in sys.stdlib_module_names


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
        if step.opname in ("LOAD_ATTR", "LOAD_METHOD") and step.argval in ATTRIBUTES:
            return f"uses {step.argval}"
        if step.opname == "IMPORT_NAME" and step.argval.partition(".")[0] not in STEADY_MODULES:
            return f"imports {step.argval}"
    return ""

"""What two modules must have in common to share a stack: everything but their numbers."""

from __future__ import annotations

import enum
import functools
import hashlib
import types
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

LEFT_OUT = frozenset(
    {"_parameters", "_buffers", "_modules", "training", "_flat_weights", "_flat_weight_refs", "_is_full_backward_hook"}
)
"""Attributes of every module that are described otherwise, or not at all."""

SIMPLE = (bool, int, str, bytes, complex, torch.dtype, torch.device, torch.layout, torch.memory_format, enum.Enum)

LIFTABLE = (dict, list, tuple, types.MappingProxyType)
"""What may hold floats that differ."""

Place = tuple[int, str, tuple[Any, ...]]
"""Where a float is: the number of the module, its attribute, and the keys within a dictionary, list or tuple."""


@dataclass(frozen=True)
class ModuleForm:
    """What decides whether modules may share a stack.

    Attributes:
        name: of the module's class.
        digest: of structure, shapes, types, code, hooks and attributes; the same in every process.
        floats: attributes that may differ from trial to trial, by their place.
        obstacle: why the module cannot be compared with another; empty where it can.
    """

    name: str
    digest: str
    floats: Mapping[Place, float]
    obstacle: str = ""


def has_hooks(tensor: torch.Tensor) -> bool:
    """Say whether code is called with a tensor's gradient: what that does is not to be told from outside."""
    return bool(getattr(tensor, "_backward_hooks", None) or getattr(tensor, "_post_accumulate_grad_hooks", None))


def form_of(model: nn.Module) -> ModuleForm:
    """Describe a module.

    A float in an attribute, or in a dictionary, list or tuple there, may differ between modules of one form as long
    as it is 0 in all or in none; one inside a function or another object may not.
    """
    return _Describer(model).form()


class _Describer:
    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._modules = list(model.modules())
        self._numbers = {id(module): i for i, module in enumerate(self._modules)}
        named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
        self._tensors: dict[int, str] = {}
        for name, tensor in named:
            self._tensors.setdefault(id(tensor), name)
        self._hash = hashlib.sha256()
        self._floats: dict[Place, float] = {}
        self._seen: dict[int, int] = {}
        self._obstacle = ""

    def form(self) -> ModuleForm:
        for number, (name, module) in enumerate(self._model.named_modules()):
            self._say("module", name)
            self._class(type(module))
            for kind in ("_parameters", "_buffers"):
                for key, tensor in getattr(module, kind).items():
                    self._say(kind, key)
                    self._weight(tensor)
            for key, value in vars(module).items():
                if key not in LEFT_OUT:
                    self._say("attribute", key)
                    # hooks are numbered through the whole process
                    self._value(list(value.values()) if _is_hooks(key, value) else value, (number, key, ()))
        return ModuleForm(type(self._model).__name__, self._hash.hexdigest(), self._floats, self._obstacle)

    def _say(self, *parts: object) -> None:
        self._hash.update("\x1f".join(map(str, parts)).encode() + b"\x1e")

    def _weight(self, tensor: torch.Tensor | None) -> None:
        if tensor is None:
            self._say("none")
            return
        hooked = has_hooks(tensor)
        self._say(tuple(tensor.shape), tensor.dtype, tensor.stride(), tensor.requires_grad, self._tensors[id(tensor)])
        if hooked:
            self._say("hooks of its own")

    def _value(self, value: Any, place: Place | None = None) -> None:
        kind = type(value)
        if kind is float and place is not None:
            self._floats[place] = value
            self._say("float", value == 0)
        elif value is None or kind is float or isinstance(value, SIMPLE):
            self._say(kind.__qualname__, repr(value))
        elif isinstance(value, torch.Tensor | np.ndarray | np.generic):
            self._array(value)
        elif isinstance(value, Mapping):
            self._items(kind, value.items(), place)
        elif isinstance(value, tuple | list):
            self._items(kind, enumerate(value), place)
        elif isinstance(value, set | frozenset):
            self._say(kind.__qualname__, sorted(map(repr, value)))
        elif id(value) in self._numbers:
            self._say("submodule", self._numbers[id(value)])
        elif id(value) in self._seen:
            self._say("again", self._seen[id(value)])
        else:
            self._seen[id(value)] = len(self._seen)
            self._object(value)

    def _items(self, kind: type, items: Iterable[tuple[Any, Any]], place: Place | None) -> None:
        self._say(kind.__qualname__)
        liftable = place is not None and kind in LIFTABLE
        for key, value in items:
            self._say("key", repr(key))
            self._value(value, (place[0], place[1], (*place[2], key)) if liftable and place is not None else None)
        self._say("end")

    def _array(self, value: Any) -> None:
        if id(value) in self._tensors:
            self._say("tensor", self._tensors[id(value)])
            return
        array = value.detach().cpu() if isinstance(value, torch.Tensor) else np.asarray(value)
        self._say("array", tuple(array.shape), array.dtype)
        if isinstance(array, torch.Tensor):
            array = array.contiguous().flatten().view(torch.uint8).numpy() if array.numel() else np.zeros(0)
        self._hash.update(array.tobytes())

    def _object(self, value: Any) -> None:
        if isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, functools.partial):
            self._say("partial")
            self._value([value.func, value.args, value.keywords])
        elif isinstance(value, types.MethodType):
            self._say("method")
            self._value([value.__func__, value.__self__])
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, types.BuiltinFunctionType | types.ModuleType):
            self._say(type(value).__qualname__, getattr(value, "__module__", ""), value.__name__)
        elif isinstance(value, weakref.ref):
            self._say("weakref")
        else:
            self._instance(value)

    def _function(self, function: types.FunctionType) -> None:
        self._say("function", function.__module__, function.__qualname__)
        self._code(function.__code__)
        self._value([function.__defaults__, function.__kwdefaults__])
        for cell in function.__closure__ or ():
            try:
                self._value(cell.cell_contents)
            except ValueError:
                self._say("empty cell")

    def _code(self, code: types.CodeType) -> None:
        self._say("code", code.co_names, code.co_varnames, code.co_code.hex())
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._code(constant)
            else:
                self._value(constant)

    def _class(self, found: type) -> None:
        self._say("class", *(f"{c.__module__}.{c.__qualname__}" for c in found.__mro__))
        for each in found.__mro__:
            # made by a function at each call: its methods may close over what differs
            if "<locals>" in each.__qualname__ and id(each) not in self._seen:
                self._seen[id(each)] = len(self._seen)
                for name, member in vars(each).items():
                    if name != "__init__" and isinstance(member, types.FunctionType):
                        self._value(member)

    def _instance(self, value: Any) -> None:
        self._class(type(value))
        slots = [s for c in type(value).__mro__ for s in _slots(c)]
        state = {**getattr(value, "__dict__", {}), **{s: getattr(value, s, None) for s in slots}}
        if not state and type(value).__module__ != "builtins" and type(value).__flags__ & (1 << 9):
            return  # a Python class without state
        if not state:
            self._obstacle = self._obstacle or f"it holds a {type(value).__qualname__}, which cannot be compared"
        self._value(state)


def _is_hooks(key: str, value: Any) -> bool:
    return "_hooks" in key and isinstance(value, Mapping)


def _slots(found: type) -> tuple[str, ...]:
    slots = vars(found).get("__slots__", ())
    return tuple(s for s in ((slots,) if isinstance(slots, str) else slots) if s not in ("__dict__", "__weakref__"))

"""Notes the operations of torch that a step of a stack is made of, so that they can be done again without Python."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

MOST_BYTES = 128 << 20
"""What the tensors of a recorded step may take together, which are all held until its end. A step that takes more is
made of long operations, of which the start is a small part."""

MOST_OPERATIONS = 20_000
"""Of a recorded step; one that runs lane by lane through long sequences has more."""

LIST = (list, tuple)
TURNS = {f"aten::{name}" for name in ("t_", "transpose_", "squeeze_", "unsqueeze_")}
"""Operators that change a tensor's axes in place."""

PLAIN = (type(None), bool, int, float, str, torch.dtype, torch.device, torch.layout, torch.memory_format)
"""Types of arguments that are no tensors."""

Argument = Any
"""The number of a tensor or generator, below 0 where it is given; a tuple of such; or a ``Constant``."""


class Constant(NamedTuple):
    """An argument that is no tensor, and its text: 1, 1.0 and True are equal, and so are 0.0 and -0.0."""

    text: str
    value: Any


class Operation(NamedTuple):
    """One call.

    Attributes:
        func: an operator of ATen.
        args: of its schema, in order, those included that have a default.
        found: the numbers of what it returns; a tuple of such for a list of tensors.
    """

    func: Any
    args: tuple[Argument, ...]
    found: tuple[Argument, ...]


class Steps(NamedTuple):
    """What a recording does, whatever tensors it does it to; equal for two recordings that do the same.

    Attributes:
        given: of what is given, in order of its numbers: ``Tensor`` or ``Generator``.
    """

    given: tuple[str, ...]
    operations: tuple[Operation, ...]


class _Facts(NamedTuple):
    """What is known of an operator: its arguments, which of them it writes, how many results it has, what it is."""

    places: Mapping[str, int]
    defaults: tuple[Any, ...]
    writes: tuple[int, ...]
    returns: int
    draws: bool
    is_view: bool
    turns: bool


@functools.cache
def _facts(func: Any) -> _Facts:
    arguments = func._schema.arguments
    return _Facts(
        {a.name: place for place, a in enumerate(arguments)},
        tuple(a.default_value for a in arguments),
        tuple(i for i, a in enumerate(arguments) if a.alias_info is not None and a.alias_info.is_write),
        len(func._schema.returns),
        torch.Tag.nondeterministic_seeded in func.tags,
        bool(func.is_view),
        torch.Tag.inplace_view in func.tags,
    )


class Recorder(TorchDispatchMode):
    """Notes the operations of this thread while it is active, below vmap and autograd: on tensors of all lanes.

    Args:
        inputs: what differs from step to step. Of all else that a step finds, the same tensors are there each time.
        written: those of these that a step may write.
        lent: () -> the generator whose state torch's global one has at the moment; None where it has its own.

    Attributes:
        given: the inputs, then all else that was found: tensors and generators.
        obstacle: why what was noted cannot be done again; empty where it can.
    """

    def __init__(
        self,
        inputs: Sequence[torch.Tensor],
        written: Sequence[torch.Tensor],
        lent: Callable[[], torch.Generator | None],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.given: list[Any] = []
        self.obstacle = ""
        self._inputs, self._lent = len(inputs), lent
        self._operations: list[Operation] = []
        self._numbers: dict[int, int] = {}
        self._results = 0
        self._held: list[Any] = []  # all that has a number, so that no other can have its identity
        self._bytes = 0
        self._made: set[int] = set()  # storages of what operations returned
        self._shares: set[int] = set()  # tensors that have a number in common
        self._written = {_storage(t) for t in written}
        for tensor in inputs:
            self._give(tensor)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Have torch not hide this from torch.compile: it would import torch._dynamo for that, which takes a second."""
        return False

    def steps(self) -> Steps:
        """Return what was noted."""
        kinds = tuple("Tensor" if isinstance(value, torch.Tensor) else "Generator" for value in self.given)
        return Steps(kinds, tuple(self._operations))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call ``func``, and note it."""
        found = func(*args, **(kwargs or {}))
        if self.obstacle:
            self._held.clear()
        else:
            self._note(func, args, kwargs or {}, found)
        return found

    def _note(self, func: Any, args: tuple[Any, ...], named: Mapping[str, Any], found: Any) -> None:
        facts = _facts(func)
        values = [*args, *facts.defaults[len(args) :]]
        for name, value in named.items():
            values[facts.places[name]] = value
        draws = facts.draws and ("dropout_p" not in facts.places or values[facts.places["dropout_p"]] > 0)
        if draws and "generator" in facts.places:
            values[facts.places["generator"]] = values[facts.places["generator"]] or self._lent()
        if func.namespace != "aten" or (facts.turns and not self._may_turn(func, values[0])):
            self.obstacle = f"it calls {func}"
        elif draws and not any(isinstance(value, torch.Generator) for value in values):
            self.obstacle = f"{func} draws from torch's global generator"
        elif facts.is_view and self._is_fixed(values[0]):
            for part in found if isinstance(found, LIST) else [found]:
                self._give(part)  # a part of what is there each time is there too
        elif func is torch.ops.aten.detach.default:
            self._numbers[id(found)] = self._argument(values[0])
            self._held.append(found)
            self._shares |= {id(found), id(values[0])}
        else:
            self._call(func, facts, values, found)

    def _call(self, func: Any, facts: _Facts, values: Sequence[Any], found: Any) -> None:
        for value in map(values.__getitem__, facts.writes):
            if not all(map(self._may_write, value if isinstance(value, LIST) else [value])):
                self.obstacle = f"{func} writes into a tensor that was there before"
        arguments = tuple(map(self._argument, values))
        results = found if facts.returns > 1 else (found,) if facts.returns else ()
        self._operations.append(Operation(func, arguments, tuple(map(self._result, results))))
        if len(self._operations) > MOST_OPERATIONS or self._bytes > MOST_BYTES:
            self.obstacle = "a step of it is large"

    def _may_write(self, tensor: torch.Tensor) -> bool:
        return _storage(tensor) in self._made or _storage(tensor) in self._written

    def _may_turn(self, func: Any, tensor: torch.Tensor) -> bool:
        """Say whether the axes of a tensor may be changed in place: not where it has its number with others."""
        return func._schema.name in TURNS and id(tensor) not in self._shares and self._argument(tensor) > 0

    def _is_fixed(self, value: Any) -> bool:
        """Say whether a tensor is the same one each time: neither an input nor a result."""
        return isinstance(value, torch.Tensor) and self._argument(value) < -self._inputs

    def _give(self, value: Any) -> None:
        self.given.append(value)
        self._numbers[id(value)] = -len(self.given)

    def _argument(self, value: Any) -> Argument:
        number = self._numbers.get(id(value))
        if number is not None:
            return number
        if isinstance(value, torch.Tensor | torch.Generator):
            if isinstance(value, torch.Tensor) and _storage(value) in self._made:
                self.obstacle = "a tensor in it comes of an operation that is not seen"
            self._give(value)
            return self._numbers[id(value)]
        if isinstance(value, LIST) and any(isinstance(part, torch.Tensor) for part in value):
            return tuple(None if part is None else self._argument(part) for part in value)
        several = isinstance(value, LIST)
        if not all(type(part) in PLAIN for part in (value if several else (value,))):
            self.obstacle = f"it hands a {type(value).__name__} to an operation"
        return Constant(repr(value), tuple(value) if several else value)

    def _result(self, value: Any) -> Argument:
        if isinstance(value, LIST):
            return tuple(map(self._result, value))
        self._results += 1
        if isinstance(value, torch.Tensor):
            if id(value) not in self._numbers:  # else it is what the operation wrote
                self._numbers[id(value)] = self._results
                self._held.append(value)
                if _storage(value) not in self._made:
                    self._made.add(_storage(value))
                    self._bytes += value.untyped_storage().nbytes()
        elif value is not None:
            self.obstacle = f"it asks a tensor for a {type(value).__name__}"
        return self._results


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()

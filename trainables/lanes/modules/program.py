"""Does the operations of a step again without Python between them: torch's interpreter of graphs, in no other file.

It calls what was called, in the same order: nothing is fused, compiled or changed on the way. It does not hold Python's
lock, so that several stacks run side by side.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch

from trainables.lanes.modules.recorder import Argument, Constant, Operation, Steps

try:
    from torch._C import Graph, ListType, NoneType, OptionalType, _AutoDispatchBelowAutograd
    from torch._C import _create_function_from_graph, parse_ir  # isort: skip
    from torch.jit import optimized_execution  # type: ignore[attr-defined]

    _GENERATOR = next(parse_ir("graph(%x : Generator):\n  return (%x)").inputs()).type()
    UNAVAILABLE = ""
    """Why steps cannot be done again with this version of torch; empty where they can."""
except (ImportError, AttributeError, RuntimeError) as error:
    UNAVAILABLE = f"torch {torch.__version__} lacks what does steps again ({error})"

MEMORY_FORMATS = (torch.contiguous_format, torch.preserve_format, torch.channels_last, torch.channels_last_3d)
"""In the order of their numbers, which a graph has in their place."""


class Program:
    """A recorded step.

    Args:
        steps: what it does.
        given: to what, the inputs first.
        inputs: how many of these are inputs.

    Raises:
        Exception: torch's interpreter does not know one of the operations.
    """

    def __init__(self, steps: Steps, given: Sequence[Any], inputs: int) -> None:
        self._function = _compiled(steps)
        self._given = tuple(given[inputs:])

    def __call__(self, *inputs: torch.Tensor) -> None:
        """Do the step to other inputs."""
        # recorded below autograd, while gradients were on: some operations keep more for a gradient then
        with torch.enable_grad(), _AutoDispatchBelowAutograd(), optimized_execution(False):
            self._function(*inputs, *self._given)


@functools.lru_cache(maxsize=64)
def _compiled(steps: Steps) -> Callable[..., None]:
    """Return a function of what is given; the stacks of a group have it in common, and their trials one after another.

    It may be called by several threads at once.
    """
    found: Callable[..., None] = _create_function_from_graph("step", _GraphOf(steps).graph)
    return found


class _GraphOf:
    """Writes steps as a graph of torch's.

    Attributes:
        graph: it.
    """

    def __init__(self, steps: Steps) -> None:
        self.graph: Any = Graph()
        self._values: dict[int, Any] = {}
        self._constants: dict[Any, Any] = {}
        for number, kind in enumerate(steps.given, 1):
            self._values[-number] = self.graph.addInput()
            if kind == "Generator":
                self._values[-number].setType(_GENERATOR)
        for operation in steps.operations:
            self._call(operation)
        self.graph.registerOutput(self._none())
        self.graph.lint()

    def _call(self, operation: Operation) -> None:
        schema = operation.func._schema
        values = [self._value(a, of.type) for a, of in zip(operation.args, schema.arguments, strict=True)]
        node = self._append(schema.name, values, len(operation.found))
        for value, found in zip(node.outputs(), operation.found, strict=True):
            if isinstance(found, tuple):
                value.setType(ListType.ofTensors())
                parts = self._append("prim::ListUnpack", [value], len(found)).outputs()
                self._values |= dict(zip(found, parts, strict=True))
            else:
                self._values[found] = value

    def _append(self, name: str, values: Sequence[Any], results: int) -> Any:
        return self.graph.appendNode(self.graph.create(name, list(values), results))

    def _value(self, argument: Argument, kind: Any) -> Any:
        """Return what an argument is in the graph, where an operator asks for one of a kind."""
        if isinstance(argument, int):
            return self._values[argument]
        if not isinstance(argument, Constant):
            return self._list([self._none() if part is None else self._values[part] for part in argument], kind)
        value = argument.value
        if value is None:
            return self._none()
        if value == ():
            return self._list([], kind)
        if isinstance(value, torch.memory_format):
            value = MEMORY_FORMATS.index(value)
        elif isinstance(value, int) and "float" in str(kind):
            value = float(value)
        key = (type(value), argument.text)
        if key not in self._constants:
            self._constants[key] = self.graph.insertConstant(list(value) if isinstance(value, tuple) else value)
        return self._constants[key]

    def _list(self, parts: Sequence[Any], kind: Any) -> Any:
        node = self._append("prim::ListConstruct", parts, 1)
        node.output().setType(kind.getElementType() if isinstance(kind, OptionalType) else kind)
        return node.output()

    def _none(self) -> Any:
        if None not in self._constants:
            node = self._append("prim::Constant", [], 1)
            node.output().setType(NoneType.get())
            self._constants[None] = node.output()
        return self._constants[None]

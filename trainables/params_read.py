"""Which of its parameters a user's function reads."""

from __future__ import annotations

import ast
import re
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from functools import cached_property
from types import MappingProxyType
from typing import Any


class Reads:
    """Hands out parameters, and remembers which were read.

    Attributes:
        given: the names that were there in any of what was handed out.
        read: those that were read: by name (``params["a"]``, ``get``, ``in``), or with all others, where all were
            looked at (iterated, copied, unpacked: which of them count is then nobody's to tell).
        sought: names that were asked for and not there.
    """

    def __init__(self) -> None:
        self.given: set[str] = set()
        self.read: set[str] = set()
        self.sought: set[str] = set()

    def of(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a read-only view of ``params``, as a model's function is given, that remembers."""
        self.given |= set(params)
        return MappingProxyType(_Remembering(params, self))

    @property
    def unread(self) -> list[str]:
        """The names that were given and never read, sorted."""
        return sorted(self.given - self.read)


class _Remembering(dict[str, Any]):
    """A dictionary that tells ``Reads`` of every look; ``MappingProxyType`` calls the methods of what it shows."""

    def __init__(self, params: Mapping[str, Any], reads: Reads) -> None:
        super().__init__(params)
        self._reads = reads

    def _look(self, name: Any) -> None:
        (self._reads.read if super().__contains__(name) else self._reads.sought).add(name)

    def _look_at_all(self) -> None:
        self._reads.read.update(super().keys())

    def __getitem__(self, name: str) -> Any:
        self._look(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._look(name)
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        self._look(name)
        return super().__contains__(name)

    def __iter__(self) -> Iterator[str]:
        self._look_at_all()
        return super().__iter__()

    def __reversed__(self) -> Iterator[str]:
        self._look_at_all()
        return super().__reversed__()

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        self._look_at_all()
        return super().keys()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        self._look_at_all()
        return super().values()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        self._look_at_all()
        return super().items()

    def copy(self) -> dict[str, Any]:
        self._look_at_all()
        return dict(super().items())

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()


class Lookups:
    """The names that source files look up, some of them under values that nobody tried.

    ``x["name"]``, ``x.get("name")``, ``"name" in x`` and ``getattr(x, "name")`` count, and the names that an
    f-string there can make. Other words do not: the file may declare the study as well.

    Args:
        sources: Python's source code; what is none is left out.
    """

    def __init__(self, sources: Iterable[str]) -> None:
        self._sources = tuple(sources)

    def have(self, name: str) -> bool:
        """Say whether ``name`` is looked up somewhere."""
        return any(pattern.fullmatch(name) for pattern in self._patterns)

    @cached_property
    def _patterns(self) -> list[re.Pattern[str]]:
        found: list[re.Pattern[str]] = []
        for source in self._sources:
            try:
                nodes = list(ast.walk(ast.parse(source)))
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            found += [pattern for node in nodes for name in _names_in(node) if (pattern := _pattern(name)) is not None]
        return found


def _names_in(node: ast.AST) -> list[ast.expr]:
    """Return the expressions by which a node looks something up."""
    if isinstance(node, ast.Subscript):
        return [node.slice]
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
        return [node.left]
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "pop", "setdefault"):
            return node.args[:1]
        if isinstance(node.func, ast.Name) and node.func.id == "getattr":
            return node.args[1:2]
    return []


def _pattern(name: ast.expr) -> re.Pattern[str] | None:
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        return re.compile(re.escape(name.value))
    if isinstance(name, ast.JoinedStr):
        parts = [str(part.value) if isinstance(part, ast.Constant) else None for part in name.values]
        if any(part is not None and any(map(str.isalpha, part)) for part in parts):
            return re.compile("".join(".+" if part is None else re.escape(part) for part in parts))
    return None

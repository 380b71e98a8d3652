"""YAML with the line of everything in it: a safe, small reading, so that every mistake can name its line.

The words of YAML 1.2 hold: ``1e-4`` is a number, ``on`` and ``off`` are words, only true and false are
booleans, and there are no dates.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml

from trainables.mistake import Path

MOST_VALUES = 20_000
"""Values that a file may hold once its anchors are spread out."""

MOST_ERRORS = 50
"""Mistakes that are told at once."""

_TAG = "tag:yaml.org,2002:"
RESOLVERS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), "~nN\0"),
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    ("int", re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), "-+0123456789"),
    (
        "float",
        re.compile(
            r"^[-+]?(?:(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        "-+.0123456789",
    ),
    ("merge", re.compile(r"^<<$"), "<"),
)
"""What a word without quotes means: the core schema of YAML 1.2, and the merge key."""


class YamlError(ValueError):
    """Everything that is wrong with a text as YAML.

    Attributes:
        errors: for each mistake its line (from 1; None where it has none) and what is wrong.
    """

    def __init__(self, errors: list[tuple[int | None, str]]) -> None:
        self.errors = errors
        super().__init__("\n".join(text for _, text in errors))


@dataclass
class YamlDocument:
    """The data that a YAML text holds, and where in the text each part of it is.

    Attributes:
        data: plain dicts, lists, words, numbers, booleans and None.
        lines: by place in ``data`` the line, from 1, of a mapping's key or a list's item.
    """

    data: Any
    lines: dict[Path, int] = field(default_factory=dict)


class _Loader(yaml.SafeLoader):
    """PyYAML's reader with the words of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


for _name, _pattern, _first in RESOLVERS:
    _Loader.add_implicit_resolver(_TAG + _name, _pattern, list(_first.replace("\0", "")) + [""] * ("\0" in _first))


def load_yaml(text: str) -> YamlDocument:
    """Read one document.

    Raises:
        YamlError: not YAML, a key that is given twice or is no word, a number that is not finite, a tag that
            stands for anything but plain data, anchors that never end; everything that can be told at once.
    """
    try:
        root = yaml.compose(text, Loader=_Loader)
        return YamlDocument(None) if root is None else _Reader().read(root)
    except yaml.YAMLError as error:
        raise YamlError([_syntax(text, error)]) from None
    except RecursionError:
        raise YamlError([(None, "nested too deeply")]) from None
    except (ValueError, OverflowError) as error:  # an escape such as "\UFFFFFFFF" names no character
        if isinstance(error, YamlError):
            raise
        raise YamlError([(None, f"not valid YAML: {error}")]) from None


def _syntax(text: str, error: yaml.YAMLError) -> tuple[int | None, str]:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if isinstance(error, yaml.reader.ReaderError):
        return text.count("\n", 0, error.position) + 1, f"not valid YAML: {error.reason}"
    problem = getattr(error, "problem", None) or getattr(error, "context", None) or "cannot be read"
    return (mark.line + 1 if mark else None), f"not valid YAML: {problem}"


class _Reader:
    """Turns PyYAML's nodes into data, and keeps their lines."""

    def __init__(self) -> None:
        self._document = YamlDocument(None)
        self._errors: list[tuple[int | None, str]] = []
        self._open: list[int] = []
        self._merging = 0
        self._values = 0

    def read(self, root: yaml.Node) -> YamlDocument:
        self._document.data = self._value(root, ())
        if self._errors:
            raise YamlError(_not_too_many(list(dict.fromkeys(self._errors))))  # an anchor is read wherever it is used
        return self._document

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self._values += 1
        if self._values > MOST_VALUES:
            raise YamlError([*self._errors, (_line(node), f"holds more than {MOST_VALUES:,} values")])
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        kind = "map" if isinstance(node, yaml.MappingNode) else "seq"
        if node.tag != _TAG + kind:
            self._errors.append((_line(node), f"the tag {_shown(node.tag)} is not allowed: plain data only"))
            return None
        with self._inside(node) as allowed:
            if not allowed:
                return None
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            return [self._item(child, (*path, i)) for i, child in enumerate(node.value)]

    @contextmanager
    def _inside(self, node: yaml.Node) -> Iterator[bool]:
        if id(node) in self._open:
            self._errors.append((_line(node), "an anchor holds itself"))
            yield False
            return
        self._open.append(id(node))
        try:
            yield True
        finally:
            self._open.pop()

    def _item(self, node: yaml.Node, path: Path) -> Any:
        self._note_line(path, _line(node))
        return self._value(node, path)

    def _note_line(self, path: Path, line: int) -> None:
        if not self._merging or path not in self._document.lines:  # what a mapping says itself keeps its lines
            self._document.lines[path] = line

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        first: dict[str, int] = {}
        found: dict[str, Any] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                merged.append(value_node)
                continue
            key, line = self._key(key_node), _line(key_node)
            if key is None:
                continue
            if key in first:
                self._errors.append((line, f"{_dotted((*path, key))} is given twice; first in line {first[key]}"))
                continue
            first[key] = line
            self._note_line((*path, key), line)
            found[key] = self._value(value_node, (*path, key))
        for value_node in merged:
            self._merge(value_node, path, found)
        return found

    def _merge(self, node: yaml.Node, path: Path, found: dict[str, Any]) -> None:
        """Lay what ``<<`` names below what the mapping says itself."""
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(source, yaml.MappingNode):
                self._errors.append((_line(source), "<< must name mappings"))
                continue
            self._merging += 1
            below = self._value(source, path) or {}
            self._merging -= 1
            for key, value in below.items():
                found.setdefault(key, value)

    def _key(self, node: yaml.Node) -> str | None:
        if isinstance(node, yaml.ScalarNode) and node.tag == _TAG + "str":
            return str(node.value)
        shown = repr(node.value) if isinstance(node, yaml.ScalarNode) else "a list or a mapping"
        self._errors.append((_line(node), f"a name must be a word, got {shown}"))
        return None

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        kind, text = node.tag.removeprefix(_TAG), str(node.value)
        try:
            if kind == "str":
                return text
            if kind == "null":
                return None
            if kind == "bool" and text.lower() in ("true", "false"):
                return text.lower() == "true"
            if kind == "int":
                return self._whole(int(text, 0) if text[:2] in ("0o", "0x") else int(text), node)
            if kind == "float":
                return self._finite(float(text.replace(".inf", "inf").replace(".nan", "nan")), node)
        except ValueError:
            pass
        if kind in ("bool", "int", "float"):
            self._errors.append((_line(node), f"{_short(text)} is no {kind}"))
        else:
            self._errors.append((_line(node), f"the tag {_shown(node.tag)} is not allowed: plain data only"))
        return None

    def _whole(self, value: int, node: yaml.ScalarNode) -> int:
        if abs(value) >= 2**63:
            self._errors.append((_line(node), f"a whole number has at most 64 bits, got {_short(str(node.value))}"))
        return value

    def _finite(self, value: float, node: yaml.ScalarNode) -> float:
        if not math.isfinite(value):
            self._errors.append((_line(node), f"a number must be finite, got {_short(str(node.value))}"))
        return value


def _not_too_many(errors: list[tuple[int | None, str]]) -> list[tuple[int | None, str]]:
    more = len(errors) - MOST_ERRORS
    return errors if more <= 0 else [*errors[:MOST_ERRORS], (None, f"and {more:,} more mistakes")]


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _dotted(path: Path) -> str:
    return ".".join(str(part) for part in path)


def _shown(tag: str) -> str:
    return _short("!!" + tag.removeprefix(_TAG) if tag.startswith(_TAG) else tag)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")

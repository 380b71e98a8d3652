"""A study as YAML: it runs again unchanged, and its comments say what may stand there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any

import yaml

from search.credentials import better_way, were_given
from search.declaration.fields import fields_of, meanings, part_of
from search.declaration.options import addresses
from search.declaration.study import Study
from spaces.located_yaml import RESOLVERS

COMMENT_COLUMN = 34
WORD = "a word"
_TAG = "tag:yaml.org,2002:"


class _Dumper(yaml.SafeDumper):
    """Quotes every word that YAML 1.1 or 1.2 would read as something else."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists below their key."""
        super().increase_indent(flow, False)


for _name, _pattern, _first in RESOLVERS:
    _Dumper.add_implicit_resolver(_TAG + _name, _pattern, list(_first.replace("\0", "")) + [""] * ("\0" in _first))


def _represent_word(dumper: yaml.SafeDumper, word: str) -> yaml.ScalarNode:
    style = '"' if "\n" in word else None  # everything stays in one line
    return dumper.represent_scalar(f"{_TAG}str", word, style=style)


_Dumper.add_representer(str, _represent_word)


def study_yaml(study: Study) -> str:
    """Return ``study`` as YAML. Its name is left out: the next run is another one."""
    data = study.model_dump(mode="json")
    del data["name"]
    given = {field: address for field in addresses() if (address := _at(data, field)) and were_given(address)}
    notes = [f"# The credentials of {field} are not written here: {better_way(a)}." for field, a in given.items()]
    lines = [
        "# A study of Lanewise; it runs with: python -m search.run --config FILE",
        "# Every field may be left out but kind and space; `python -m search schema` says what else may stand here.",
        *notes,
    ]
    schema, words = Study.model_json_schema(), meanings(Study)
    for name, value in data.items():
        lines += ["", *_comment(words.get(name, ""))] if isinstance(value, dict) and value else []
        lines += _field(name, value, schema["properties"][name], schema, 0)
    return "\n".join(lines) + "\n"


def _field(name: str, value: Any, rule: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> Iterator[str]:
    """Yield the lines of one field."""
    pad = "  " * depth
    part = part_of(fields_of(Study).get(name)) if depth == 0 else None
    if name == "space" and depth == 0:
        yield "space:"
        for parameter, declared in value.items():
            yield f"  {_flat(parameter)}: {_flat(declared)}"
    elif isinstance(value, dict) and part is not None:
        yield f"{pad}{name}:"
        rules = _resolved(rule, schema).get("properties", {})
        for inner, inner_value in value.items():
            yield from _field(inner, inner_value, rules.get(inner, {}), schema, depth + 1)
    elif isinstance(value, dict) and value:
        yield f"{pad}{name}:"
        for inner, inner_value in value.items():
            yield f"{pad}  {_flat(inner)}: {_flat(inner_value)}"
    else:
        text, allowed = f"{pad}{name}: {_flat(value)}", allowed_text(rule)
        yield text if allowed in ("", WORD) else f"{text:<{COMMENT_COLUMN}}  # {allowed}"


def allowed_text(rule: Mapping[str, Any]) -> str:
    """Return what a field may be, in a few words: ``asha, median or none``, ``a whole number >= 1``."""
    if "anyOf" in rule:
        return " or ".join(text for text in map(allowed_text, rule["anyOf"]) if text)
    if "enum" in rule:
        words = [str(word) for word in rule["enum"]]
        return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
    if "const" in rule:
        return str(rule["const"])
    if rule.get("type") == "null":
        return "null"
    kinds = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": WORD}
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = [f"{sign} {rule[limit]:.12g}" for limit, sign in signs.items() if limit in rule]
    return f"{kinds.get(str(rule.get('type')), '')} {' and '.join(limits)}".strip()


def _resolved(rule: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the definition of a part that a rule, perhaps of ``Part | None``, refers to."""
    inner = (rule, *rule.get("allOf", ()), *rule.get("anyOf", ()))
    reference = next((r["$ref"] for r in inner if "$ref" in r), None)
    if reference is None:
        return rule
    found: Mapping[str, Any] = schema["$defs"][str(reference).rsplit("/", 1)[1]]
    return found


def _flat(value: Any) -> str:
    """Return a value as YAML in one line."""
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, width=10**9, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _comment(words: str) -> list[str]:
    return [f"# {words}"] if words else []


def _at(data: Mapping[str, Any], field: str) -> Any:
    """Return what a study's plain data have at a dotted name."""
    return reduce(lambda inside, name: inside[name], field.split("."), data)

"""The command's parameters and its help, made of the table of options."""

from __future__ import annotations

import inspect
import typing
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from search.declaration.option import Group
from search.declaration.options import Options, table
from search.face.answer_stream import answer_alone
from search.signs.life import hushed


class GroupedCommand(TyperCommand):
    """A command whose help shows its options under the headings of their groups."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each group, in the order of ``Group``; what has none comes last."""
        sections: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for parameter in self.get_params(ctx):
            line = parameter.get_help_record(ctx)
            if line is not None:
                sections[getattr(parameter, "rich_help_panel", None) or "Other"].append(line)
        for heading in (*(group.value for group in Group), "Other"):
            if heading in sections:
                with formatter.section(heading):
                    formatter.write_dl(sections[heading])


def takes_options(command: Callable[[Options], int]) -> Callable[..., int]:
    """Return ``command`` with a parameter for each entry of the table, as typer reads them."""

    def called(kind: str | None = None, **given: Any) -> int:
        options = Options(kind, **{name: value for name, value in given.items() if value is not None})
        with answer_alone(options.json_), hushed(options.quiet):
            return command(options)

    called.__name__, called.__doc__ = command.__name__, command.__doc__
    called.__signature__ = inspect.Signature(_parameters())  # type: ignore[attr-defined]
    return called


def _parameters() -> list[inspect.Parameter]:
    types = typing.get_type_hints(Options)
    parameters = []
    for field in fields(Options):
        entry, kind = table()[field.name], types[field.name]
        default = field.default
        if typing.get_origin(kind) is Sequence:
            kind, default = list[str] | None, None  # which typer takes for an option that may be repeated
        shown: Any
        if entry.flag:
            panel = entry.group.value
            shown = typer.Option(entry.flag, metavar=entry.metavar, help=entry.words, rich_help_panel=panel)
        else:
            shown = typer.Argument(metavar=entry.metavar, help=entry.words, rich_help_panel=entry.group.value)
        parameters.append(
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, shown]
            )
        )
    return parameters

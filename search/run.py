"""``python -m search.run STUDY``: the main job."""

from __future__ import annotations

import inspect
import sys

if __name__ == "__main__":
    from search.credentials import mask_command_line

    mask_command_line()  # before what takes a second to import: until then, others can read it

    from search.signs.life import begin

    begin()

from types import ModuleType
from typing import Any

import typer

from search.commands.entry import guarded
from search.commands.main_command import run
from search.commands.parameters import GroupedCommand


def main() -> int:
    """Entry point of ``python -m search.run``."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name="run", cls=GroupedCommand)(run)
    return guarded(app, prog="python -m search.run")


class _Callable(ModuleType):
    """The module where it stands for the function of its name: ``from search import run``.

    Once anything has imported ``search.run``, the package's ``run`` is this module, not ``search.api.run``.
    """

    @property
    def __signature__(self) -> inspect.Signature:
        from search import api

        return inspect.signature(api.run)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from search import api

        return api.run(*arguments, **options)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    sys.exit(main())

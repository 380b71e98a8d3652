"""A function of the user's own, by the name under which every process finds it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from trainables.errors import ConfigError
from trainables.model_function import carried_function, find_function
from trainables.own_process import OwnProcessError, in_own_process
from trainables.stage import stage

PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
IMPORT_LIMIT_S = 300.0
"""Seconds that its module may take to be imported: it may fetch weights."""


@dataclass(frozen=True)
class UserFunction:
    """A function named ``package.module:function``.

    Attributes:
        kind: what it is called in a declaration: ``model`` or ``train``.
        signature: how it must look, for messages.
        example: a path, for messages.

    Raises:
        ConfigError: the path is not of that form.
    """

    path: str
    kind: str
    signature: str
    example: str
    limit_s: float = IMPORT_LIMIT_S

    def __post_init__(self) -> None:
        if not PATH.fullmatch(self.path):
            raise ConfigError(f"{self.kind} {self.path!r} must be package.module:function, such as {self.example}")

    @property
    def who(self) -> str:
        """What messages begin with."""
        return f"{self.kind} {self.path}"

    def find(self) -> Callable[..., Any]:
        """Import and return it.

        Raises:
            ConfigError: no such module or function (the nearest name is suggested), or the import failed.
        """
        return find_function(self.path, kind=self.kind, signature=self.signature)

    def import_mistakes(self, *, look: Callable[[Any], str | None] = lambda function: None) -> list[str]:
        """Import it, at first in a process of its own, and return why it cannot be used; empty if it can.

        Args:
            look: returns what is wrong with the function itself, as it reads after its name.
        """
        looked_up = partial(self._looked_up, look)
        if self.path.partition(":")[0] in sys.modules:
            return looked_up()
        with stage(f"importing {self.who}"):
            import torch  # noqa: F401 - once, here: the process has it then, and this one needs it next

            try:
                mistakes = in_own_process(looked_up, limit_s=self.limit_s, quiet=True)
            except OwnProcessError as error:
                return [f"{self.who} cannot be imported: it {error}"]
            return mistakes or looked_up()

    def _looked_up(self, look: Callable[[Any], str | None]) -> list[str]:
        try:
            function = self.find()
            carried_function(self.path, kind=self.kind)
        except ConfigError as error:
            return list(error.errors)
        wrong = look(function)
        return [] if wrong is None else [f"{self.who} {wrong}"]

"""What an entry of the table of options is: its words, its group, the field that it sets, and what reads the text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from search.declaration.mistakes import usage_error
from trainables.mistake import Mistake

OPTION = "option"
DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


class Group(Enum):
    """The headings under which the help shows the options, in this order."""

    STUDY = "Study"
    BUDGET = "Budget"
    DATA = "Data"
    MODEL = "Model"
    SPACE = "Space"
    SEARCH = "Search"
    PLACE = "Where it runs"
    TRACKING = "Tracking"
    FAULTS = "Faults"
    OUTPUT = "Output"


@dataclass(frozen=True)
class Option:
    """One entry of the table: all that is said of an option besides its name and type.

    Attributes:
        words: for the help.
        group: the heading there.
        sets: the field of the study that takes the value, dotted; empty where more than one value makes a field.
        about: further fields for which the option stands in messages.
        read: makes the field's value of what was typed; raises ``UsageError``.
        metavar: how the help writes the value.
        flag: as it is typed; empty for the one argument, which has no flag.
        address: the field of the study that it makes an address, whose credentials are not kept; else empty.
    """

    words: str
    group: Group
    sets: str = ""
    about: tuple[str, ...] = ()
    read: Callable[[str], Any] | None = None
    metavar: str | None = None
    flag: str = ""
    address: str = ""


def parse_duration(text: str) -> float:
    """Read ``90``, ``90s``, ``10m``, ``1h30m`` as seconds.

    Raises:
        UsageError: anything else, or nothing.
    """
    match = DURATION.fullmatch(text.strip().lower())
    if not text.strip() or match is None:
        rule = "{value}: expected a duration such as 90s, 10m or 1h30m"
        raise usage_error([Mistake(("budget", "time_s"), rule, text)])
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def parse_lanes(text: str) -> int | str:
    """Read a number of lanes, or ``auto``.

    Raises:
        UsageError: anything else.
    """
    if text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise usage_error([Mistake(("lanes", "lanes"), "must be a whole number >= 1 or auto", text)])
    return int(text)


def option(words: str, group: Group, *, default: Any = None, **facts: Any) -> Any:
    """Declare an option of the table below; ``facts`` are those of ``Option``."""
    return field(default=default, metadata={OPTION: Option(words, group, **facts)})

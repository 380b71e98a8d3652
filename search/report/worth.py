"""What each parameter of a configuration is worth, as a table's rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from search.report.paired import Interval


@dataclass(frozen=True)
class Worth:
    """One parameter.

    Attributes:
        parameter: its name; those that it switches on go with it.
        value, baseline: what it is in the configuration, and in the baseline.
        in_place: what the objective loses where it alone is set back, on the same pairs: positive where it helps.
        alone: what the baseline gains where it alone is added: positive where it helps.
        words: what may be said of it.
        error: why a run failed, if one did.
    """

    parameter: str
    value: Any
    baseline: Any
    in_place: Interval | None
    alone: Interval | None
    words: str = ""
    error: str | None = None


@dataclass(frozen=True)
class Ablation:
    """What each parameter of a configuration is worth.

    Attributes:
        trial: whose configuration it is.
        pairs: on how many pairs.
        rows: those that are worth most first.
    """

    trial: int
    pairs: int
    rows: tuple[Worth, ...]

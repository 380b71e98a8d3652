"""Configurations of an earlier study that are trained first: as they were, and as they fit this study's space.

What an earlier study found is taken over as configurations and not as values: its data were others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from search.declaration.mistakes import refuse
from search.declaration.parts import Frozen
from spaces import BASELINE_TRIAL, Point, Space, Value, hash_params
from spaces.fit import Change, fitted
from trainables.mistake import Mistake

USUAL_BEST = 5
"""How many configurations are seated where nobody says how many."""

NO_STUDY = "{value} names no study; expected NAME, NAME:K or HOME/NAME"


class EarlierTrial(Frozen):
    """A trial of an earlier study.

    Attributes:
        trial: its number there.
        params: its active parameters there.
    """

    trial: int = Field(ge=0)
    params: dict[str, Value]


class WarmStart(Frozen):
    """The best configurations of an earlier study, which are trained after the baseline and before all others.

    Attributes:
        study: the earlier one: a name in the same home, or the path of its folder, HOME/NAME.
        best: how many of its configurations.
        trials: those, best first, as they were when this study began; what is there is not looked up again.
        settings: what all of them shared of what is searched here.
        ended: how many trials of the earlier study had ended by then.
    """

    study: str = ""
    best: int = Field(USUAL_BEST, ge=1)
    trials: tuple[EarlierTrial, ...] = ()
    settings: dict[str, Value] = {}
    ended: int | None = Field(None, ge=0)

    @classmethod
    def parse(cls, text: str) -> WarmStart:
        """Read ``NAME``, ``NAME:K`` or ``HOME/NAME:K``; ``refuse`` tells what else there is."""
        study, colon, count = text.rpartition(":")
        if not colon or "/" in count:
            study, count = text, str(USUAL_BEST)
        if not study:
            refuse([Mistake(("warm_start",), NO_STUDY, text)])
        if not count.isdecimal() or int(count) < 1:
            rule = f"{text}: the part after the colon must be a whole number >= 1"
            refuse([Mistake(("warm_start",), rule, count)])
        return cls(study=study, best=int(count))

    def __str__(self) -> str:
        return f"{self.study}:{self.best}"

    @property
    def name(self) -> str:
        """The earlier study's name."""
        return self.study.rstrip("/").rpartition("/")[2]


def warm_start_of(given: Any) -> Any:
    """Return a warm start that is given as a word as what it stands for; all else is left to the model's own check."""
    if isinstance(given, str):
        return WarmStart.parse(given)
    if isinstance(given, Mapping) and isinstance(given.get("trials"), list):
        return {**given, "trials": tuple(given["trials"])}  # which are checked as Python is, not JSON
    return given


@dataclass(frozen=True)
class SeatedTrial:
    """A trial of this study whose configuration is one of an earlier study.

    Attributes:
        number: of the trial here.
        study, trial: whose configuration it was.
        params: the active parameters, a point of this space.
        changes: what of them is not as it was.
    """

    number: int
    study: str
    trial: int
    params: Point
    changes: tuple[Change, ...]


def seated_trials(warm: WarmStart, space: Space, settings: Point) -> list[SeatedTrial]:
    """Return the trials after the baseline that have the configurations of an earlier study, in order.

    No two have the same one, and none has the baseline's.

    Args:
        warm: the earlier configurations.
        space: what is searched.
        settings: what all trials share.
    """
    found: list[SeatedTrial] = []
    known = baseline_hashes(space)
    for earlier in warm.trials:
        params, changes = fitted(space, earlier.params, shared_there=warm.settings, shared_here=settings)
        if (key := hash_params(params)) not in known:
            known.add(key)
            found.append(SeatedTrial(BASELINE_TRIAL + 1 + len(found), warm.name, earlier.trial, params, changes))
    return found


def baseline_hashes(space: Space) -> set[str]:
    """Return the hashes of the baseline as it is, and as it is told to samplers: the nearest point of the space."""
    return {hash_params(space.baseline), hash_params(space.clamp(space.baseline))}

"""What a scheduler that pauses trials chooses for the lanes of a worker, once a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from search.brain.decision import Decision
from spaces import Point


@dataclass(frozen=True, slots=True)
class Choice:
    """Who trains the next epoch; a trial that holds a lane and is not named goes on.

    Attributes:
        pause: the trials that give up their lanes, by number, each with the decision that says why.
        go_on: those that keep theirs after they were compared with others.
        resume: the paused ones that come back.
        begin: a place for each trial that begins: its configuration, or None where the sampler proposes it.
    """

    pause: Mapping[int, Decision] = field(default_factory=dict)
    go_on: Mapping[int, Decision] = field(default_factory=dict)
    resume: Mapping[int, Decision] = field(default_factory=dict)
    begin: Sequence[Point | None] = ()

    def __bool__(self) -> bool:
        return bool(self.go_on or self.resume or self.begin)

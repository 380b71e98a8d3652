"""Equal numbers of trials for the choices of one categorical parameter, or the values of one of whole numbers."""

from __future__ import annotations

from dataclasses import dataclass

from optuna.distributions import CategoricalDistribution, IntDistribution

from spaces import Parameter, Point, Space, Value


@dataclass
class Share:
    """One choice and the trials that had it.

    Attributes:
        name: of the parameter.
        choice: its value.
        space: the points with this choice.
        size: how many there are; ``inf`` with any continuous parameter.
        trials: how many trials had the choice.
        inside: how many of them were points of ``space``; the baseline may be none.
    """

    name: str
    choice: Value
    space: Space
    size: float
    trials: int = 0
    inside: int = 0

    @property
    def used_up(self) -> bool:
        """Whether every point was trained."""
        return self.inside >= self.size


class Shares:
    """Says which choice is due: the one with the fewest trials so far.

    Choices are in the order of the space, but for the baseline's, which is first. Trial n therefore gets
    choice n mod k. A choice whose points are used up hands what is left of its share on to the others; one
    that joins later (by an extended study) catches up. All of this depends on what was proposed before, and
    not on any result, so that a resumed search deals as an uninterrupted one.
    """

    def __init__(self, space: Space, name: str) -> None:
        parameter = space[name]
        choices = _choices(parameter)
        parts = [space.with_parameters({name: parameter.fixed_at(choice)}) for choice in choices]
        self._shares = [
            Share(name, choice, part, part.cardinality()) for choice, part in zip(choices, parts, strict=True)
        ]
        self._shares.sort(key=lambda share: not share.space[name].contains(parameter.baseline))  # stable

    @property
    def handed_on(self) -> dict[Value, int]:
        """The choices whose points are used up and that had fewer trials than another, with their trials."""
        most = max(share.trials for share in self._shares)
        return {share.choice: share.trials for share in self._shares if share.used_up and share.trials < most}

    def due(self) -> Share | None:
        """Return the choice whose turn it is; None if none has points left."""
        left = [share for share in self._shares if not share.used_up]
        return min(left, key=lambda share: share.trials, default=None)

    def count(self, params: Point) -> None:
        """Take note of a trial that was proposed."""
        for share in self._shares:
            if share.space[share.name].contains(params[share.name]):
                share.trials += 1
                share.inside += share.space.clamp(params) == dict(params)


def _choices(parameter: Parameter) -> list[Value]:
    d = parameter.distribution
    if isinstance(d, IntDistribution):
        return list(range(d.low, d.high + 1, d.step))
    assert isinstance(d, CategoricalDistribution), "a study checks it"
    return list(d.choices)  # type: ignore[arg-type]

"""Optuna objectives in a search: ``run(declare(objective, ...))`` in place of ``study.optimize(objective, ...)``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

from search import api
from search.errors import UsageError
from search.integrations.carried import CarriedFunction
from search.integrations.choices import choice_of
from search.integrations.optuna_space import space_of
from trainables.errors import ConfigError
from trainables.train_function.handover import TrialEnded

if TYPE_CHECKING:
    from search.declaration.study import Study
    from trainables.train_function.trial import Trial

Direction: TypeAlias = Literal["minimize", "maximize"]
MODES = {"minimize": "min", "maximize": "max"}
VALUE = "value"
"""The metric that an objective's value is reported as; ``value_0``, ``value_1`` ... where it returns several."""


def declare(
    objective: Callable[..., Any],
    *,
    direction: Direction = "minimize",
    directions: Sequence[Direction] | None = None,
    baseline: Mapping[str, Any] | None = None,
    kind: str = "optuna",
    **fields: Any,
) -> Study:
    """Declare a study whose trials call an Optuna objective as it is.

    ::

        from search import run
        from search.integrations.optuna import declare

        run(declare(objective, direction="maximize", budget={"trials": 100, "max_epochs": EPOCHS}))

    The space is what the objective suggests: it is called for that, in this process, each time until its first
    report; ``space=`` spares that. Each report is an epoch; a value that is returned without one is the only epoch.

    Args:
        objective: takes an ``optuna.Trial``; one of a module, the script or a notebook, or an object to call.
        direction: of what it returns and reports.
        directions: where it returns several.
        baseline: values of trial 0; the middle of a range and the first choice for the others.
        kind: a word for the study.
        fields: ``Study``'s, as for ``search.declare``. ``budget.max_epochs`` is how often it reports at most; 1
            where it never does.

    Raises:
        UsageError: everything that is wrong; ``errors`` has a line each.
    """
    if not callable(objective):
        raise UsageError(f"declare takes an Optuna objective, a function of a trial; got {objective!r:.80}")
    wanted = [direction] if directions is None else list(directions)
    if wrong := [word for word in wanted if word not in MODES]:
        raise UsageError([f"direction must be minimize or maximize, got {word!r}" for word in wrong])
    names = _metrics(len(wanted))
    goals = [{"metric": name, "mode": MODES[word]} for name, word in zip(names, wanted, strict=True)]
    fields.setdefault("objective", goals[0])
    fields.setdefault("further", goals[1:])
    if "space" not in fields:
        fields["space"], reports = space_of(objective, baseline or {})
        budget = fields.get("budget", {})
        if not reports and isinstance(budget, Mapping):
            fields["budget"] = {"max_epochs": 1, **budget}
    return api.declare(kind, train=ObjectiveFunction(objective, len(wanted)), **fields)


class ObjectiveFunction(CarriedFunction):
    """A training function that calls an Optuna objective.

    Args:
        objective: Optuna's.
        values: how many numbers it returns.
    """

    def __init__(self, objective: Callable[..., Any], values: int = 1) -> None:
        super().__init__(objective, "objective")
        self._names = _metrics(values)

    def __call__(self, trial: Trial) -> None:
        """Call the objective, and report what it returns where it reported nothing."""
        given = ObjectiveTrial(trial)
        try:
            value = self.function(given)
        except optuna.TrialPruned:
            given.end_function()
            trial.note("the objective raised TrialPruned of its own accord")
            if given.last is None:
                trial.report(**dict.fromkeys(self._names, math.nan))
            return
        given.end_function()
        if given.last is None:
            values = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
            if len(values) != len(self._names):
                raise ConfigError(f"the objective returned {value!r:.80}, expected {len(self._names)} numbers")
            trial.report(**dict(zip(self._names, values, strict=True)))
        elif value != given.last:
            trial.note(f"returned {value!r}, which is not its last report, {given.last!r}; what is reported counts")


class ObjectiveTrial(optuna.trial.FixedTrial):
    """One trial of a search as an Optuna objective knows it.

    Args:
        trial: what the training function was handed.

    Attributes:
        last: the value reported last; None before the first.
    """

    def __init__(self, trial: Trial) -> None:
        super().__init__(dict(trial.params), number=trial.number or 0)
        self._trial = trial
        self._steps: set[int] = set()
        self._ended: TrialEnded | None = None
        self.last: float | None = None

    def report(self, value: float, step: int) -> None:
        """Report an epoch; a step that was reported before is left out, as Optuna does.

        Raises:
            ConfigError: the value is no number.
            TrialEnded: the trial has ended, and ``should_prune`` was not asked.
        """
        self.end_function()
        if step in self._steps:
            return
        self._steps.add(step)
        self.last = value
        try:
            self._trial.report(**{VALUE: value})
        except TrialEnded as ended:
            self._ended = ended

    def should_prune(self) -> bool:
        """Say whether the trial has ended: pruned, stopped, or at ``max_epochs``."""
        return self._ended is not None

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep an attribute, as a note of the trial."""
        super().set_user_attr(key, value)
        self._trial.note(f"{key} = {value}")

    def end_function(self) -> None:
        """Raise what ``report`` kept from the objective.

        Raises:
            TrialEnded: the trial has ended.
        """
        if self._ended is not None:
            raise self._ended

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self._params:
            raise ConfigError(
                f"the objective suggests {name!r}, which is not in the space ({', '.join(self._params)}): no call that "
                "was made to see it did; give the whole space, declare(objective, space=...)"
            )
        if isinstance(distribution, CategoricalDistribution):
            self._params[name] = choice_of(distribution.choices, self._params[name])
        elif not distribution._contains(self._params[name]) and self._trial.number != 0:
            raise ConfigError(
                f"the objective suggests {name!r} from {distribution}, and the space has {self._params[name]}: a range "
                "must not depend on other parameters"
            )
        return super()._suggest(name, distribution)


def _metrics(values: int) -> list[str]:
    return [VALUE] if values == 1 else [f"{VALUE}_{i}" for i in range(values)]

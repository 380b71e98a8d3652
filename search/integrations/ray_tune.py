"""Ray Tune function trainables in a search: ``run(declare(train, space, ...))`` in place of ``tune.Tuner``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from numbers import Number
from typing import TYPE_CHECKING, Any, Literal

from search import api
from search.errors import UsageError
from search.integrations.carried import CarriedFunction
from search.integrations.ray_session import TuneSession
from search.integrations.ray_space import config_of, space_of
from search.integrations.trainer_epochs import renamed
from trainables.errors import ConfigError
from trainables.mistake import show_value

if TYPE_CHECKING:
    from search.declaration.study import Study
    from trainables.train_function.trial import Trial

VALUE = "value"
"""The metric that a number is reported as which has no name: one that is returned or yielded."""


def declare(
    function: Callable[..., Any],
    param_space: Mapping[str, Any],
    *,
    metric: str = VALUE,
    mode: Literal["min", "max"] = "min",
    baseline: Mapping[str, Any] | None = None,
    kind: str = "ray_tune",
    **fields: Any,
) -> Study:
    """Declare a study whose trials call a Ray Tune function trainable as it is.

    ::

        from search import run
        from search.integrations.ray_tune import declare

        run(declare(train, param_space, metric="mean_accuracy", mode="max", budget={"trials": 50, "max_epochs": 10}))

    Each ``tune.report`` is an epoch. A trial goes on from the checkpoint that was reported last, by
    ``tune.get_checkpoint()``, as it does in Ray; what was reported after it is trained again and not reported again.

    Args:
        function: takes a ``config``; reports, yields or returns metrics.
        param_space: what is sampled, beside plain values; nested or not.
        metric: the objective.
        mode: ``min`` or ``max``.
        baseline: values of trial 0 by name (``model/width`` where they are nested); the middle of a range and the first
            choice for the others.
        kind: a word for the study.
        fields: ``Study``'s, as for ``search.declare``. ``budget.max_epochs`` is how often it reports at most.

    Raises:
        UsageError: everything that is wrong; ``errors`` has a line each.
    """
    if not callable(function) or inspect.isclass(function):
        raise UsageError(f"declare takes a function trainable of Ray Tune, train(config); got {function!r:.80}")
    space = space_of(param_space, baseline or {})
    fields.setdefault("objective", {"metric": next(iter(renamed({metric: 0}, None))), "mode": mode})
    return api.declare(kind, train=TuneFunction(function, param_space), space=space, **fields)


class TuneFunction(CarriedFunction):
    """A training function that calls a function trainable of Ray Tune.

    Args:
        function: Ray Tune's.
        param_space: what its ``config`` is made of.
    """

    def __init__(self, function: Callable[..., Any], param_space: Mapping[str, Any]) -> None:
        super().__init__(function, "trainable")
        self._param_space = param_space

    def __call__(self, trial: Trial) -> None:
        """Call the function within a session of its own, and report what it yields and returns."""
        session = TuneSession(trial)
        with session:
            said = self.function(config_of(self._param_space, dict(trial.params)))
            if not inspect.isgenerator(said):
                said = [] if said is None else [said]
            for metrics in said:
                session.report(_as_metrics(metrics))


def _as_metrics(said: Any) -> Mapping[str, Any]:
    """Return what a function yielded or returned as metrics, as Ray takes it: a number, or a dictionary."""
    if isinstance(said, Mapping):
        return said
    if isinstance(said, Number):
        return {VALUE: said}
    raise ConfigError(f"the trainable returned or yielded {show_value(said)}; expected a number or a dictionary")

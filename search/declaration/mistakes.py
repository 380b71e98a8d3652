"""What is wrong with a declaration, in the words of the options that a user typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from search.errors import UsageError

T = TypeVar("T")

FLAGS = {
    "data.name": "--dataset",
    "data.train_examples": "--train-examples",
    "objective.metric": "--objective",
    "objective.mode": "--objective",
    "budget.trials": "--trials",
    "budget.max_epochs": "--max-epochs",
    "budget.time_s": "--time-budget",
    "scheduler.name": "--scheduler",
    "scheduler.grace": "--grace",
    "scheduler.reduction_factor": "--reduction-factor",
    "resources.cpus_per_trial": "--cpus-per-trial",
    "resources.gpus_per_trial": "--gpus-per-trial",
    "resources.cpus_per_worker": "--cpus-per-worker",
    "resources.gpus_per_worker": "--gpus-per-worker",
    "resources.workers": "--workers",
    "lanes.lanes": "--lanes",
    "faults.max_failures": "--max-failures",
    "faults.abort_after": "--abort-after-failures",
    "faults.trial_timeout_s": "--trial-timeout",
    "lanes.precision": "--precision",
    "lanes.mode": "--lane-mode",
    "sampler": "--sampler",
    "executor": "--executor",
    "seed": "--seed",
    "checkpoint_every_s": "--checkpoint-every",
    "keep_checkpoints": "--keep-checkpoints",
}
"""The option that sets a field, so that a message names what the user typed."""

COMPLETE_MESSAGE = "lanewise"
"""The type of the errors that ``refuse`` raises."""


def refuse(*lines: str) -> None:
    """Fail a check with messages that already say everything; do nothing where there are none."""
    if lines:
        raise refusal(*lines)


def refusal(*lines: str) -> PydanticCustomError:
    """Return what a check raises whose messages already say everything."""
    return PydanticCustomError(COMPLETE_MESSAGE, "{lines}", {"lines": "\n".join(lines)})


def validated(build: Callable[[], T]) -> T:
    """Run ``build`` and turn what pydantic found wrong into usage errors, a line each.

    Raises:
        UsageError: every invalid field at once.
    """
    try:
        return build()
    except ValidationError as error:
        raise UsageError([line for e in error.errors() for line in refused_lines(dict(e))]) from None


def refused_lines(error: Mapping[str, Any]) -> list[str]:
    """Write one pydantic error as: the option, the rule, the value."""
    if error["type"] == COMPLETE_MESSAGE:
        return str(error["msg"]).splitlines()
    where = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message.replace("Input should be", "must be").replace("greater than or equal to", ">=")
    message = message.replace("greater than", ">").replace("less than", "<")
    return [f"{FLAGS.get(where, where)} {message}, got {error['input']!r}"]

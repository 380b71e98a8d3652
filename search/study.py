"""A study: one declared question, validated whole, frozen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NoReturn

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from search.errors import RunError, UsageError
from search.rows import StudyRow
from spaces import Space, SpaceError, Value, nearest
from trainables.data.datasets import DATASETS, DataSpec
from trainables.errors import ConfigError
from trainables.registry import find_trainable
from trainables.report import SECONDS

SAMPLERS = ("tpe", "random", "gp", "cmaes", "qmc")
SCHEDULERS = ("asha", "median", "none")
EXECUTORS = ("auto", "tune", "lanes")
DIRECTIONS = {"val_accuracy": "max"}
"""The direction of a metric whose name alone was given; every other metric is minimised."""


class Frozen(BaseModel):
    """Immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Objective(Frozen):
    """What is optimised.

    Attributes:
        metric: a name that the trainable reports.
        mode: ``min`` or ``max``; stated here once, and no sign is flipped anywhere else.
    """

    metric: str = "val_loss"
    mode: Literal["min", "max"] = "min"

    @classmethod
    def parse(cls, text: str) -> Objective:
        """Read ``val_accuracy`` or ``val_accuracy:max``.

        Raises:
            UsageError: a mode that is neither min nor max.
        """
        metric, _, mode = text.partition(":")
        mode = mode or DIRECTIONS.get(metric, "min")
        if mode not in ("min", "max"):
            raise UsageError(f"--objective {text}: the part after the colon must be min or max, got {mode!r}")
        return cls(metric=metric, mode=mode)

    def better(self, a: float, b: float) -> bool:
        """Say whether ``a`` is strictly better than ``b``; NaN is better than nothing."""
        if math.isnan(a) or math.isnan(b):
            return math.isnan(b) and not math.isnan(a)
        return a < b if self.mode == "min" else a > b

    @property
    def worst(self) -> float:
        """The value that everything is better than."""
        return math.inf if self.mode == "min" else -math.inf


class Budget(Frozen):
    """When a search ends: whichever comes first.

    Attributes:
        trials: number of trials, the baseline included.
        max_epochs: of one trial.
        time_s: wall seconds of the search; None for no limit.
    """

    trials: int = Field(64, ge=1)
    max_epochs: int = Field(30, ge=1)
    time_s: float | None = Field(None, gt=0)


class SchedulerSpec(Frozen):
    """How weak trials are stopped early.

    Attributes:
        name: ``asha`` (Li et al. 2018, arXiv:1810.05934), ``median`` or ``none``.
        grace: epochs that every trial gets; the first rung.
        reduction_factor: of ASHA (eta): about one trial in this many passes a rung.
    """

    name: Literal["asha", "median", "none"] = "asha"
    grace: int = Field(3, ge=1)
    reduction_factor: int = Field(3, ge=2)


class Resources(Frozen):
    """What a trial gets, and how many trials run at once.

    Attributes:
        cpus_per_trial: CPU cores, as Ray counts them.
        gpus_per_trial: 0, a fraction up to 1, or a whole number.
        cpus_per_worker, gpus_per_worker: likewise, of a worker that holds many lanes.
        workers: most trials at once (tune; None: as many as fit) or worker processes (lanes; None: one).
        address: of a running Ray cluster to join; None for this machine.
    """

    cpus_per_trial: float = Field(1.0, gt=0)
    gpus_per_trial: float = Field(0.0, ge=0)
    cpus_per_worker: float = Field(1.0, gt=0)
    gpus_per_worker: float = Field(0.0, ge=0)
    workers: int | None = Field(None, ge=1)
    address: str | None = None

    @field_validator("gpus_per_trial", "gpus_per_worker")
    @classmethod
    def _fraction_or_whole(cls, value: float) -> float:
        if value > 1 and not value.is_integer():
            raise ValueError("must be a fraction up to 1 or a whole number of GPUs")
        return value


class LanesSpec(Frozen):
    """How the lanes executor trains.

    Attributes:
        lanes: of one worker; None takes a quarter of the trials, at most 32, which is the same on every
            machine; ``auto`` measures which number is fastest on this one.
        mode: ``stacked`` tensors, ``looped`` models, or ``auto``: whichever was measured faster (the last
            digits of a curve then depend on the measurement).
        precision: of the matrix products; ``auto`` takes bf16 where the device is made for it.
    """

    lanes: Annotated[int, Field(ge=1)] | Literal["auto"] | None = None
    mode: Literal["auto", "stacked", "looped"] = "stacked"
    precision: Literal["fp32", "bf16", "auto"] = "fp32"


class Faults(Frozen):
    """What is done about trials and workers that fail.

    Attributes:
        max_failures: how often a trial is started again, from its last checkpoint, after its actor or
            node died. A trial that raises is not started again: it would raise again.
        abort_after: failed trials after which the search ends; None never ends it.
        trial_timeout_s: seconds without a report after which a trial is ended; None waits for ever.
    """

    max_failures: int = Field(3, ge=0)
    abort_after: int | None = Field(None, ge=1)
    trial_timeout_s: float | None = Field(None, gt=0)


class Tracking(Frozen):
    """Where MLflow runs go.

    Attributes:
        uri: an MLflow tracking URI; None for ``sqlite:///<home>/mlflow.db``.
        enabled: False keeps everything in the ledger; ``search sync`` can send it later.
    """

    uri: str | None = None
    enabled: bool = True


def _space(value: object) -> Space:
    return value if isinstance(value, Space) else Space.from_dict(value)  # type: ignore[arg-type]


class Study(Frozen):
    """One declared question.

    Attributes:
        kind: the registered study it came from (``regularization``).
        name: of this run of it, unique within a home.
        question: in one sentence, for the report.
        trainable: a key of ``trainables.registry.TRAINABLES`` or ``package.module:attribute``.
        space: what is searched.
        settings: what every trial shares: widths, batch size, patience ...
        presets: settings that fit a data set better, by its name; used when it is chosen.
        checkpoint_every_s: seconds between the checkpoints of a running trial.
        ledger: SQLAlchemy URL of the database, or None for an SQLite file in the study's folder.
    """

    model_config = ConfigDict(validate_default=True)

    kind: str
    name: str = ""
    question: str = ""
    trainable: str = "mlp"
    data: DataSpec = DataSpec()
    space: Annotated[Space, BeforeValidator(_space), PlainSerializer(Space.to_dict)]
    settings: dict[str, Value] = {}
    presets: dict[str, dict[str, Value]] = {}
    objective: Objective = Objective()
    budget: Budget = Budget()
    sampler: Literal["tpe", "random", "gp", "cmaes", "qmc"] = "tpe"
    scheduler: SchedulerSpec = SchedulerSpec()
    executor: Literal["auto", "tune", "lanes"] = "auto"
    resources: Resources = Resources()
    lanes: LanesSpec = LanesSpec()
    faults: Faults = Faults()
    tracking: Tracking = Tracking()
    ledger: str | None = None
    seed: int = Field(0, ge=0, lt=2**32)
    checkpoint_every_s: float = Field(30.0, ge=0)

    # Each check sits on the last of the fields it looks at, so that one wrong field hides no other error.

    @field_validator("data")
    @classmethod
    def _data_exists(cls, data: DataSpec) -> DataSpec:
        if data.name not in DATASETS:
            _refuse(f"--dataset {data.name!r} is unknown.{nearest(data.name, DATASETS)} Known: {', '.join(DATASETS)}")
        return data

    @field_validator("objective")
    @classmethod
    def _objective_is_reported(cls, objective: Objective, info: ValidationInfo) -> Objective:
        if "trainable" in info.data:
            known = (*find_trainable(info.data["trainable"]).metrics, SECONDS)
            if objective.metric not in known:
                _refuse(
                    f"--objective {objective.metric!r} is not reported.{nearest(objective.metric, known)} "
                    f"Reported: {', '.join(known)}"
                )
        return objective

    @field_validator("trainable")
    @classmethod
    def _trainable_exists(cls, name: str) -> str:
        try:
            find_trainable(name)
        except ConfigError as error:
            _refuse(*error.errors)
        return name

    @field_validator("scheduler")
    @classmethod
    def _grace_is_within_the_budget(cls, scheduler: SchedulerSpec, info: ValidationInfo) -> SchedulerSpec:
        budget = info.data.get("budget")
        if budget is not None and scheduler.name != "none" and scheduler.grace > budget.max_epochs:
            _refuse(
                f"--grace {scheduler.grace} is above --max-epochs {budget.max_epochs}; "
                "a trial must be able to reach its first rung"
            )
        return scheduler

    @field_validator("checkpoint_every_s")  # the last field: nothing else is looked at after it
    @classmethod
    def _points_are_valid(cls, seconds: float, info: ValidationInfo) -> float:
        if {"trainable", "space", "settings"} <= info.data.keys():
            trainable, space = find_trainable(info.data["trainable"]), info.data["space"]
            max_epochs = info.data["budget"].max_epochs if "budget" in info.data else 1
            lines: list[str] = []
            for point in (space.baseline, *space.corners()):
                try:
                    trainable.configure({**info.data["settings"], **point}, max_epochs=max_epochs)
                except ConfigError as error:
                    lines += error.errors
            if lines:
                _refuse(*dict.fromkeys(lines))
        return seconds

    def params_of(self, params: Mapping[str, Value]) -> dict[str, Value]:
        """Return a trial's active parameters together with the settings that every trial shares."""
        return {**self.settings, **params}


def differences(before: Study, after: Study) -> list[str]:
    """Return what changed between two declarations, a line each: ``budget.trials: 64 -> 96``."""
    old, new = (_flat(study.model_dump(mode="json")) for study in (before, after))
    return [
        f"{name}: {old.get(name, 'absent')} -> {new.get(name, 'absent')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def fits(space: Space, params: Mapping[str, Value], number: int) -> bool:
    """Say whether a trained point belongs to ``space``; the baseline (number 0) always does."""
    try:
        return space.validate(params) == params or number == 0
    except SpaceError:
        return number == 0 and all(name in space for name in params)


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested data with dotted names."""
    out: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            out |= _flat(value, f"{prefix}{name}.")
        else:
            out[f"{prefix}{name}"] = value
    return out


def _refuse(*lines: str) -> NoReturn:
    """Fail a check with messages that already say everything."""
    raise PydanticCustomError(COMPLETE_MESSAGE, "{lines}", {"lines": "\n".join(lines)})


COMPLETE_MESSAGE = "lanewise"
"""The type of the errors that ``_refuse`` raises."""


def validated(build: Callable[[], Study]) -> Study:
    """Run ``build`` and turn what pydantic found wrong into usage errors, a line each.

    Raises:
        UsageError: every invalid field at once.
    """
    try:
        return build()
    except ValidationError as error:
        raise UsageError([line for e in error.errors() for line in _lines(dict(e))]) from None


def recorded(row: StudyRow) -> Study:
    """Return the study that a ledger holds.

    Raises:
        RunError: its declaration cannot be used: damaged, of another Lanewise, or it names a trainable that
            cannot be imported here.
    """
    where = f"study {row.name!r} of ledger {row.ledger} cannot be used"
    try:
        return validated(lambda: Study.model_validate(row.declaration))
    except UsageError as error:
        raise RunError([f"{where}: {line}" for line in error.errors]) from None
    except Exception as error:  # a space is built by many hands; damaged data lead them to whatever they raise
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise RunError(f"{where}: its declaration is damaged ({cause})") from None


FLAGS = {
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
}
"""The option that sets a field, so that a message names what the user typed."""


def _lines(error: Mapping[str, Any]) -> list[str]:
    """Write one pydantic error as: the option, the rule, the value."""
    if error["type"] == COMPLETE_MESSAGE:
        return str(error["msg"]).splitlines()
    where = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message.replace("Input should be", "must be").replace("greater than or equal to", ">=")
    message = message.replace("greater than", ">").replace("less than", "<")
    return [f"{FLAGS.get(where, where)} {message}, got {error['input']!r}"]

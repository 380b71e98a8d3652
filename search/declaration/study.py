"""A study: one declared question, validated whole, frozen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from optuna.distributions import CategoricalDistribution
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from search.declaration.mistakes import refuse
from search.declaration.own_data import data_mistakes
from search.declaration.parts import Budget as Budget
from search.declaration.parts import Confirm, Faults, Frozen, LanesSpec, SchedulerSpec, Tracking, without_credentials
from search.declaration.parts import Objective as Objective
from search.declaration.parts import Resources as Resources
from search.declaration.warm_start import SeatedTrial, WarmStart, seated_trials, warm_start_of
from spaces import BASELINE_TRIAL, Space, SpaceError, Value
from spaces.json_schema import space_schema
from trainables.data.parts import counted
from trainables.data.spec import NO_DATA, DataSpec
from trainables.errors import ConfigError
from trainables.metrics import METRICS
from trainables.mistake import Mistake, Path, dotted, sentence
from trainables.registry import find_trainable, is_train_function
from trainables.report import SECONDS

SAMPLERS = ("tpe", "random", "gp", "cmaes", "qmc", "nsga2", "optuna_tpe")
MOST_OBJECTIVES = 3
"""With more, nearly every trial is on the Pareto front, which then says little."""
WITHOUT_CONDITION = "of the space without a condition"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
"""The pattern of a study's kind and name: they name folders."""


def _space(value: Any) -> Space:
    if isinstance(value, Space):
        return value
    try:
        return Space.from_dict(value)
    except SpaceError as error:
        refuse(mistake if mistake.path else replace(mistake, path=("space",)) for mistake in error.mistakes)
        raise


def _or_as_a_word(schema: dict[str, Any]) -> None:
    """Let a warm start be written as one word, too: ``NAME:K``."""
    schema["anyOf"].insert(0, {"type": "string"})


class Study(Frozen):
    """One declared question.

    Attributes:
        kind: the registered study it came from (``regularization``).
        name: what this run of it is called, unique within a home.
        question: in one sentence, for the report.
        trainable: a key of ``trainables.registry.TRAINABLES``, ``model:package.module:function`` (a model of the
            user's own), ``train:package.module:function`` (a training loop of the user's own) or
            ``package.module:attribute`` (a trainable).
        space: what is searched.
        settings: what every trial shares: widths, batch size, patience ...
        objective: what trials are compared and ranked by.
        further: what is weighed against it, at the epoch at which a trial's objective was best.
        metrics: what every report holds besides the usual metrics and the objectives.
        presets: what fits a data set better, by its name, used when it is chosen: settings, and choices of the
            space, written ``hidden.choices: 64,128`` as for ``--set``.
        shown: categorical parameters whose choices the answer compares; the most influential if empty.
        curve: a whole-number parameter whose values the answer compares one by one.
        balanced: a categorical or whole-number parameter each of whose choices gets as many trials as any other.
        refits: splits on which the best configuration of each choice of ``balanced`` is trained anew after
            the search, so that the choices can be compared; 0 for none.
        confirm: what is trained after the search to confirm what it found.
        keep_checkpoints: how many finished trials, the best ones, keep the model of their best epoch; unless 0 do, the
            baseline keeps its own besides.
        checkpoint_every_s: seconds between the checkpoints of a running trial.
        warm_start: configurations of an earlier study that are trained first: NAME, NAME:K or HOME/NAME:K.
        ledger: SQLAlchemy URL of the database, without its password, or None for an SQLite file in the study's folder.
    """

    model_config = ConfigDict(validate_default=True)

    kind: str
    name: str = ""
    question: str = ""
    trainable: str = "mlp"
    data: DataSpec = DataSpec()
    space: Annotated[Space, BeforeValidator(_space), PlainSerializer(Space.to_dict), WithJsonSchema(space_schema())]
    settings: dict[str, Value] = {}
    presets: dict[str, dict[str, Value]] = {}
    objective: Objective = Objective()
    further: tuple[Objective, ...] = ()
    metrics: tuple[str, ...] = ()
    budget: Budget = Budget()
    warm_start: Annotated[WarmStart | None, BeforeValidator(warm_start_of), Field(json_schema_extra=_or_as_a_word)] = (
        None
    )
    sampler: Literal["tpe", "random", "gp", "cmaes", "qmc", "nsga2", "optuna_tpe"] = "tpe"
    scheduler: SchedulerSpec = SchedulerSpec()
    executor: Literal["auto", "tune", "lanes"] = "auto"
    resources: Resources = Resources()
    lanes: LanesSpec = LanesSpec()
    faults: Faults = Faults()
    confirm: Confirm = Confirm()
    tracking: Tracking = Tracking()
    ledger: Annotated[str | None, without_credentials("ledger")] = None
    shown: tuple[str, ...] = ()
    curve: str | None = None
    balanced: str | None = None
    refits: int = Field(0, ge=0)
    seed: int = Field(0, ge=0, lt=2**32)
    keep_checkpoints: int = Field(3, ge=0)
    checkpoint_every_s: float = Field(30.0, ge=0)

    @property
    def total_epochs(self) -> int | None:
        """How many epochs a search that pauses trials may train; None where there is no limit."""
        if self.scheduler.name != "freeze_thaw" or self.scheduler.total_epochs is not None:
            return self.scheduler.total_epochs
        return max(self.budget.trials, self.budget.trials * self.budget.max_epochs // 4)

    # Each check sits on the last of the fields it looks at, so that one wrong field hides no other error.

    @field_validator("kind", "name")
    @classmethod
    def _is_a_name(cls, value: str, info: ValidationInfo) -> str:
        if not NAME.fullmatch(value) and (value or info.field_name == "kind"):
            rule = "{value}: use letters, digits, '.', '_' and '-' only, at most 200"
            refuse([Mistake((str(info.field_name),), rule, value)])
        return value

    @field_validator("ledger")
    @classmethod
    def _ledger_is_a_url(cls, ledger: str | None) -> str | None:
        if ledger is not None and "://" not in ledger:
            rule = "{value} is no database URL, such as postgresql+psycopg://USER@HOST/NAME"
            refuse([Mistake(("ledger",), rule, ledger)])
        return ledger

    @field_validator("data")
    @classmethod
    def _data_exists(cls, data: DataSpec, info: ValidationInfo) -> DataSpec:
        refuse(data_mistakes(data))
        if data.source == NO_DATA and not is_train_function(info.data.get("trainable", "train:")):
            refuse([Mistake(("data", "source"), "{value}: a training function alone brings its own", data.source)])
        if data.folds is not None and is_train_function(info.data.get("trainable", "")):
            rule = "{value}: a training function is called once a trial, and cuts its folds itself"
            refuse([Mistake(("data", "folds"), rule, data.folds)])
        return data

    @field_validator("objective")
    @classmethod
    def _objective_is_reported(cls, objective: Objective, info: ValidationInfo) -> Objective:
        if "trainable" in info.data:
            refuse(_not_reported(info.data["trainable"], objective, at=("objective", "metric")))
        return objective

    @field_validator("further")
    @classmethod
    def _further_ones_are_reported(cls, further: tuple[Objective, ...], info: ValidationInfo) -> tuple[Objective, ...]:
        mistakes: list[Mistake] = []
        if "trainable" in info.data:
            for i, objective in enumerate(further):
                mistakes += _not_reported(info.data["trainable"], objective, at=("further", i, "metric"))
        first = [info.data["objective"]] if "objective" in info.data else []
        named = [o.metric for o in (*first, *further)]
        twice = [name for name in dict.fromkeys(named) if named.count(name) > 1]
        mistakes += [Mistake(("further",), f"{name} is given twice") for name in twice]
        if 1 + len(further) > MOST_OBJECTIVES:
            mistakes.append(Mistake(("further",), f"may be given {MOST_OBJECTIVES} times", 1 + len(further)))
        refuse(mistakes)
        return further

    @field_validator("sampler")
    @classmethod
    def _sampler_can_weigh(cls, sampler: str, info: ValidationInfo) -> str:
        if sampler == "cmaes" and info.data.get("further"):
            others = ", ".join(name for name in SAMPLERS if name != "cmaes")
            rule, given = "cmaes takes one {0}", 1 + len(info.data["further"])
            refuse([Mistake(("sampler",), rule, given, hint=f"others: {others}", others=(("objective",),))])
        return sampler

    @field_validator("warm_start")
    @classmethod
    def _warm_start_is_within_the_budget(cls, warm: WarmStart | None, info: ValidationInfo) -> WarmStart | None:
        budget = info.data.get("budget")
        if warm is not None and budget is not None and warm.best >= budget.trials:
            taken = counted(warm.best, "configuration")
            rule = f"{warm.name}: {taken} and the baseline are more than {{0}} {budget.trials}"
            hint = f"take {warm.name}:{budget.trials - 1} at most" if budget.trials > 1 else "give more trials"
            refuse([Mistake(("warm_start",), rule, hint=hint, others=(("budget", "trials"),))])
        return warm

    @field_validator("metrics")
    @classmethod
    def _metrics_are_reported(cls, metrics: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "trainable" in info.data:
            known = find_trainable(info.data["trainable"]).metrics
            if known is None:
                rule = "{value}: a training function reports what it likes, and no metric is added"
                refuse(Mistake(("metrics",), rule, m, others=(("metrics", i),)) for i, m in enumerate(metrics))
                return metrics
            unknown = [(i, m) for i, m in enumerate(metrics) if m not in known]
            refuse(
                Mistake(("metrics",), "{value} is unknown", m, allowed=tuple(known), others=(("metrics", i),))
                for i, m in unknown
            )
        return metrics

    @field_validator("trainable")
    @classmethod
    def _trainable_exists(cls, name: str) -> str:
        try:
            find_trainable(name)
        except ConfigError as error:
            refuse(Mistake(("trainable",), line, others=(("model",), ("train",)), whole=True) for line in error.errors)
        return name

    @field_validator("scheduler")
    @classmethod
    def _grace_is_within_the_budget(cls, scheduler: SchedulerSpec, info: ValidationInfo) -> SchedulerSpec:
        budget = info.data.get("budget")
        if budget is not None and scheduler.name != "none" and scheduler.grace > budget.max_epochs:
            rule, hint = f"{{value}} is above {{0}} {budget.max_epochs}", "a trial must be able to reach its first rung"
            longest = ("budget", "max_epochs")
            refuse([Mistake(("scheduler", "grace"), rule, scheduler.grace, hint=hint, others=(longest,))])
        return scheduler

    @field_validator("shown")
    @classmethod
    def _shown_are_categories(cls, shown: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "space" in info.data:
            unknown = [name for name in shown if not _is_category(info.data["space"], name)]
            refuse(Mistake(("shown",), ": {value} is no categorical parameter of the space", name) for name in unknown)
        return shown

    @field_validator("curve")
    @classmethod
    def _curve_is_over_whole_numbers(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is not None and "space" in info.data:
            space = info.data["space"]
            if name not in space or not space[name].is_whole or space[name].when is not None:
                refuse([Mistake(("curve",), f": {{value}} is no whole-number parameter {WITHOUT_CONDITION}", name)])
        return name

    @field_validator("balanced")
    @classmethod
    def _balanced_is_a_category(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is not None and "space" in info.data:
            space = info.data["space"]
            known = _is_category(space, name) or (name in space and space[name].is_whole)
            if not known or space[name].when is not None:
                what = f": {{value}} is no categorical or whole-number parameter {WITHOUT_CONDITION}"
                refuse([Mistake(("balanced",), what, name)])
        return name

    @field_validator("refits")
    @classmethod
    def _refits_have_choices(cls, refits: int, info: ValidationInfo) -> int:
        if refits and "balanced" in info.data and info.data["balanced"] is None:
            rule = "{value}: there is no {0} parameter whose choices could be compared"
            refuse([Mistake(("refits",), rule, refits, others=(("balanced",),))])
        return refits

    @field_validator("checkpoint_every_s")  # the last field: nothing else is looked at after it
    @classmethod
    def _points_are_valid(cls, seconds: float, info: ValidationInfo) -> float:
        if {"trainable", "space", "settings"} <= info.data.keys():
            trainable, space = find_trainable(info.data["trainable"]), info.data["space"]
            max_epochs = info.data["budget"].max_epochs if "budget" in info.data else 1
            mistakes: list[Mistake] = []
            for point in (space.baseline, *space.corners()):
                try:
                    trainable.configure({**info.data["settings"], **point}, max_epochs=max_epochs)
                except ConfigError as error:
                    mistakes += map(_of_a_trial, error.mistakes)
            refuse(dict.fromkeys(mistakes))  # a corner of the space says what another says
        return seconds

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """All of them, the one that trials are ranked by first."""
        return (self.objective, *self.further)

    @property
    def seated_trials(self) -> list[SeatedTrial]:
        """The trials after the baseline that have the configurations of an earlier study; see ``WarmStart``."""
        return [] if self.warm_start is None else seated_trials(self.warm_start, self.space, self.settings)

    @property
    def given_trials(self) -> frozenset[int]:
        """The numbers of the trials that no sampler proposes: the baseline's, and the seated ones."""
        return frozenset((BASELINE_TRIAL, *(seat.number for seat in self.seated_trials)))

    @property
    def extra_metrics(self) -> tuple[str, ...]:
        """The metrics that a report holds because this study names them."""
        if find_trainable(self.trainable).metrics is None:
            return tuple(dict.fromkeys(o.metric for o in self.objectives if o.metric != SECONDS))
        named = dict.fromkeys((*(o.metric for o in self.objectives), *self.metrics))
        return tuple(name for name in named if name in METRICS and METRICS[name].extra)

    def params_of(self, params: Mapping[str, Value]) -> dict[str, Value]:
        """Return a trial's active parameters together with the settings that every trial shares."""
        return {**self.settings, **params}

    @property
    def remembered_by(self) -> tuple[str, str] | None:
        """By which metric and mode a trial remembers its best model; None where none is kept."""
        return (self.objective.metric, self.objective.mode) if self.keep_checkpoints else None


@dataclass(frozen=True)
class Difference:
    """One field that two declarations of a study do not share; as text ``budget.trials: 64 -> 96``.

    Attributes:
        field: its dotted name.
        before, after: its values as plain data; ``absent`` where a declaration has no such field.
    """

    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.field}: {self.before} -> {self.after}"


def differences(before: Study, after: Study) -> list[Difference]:
    """Return what changed between two declarations, by field."""
    old, new = (_flat(study.model_dump(mode="json")) for study in (before, after))
    return [
        Difference(name, old.get(name, "absent"), new.get(name, "absent"))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def fits(space: Space, params: Mapping[str, Value], number: int) -> bool:
    """Say whether a trained point belongs to ``space``; the baseline (number 0) always does."""
    try:
        return space.validate(params) == params or number == BASELINE_TRIAL
    except SpaceError:
        return number == BASELINE_TRIAL and all(name in space for name in params)


def _is_category(space: Space, name: str) -> bool:
    return name in space and isinstance(space[name].distribution, CategoricalDistribution)


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested data with dotted names."""
    out: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            out |= _flat(value, f"{prefix}{name}.")
        else:
            out[f"{prefix}{name}"] = value
    return out


def _not_reported(trainable: str, objective: Objective, *, at: Path) -> list[Mistake]:
    """Return that the trainable does not report an objective, if so."""
    metrics = find_trainable(trainable).metrics
    if metrics is None:
        return [] if objective.directed else [Mistake(at, *_undirected(objective.metric))]
    known = (*metrics, SECONDS)
    if objective.metric in known:
        return []
    return [Mistake(at, "{value} is not reported", objective.metric, allowed=known, label="Reported")]


def _undirected(metric: str) -> tuple[str, str]:
    """Return why an objective that no table has must say its mode, and its name."""
    return f"{{value}}: say which way it is better, {metric}:max or {metric}:min (mode: max or min in a file)", metric


def _of_a_trial(mistake: Mistake) -> Mistake:
    """Return what is wrong with a value that a trial would be given, which the settings, the space or a change has."""
    settings, *others = ((part, *mistake.path) for part in ("settings", "space", "set"))
    return Mistake(settings, sentence(mistake, dotted), others=tuple(others), whole=True)

"""The parts of a study: objective, budget, scheduler, resources and the like, each validated and frozen."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from search.credentials import UnreadableAddress, has_secret_in_query, masked_address, take_out
from search.declaration.mistakes import refuse, usage_error
from trainables.direction import Direction
from trainables.metrics import METRICS
from trainables.mistake import Mistake
from trainables.report import SECONDS


def without_credentials(*path: str, host_and_port: bool = False) -> AfterValidator:
    """Return the check of an address: a study holds it without its credentials, whatever it is declared from.

    Args:
        path: the field's, from the study.
        host_and_port: whether it may be these two alone.
    """

    def check(address: str | None) -> str | None:
        if address is None or (host_and_port and "://" not in address and "@" not in address):
            return address
        try:
            return take_out(address)
        except UnreadableAddress as error:
            refuse([Mistake(path, f"{{value}} {error}", masked_address(address))])
            raise

    return AfterValidator(check)


class Frozen(BaseModel):
    """Immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Objective(Frozen):
    """The metric that trials are compared and ranked by.

    Attributes:
        metric: a name that the trainable reports.
        mode: ``min`` or ``max``, by default which way the metric is better; stated here once, and no sign is
            flipped anywhere else.
    """

    whole: ClassVar[bool] = True
    """A file that gives one gives all of it: the mode of another metric is not kept."""

    metric: str = "val_loss"
    mode: Literal["min", "max"] = "min"

    @model_validator(mode="before")
    @classmethod
    def _usual_mode(cls, given: Any) -> Any:
        metric = given.get("metric") if isinstance(given, Mapping) else None
        if isinstance(given, Mapping) and "mode" not in given and isinstance(metric, Hashable) and metric in METRICS:
            return {**given, "mode": METRICS[str(metric)].mode}
        return given

    @classmethod
    def parse(cls, text: str) -> Objective:
        """Read ``val_accuracy`` or ``val_accuracy:max``.

        Raises:
            UsageError: a mode that is neither min nor max.
        """
        metric, _, mode = text.partition(":")
        if not mode:
            return cls(metric=metric)
        if mode not in ("min", "max"):
            rule = f"{text}: the part after the colon must be min or max"
            raise usage_error([Mistake(("objective",), rule, mode)])
        return cls(metric=metric, mode=mode)

    @property
    def directed(self) -> bool:
        """Whether it is known which way the metric is better: that was given, or the metric is one of ours."""
        return "mode" in self.model_fields_set or self.metric in (*METRICS, SECONDS)

    @property
    def direction(self) -> Direction:
        """Which way the metric is better, with what follows from it: ``better``, ``best``, a sort order."""
        return Direction(self.mode)

    @property
    def limit(self) -> float | None:
        """The best value that can be, 0 of a loss say; None where none is known."""
        known = METRICS.get(self.metric)
        return known.limit if known is not None and known.mode == self.mode else None

    def better(self, a: float, b: float) -> bool:
        """Say whether ``a`` is strictly better than ``b``; NaN is better than nothing."""
        return self.direction.better(a, b)


class Budget(Frozen):
    """When a search ends: whichever comes first.

    Attributes:
        trials: number of trials, the baseline included.
        max_epochs: epochs per trial, at most.
        time_s: wall seconds of the search; None for no limit.
        until_gain_below: no further trial begins once twice as many are expected to better the best value of the
            objective by less than this, in its units; None for no such end.
    """

    trials: int = Field(64, ge=1)
    max_epochs: int = Field(30, ge=1)
    time_s: float | None = Field(None, gt=0)
    until_gain_below: float | None = Field(None, gt=0, allow_inf_nan=False)


MAX_REDUCTION_FACTOR = 1_000_000
"""Far more than there are trials to compare; Ray's arithmetic of rungs ends at the 64 bits of a number."""


PAUSING = ("promote", "freeze_thaw")
"""The schedulers that pause trials; their first rung is at epoch 1 unless somebody says where."""


class SchedulerSpec(Frozen):
    """How weak trials are stopped early.

    Attributes:
        name: ``asha`` (Li et al. 2018, arXiv:1810.05934), ``median``, ``none``, or ``promote``: ASHA as it was
            published, which pauses trials at a rung and lets the best of them go on; or ``freeze_thaw``: a model of
            the curves says which trials, begun or new, train the next epoch.
        grace: epochs that every trial gets; the first rung.
        reduction_factor: ASHA's eta: about one trial in this many passes a rung.
        audit_fraction: the share of the pruned trials, drawn at random, that train to their end after the search. They
            count for nothing but for saying what pruning cost.
        paused_mb: how many megabytes of host memory the states of paused trials may take; beyond that they are
            written to the checkpoint store.
        total_epochs: how many epochs a search that pauses trials may train; None is no limit for ``promote``, and for
            ``freeze_thaw``, which never runs out of trials to go on with, a quarter of those that all trials would.
        epochs_a_choice: how many epochs whoever ``freeze_thaw`` chose trains before others may take its place, once
            the first ones are trained; None finds out, once a search, what a choice takes beside an epoch.
    """

    name: Literal["asha", "median", "none", "promote", "freeze_thaw"] = "asha"
    grace: int = Field(3, ge=1)
    reduction_factor: int = Field(3, ge=2, le=MAX_REDUCTION_FACTOR)
    audit_fraction: float = Field(0.0, ge=0, le=1)
    paused_mb: float = Field(1024.0, ge=0, allow_inf_nan=False)
    total_epochs: int | None = Field(None, ge=1)
    epochs_a_choice: int | None = Field(None, ge=1)

    @property
    def pauses(self) -> bool:
        """Whether it pauses trials instead of stopping them."""
        return self.name in PAUSING

    @field_validator("total_epochs")
    @classmethod
    def _epochs_are_counted(cls, total: int | None, info: ValidationInfo) -> int | None:
        name = info.data.get("name")
        if total is not None and name is not None and name not in PAUSING:
            rule = f"{{value}} is for {{0}} {' or '.join(PAUSING)}, got {name}"
            refuse([Mistake(("scheduler", "total_epochs"), rule, total, others=(("scheduler", "name"),))])
        return total

    @field_validator("epochs_a_choice")
    @classmethod
    def _somebody_chooses(cls, epochs: int | None, info: ValidationInfo) -> int | None:
        name = info.data.get("name")
        if epochs is not None and name not in (None, "freeze_thaw"):
            rule = f"{{value}} is for {{0}} freeze_thaw, got {name}"
            refuse([Mistake(("scheduler", "epochs_a_choice"), rule, epochs, others=(("scheduler", "name"),))])
        return epochs

    @model_validator(mode="before")
    @classmethod
    def _first_rung_is_usual(cls, data: Any) -> Any:
        pauses = isinstance(data, dict) and data.get("name") in PAUSING
        return {"grace": 1, **data} if pauses else data

    @field_validator("audit_fraction")
    @classmethod
    def _somebody_is_pruned(cls, fraction: float, info: ValidationInfo) -> float:
        name = info.data.get("name")
        if fraction and name in ("none", *PAUSING):
            rule = f"{{value}}: {{0}} {name} prunes no trial that could be audited"
            refuse([Mistake(("scheduler", "audit_fraction"), rule, fraction, others=(("scheduler", "name"),))])
        return fraction


class Resources(Frozen):
    """Cores and GPUs of a trial, and how many trials run at once.

    Attributes:
        cpus_per_trial: CPU cores, as Ray counts them.
        gpus_per_trial: 0, a fraction up to 1, or a whole number.
        cpus_per_worker, gpus_per_worker: the same for a worker that holds many lanes. Of cores None is one, or, of this
            machine, all for a training function that trains side by side; of GPUs one on a cluster that has some, else
            none.
        workers: most trials at once (tune; None: as many as fit) or worker processes (lanes; None: one on this
            machine, and on a cluster as many as have room, as nodes come and go).
        address: where the Ray cluster to join is, without credentials; None for this machine.
    """

    cpus_per_trial: float = Field(1.0, gt=0)
    gpus_per_trial: float = Field(0.0, ge=0)
    cpus_per_worker: float | None = Field(None, gt=0)
    gpus_per_worker: float | None = Field(None, ge=0)
    workers: int | None = Field(None, ge=1)
    address: Annotated[str | None, without_credentials("resources", "address", host_and_port=True)] = None

    @field_validator("gpus_per_trial", "gpus_per_worker")
    @classmethod
    def _fraction_or_whole(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and value > 1 and not value.is_integer():
            path = ("resources", str(info.field_name))
            refuse([Mistake(path, "must be a fraction up to 1 or a whole number of GPUs", value)])
        return value


class LanesSpec(Frozen):
    """How the lanes executor trains.

    Attributes:
        lanes: trials that one worker trains at once; None takes a quarter of the trials, at most 32, which is the
            same on every machine; ``auto`` measures which number is fastest on this one.
        mode: ``stacked`` tensors, ``looped`` models, ``usual`` (stacked, but CNNs looped on a CPU), or
            ``auto``: whichever was measured faster (the last digits of a curve then depend on the
            measurement).
        precision: number format of the matrix products; ``auto`` takes bf16 where the device is made for it.
    """

    lanes: Annotated[int, Field(ge=1)] | Literal["auto"] | None = None
    mode: Literal["usual", "stacked", "looped", "auto"] = "usual"
    precision: Literal["fp32", "bf16", "auto"] = "fp32"


class Faults(Frozen):
    """How often trials and workers that fail are tried again, and when a search gives up.

    Attributes:
        max_failures: how often a trial is started again, from its last checkpoint, after its actor or
            node died. A trial that raises is not started again: it would raise again.
        abort_after: failed trials after which the search ends; None never ends it.
        trial_timeout_s: seconds without a report after which a trial is ended; None waits for ever.
    """

    max_failures: int = Field(3, ge=0)
    abort_after: int | None = Field(None, ge=1)
    trial_timeout_s: float | None = Field(None, gt=0)


class Confirm(Frozen):
    """What is trained after a search to confirm what it found.

    Attributes:
        pairs: (seed, re-split of train and validation) on which the finalists and the baseline are trained; ``auto``
            adds some until the verdict is settled, at most 40; 0 confirms nothing.
        finalists: how many of the best configurations.
        ablate: whether to tell what each parameter of the recommended configuration is worth; None does where trials
            stack and it takes at most four times the epochs of the search.
    """

    pairs: Annotated[int, Field(ge=0, le=1000)] | Literal["auto"] = 5
    finalists: int = Field(3, ge=1, le=100)
    ablate: bool | None = None

    @field_validator("pairs")
    @classmethod
    def _one_pair_has_no_spread(cls, pairs: int | str) -> int | str:
        if pairs == 1:
            refuse([Mistake(("confirm", "pairs"), "needs two or more: one pair has no spread", pairs)])
        return pairs


class Tracking(Frozen):
    """Where MLflow runs go.

    Attributes:
        uri: an MLflow tracking URI, without credentials; None for ``sqlite:///<home>/mlflow.db``.
        enabled: False keeps everything in the ledger; ``search sync`` can send it later.
        untracked_ok: whether to search even where MLflow does not answer at the start.
    """

    uri: Annotated[str | None, without_credentials("tracking", "uri")] = None
    enabled: bool = True
    untracked_ok: bool = False

    @field_validator("uri", mode="before")
    @classmethod
    def _has_no_token_in_a_query(cls, uri: Any) -> Any:
        if isinstance(uri, str) and uri.startswith(("http://", "https://")) and has_secret_in_query(uri):
            rule, hint = "{value}: MLflow's servers take no token from an address", "set MLFLOW_TRACKING_TOKEN"
            refuse([Mistake(("tracking", "uri"), rule, masked_address(uri), hint=hint)])
        return uri

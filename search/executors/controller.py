"""Ray Tune's controller, with patience: for actors that start, and before a trial is tried again."""

from __future__ import annotations

import traceback
from typing import Any

from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

from search.executors.faults import reason_of
from search.ledger.outcome import Outcome, StopReason
from trainables.errors import is_out_of_memory
from trainables.tune import UNSAVED


class PatientController(TuneController):  # type: ignore[misc]
    """Tune's controller, which lets an actor finish its start, and waits before it repeats a trial.

    Tune hands the actor of a trial that ended to any pending trial, and takes back the one that this trial
    had been given. Where trials are shorter than the start of an actor (seconds), the second actor of a
    search is taken back again and again, and everything runs in the first.

    A trial whose actor died is paused until its time has come; nothing else waits for it. Its scheduler is a
    ``TuneScheduler``, which brings the waiting times.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._rest_until: dict[Trial, float] = {}

    def _maybe_reuse_cached_actor(self, trial: Trial) -> bool:
        own = self._trial_to_actor.get(trial)
        if own is not None and self._actor_manager.is_actor_started(own):
            return False  # it has its resources and is importing torch: the next trial takes the free one
        return bool(super()._maybe_reuse_cached_actor(trial))

    def _requeue_trial(self, trial: Trial) -> None:
        super()._requeue_trial(trial)
        self._set_trial_status(trial, Trial.PAUSED)
        timing = self._scheduler_alg.timing
        self._rest_until[trial] = timing.now() + timing.wait_s(trial.run_metadata.num_failures)

    def _maybe_add_actors(self) -> None:
        now = self._scheduler_alg.timing.now()
        for trial in [trial for trial, at in self._rest_until.items() if now >= at]:
            del self._rest_until[trial]
            if trial.status == Trial.PAUSED:
                self._set_trial_status(trial, Trial.PENDING)
        super()._maybe_add_actors()

    def _process_trial_save(self, trial: Trial, checkpoint_value: Any) -> None:
        trial.temporary_state.unsaved = checkpoint_value.metrics.get(UNSAVED)
        super()._process_trial_save(trial, checkpoint_value)

    def _process_trial_failure(self, trial: Trial, exception: Exception) -> None:
        trial.temporary_state.failed_with = exception
        if isinstance(exception, KilledForMemoryError):
            trial.max_failures = 0  # beside the same others it would run out again; it is tried once more, alone
        super()._process_trial_failure(trial, exception)

    def _trial_task_failure(self, trial: Trial, exception: Exception) -> None:
        """Count an actor that died while it was handed a trial once: Tune hears of it twice, and gives up.

        It would also take the trial for one that is being handed over for ever.
        """
        self._resetting_trials.discard(trial)
        if trial not in self._rest_until:
            super()._trial_task_failure(trial, exception)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        state.pop("_rest_until", None)  # like everything that holds trials
        return state


def failed_with(trial: Trial) -> Exception | None:
    """Return what ended the trial's last actor; ``Trial.get_error`` looks where Tune has not put it yet."""
    return getattr(trial.temporary_state, "failed_with", None)


class KilledForMemoryError(RayActorError):  # type: ignore[misc]
    """An actor that Ray's memory monitor ended."""

    def __init__(self, message: str) -> None:
        super().__init__(error_msg=message)

    def __reduce__(self) -> tuple[Any, ...]:
        return KilledForMemoryError, (self.error_msg,)


class ActorManager(RayActorManager):  # type: ignore[misc]
    """Tune's actor manager, which knows that an actor can be ended for want of memory.

    Ray then raises an error that is no ``RayActorError``, and Tune's own manager ends the whole run with it.
    """

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        super()._actor_task_failed(tracked_actor_task, _as_actor_error(exception))

    def _actor_start_failed(self, tracked_actor: Any, exception: Exception) -> None:
        super()._actor_start_failed(tracked_actor, _as_actor_error(exception))


def _as_actor_error(error: Exception) -> Exception:
    return KilledForMemoryError(reason_of(error)) if isinstance(error, OutOfMemoryError) else error


def outcome_of_ray_error(error: Exception | None) -> Outcome:
    """Return the outcome of a trial that Ray gave up, with the message of the exception behind it."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    memory = isinstance(cause, KilledForMemoryError) or is_out_of_memory(cause)
    reason = StopReason.OUT_OF_MEMORY if memory else StopReason.ERROR
    text = "".join(traceback.format_exception(error)) if error is not None else ""
    return Outcome(
        reason,
        message=f"{type(cause).__name__}: {reason_of(cause)}",
        traceback=str(error) if isinstance(error, RayTaskError) else text,
    )

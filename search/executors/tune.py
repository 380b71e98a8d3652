"""One trial, one Ray Tune trial: an actor with its share of CPU and GPU, reused for the next trial."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayTaskError
from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial

from search.errors import RunError
from search.executors.base import Search
from search.outcome import Outcome, StopReason
from search.resources import Capacity
from search.study import Resources
from trainables.report import STOP, from_result
from trainables.tune import TuneTrainable

QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON and TensorBoard files: the ledger has it all
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # signals are ours, see control.py
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # no snapshots of Tune's state: a resume reads the ledger
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a trial may name modules of the folder the search was started in
    "TUNE_WARN_THRESHOLD_S": "60",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the ledger has the traceback
}


class TuneExecutor:
    """Runs a search on Ray Tune, on this machine or on a cluster that is already up."""

    def run(self, search: Search) -> None:
        """See ``Executor.run``."""
        resources = search.study.resources
        with ray_session(resources):
            capacity = Capacity.of_ray()
            slots = capacity.slots(resources)
            bridge = _Bridge(search)
            tune.run(
                tune.with_parameters(TuneTrainable, splits=search.splits),
                name="tune",
                storage_path=str(search.folder / "ray"),
                search_alg=search.sampler,
                scheduler=search.scheduler,
                num_samples=-1,
                stop=bridge.stopper,
                callbacks=[bridge],
                resources_per_trial={"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial},
                max_concurrent_trials=slots,
                reuse_actors=True,
                raise_on_failed_trial=False,
                verbose=0,
                trial_name_creator=lambda trial: trial.trial_id,
                trial_dirname_creator=lambda trial: f"trial_{trial.config['number']:05d}",
            )
            bridge.finish()


class _Bridge(Callback):  # type: ignore[misc]
    """Carries what Tune's controller tells its callbacks to the recorder."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._failure: RunError | None = None
        self.stopper = _ControlStopper(self)

    @property
    def stopping(self) -> bool:
        return self._failure is not None or self._search.control.stopping is not None

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        try:
            self._search.recorder.tick()
        except RunError as error:  # raised again by ``finish``, after Tune has let go of its actors
            self._failure = error

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        proposal = self._search.sampler.proposal(trial.trial_id)
        if proposal.number not in self._search.recorder.running:
            self._search.recorder.started(proposal)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        decision = self._search.scheduler.take_decision(trial.trial_id)
        self._search.recorder.reported(trial.config["number"], from_result(result), decision)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        stop = (trial.last_result or {}).get(STOP)
        outcome = self._search.scheduler.outcome(trial.trial_id, stop)
        self._search.recorder.ended(trial.config["number"], outcome)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        number = trial.config["number"]
        if number not in self._search.recorder.running:
            self._search.recorder.started(self._search.sampler.proposal(trial.trial_id))
        self._search.recorder.ended(number, failure(trial.get_error()))

    def __getstate__(self) -> dict[str, Any]:
        return {}  # see _ControlStopper

    def finish(self) -> None:
        """Record why the trials that were running at the end did not go on."""
        if self._failure is not None:
            raise self._failure
        recorder, reason = self._search.recorder, self._search.control.stopping
        for number in sorted(recorder.running):
            recorder.ended(number, Outcome(reason or StopReason.DIED))
        recorder.flush()


class _ControlStopper(Stopper):  # type: ignore[misc]
    """Ends the whole Tune run when the control says so."""

    def __init__(self, bridge: _Bridge) -> None:
        self._bridge = bridge

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._bridge.stopping

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune writes its controller's state once; nothing ever reads it back


def failure(error: Exception | None) -> Outcome:
    """Return the outcome of a trial that raised, with the message of the trial's own exception."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    reason = StopReason.OUT_OF_MEMORY if is_out_of_memory(cause) else StopReason.ERROR
    lines = str(cause).strip().splitlines()
    text = "".join(traceback.format_exception(error)) if error is not None else ""
    return Outcome(
        reason,
        message=f"{type(cause).__name__}: {lines[-1] if lines else ''}",
        traceback=str(error) if isinstance(error, RayTaskError) else text,
    )


def is_out_of_memory(error: BaseException | None) -> bool:
    """Say whether a trial ended for want of memory, on the device or the host."""
    return isinstance(error, MemoryError) or type(error).__name__ in ("OutOfMemoryError", "ActorDiedOOM")


@contextmanager
def ray_session(resources: Resources) -> Iterator[None]:
    """Join the cluster at ``resources.address``, or start Ray on loopback and shut it down at the end.

    Raises:
        RunError: no cluster answers at the address.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if resources.address is not None:
        options["address"] = resources.address
    else:
        # "local": never a cluster that happens to run on this machine.
        options |= {"address": "local", "_node_ip_address": "127.0.0.1", "include_dashboard": False}
    already = ray.is_initialized()
    if not already:
        try:
            ray.init(**options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            line = str(error).strip().splitlines()[0]
            raise RunError(f"Ray cannot be reached at {resources.address or 'this machine'}: {line}") from None
    try:
        yield
    finally:
        if not already:
            ray.shutdown()

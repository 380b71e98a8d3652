"""One trial, one Ray Tune trial: an actor with its share of CPU and GPU, reused for the next trial."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import ray
import ray.tune.execution.tune_controller as controller_module
import ray.tune.tune as tune_module
from ray import tune
from ray._private import ray_constants, services
from ray.exceptions import AuthenticationError, RayActorError, RayError, RayTaskError
from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial
from ray.tune.result import SHOULD_CHECKPOINT
from ray.tune.search import ConcurrencyLimiter

from search.declaration.study import Resources
from search.errors import RunError
from search.executors.capacity import Capacity
from search.executors.control import STOP_GRACE_S
from search.executors.controller import ActorManager, KilledForMemoryError, PatientController, failed_with
from search.executors.faults import back_off_s, reason_of
from search.executors.search import Search
from search.ledger.events import ActorLost, CheckpointNote
from search.ledger.outcome import Outcome, StopReason
from search.ledger.paths import CHECKPOINTS
from trainables.errors import is_out_of_memory
from trainables.report import EPOCH, STOP, from_result
from trainables.tune import MESSAGE, NOTES, TRACEBACK, TuneTrainable

QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON and TensorBoard files: the ledger has it all
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # signals are ours, see control.py
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # no snapshots of Tune's state: a resume reads the ledger
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a trial may name modules of the folder the search was started in
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",  # the limiter alone says how many trials there are at once
    "TUNE_WARN_THRESHOLD_S": "60",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that raised has no metrics to report
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the ledger has the traceback
}

KEEP_S = 60.0
"""How long an actor may take to write the best model of a trial; where it has died, Ray says so earlier."""

RESIZE_S = 2.0
"""How often a cluster is asked what it has."""

CONNECT_S = 10.0
"""How long a cluster may take to answer."""


tune_module.TuneController = PatientController
controller_module.RayActorManager = ActorManager
# It prints a traceback where Tune's snapshot cannot be written; nothing is ever read from that.
logging.getLogger("ray.tune.execution.experiment_state").setLevel(logging.CRITICAL)


class TuneExecutor:
    """Runs a search on Ray Tune, on this machine or on a cluster that is already up.

    Args:
        say: prints one line for the user.
    """

    def __init__(self, say: Callable[[str], None] = lambda line: None) -> None:
        self._say = say

    def run(self, search: Search) -> None:
        """See ``Executor.run``."""
        resources = search.study.resources
        with ray_session(resources):
            capacity = Capacity.of_ray()
            if not capacity.fit(resources):
                self._say(waiting_line(capacity, resources))
            limiter = ConcurrencyLimiter(search.sampler, max_concurrent=at_once(capacity, resources))
            bridge = _Bridge(search, limiter)
            tune.run(
                tune.with_parameters(
                    TuneTrainable,
                    splits=search.splits,
                    checkpoints=str(search.folder / CHECKPOINTS),
                    remembered_by=search.study.remembered_by,
                ),
                name="tune",
                storage_path=str(search.folder / "ray"),
                search_alg=limiter,
                scheduler=search.scheduler,
                num_samples=-1,
                stop=bridge.stopper,
                callbacks=[bridge],
                resources_per_trial={"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial},
                reuse_actors=True,
                raise_on_failed_trial=False,
                max_failures=search.study.faults.max_failures,
                verbose=0,
                trial_name_creator=lambda trial: trial.trial_id,
                trial_dirname_creator=lambda trial: f"trial_{trial.config['number']:05d}",
            )
            bridge.finish()


class _Bridge(Callback):  # type: ignore[misc]
    """Carries what Tune's controller tells its callbacks to the recorder."""

    def __init__(self, search: Search, limiter: ConcurrencyLimiter) -> None:
        self._search = search
        self._limiter = limiter
        self._resized = time.monotonic()
        self._failure: RunError | None = None
        self._reported: dict[int, int] = {}
        self._heard: dict[str, float] = {}
        self._hung: dict[int, str] = {}
        self._stopping_since: float | None = None
        self.stopper = _ControlStopper(self)

    @property
    def stopping(self) -> bool:
        """Whether running trials should end after the epoch they are in."""
        return self._failure is not None or self._search.control.stopping is not None

    @property
    def given_up(self) -> bool:
        """Whether they had their time for that."""
        if not self.stopping:
            return False
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
            self._search.sampler.closed = True
        waited = time.monotonic() - self._stopping_since
        return waited >= STOP_GRACE_S or not self._search.recorder.running

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        try:
            self._search.recorder.tick()
            self._search.tidy()
            self._end_hung(trials)
            self._resize()
        except RunError as error:  # raised again by ``finish``, after Tune has let go of its actors
            self._failure = error

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        proposal = self._search.sampler.proposal(trial.trial_id)
        self._heard[trial.trial_id] = time.monotonic()
        if proposal.number not in self._search.recorder.running:
            self._search.recorder.started(proposal)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        number = trial.config["number"]
        failures, limit = trial.run_metadata.num_failures, self._search.study.faults.max_failures
        self._heard.pop(trial.trial_id, None)  # it is not late while it waits
        self._search.recorder.event(
            ActorLost(
                trial=number,
                reason=reason_of(failed_with(trial)),
                wait_s=back_off_s(failures),
                failures=failures,
                max_failures=limit,
            )
        )
        # what the next actor starts from is what the ledger has, as after a resume
        trial.config["resumed"] = True
        trial.config["epochs_before"] = self._reported.get(number, trial.config["epochs_before"])
        trial.config["best"] = self._search.recorder.retention.best(number)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        number = trial.config["number"]
        self._heard[trial.trial_id] = time.monotonic()
        for note in result.get(NOTES, ()):
            self._search.recorder.event(CheckpointNote(trial=number, note=note))
        if EPOCH not in result:
            return  # it raised; ``on_trial_complete`` has the rest
        if self.stopping and result[STOP] is None:  # Tune has already marked it as done: it is being stopped
            # and did not ask the scheduler; a resume would take the epoch for one that was decided on
            self._search.scheduler.on_trial_result(None, trial, result)
            result[SHOULD_CHECKPOINT] = True
        decision = self._search.scheduler.take_decision(number)
        if decision is not None and decision.action == "stop":
            result[SHOULD_CHECKPOINT] = False  # Tune would end the trial after the save: an actor that dies in
            # between would train on what the ledger calls stopped
        if result[EPOCH] > self._reported.get(number, trial.config["epochs_before"]):
            self._reported[number] = result[EPOCH]
            self._search.recorder.reported(number, from_result(result), decision)
        if result.get(SHOULD_CHECKPOINT):
            self._flush()

    def _flush(self) -> None:
        """Write the ledger's batch before a checkpoint: none is of an epoch that the ledger does not have."""
        try:
            self._search.recorder.flush()
        except RunError as error:
            self._failure = error

    def on_trial_save(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        if trial.temporary_state.unsaved:
            self._search.control.cannot_save(trial.temporary_state.unsaved)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        result = trial.last_result or {}
        outcome = self._search.scheduler.outcome(trial.config["number"], result.get(STOP))
        if outcome.reason is StopReason.USER:
            outcome = Outcome(self._search.control.stopping or StopReason.USER)
        if MESSAGE in result:
            outcome = replace(outcome, message=result[MESSAGE], traceback=result[TRACEBACK])
        self._end(trial, outcome)

    def _end(self, trial: Trial, outcome: Outcome) -> None:
        self._heard.pop(trial.trial_id, None)
        number = trial.config["number"]
        self._search.recorder.ended(number, outcome)
        if self._search.recorder.retention.keeps(number):
            self._keep_best(trial)
        self._search.abort_if_poisoned()

    def _keep_best(self, trial: Trial) -> None:
        """Have a trial that has just ended write its best model, before the ledger calls it ended.

        Its actor idles now, and gets the next trial when this returns.
        """
        number, actor = trial.config["number"], trial.temporary_state.ray_actor
        try:
            notes = ray.get(actor.keep_best.remote(number), timeout=KEEP_S)
        except RayError as error:
            self._search.checkpoints.remove_best(number)  # an older one would pass for the best
            notes = [f"trial {number}: its best model was not written: {reason_of(error)}"]
        for note in notes:
            self._search.recorder.event(CheckpointNote(trial=number, note=note))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        number = trial.config["number"]
        if number not in self._search.recorder.running:
            self._search.recorder.started(self._search.sampler.proposal(trial.trial_id))
        if number in self._hung:
            self._end(trial, Outcome(StopReason.ERROR, message=self._hung[number]))
        else:
            self._end(trial, self._given_up(trial))

    def _given_up(self, trial: Trial) -> Outcome:
        error = failed_with(trial)
        outcome = failure(error)
        if not isinstance(error, RayActorError) or outcome.reason is StopReason.OUT_OF_MEMORY:
            return outcome
        times = f"{trial.run_metadata.num_failures} times (--max-failures {self._search.study.faults.max_failures})"
        return replace(outcome, message=f"its actor died, {times}: {reason_of(error)}")

    def _resize(self) -> None:
        """Run as many trials as fit in what the cluster has become."""
        resources = self._search.study.resources
        if resources.address is not None and time.monotonic() - self._resized >= RESIZE_S:
            self._limiter.max_concurrent = at_once(Capacity.of_ray(), resources)
            self._resized = time.monotonic()

    def _end_hung(self, trials: list[Trial]) -> None:
        """End the actors of trials that have not reported for too long; their slots are used again."""
        limit_s = self._search.study.faults.trial_timeout_s
        if limit_s is None:
            return
        late = {t for t, at in self._heard.items() if time.monotonic() - at > limit_s}
        for trial in trials:
            if trial.trial_id in late and trial.temporary_state.ray_actor is not None:
                self._hung[trial.config["number"]] = f"no report in {limit_s:g} s (--trial-timeout)"
                trial.max_failures = 0  # it is not started again
                ray.kill(trial.temporary_state.ray_actor)
                del self._heard[trial.trial_id]

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
        self._search.tidy()


class _ControlStopper(Stopper):  # type: ignore[misc]
    """Ends the whole Tune run when the control says so."""

    def __init__(self, bridge: _Bridge) -> None:
        self._bridge = bridge

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self._bridge.stopping

    def stop_all(self) -> bool:
        return self._bridge.given_up

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune writes its controller's state once; nothing ever reads it back


def at_once(capacity: Capacity, resources: Resources) -> int:
    """Return how many trials to run, or to have waiting, at once.

    On a cluster ``--workers`` may ask for more than is there, so that an autoscaler sees the need.
    """
    if resources.address is not None and resources.workers is not None:
        return resources.workers
    return capacity.slots(resources)


def waiting_line(capacity: Capacity, resources: Resources) -> str:
    """Return what to tell a user whose first trial fits nowhere in the cluster yet."""
    return (
        f"waiting: a trial takes {resources.cpus_per_trial:g} CPU and {resources.gpus_per_trial:g} GPU, and the "
        f"cluster has {capacity.cpus:g} CPU and {capacity.gpus:g} GPU now; an autoscaler may add a node, "
        "and the search starts when one is up"
    )


def failure(error: Exception | None) -> Outcome:
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
        # "local": never a cluster that happens to run on this machine. And never one for others to join: where
        # clusters are enabled, Ray turns 127.0.0.1 into the outer address, and listens on every interface.
        ray_constants.ENABLE_RAY_CLUSTER = False
        options |= {"address": "local", "_node_ip_address": "127.0.0.1", "include_dashboard": False}
    already = ray.is_initialized()
    if not already:
        if resources.address is not None:
            _check_answers(resources.address)
        try:
            with _own_sigterm():
                ray.init(**options)
        except (AuthenticationError, OSError, ValueError, RuntimeError) as error:
            raise RunError(_why_not(resources.address, error)) from None
    try:
        yield
    finally:
        if not already:
            with _own_sigterm():
                ray.shutdown()


def _check_answers(address: str) -> None:
    """Knock at a cluster's door: Ray itself would try for minutes.

    Raises:
        RunError: nobody answers.
    """
    try:
        host, _, port = services.canonicalize_bootstrap_address(address).rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S):
            return
    except (OSError, ValueError) as error:
        raise RunError(f"no Ray cluster answers at --address {address}: {error}") from None


def _why_not(address: str | None, error: Exception) -> str:
    line = str(error).strip().splitlines()[0]
    if address is None:
        return f"Ray cannot be started on this machine: {line}"
    return (
        f"Ray cannot join --address {address}: {line}; "
        "where it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH=FILE"
    )


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Put our handler of SIGTERM back.

    ``ray.init`` sets one that aborts the process after three seconds, whatever is unsaved;
    ``ray.shutdown`` leaves none.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)

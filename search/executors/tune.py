"""One trial, one Ray Tune trial: an actor with its share of CPU and GPU, reused for the next trial."""

from __future__ import annotations

import logging
from collections.abc import Callable

import ray.tune.execution.tune_controller as controller_module
import ray.tune.tune as tune_module
from ray import tune
from ray.tune.search import ConcurrencyLimiter

from search.executors.capacity import Capacity, at_once, waiting_line
from search.executors.controller import ActorManager, PatientController
from search.executors.ray_session import ray_session
from search.executors.search import Search
from search.executors.timing import USUAL, Timing
from search.executors.tune_adapters import TuneScheduler, TuneSearcher
from search.executors.tune_bridge import TuneBridge
from search.executors.tune_turns import TuneTurns
from search.ledger.paths import CHECKPOINTS
from trainables.model_function import carried_function
from trainables.registry import function_path
from trainables.tune import TuneTrainable

tune_module.TuneController = PatientController
controller_module.RayActorManager = ActorManager
# It prints a traceback where Tune's snapshot cannot be written; nothing is ever read from that.
logging.getLogger("ray.tune.execution.experiment_state").setLevel(logging.CRITICAL)


class TuneExecutor:
    """Runs a search on Ray Tune, on this machine or on a cluster that is already up.

    Args:
        say: prints one line for the user.
        timing: its waiting times.
    """

    def __init__(self, say: Callable[[str], None] = lambda line: None, *, timing: Timing = USUAL) -> None:
        self._say = say
        self._timing = timing

    def run(self, search: Search) -> None:
        """Run a search; see ``Executor``."""
        resources = search.study.resources
        with ray_session(resources, connect_s=self._timing.connect_s, say=self._say):
            capacity = Capacity.of_ray()
            if not capacity.fit(resources):
                self._say(waiting_line(capacity, resources))
            most = at_once(capacity, resources)
            turns = TuneTurns(search, max_concurrent=most) if search.scheduler.pauses else None
            searcher = TuneSearcher(search.study, search.sampler, search.scheduler, turns)
            scheduler = TuneScheduler(search.scheduler, self._timing, turns)
            limiter = ConcurrencyLimiter(searcher, max_concurrent=most)
            bridge = TuneBridge(search, searcher, scheduler, turns or limiter, turns=turns)
            tune.run(
                tune.with_parameters(
                    TuneTrainable,
                    splits=search.splits,
                    checkpoints=str(search.folder / CHECKPOINTS),
                    objective=search.study.remembered_by,
                    function=carried_function(function_path(search.study.trainable)),
                ),
                name="tune",
                storage_path=str(search.folder / "ray"),
                search_alg=limiter if turns is None else searcher,
                scheduler=scheduler,
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

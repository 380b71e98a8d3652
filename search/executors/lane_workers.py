"""How the lanes of one worker are made for a study, and the device that they have in the driver's process."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from search.declaration.study import Study
from search.executors.capacity import Capacity
from search.executors.choice import SHARE_AT_ONCE, choose_precision
from spaces import differing
from trainables.errors import ConfigError
from trainables.folded import FoldedTrainable
from trainables.machine import THIS_MACHINE
from trainables.protocols import BuildsModules, HasStackableForm, ThreadSafe, Trainable
from trainables.registry import find_trainable, is_train_function, is_user_model
from trainables.user_model import TRAINING_PARAMETERS

if TYPE_CHECKING:
    import torch

    from trainables.lanes import FoldLanes, LaneWorker
    from trainables.lanes.modules.source import ModuleSource


DRAWN = 32
"""Configurations that tell how many trials have models of the same shapes."""


def build_lane_worker(
    study: Study,
    trainable: Trainable,
    data: Any,
    *,
    device: torch.device,
    lanes: int,
    start: Callable[..., Any],
    marked: bool = False,
    in_turn: bool = False,
    processes: int = 1,
    measured: Mapping[str, str] | None = None,
    doing: Callable[[str], AbstractContextManager[object]] | None = None,
    make_worker: Callable[..., LaneWorker] | None = None,
) -> LaneWorker:
    """Return lanes in which trials of a study train.

    Args:
        study: the declaration.
        trainable: the study's.
        data: what ``trainable.prepare`` returned.
        device: where they train.
        lanes: how many.
        start: starts a looped trial; see ``LaneWorker``.
        marked: whether a file names what trains: then user's functions that say so alone train side by side.
        in_turn: whether these train in turn all the same, each with the one core that it would have side by side.
        processes: how many have such lanes and share the trials.
        measured: how groups train whose mode was measured before.
        doing: see ``ModuleSource``; by default nobody is told.
        make_worker: makes the lanes; called as ``LaneWorker``, which it is by default.
    """
    from trainables.lanes import LaneWorker

    side_by_side = isinstance(trainable, ThreadSafe) and (not marked or is_train_function(study.trainable))
    stands_in = trainable if isinstance(trainable, HasStackableForm) else None
    modules = _module_source(study, trainable, doing) if isinstance(trainable, BuildsModules) else None
    if modules is not None:
        modules = replace(modules, at_once=math.ceil(lanes / processes))
    return (make_worker or LaneWorker)(
        data,
        device=device,
        lanes=lanes,
        precision=choose_precision(study, device),
        mode=study.lanes.mode if trainable.stacks or stands_in or modules else "looped",
        start=start,
        measured=measured,
        stands_in=stands_in,
        threads=1 if in_turn or processes > 1 else threads_of(study, device, lanes),
        side_by_side=trainable.is_thread_safe if isinstance(trainable, ThreadSafe) and side_by_side else None,
        modules=modules,
    )


def _module_source(
    study: Study, trainable: Trainable, doing: Callable[[str], AbstractContextManager[object]] | None
) -> ModuleSource:
    """Return what builds the modules of a study's trials, with the ends of what is searched beside the loop itself."""
    from trainables.lanes.modules.source import ModuleSource

    assert isinstance(trainable, BuildsModules), "others build none"
    baseline, corners = study.space.baseline, []
    for point in study.space.corners():
        if set(differing(study.space, baseline, point)) - TRAINING_PARAMETERS:
            with suppress(ConfigError):  # of two values that are each valid alone; its trials say so
                corners.append(trainable.configure(study.params_of(point), max_epochs=study.budget.max_epochs))
    source = ModuleSource(trainable, tuple(corners), tuple(_drawn(study, trainable)))
    return source if doing is None else replace(source, doing=doing)


def _drawn(study: Study, trainable: Trainable) -> Iterator[Any]:
    """Yield configurations from anywhere in the space, the same on every machine."""
    from search.brain.optuna_samplers import random_points

    for point in random_points(study.space, DRAWN):
        with suppress(ConfigError):
            yield trainable.configure(study.params_of(point), max_epochs=study.budget.max_epochs)


def build_lanes(study: Study, trainable: Trainable, data: Any, *, lanes: int, **facts: Any) -> LaneWorker | FoldLanes:
    """Return lanes for as many trials of a study at once; a trial of a cross-validation has one for each fold.

    Args:
        study: the declaration.
        trainable: the study's, as ``with_folds`` returned it.
        data: what its ``prepare`` returned.
        lanes: how many trials.
        facts: see ``build_lane_worker``.
    """
    from trainables.lanes import FoldLanes

    if not isinstance(trainable, FoldedTrainable):
        return build_lane_worker(study, trainable, data, lanes=lanes, **facts)
    worker = build_lane_worker(study, trainable.of_a_fold, data[0], lanes=lanes * len(data), **facts)
    return FoldLanes(worker, data)


def trains_side_by_side(study: Study) -> bool:
    """Say whether several of a study's trials may train at a time in one process.

    A training function says so; a model is tried out for it, and may turn out to train in turn.
    """
    if is_user_model(study.trainable):
        return True
    trainable = find_trainable(study.trainable)
    return is_train_function(study.trainable) and isinstance(trainable, ThreadSafe) and trainable.is_thread_safe(None)


def threads_of(study: Study, device: torch.device, lanes: int) -> int | None:
    """Return how many trials that train side by side do so at most; None of any other study, and on a GPU."""
    from trainables.lanes.threads import usual_threads

    if device.type != "cpu" or not trains_side_by_side(study):
        return None
    return min(lanes, usual_threads(device))


def worker_cores(study: Study, capacity: Capacity) -> float:
    """Return the cores of a worker: as many as asked for, else one.

    Where none are asked for, a study whose trials train side by side is given all cores of this machine, shared by the
    workers; of a cluster, which others use too, it must be said.
    """
    resources = study.resources
    if resources.cpus_per_worker is not None:
        return resources.cpus_per_worker
    if resources.address is not None or not trains_side_by_side(study):
        return 1.0
    return float(max(1, capacity.cpus // (resources.workers or 1)))


def processes_of(study: Study) -> int:
    """Return how many processes of this machine train a study's trials where these are of its user's own code.

    Models have one for each core, at most one for each lane: their short operations would wait for each other's in a
    single one. Training functions that may do so share one, and its memory, by threads.
    """
    if not is_user_model(study.trainable):
        return 1
    lanes = study.lanes.lanes
    at_once = lanes if isinstance(lanes, int) else math.ceil(study.budget.trials / SHARE_AT_ONCE)
    return max(1, min(_cores(study), at_once))


def threads_of_a_process(study: Study, processes: int) -> int:
    """Return torch's threads in each of so many processes."""
    return 1 if processes > 1 else max(1, _cores(study))


def _cores(study: Study) -> int:
    return int(worker_cores(study, Capacity.of(THIS_MACHINE, with_gpus=False)))


def driver_device(study: Study) -> torch.device:
    """Return where lanes in the driver's own process train: on CUDA where the study gives a worker some of a GPU."""
    import torch

    return torch.device("cuda" if study.resources.gpus_per_worker and torch.cuda.is_available() else "cpu")

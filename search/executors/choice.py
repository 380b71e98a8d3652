"""Which executor runs a study, and how many lanes a worker holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from search.declaration.mistakes import usage_error
from search.declaration.study import Study
from search.executors.fork_server import can_fork
from trainables.folded import FoldedTrainable
from trainables.mistake import Mistake
from trainables.protocols import BuildsModules, Trainable
from trainables.registry import find_trainable, is_train_function, is_user_model

if TYPE_CHECKING:
    import torch

SHARE_AT_ONCE = 4
"""A search seats at most one in this many of its trials at once: what is proposed before the first
results are in is proposed blindly."""

MOST_LANES = 32
"""Lanes of a worker where the study does not say. It is no measured figure on purpose: the number of
trials under way is part of what a sampler sees, so a search that measured it would not repeat."""


MOST_BYTES = 4 << 30
"""What the weights of all lanes may take, with their gradients, moments and best epochs, where trials train modules of
the user's own: these may be large. The same on every machine, as above."""

COPIES = 5
"""How many numbers such a trial has for each parameter."""


@dataclass(frozen=True)
class ExecutorChoice:
    """Which executor runs a study, and why.

    Attributes:
        executor: ``lanes`` or ``tune``.
        reason: in words.
        several_processes: whether trials of the study run in processes of their own, one or more.
        forks: whether these are forked on this machine, without Ray.
    """

    executor: str
    reason: str
    several_processes: bool
    forks: bool = False


def executor_mistakes(study: Study) -> list[Mistake]:
    """Return why the executor that a study names cannot run it; empty if it can."""
    if is_train_function(study.trainable) and study.lanes.precision != "fp32":
        rule = "{value}: a training function casts by itself, with torch.autocast"
        return [Mistake(("lanes", "precision"), rule, study.lanes.precision)]
    if study.executor != "lanes" or find_trainable(study.trainable).loops:
        return []
    rule = f"lanes: the trainable {study.trainable} neither stacks nor shares a process"
    return [Mistake(("executor",), rule, hint="use {0} tune", others=(("executor",),))]


def choose_executor(study: Study, *, began_on_tune: bool = False) -> ExecutorChoice:
    """Return ``lanes`` or ``tune`` for a study, and why.

    Args:
        study: the declaration.
        began_on_tune: whether earlier sessions of the study ran on Ray Tune: ``auto`` then stays with it.

    Raises:
        UsageError: lanes are asked for a trainable that needs a process of its own.
    """
    if mistakes := executor_mistakes(study):
        raise usage_error(mistakes)
    executor, reason = _executor(study, began_on_tune)
    resources = study.resources
    # a user's own code may hang or exit: even one worker is a process of its own then; see ``open_pool``
    here = executor == "lanes" and resources.address is None and resources.workers in (None, 1)
    stacks = find_trainable(study.trainable).stacks
    forks = here and not stacks and not resources.gpus_per_worker and can_fork()
    return ExecutorChoice(executor, reason, not (here and stacks), forks)


def _executor(study: Study, began_on_tune: bool) -> tuple[str, str]:
    if study.executor != "auto":
        return study.executor, "as asked for"
    if began_on_tune and study.resources.address is not None:
        return "tune", "the study was begun on it"
    if study.resources.gpus_per_trial:
        return "tune", "a share of a GPU for each trial was asked for"
    if study.data.source == "stream":
        return "tune", "the examples are streamed, which each process does for one trial at a time"
    if find_trainable(study.trainable).stacks:
        where = "one machine" if study.resources.address is None else "workers of the Ray cluster"
        return "lanes", f"{study.trainable} stacks, on {where}"
    if is_user_model(study.trainable):
        return _executor_of_a_model(study)
    if is_train_function(study.trainable):
        return "tune", f"{study.trainable} does not stack; if its epochs are short, --executor lanes may be faster"
    return "tune", f"{study.trainable} does not stack"


def _executor_of_a_model(study: Study) -> tuple[str, str]:
    """Return the executor of a user's own model, and why: lanes where it trains on CPUs of one machine."""
    resources = study.resources
    if resources.address is not None:
        return "tune", f"a trial of {study.trainable} has a process of its own on a cluster"
    if resources.gpus_per_worker:
        return "tune", f"{study.trainable} stacks on a CPU alone"
    if resources.cpus_per_trial != 1:
        return "tune", "a number of cores for each trial was asked for"
    return "lanes", f"{study.trainable} is stacked where that is faster, else looped, on one machine"


def choose_precision(study: Study, device: torch.device) -> str:
    """Return the precision of the lanes; ``auto`` is bf16 on a GPU made for it, else fp32."""
    if study.lanes.precision != "auto":
        return study.lanes.precision
    import torch

    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"


def choose_number(study: Study, trainable: Trainable, data: Any, device: torch.device) -> tuple[int, str]:
    """Return the lanes of one worker, and why: the number asked for, the usual one, or the one measured fastest."""
    if isinstance(study.lanes.lanes, int):
        return study.lanes.lanes, f"{study.lanes.lanes} lanes, as asked for"
    workers = study.resources.workers or 1
    limit = max(1, math.ceil(study.budget.trials / SHARE_AT_ONCE / workers))
    usual = min(limit, MOST_LANES)
    if (room := _room_for_modules(study, trainable, data, device)) < usual:
        return room, f"{room} lanes: the weights and moments of more would take over {MOST_BYTES >> 30} GiB"
    if study.lanes.lanes is None or limit == 1 or not trainable.stacks:
        return usual, f"{usual} lanes: a quarter of {study.budget.trials} trials, at most {MOST_LANES}"
    from trainables.lanes import choose_lanes, usual_mode

    if isinstance(trainable, FoldedTrainable):  # its trials have several lanes, of which one is measured
        trainable, data = trainable.of_a_fold, data[0]
    if getattr(data, "streams", False):
        return usual, f"{usual} lanes: trials whose examples are streamed are looped"
    config = trainable.configure(study.params_of(study.space.baseline), max_epochs=study.budget.max_epochs)
    mode = usual_mode(config, device) if study.lanes.mode == "usual" else study.lanes.mode
    if mode == "looped":
        return usual, f"{usual} lanes: looped trials cost the same however many there are"
    measured = choose_lanes(data, config, device=device, limit=limit)
    figures = ", ".join(f"{m.lanes}: {m.ms_per_lane_epoch:.2f}" for m in measured.measurements)
    return (
        measured.lanes,
        f"{measured.lanes} lanes; measured ms an epoch of a lane, by lanes: {figures}; {measured.reason}",
    )


def _room_for_modules(study: Study, trainable: Trainable, data: Any, device: torch.device) -> int:
    """Return how many trials of the baseline's module there is room for; where they train other models, any number."""
    folds = 1
    if isinstance(trainable, FoldedTrainable):
        trainable, data, folds = trainable.of_a_fold, data[0], len(data)
    if not isinstance(trainable, BuildsModules):
        return MOST_LANES
    try:
        config = trainable.configure(study.params_of(study.space.baseline), max_epochs=study.budget.max_epochs)
        model = trainable.module_of(config, data, seed=0, device=device)
    except Exception:  # its trials say so
        return MOST_LANES
    needed = 4 * COPIES * sum(p.numel() for p in model.parameters()) * folds
    return max(1, MOST_BYTES // max(1, needed))

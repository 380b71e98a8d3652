"""How the lanes of one worker are made for a study, and the device that they have in the driver's process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from search.declaration.study import Study
from search.executors.choice import choose_precision
from trainables.folded import FoldedTrainable
from trainables.protocols import HasStackableForm, ThreadSafe, Trainable

if TYPE_CHECKING:
    import torch

    from trainables.lanes import FoldLanes, LaneWorker


def build_lane_worker(
    study: Study,
    trainable: Trainable,
    data: Any,
    *,
    device: torch.device,
    lanes: int,
    start: Callable[..., Any],
    in_turn: bool = False,
    measured: Mapping[str, str] | None = None,
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
        in_turn: whether trials that are looped never train beside each other.
        measured: how groups train whose mode was measured before.
        make_worker: makes the lanes; called as ``LaneWorker``, which it is by default.
    """
    from trainables.lanes import LaneWorker

    stands_in = trainable if isinstance(trainable, HasStackableForm) else None
    return (make_worker or LaneWorker)(
        data,
        device=device,
        lanes=lanes,
        precision=choose_precision(study, device),
        mode=study.lanes.mode if trainable.stacks or stands_in else "looped",
        start=start,
        measured=measured,
        stands_in=stands_in,
        side_by_side=trainable.is_thread_safe if isinstance(trainable, ThreadSafe) and not in_turn else None,
    )


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


def driver_device(study: Study) -> torch.device:
    """Return where lanes in the driver's own process train: on CUDA where the study gives a worker some of a GPU."""
    import torch

    return torch.device("cuda" if study.resources.gpus_per_worker > 0 and torch.cuda.is_available() else "cpu")

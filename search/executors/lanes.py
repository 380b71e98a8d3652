"""Many trials at once on one device, a lane each; a lane that becomes free is refilled at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from search.declaration.study import Study
from search.executors.choice import choose_executor
from search.executors.control_loop import ControlLoop
from search.executors.local_pool import LocalPool
from search.executors.pool import WorkerPool
from search.executors.search import Search
from search.executors.timing import USUAL, Timing
from search.ledger.events import LanesChosen
from search.ledger.paths import CHECKPOINTS
from trainables.pace import shown_by
from trainables.registry import find_trainable

if TYPE_CHECKING:
    from trainables.lanes import LaneWorker


@contextmanager
def open_pool(
    search: Search,
    timing: Timing,
    *,
    make_worker: Callable[..., LaneWorker] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[WorkerPool]:
    """Yield the workers that the study asks for; Ray is started only where it is needed.

    Trials that can be stacked run our own code and can neither hang nor exit, so they run in this process.
    Others may do what they like: they run in processes of their own. Ray has these where there are several workers,
    a cluster or a GPU; a single worker of CPUs is forked.

    Args:
        search: about to run.
        timing: how long to wait for what.
        make_worker: makes the lanes in this process; see ``LaneHost``.
        say: prints one line for the user.
    """
    study, checkpoints, modes = _with_lanes(search), search.folder / CHECKPOINTS, search.lane_modes
    here = study.resources.address is None and study.resources.workers in (None, 1)
    if here and find_trainable(study.trainable).stacks:
        local = LocalPool(study, search.splits, checkpoints, modes, make_worker=make_worker)
        try:
            yield local
        finally:
            local.close()
        return
    control = search.control
    if choose_executor(study).forks:
        from search.executors.fork_server import fork_server
        from search.executors.forked_pool import ForkedPool

        with fork_server() as server:
            yield ForkedPool(
                server,
                study,
                search.splits,
                search.folder,
                checkpoints,
                modes,
                timing=timing,
                say=say,
                is_stopping=lambda: control.stopping is not None,
            )
        return
    from search.executors.ray_pool import RayPool
    from search.executors.ray_session import ray_session

    with ray_session(study.resources, connect_s=timing.connect_s, say=say):
        pool = RayPool(
            study,
            search.splits,
            checkpoints,
            modes,
            timing=timing,
            say=say,
            is_stopping=lambda: control.stopping is not None,
        )
        try:
            yield pool
        finally:
            pool.close()


def _with_lanes(search: Search) -> Study:
    """Return the study with the number of lanes that its first session had, where there was one."""
    if search.lanes is None:
        return search.study
    lanes = search.study.lanes.model_copy(update={"lanes": search.lanes})
    return search.study.model_copy(update={"lanes": lanes})


class LanesExecutor:
    """Runs a search in lanes: in this process, in forked ones, or in Ray actors.

    Args:
        say: prints one line for the user.
        open_pool: opens the workers; called as the function of that name.
        timing: how long to wait for what.
    """

    def __init__(
        self,
        say: Callable[[str], None] = lambda line: None,
        *,
        open_pool: Callable[[Search, Timing], AbstractContextManager[WorkerPool]] = open_pool,
        timing: Timing = USUAL,
    ) -> None:
        self._say = say
        self._open_pool = open_pool
        self._timing = timing

    def run(self, search: Search) -> None:
        """Run a search; see ``Executor``."""
        with self._open_pool(search, self._timing) as pool, shown_by(self._say):
            if not pool.lanes:
                return
            for line in pool.reasons:
                search.recorder.event(LanesChosen(choice=line))
            search.recorder.lanes_chosen(pool.lanes[0])
            ControlLoop(search, pool, self._say, timing=self._timing).run()

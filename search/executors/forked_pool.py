"""One worker of lanes that is several processes of this machine: for code of the user's own, which may do anything.

Each process has a core and a share of the trials. The driver waits for all of them before it decides on any of their
epochs, in the order of the trials' numbers, so that a search does not depend on how many processes there are or on
which is done first. They share nothing: what a module keeps in a global is a process's own.
"""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.declaration.study import Study
from search.errors import RunError
from search.executors.fork_server import ForkedProcess, ForkServer
from search.executors.lane_host import Advance, Orders
from search.executors.lane_process import FAILED, REFUSED, SEATED, UP, hold_lanes
from search.executors.lane_workers import processes_of, threads_of_a_process
from search.executors.marker import ToldWork, marked_trials, marked_work
from search.executors.pool import WorkerLost, lost_models
from search.executors.shares import Shares, joined
from search.executors.timing import Timing
from search.ledger.events import CheckpointNote
from trainables.errors import CheckpointWriteError
from trainables.model_function import carried_function
from trainables.registry import function_path
from trainables.stage import stage

if TYPE_CHECKING:
    from trainables.data import Splits


class _Lanes:
    """A process with lanes, as the driver knows it.

    Attributes:
        process: that was forked.
        marker: file that names the trials in training.
        launched: when its orders were sent, by ``time.time``.
        asked: what it was sent and has not answered: the name, and the trials that are meant.
        hung: the trial for which it was ended.
        stuck: whether it was ended because a stack of trials did not report.
    """

    def __init__(self, process: ForkedProcess, marker: Path) -> None:
        self.process, self.marker = process, marker
        self.launched = time.time()
        self.asked: deque[tuple[str, Sequence[int]]] = deque([("describe", ())])
        self.hung: int | None = None
        self.stuck = False

    def ask(self, name: str, *arguments: object, trials: Sequence[int] = ()) -> None:
        """Send something to be done after what was sent before; a process that is gone shows when it is waited for."""
        self.asked.append((name, trials))
        with suppress(OSError):
            self.process.connection.send((name, arguments))

    @property
    def is_training(self) -> bool:
        """Whether it has orders to carry out."""
        return any(name == "advance" for name, _ in self.asked)

    @property
    def is_ending(self) -> bool:
        """Whether it was ended, and that was not heard yet."""
        return self.hung is not None or self.stuck


class ForkedPool:
    """One worker, of one process or of one for each core; no Ray is started.

    Args:
        server: forks the processes.
        study: the declaration.
        splits: the examples; the processes share them.
        folder: of the study, which takes what the processes print: ``worker_0.log`` and so on.
        checkpoints: folder of the study's checkpoints.
        modes: how groups train whose mode was measured before.
        timing: how long to wait for a start and for checkpoints.
        say: prints one line for the user.
        is_stopping: says whether the search is to end.

    Attributes:
        lanes, reasons, starting: see ``WorkerPool``.

    Raises:
        RunError: the processes do not start.
    """

    def __init__(
        self,
        server: ForkServer,
        study: Study,
        splits: Splits,
        folder: Path,
        checkpoints: Path,
        modes: Mapping[str, str],
        *,
        timing: Timing,
        say: Callable[[str], None] = lambda line: None,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._server = server
        self._study, self._folder = study, folder
        self._checkpoints = checkpoints.absolute()  # code of the user's may go to another folder
        self._timing, self._say = timing, say
        self._modes = dict(modes)
        self._count = processes_of(study)
        self._in_turn = False
        self._crashes = 0
        self._told = ToldWork(say)
        self._shares = Shares(self._count)
        self._unsent: deque[tuple[int, Orders]] = deque()
        self._advances: dict[int, Advance] = {}
        self._notes: list[CheckpointNote] = []
        self._refused = ""
        self._gone: WorkerLost | None = None
        self._processes: list[_Lanes] = []
        self.lanes: list[int] = []
        self.reasons: list[str] = []
        self.starting: tuple[int, ...] = ()
        checkpoints.mkdir(parents=True, exist_ok=True)
        for index in range(self._count):
            self._log(index).unlink(missing_ok=True)
        self._begin(splits, is_stopping)

    def launch(self, index: int, orders: Orders) -> None:
        """Send each process its part of the orders; those that seat trials one after another, as far as they measure.

        What a process finds out of the groups of its trials is what the next ones go by.
        """
        self._advances.clear()
        if self._gone is not None:
            return  # which whoever waits is told
        parts = self._shares.cut(orders)
        # those with no trial to seat have nothing to find out
        self._unsent.extend(sorted(parts.items(), key=lambda part: (bool(part[1].seat), part[0])))
        self._send()

    def wait(self, timeout_s: float) -> tuple[int, Advance | WorkerLost] | None:
        """Return what came of the orders once all processes are done, or one is lost."""
        deadline = time.monotonic() + timeout_s
        while True:
            if self._gone is not None:
                lost, self._gone = self._gone, None
                return 0, lost
            if self._is_answered:
                return 0, self._joined()
            self._listen(max(0.0, deadline - time.monotonic()))
            if self._gone is None and not self._is_answered and time.monotonic() >= deadline:
                self._end_hung()
                self._told.look(one.marker for one in self._processes)
                return None

    def replace(self, index: int) -> None:
        """Fork other processes."""
        self._start()

    def grow(self) -> list[int]:
        """Start nothing: there is one machine."""
        return []

    def take_best(self, index: int, numbers: Sequence[int]) -> None:
        """Have the processes write the best models of trials that have just ended, before their next orders."""
        if self._gone is not None:
            self._notes += lost_models(self._checkpoints, numbers)
            return
        for at, mine in self._shares.by_process(numbers).items():
            self._processes[at].ask("write_best", mine, trials=mine)

    def write_best(self, keeps: Callable[[int], bool]) -> list[CheckpointNote]:
        """Wait until the best models that were asked for are written, displaced or not."""
        while any(name == "write_best" for one in self._processes for name, _ in one.asked):
            self._listen(self._timing.poll_s)
        notes, self._notes = self._notes, []
        return notes

    def save(self, numbers: Mapping[int, list[int]]) -> list[CheckpointNote]:
        """Write checkpoints of the seated trials of each process, unless one is lost: they have what they have then."""
        for at, mine in self._shares.by_process(numbers.get(0, [])).items() if self._gone is None else ():
            self._processes[at].ask("save", mine, trials=mine)
        deadline = time.monotonic() + self._timing.save_s
        while any(one.asked for one in self._processes) and (left := deadline - time.monotonic()) > 0:
            self._listen(left)
        if self._refused:
            raise CheckpointWriteError(self._refused)
        notes, self._notes = self._notes, []
        return notes

    @property
    def _is_answered(self) -> bool:
        """Whether every process did what it was to do."""
        asked = any(name in ("advance", "describe") for one in self._processes for name, _ in one.asked)
        return bool(self._processes) and not asked and not self._unsent

    def _log(self, index: int) -> Path:
        return self._folder / f"worker_{index}.log"

    def _begin(self, splits: Splits, is_stopping: Callable[[], bool]) -> None:
        """Start the processes, and wait for them."""
        function = carried_function(function_path(self._study.trainable))
        shared = {"checkpoints": self._checkpoints, "function": function, "processes": self._count}
        with stage("starting the trials' processes"):
            self._server.hold(share_of(self._study, self._count), splits, shared)
            self._start()
            began = time.monotonic()
            while not self._is_answered and not is_stopping():
                self._listen(self._timing.poll_s)
                if self._gone is not None:
                    raise RunError(f"the workers did not start: {self._gone.reason}")
                if time.monotonic() - began > self._timing.start_s:
                    raise RunError(f"the workers did not start within {self._timing.start_s:g} s")
        if not self._is_answered:
            self.lanes = []

    def _start(self) -> None:
        self._gone = None
        self._shares.clear()
        for index in range(self._count):
            marker = self._checkpoints / f"worker_{index}.at"
            marker.unlink(missing_ok=True)
            own = {"marker": marker, "modes": self._modes, "in_turn": self._in_turn}
            threads = threads_of_a_process(self._study, self._count)
            process = self._server.fork(hold_lanes, own, threads, log=self._log(index))
            self._processes.append(_Lanes(process, marker))

    def _send(self) -> None:
        """Send orders that wait: up to the first that seat trials, whose process tells when the next can be sent."""
        while self._unsent:
            at, orders = self._unsent.popleft()
            self._processes[at].launched = time.time()
            self._processes[at].ask("advance", orders, dict(self._modes))
            if orders.seat:
                return

    def _listen(self, timeout_s: float) -> None:
        """Take what the processes tell in time; where one of them has ended, all are lost, which ``wait`` tells."""
        told = wait([one.process.connection for one in self._processes], timeout=timeout_s)
        for at, one in enumerate([*self._processes]):
            if one.process.connection not in told:
                continue
            try:
                what, value = pickle.loads(one.process.connection.recv_bytes())
            except (EOFError, OSError):
                self._gone = self._lost(at)
                return
            self._take(at, what, value)

    def _take(self, at: int, what: str, value: Any) -> None:
        """Take what a process tells."""
        if what == FAILED:
            raise RunError(f"a worker failed: {value}")
        if what == SEATED:
            self._modes |= {group: mode for group, mode in value.items() if group not in self._modes}
            self._send()
            return
        name, _ = self._processes[at].asked.popleft()
        if what == UP:
            lanes, reason = value
            self.lanes, self.reasons = [lanes], [f"worker 0: {reason}"]
        elif what == REFUSED:
            self._refused = self._refused or value
        elif name == "advance":
            self._advances[at] = value
        else:
            self._notes += value

    def _joined(self) -> Advance:
        """Return what came of the orders in all processes, once."""
        refused, self._refused = self._refused, ""
        advances, self._advances = self._advances, {}
        return joined(advances, unsaved=refused)

    def _lost(self, at: int) -> WorkerLost:
        """Let go of all processes, one of which ended; say which trial it was training, as far as that is known."""
        one, seated = self._processes[at], self._shares.seated(at)
        reason, out_of_memory = self._server.ended(one.process)
        marked = tuple(sorted(marked_trials(one.marker)))
        for each in self._processes:
            unwritten = [n for name, numbers in each.asked if name == "write_best" for n in numbers]
            self._notes += lost_models(self._checkpoints, unwritten)
        for other in self._processes:
            other.process.kill()
            if other is not one:
                self._server.ended(other.process)
        self._processes.clear()
        self._unsent.clear()
        self._advances.clear()
        if one.hung is not None:
            return WorkerLost(reason, one.hung, hung=True)
        if out_of_memory:
            return WorkerLost(reason, out_of_host_memory=True)
        if one.stuck:
            limit_s = self._study.faults.trial_timeout_s
            return self._of_a_stack(f"no report of a stack in {limit_s:g} s for each of its trials", seated, loops=True)
        if not marked and seated and "stacked" in self._modes.values():
            self._crashes += 1
            return self._of_a_stack(reason, seated, loops=self._crashes > 1)
        if len(marked) < 2:
            return WorkerLost(reason, at=marked[0] if marked else None)
        self._in_turn = True
        trials = ", ".join(map(str, marked))
        return WorkerLost(f"{reason}; trials {trials} were in training and now go on in turn", among=marked)

    def _of_a_stack(self, reason: str, seated: tuple[int, ...], *, loops: bool) -> WorkerLost:
        """Return the loss of a process with a stack in training, of which no trial is to blame; loop them to see."""
        if loops:
            self._modes = {group: "looped" if mode == "stacked" else mode for group, mode in self._modes.items()}
            reason += "; stacks are looped now, which tells the trial"
        return WorkerLost(reason, among=seated)

    def _end_hung(self) -> None:
        """Kill a process in which a trial has taken longer than a study allows, or a stack as long for each of its."""
        limit_s = self._study.faults.trial_timeout_s
        if limit_s is None:
            return
        for at, one in enumerate(self._processes):
            if one.is_ending or not one.is_training:
                continue
            marked, now = marked_trials(one.marker), time.time()
            one.hung = next((n for n, began in marked.items() if now - max(began, one.launched) > limit_s), None)
            # without a mark its trials are stacked, unless it does something else, which it says
            stacked_s = limit_s * max(1, len(self._shares.seated(at)))
            one.stuck = not marked and marked_work(one.marker) is None and now - one.launched > stacked_s
            if one.hung is not None or one.stuck:
                one.process.kill()


def share_of(study: Study, count: int) -> Study:
    """Return a study as each of so many processes of its worker is to know it: what trials may take is shared out."""
    scheduler = study.scheduler.model_copy(update={"paused_mb": study.scheduler.paused_mb / count})
    return study.model_copy(update={"scheduler": scheduler})

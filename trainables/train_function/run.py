"""One trial of a training function."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from inspect import isgeneratorfunction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.errors import CheckpointError, ConfigError, named_with_last_line
from trainables.notice import SOUGHT, UNREAD, Notice, notice_of
from trainables.params_read import Lookups, Reads
from trainables.reached_source import reached_sources
from trainables.report import MAX_EPOCHS, RETURNED, EpochReport, RunEnded
from trainables.train_function.config import FunctionConfig, FunctionData
from trainables.train_function.drivers import Driver, GeneratorDriver, TrainFunction, thread_driver
from trainables.train_function.handover import Ended, Ending
from trainables.train_function.kept import Kept
from trainables.train_function.open_files import with_advice
from trainables.train_function.reporting import Reporting
from trainables.train_function.streams import RandomStreams
from trainables.train_function.trial import Trial
from trainables.train_function.turns import InTurn, SideBySide, Turns, trains_side_by_side
from trainables.train_function.working_folder import FunctionsFolder

if TYPE_CHECKING:
    import torch

UNENDED = "unended_function"
"""The kind of the notices about a function that did not end as it should."""

LEFT_OPEN = "files_left_open"
"""The kind of the notice about files that trials leave open, from one to the next."""

MOVED = "left_working_folder"
"""The kind of the notice about a function that leaves another working directory behind."""

DREW = "drew_global"
"""The kind of the notice about a function that trains side by side and drew from a generator that all share."""

BEGINS_ANEW = (
    "its function keeps nothing (trial.keep), or does not loop over trial.epochs(), so that it can only begin anew"
)


class FunctionRun:
    """Steps a training function from one report to the next.

    Args:
        path: ``package.module:function``, as messages call it.
        function: takes a ``Trial``.
        config: of the trial.
        data: what all trials share.
        seed: of the trial.
        device: where to train.
    """

    def __init__(
        self,
        path: str,
        function: TrainFunction,
        config: FunctionConfig,
        data: FunctionData,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self._path, self._function, self._config, self._data = path, function, config, data
        self._seed, self._device = seed, device
        self._number: int | None = None
        self._folder: Path | None = None
        self._reads = Reads()
        self._working_folder = FunctionsFolder()
        self._streams = RandomStreams(seed, device)
        self._turns: Turns = InTurn(self._streams)
        if trains_side_by_side(function):
            self._turns = SideBySide(self._streams, data.generators, device)
        self._kept = Kept(path)
        self._saved: dict[str, Any] | None = None
        self._last_weights: dict[str, Any] | None = None
        self._notices: list[Notice] = []
        self._driver: Driver | None = None
        self._reporting = Reporting(path, max_epochs=config.max_epochs, required=data.required)
        self._checked = False
        self._closed = False

    @property
    def epoch(self) -> int:
        """Epochs reported."""
        return self._reporting.epoch

    def identify(self, number: int, folder: Path) -> None:
        """Take the trial's number and the folder of its files."""
        self._number, self._folder = number, folder

    def step(self) -> EpochReport:
        """Let the function go on to its next report.

        Raises:
            RunEnded: it returned.
            Exception: what it raised, or what is wrong with what it reported.
        """
        driver = self._driver or self._start()
        with self._data.files.reserved(), self._data.folder.lent_to(self._working_folder), self._turns.stretch():
            self._reporting.restart_clock()
            said = driver.resume()
            if isinstance(said, EpochReport) and not self._checked:
                self._check_first_report()
            if isinstance(said, EpochReport) and said.stop == MAX_EPOCHS and self._reporting.looped:
                self._last_weights = self._kept.weights()  # what follows the loop may change them
                _raise_error_of(driver.resume())
        self._tell_what_was_drawn()
        _raise_error_of(said)
        if isinstance(said, Ended):
            if not self._reporting.epoch:
                raise ConfigError(f"{self._path} returned without a report; call trial.report(...) after each epoch")
            self._judge_reads()
            raise RunEnded(RETURNED)
        if said.stop is not None:
            self._judge_reads()
        return said

    def state_dict(self) -> dict[str, Any]:
        """Return everything from which the trial can go on: what was kept, the random streams, what was read."""
        goes_on = bool(self._kept) and self._reporting.looped
        return {
            "epoch": self._reporting.epoch,
            "goes_on": goes_on,
            "kept": self._kept.states() if goes_on else {},
            "streams": self._streams.state_dict(),
            "metrics": list(self._reporting.names),
            "read": sorted(self._reads.read),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state_dict`` was taken; the states are put back when the function keeps their objects.

        Raises:
            CheckpointError: the function can only begin anew, or the state is none of a training function.
        """
        missing = {"epoch", "goes_on", "kept", "streams", "metrics", "read"} - state.keys()
        if missing:
            raise CheckpointError(f"{self._path}: the state lacks {', '.join(sorted(missing))}")
        if not state["goes_on"]:
            raise CheckpointError(BEGINS_ANEW)
        self._saved = state
        self._reads.read.update(state["read"])
        self._reporting.go_on(state["epoch"], state["metrics"])
        self._kept.await_states(state["kept"])

    def full_weights(self) -> Callable[[], Any]:
        """Return what makes the kept modules' states, by name, as they are after the last report."""
        weights = self._kept.weights() if self._last_weights is None else self._last_weights
        return lambda: weights

    def take_notices(self) -> list[Notice]:
        """Return, once, what the function noted, and what there is to say of it."""
        taken = list(self._notices)
        self._notices.clear()
        return taken

    def close(self) -> None:
        """End the function where it is; its ``finally`` blocks do their work."""
        if self._driver is not None and not self._closed:
            self._closed = True
            with self._data.folder.lent_to(self._working_folder), self._turns.stretch():
                ending = self._driver.end()
            if (notice := _notice_of(ending, self._path)) is not None:
                self._notices.append(notice)
            if (text := self._data.files.trial_ended()) is not None:
                self._notices.append(Notice(LEFT_OPEN, f"{self._path}: {text}", warning=True))
            if (text := self._data.folder.tell_once(self._working_folder)) is not None:
                self._notices.append(Notice(MOVED, f"{self._path} {text}", warning=True))

    def _start(self) -> Driver:
        """Make the trial and what drives the function; nothing of it runs yet."""
        driver: Driver
        if isgeneratorfunction(self._function):
            driver = generator = GeneratorDriver(self._function, self._trial(), who=self._path)
            self._reporting.deliver = generator.deliver
        else:
            trial = self._trial()
            driver = thread = thread_driver(self._function, lambda: trial, name=f"trial {self._number}")
            self._reporting.deliver = thread.hand_over
            self._reporting.refuse_after_end = thread.refuse_after_end
        # a run that is let go of without ``close`` leaves no thread waiting for ever
        weakref.finalize(self, driver.end).atexit = False
        self._driver = driver
        return driver

    def _trial(self) -> Trial:
        return Trial(
            params=self._reads.of(self._config.params),
            number=self._number,
            seed=self._seed,
            device=self._device,
            data=self._data.splits,
            max_epochs=self._config.max_epochs,
            folder=self._folder,
            reporting=self._reporting,
            kept=self._kept,
            streams=self._streams,
            begin=_Begin(self._saved, self._streams, self._turns),
            tell=self._notices.append,
        )

    def _tell_what_was_drawn(self) -> None:
        """Note whose global generators a function drew from that has none of them in its epochs."""
        if drawn := self._turns.take_drawn():
            text = (
                f"{self._path} trains side by side (side_by_side) and drew from the global generator of "
                f"{' and '.join(drawn)}, which all trials share: its curves do not repeat. Draw from trial.generator, "
                "or leave side_by_side out"
            )
            self._notices.append(notice_of(DREW, text, drawn, warning=True))

    def _check_first_report(self) -> None:
        """Look at what was kept, once in this process: the state must be one that can be read back."""
        self._checked = True
        if self._kept.missed:
            raise CheckpointError(
                f"{self._path}: the checkpoint has {', '.join(self._kept.missed)}, which was not given to trial.keep"
            )
        self._kept.check_readable()

    def _judge_reads(self) -> None:
        """Tell which parameters the function never read, nor looks up anywhere in what it may run."""
        unread = self._reads.unread
        if unread:
            lookups = Lookups(reached_sources(self._function))
            unread = [name for name in unread if not lookups.have(name)]
        if unread:
            self._notices.append(notice_of(UNREAD, "never read", unread, warning=True))
            self._notices.append(notice_of(SOUGHT, "looked for", sorted(self._reads.sought)))


class _Begin:
    """Puts the random streams of a checkpoint in place as the loop over epochs begins."""

    def __init__(self, saved: dict[str, Any] | None, streams: RandomStreams, turns: Turns) -> None:
        self._saved = saved
        self._streams = streams
        self._turns = turns

    def __call__(self) -> None:
        self._turns.loop_begins()
        if self._saved is not None:
            self._streams.load_state_dict(self._saved["streams"])
            self._saved = None


def _raise_error_of(said: EpochReport | Ended) -> None:
    if isinstance(said, Ended) and said.error is not None:
        if isinstance(said.error, KeyboardInterrupt):  # no signal: no thread but the main one is sent any
            raise RuntimeError("the function raised KeyboardInterrupt") from said.error
        raise with_advice(said.error)


def _notice_of(ending: Ending, path: str) -> Notice | None:
    """Return what to say of how a function took its end; None where it did so as it should."""
    if not ending.over:
        why = "went on after it was told to end" if ending.swallowed else "did not end in time"
        text = (
            f"{path} {why} (it must let TrialEnded through, and GeneratorExit out of a yield); the trial has ended, "
            "and what it holds stays in its process"
        )
        return Notice(UNENDED, text, warning=True)
    if ending.swallowed:
        return Notice(UNENDED, f"{path} went on after it was told to end, and was told again", warning=True)
    if ending.error is not None:
        text = f"{path} raised {named_with_last_line(ending.error)} when it was told to end; the trial has ended"
        return Notice(UNENDED, text, warning=True)
    return None

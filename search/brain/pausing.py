"""What the schedulers have in common that pause trials: curves so far, and who is paused."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

from search.brain.choice import Choice
from search.brain.decision import CHOSEN, Decision
from search.brain.recording_scheduler import WITHOUT_VALUE, RecordingScheduler
from search.brain.rules import NoRule
from search.declaration.study import Study
from search.ledger import DecisionRow, EpochRow, TrialRow
from search.ledger.outcome import TrialState
from spaces import BASELINE_TRIAL
from trainables.report import EpochReport, to_result


class PausingScheduler(RecordingScheduler):
    """Stops no trial for good: once a round it says which ones train on, and the others wait with what they have.

    All that it knows is what the ledger has, in the order in which it came, so that a search that is resumed after a
    kill chooses as one that was not interrupted. The baseline is chosen as any other while there are others; after
    them it goes on to its own end, which tells what tuning was worth. Where time may end the search, which says
    nothing before it does, the baseline waits for nobody.

    Args:
        study: its objective, its epochs and its scheduler count.
    """

    pauses = True

    def __init__(self, study: Study) -> None:
        super().__init__(NoRule(), study.objective)
        self._max_epochs = study.budget.max_epochs
        self._sign = 1.0 if study.objective.mode == "min" else -1.0
        self._curves: dict[int, list[float]] = {}  # by trial, an epoch each; lower is better
        self._ended: set[int] = set()
        self._total = study.total_epochs
        self._baseline_first = study.budget.time_s is not None
        self.paused: frozenset[int] = frozenset()

    @property
    def closed(self) -> bool:  # type: ignore[override]
        """Whether the search has trained the epochs that it may: only the baseline goes on."""
        return self._total is not None and sum(map(len, self._curves.values())) >= self._total

    def replay(
        self, epochs: Iterable[EpochRow], trials: Sequence[TrialRow], decisions: Iterable[DecisionRow] = ()
    ) -> None:
        """Take up the history of earlier sessions; see ``RecordingScheduler``."""
        super().replay(epochs, trials)
        for trial in trials:
            self.add(trial.number, trial.params)
            if trial.reason in WITHOUT_VALUE:
                self.remove(trial.number)
            elif not trial.state.resumable:
                self._ended.add(trial.number)
            elif trial.state is TrialState.PAUSED:
                self.paused |= {trial.number}
        for row in decisions:
            if row.action in CHOSEN:
                self._chosen(row.number, row.epoch)

    def decide(self, number: int, report: EpochReport) -> Decision | None:
        """Take an epoch of a trial; what comes of it is chosen together with the others', see ``choose``."""
        if report.epoch > self._decided[number]:
            self._decided[number] = report.epoch
            self._reported(number, report)
        return None

    def complete(self, number: int, report: EpochReport) -> None:
        """Take the last report of a trial that ended itself."""
        super().complete(number, report)
        if report.stop in WITHOUT_VALUE:
            return
        if report.epoch > len(self._curves.get(number, ())):
            self._reported(number, report)
        self._ended.add(number)

    def remove(self, number: int) -> None:
        """Forget a trial that ended without a last report, or with one that counts for nothing."""
        super().remove(number)
        self._ended.add(number)
        self._curves.pop(number, None)

    def leave(self, number: int) -> None:
        """Take note that a paused trial does not come back: the search is over."""
        self.paused -= {number}
        self._ended.add(number)

    def choose(self, lanes: int, seated: Sequence[int], fresh: int, away: Collection[int] = ()) -> Choice:
        """Return who trains the next epoch; see ``RecordingScheduler``."""
        choice = self._choose(lanes, seated, 0 if self.closed else fresh, away)
        for number, decision in {**choice.go_on, **choice.resume}.items():
            self._chosen(number, decision.epoch)
        self.paused = (self.paused - choice.resume.keys()) | choice.pause.keys()
        return choice

    def _choose(self, lanes: int, seated: Sequence[int], fresh: int, away: Collection[int]) -> Choice:
        raise NotImplementedError

    def _never_waits(self, number: int) -> bool:
        """Say whether a trial keeps its lane whatever others come to: the baseline of a search that time may end."""
        return self._baseline_first and number == BASELINE_TRIAL

    def _reported(self, number: int, report: EpochReport) -> None:
        """Add an epoch to a trial's curve: infinity where it has no finite value."""
        value = self._sign * float(to_result(report)[self._metric])
        self._curves.setdefault(number, []).append(value if math.isfinite(value) else math.inf)

    def _chosen(self, number: int, epoch: int) -> None:
        """Take note that a trial was chosen to train on after an epoch."""

    def _decision(self, number: int, action: str, reason: str, cutoff: float | None = None) -> Decision:
        """Return a decision on a trial as it stands; a cutoff is given lower is better."""
        curve = self._curves[number]
        shown = None if cutoff is None or not math.isfinite(cutoff) else self._sign * cutoff
        return Decision(len(curve), action, self._sign * curve[-1], shown, reason)

    def _baseline_goes_on(self, seated: Collection[int], away: Collection[int]) -> dict[int, Decision]:
        """Return what lets the baseline train on, alone, where it can; empty where it has ended or trains."""
        number = BASELINE_TRIAL
        here = number in seated or (number in self.paused and number not in away)
        if number in self._ended or number not in self._curves or not here:
            return {}
        action = "continue" if number in seated else "resume"
        return {number: self._decision(number, action, "the baseline trains to its own end")}

"""The scheduler of a search: a rule that stops trials, and the reason of each decision."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from search.brain.choice import Choice
from search.brain.decision import Decision
from search.brain.rules import StoppingRule
from search.declaration.study import Objective
from search.ledger import DecisionRow, EpochRow, TrialRow
from search.ledger.outcome import Outcome, StopReason
from spaces import BASELINE_TRIAL, Point
from trainables.report import DIVERGED, MAX_EPOCHS, PATIENCE, EpochReport, to_result

ENDS_BY_ITSELF = (MAX_EPOCHS, PATIENCE, DIVERGED)
WITHOUT_VALUE = (DIVERGED, StopReason.ERROR, StopReason.OUT_OF_MEMORY)


class RecordingScheduler:
    """A rule that stops trials, unchanged in what it decides, whose decisions have reasons.

    Trials go by their numbers. The baseline is compared as any other, so that its values count for the others, and goes
    on whatever comes of it: what tuning was worth is told by a baseline that trained to its own end. A trial that
    ended by NaN or infinity is removed from the rule, so that no rung holds it.

    Args:
        rule: compares the trials.
        objective: what it compares trials by.
        drawn: says of a trial's number whether it is audited once it is stopped; that changes nothing but the reason.

    Attributes:
        pauses: whether it pauses trials, see ``PausingScheduler``; this one never does.
        closed: whether it lets no further trial begin or come back.
        paused: the numbers of the paused trials.
    """

    pauses = False
    closed = False
    paused: frozenset[int] = frozenset()

    def __init__(
        self, rule: StoppingRule, objective: Objective, *, drawn: Callable[[int], bool] = lambda number: False
    ) -> None:
        self._rule = rule
        self._drawn = drawn
        self._objective = objective
        self._metric = objective.metric
        self._pruned: dict[int, int] = {}
        self._decided: dict[int, int] = {}  # the last epoch of each trial that was decided on

    def outcome(self, number: int, stop: str | None) -> Outcome:
        """Return how a trial ended: by itself, pruned here, or else stopped from outside.

        Args:
            number: of the trial.
            stop: the reason that its last report gave for ending itself, if it did.
        """
        if stop is not None:
            return Outcome(StopReason(stop))
        if number in self._pruned:
            return Outcome(StopReason.RUNG, rung=self._pruned[number])
        return Outcome(StopReason.USER)

    def replay(
        self, epochs: Iterable[EpochRow], trials: Sequence[TrialRow], decisions: Iterable[DecisionRow] = ()
    ) -> None:
        """Take up the history of earlier sessions: every result in the order in which it came.

        A trial that did not end goes on: its results up to the last recorded epoch are then not decided
        on again.

        Args:
            epochs: of the ledger, in order.
            trials: likewise, all of them, by number.
            decisions: likewise, in order; those of a scheduler that pauses trials say who was chosen to go on.
        """
        rows, by_number = list(epochs), {row.number: row for row in trials}
        last = {row.number: row.epoch for row in rows}
        for row in rows:
            trial = by_number[row.number]
            self.add(row.number, trial.params)
            report = EpochReport(row.epoch, row.metrics, row.seconds)
            if row.epoch == last[row.number] and trial.stop_reason in ENDS_BY_ITSELF:
                self._decided[row.number] = row.epoch
                self.complete(row.number, replace(report, stop=trial.stop_reason))
            elif (decision := self.decide(row.number, report)) is not None and decision.stops:
                self.complete(row.number, report)

    def add(self, number: int, params: Point | None = None) -> None:
        """Take a trial that begins; one that comes back, after its worker was lost say, is known already.

        Args:
            number: of the trial.
            params: its configuration, where it is known.
        """
        self._decided.setdefault(number, 0)

    def decide(self, number: int, report: EpochReport) -> Decision | None:
        """Decide on an epoch of a trial that goes on by itself.

        None where the trial was not compared with others and goes on: so does an epoch that was decided on before.
        """
        if report.epoch <= self._decided[number]:
            return None
        self._decided[number] = report.epoch
        epoch, value = report.epoch, float(to_result(report)[self._metric])
        found = self._rule.compare(number, epoch, value)
        if found is None:
            return None
        rung, cutoff, behind = found.rung, found.cutoff, found.behind
        stops = behind and number != BASELINE_TRIAL
        if stops:
            self._pruned[number] = rung or epoch
        reason = self._reason(rung, value, cutoff, behind=behind)
        if behind and not stops:
            reason += "; the baseline goes on all the same"
        elif stops and self._drawn(number):
            reason += "; drawn for the audit: it trains to its end after the search, and counts as stopped here"
        return Decision(
            epoch=rung or epoch,
            action="stop" if stops else "continue",
            value=value,
            cutoff=cutoff,
            reason=reason,
        )

    def choose(self, lanes: int, seated: Sequence[int], fresh: int, away: Collection[int] = ()) -> Choice:
        """Return who trains the next epoch in the lanes of a worker; where nothing is paused, new trials fill them.

        Args:
            lanes: how many there are.
            seated: the trials that hold one and go on by themselves.
            fresh: how many trials may begin.
            away: paused trials that cannot come back yet: their states are on their way.
        """
        return Choice(begin=(None,) * min(lanes - len(seated), fresh))

    @property
    def cost(self) -> str:
        """What its choices took, in words; empty where that is nothing."""
        return ""

    def means(self) -> dict[int, float]:
        """Return each trial's best value without the noise, where a model of the curves has one; else empty."""
        return {}

    def leave(self, number: int) -> None:
        """Take note that a paused trial does not come back: the search is over."""

    def complete(self, number: int, report: EpochReport) -> None:
        """Take the last report of a trial that ended, by itself or stopped here."""
        if report.stop in WITHOUT_VALUE:
            self.remove(number)
        elif (value := to_result(report).get(self._metric)) is not None:
            self._rule.complete(number, report.epoch, float(value))

    def remove(self, number: int) -> None:
        """Forget a trial that ended without a last report, or with one that counts for nothing."""
        self._rule.remove(number)

    def rungs(self) -> dict[int, dict[int, float]]:
        """Return, for ASHA, the values recorded at each rung by trial number, in the objective's units."""
        return self._rule.rungs()

    def _reason(self, rung: int | None, value: float, cutoff: float | None, *, behind: bool) -> str:
        if rung is None:
            return f"{self._metric} {value:.6g} is behind the median of the others' running averages"
        if cutoff is None:
            return f"first at rung {rung}"
        relation = "misses" if behind else "meets"
        return f"{self._metric} {value:.6g} {relation} the cutoff {cutoff:.6g} of rung {rung}"

"""What proposes trials, over an Optuna study: conditions, no repeats, and pruned trials told as pruned."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import optuna

from search.brain.gain_rule import GainRule
from search.brain.optuna_samplers import points, suggest_params
from search.brain.optuna_study import OptunaStudy, Values, best_epoch
from search.brain.order import TrialOrder
from search.brain.sampler_cost import ProposalClock
from search.brain.shares import Share, Shares
from search.declaration.study import Study, fits
from search.declaration.warm_start import SeatedTrial
from search.ledger import ORIGIN, TrialRow
from search.ledger.events import Event, GainBelow
from search.ledger.outcome import Outcome, TrialState
from spaces import BASELINE_TRIAL, Point, Space, Value, hash_params
from trainables.derive import derive
from trainables.report import EpochReport, to_result

ATTEMPTS = 20
"""How often a sampler that repeats itself is asked again before an unseen point is taken instead."""

ENUMERABLE = 100_000
"""Finite spaces up to this size are searched for an unseen point when the sampler keeps repeating."""


@dataclass
class _Open:
    """What the sampler keeps of a trial that it ordered and that has not ended: the objectives by epoch."""

    optuna_trial: optuna.Trial
    values: dict[int, Values] = field(default_factory=dict)


class OptunaSampler:
    """Proposes params from history.

    Trial 0 is the space's baseline; those after it are the configurations of an earlier study, where the study is
    begun with some. Each proposal is made by an Optuna sampler of its own, seeded from
    (study seed, trial number): it depends on the history and the seed alone, so that a resumed search
    proposes what an uninterrupted one would have.

    Args:
        study: the declaration.
        ended_by: what the ledger has of earlier decisions to end the search, oldest first.
        note: is told such a decision when it is taken, for the ledger: a resume keeps to it.

    Attributes:
        exhausted: whether the space has no more points; set from outside, no new trial is ordered.
        closed: set from outside when the search is being stopped: no trial at all is ordered.
        paused: the trials of earlier sessions that are paused, by number: they go on when the scheduler says so.
    """

    def __init__(
        self, study: Study, *, ended_by: Iterable[GainBelow] = (), note: Callable[[Event], None] = lambda event: None
    ) -> None:
        self._study = study
        self._rule = GainRule(study, ended_by)
        self._note = note
        self._space: Space = study.space
        self._shares = None if study.balanced is None else Shares(study.space, study.balanced)
        # 1 where the baseline is a point more than the space has
        self._outside = int(study.space.clamp(study.space.baseline) != study.space.baseline)
        self._seated = {seat.number: seat for seat in study.seated_trials}
        self._optuna = OptunaStudy(study)
        self._numbers: dict[str, int] = {}  # by config hash
        self._results: dict[int, list[float] | None] = {}  # what each trial was told, for one that repeats it
        self._open: dict[int, _Open] = {}
        self._unfinished: deque[TrialOrder] = deque()
        self.paused: dict[int, TrialOrder] = {}
        self._next = 0
        self._clock = ProposalClock(study.sampler, study.budget.trials, note)
        self.exhausted = False
        self.closed = False

    @property
    def finished(self) -> bool:
        """Whether no further trial will be ordered: none is left, or the search is being stopped."""
        if self.closed or self._unfinished:
            return self.closed
        return self.exhausted or self.settled is not None or self._next >= self._study.budget.trials

    @property
    def goes_on(self) -> bool:
        """Whether the next trial that is ordered is one of an earlier session."""
        return bool(self._unfinished) and not self.closed

    @property
    def fresh(self) -> int:
        """How many trials may still begin, as far as is known."""
        if self.closed or self.exhausted or self.settled is not None:
            return 0
        return max(0, self._study.budget.trials - self._next)

    @property
    def settled(self) -> GainBelow | None:
        """Why no further trial is proposed where more are expected to bring too little; None where they are not."""
        return self._rule.decision

    @property
    def handed_on(self) -> dict[Value, int]:
        """The choices of the balanced parameter that ran out of points before others did, with their trials."""
        return {} if self._shares is None else self._shares.handed_on

    def ask(self, given: Point | None = None) -> TrialOrder | None:
        """Return the next trial, those that go on first; None when there is none.

        Args:
            given: the configuration of a trial that begins, where the scheduler chose it; no trial may have it yet.
        """
        if self.finished:
            return None
        if not self._unfinished and (settled := self._rule.decide()) is not None:
            self._note(settled)
            return None
        if self._unfinished:
            return self._unfinished.popleft()
        began = self._clock.now()
        order = self._propose(given)
        if order is None:
            self.exhausted = True
        else:
            self._clock.proposed(order.number, self._clock.now() - began)
        return order

    def observe(self, number: int, report: EpochReport) -> None:
        """Remember the objectives of trial ``number`` after an epoch."""
        result = to_result(report)
        values = tuple(float(result[objective.metric]) for objective in self._study.objectives)
        if math.isfinite(values[0]):
            self._open[number].values[report.epoch] = values

    def pause(self, number: int) -> None:
        """Have Optuna learn from what a paused trial has come to, as if it had been pruned there."""
        trial = self._open[number]
        self._optuna.pause(trial.optuna_trial, trial.values)

    def knows(self, params: Point) -> bool:
        """Say whether a trial has a configuration."""
        return self._space.config_hash(params) in self._numbers

    def tell(self, number: int, outcome: Outcome) -> None:
        """Tell Optuna how trial ``number`` ended, with its intermediate values."""
        trial = self._open.pop(number)
        self._rule.ended(number, (first for first, *_ in trial.values.values()))
        self._results[number] = self._optuna.tell(trial.optuna_trial, trial.values, outcome.state, outcome.reason)

    def replay(
        self,
        trials: Sequence[TrialRow],
        values: Mapping[int, Mapping[int, Values]],
        *,
        goes_on: Collection[int] | None = None,
        paused_at: Mapping[int, int] | None = None,
    ) -> None:
        """Take up the history of earlier sessions; trials that go on are ordered first.

        Args:
            trials: of the ledger, all of them, by number.
            values: the objectives by trial and epoch, as recorded.
            goes_on: the numbers of the trials that do, by default of those that did not end. Any other
                that did not end counts as failed for now.
            paused_at: by trial, the epoch after which it was paused last: one that has come back since is still shown
                to samplers as it stood there.
        """
        if goes_on is None:
            goes_on = {row.number for row in trials if row.state.resumable}
        self._next = trials[-1].number + 1 if trials else 0
        if self.finished and not goes_on:
            return  # nothing will be proposed, so Optuna need not hear of thousands of trials
        by_number = {row.number: row for row in trials}
        for row in trials:
            if not fits(self._space, row.params, row.number):
                self._optuna.leave_out()
                continue  # trained before the space was changed
            for earlier, told in row.repeats:
                self._optuna.add_repeat(by_number[earlier].params, told)
            at = (paused_at or {}).get(row.number)
            self._replay_trial(row, values.get(row.number, {}), goes_on=row.number in goes_on, paused_at=at)
            self._count(row.params, row.config_hash, row.number)

    def _replay_trial(
        self, row: TrialRow, recorded: Mapping[int, Values], *, goes_on: bool, paused_at: int | None
    ) -> None:
        finite = {epoch: v for epoch, v in recorded.items() if math.isfinite(v[0])}
        if not goes_on:
            state = TrialState.FAILED if row.state.resumable else row.state
            told = self._optuna.add_ended(row.params, finite, state, row.reason, row.sampler_attrs)
            self._results[row.number] = told
            self._rule.ended(row.number, (first for first, *_ in finite.values()))
            return
        self._results[row.number] = None
        self._open[row.number] = _Open(self._optuna.add_running(row.params, row.sampler_attrs), finite)
        best = best_epoch(finite, self._study.objective.direction)
        order = TrialOrder(row.number, row.params, row.seed, row.config_hash, tuple(row.repeats), row.sampler_attrs)
        order = order.continued(
            epochs=max(recorded, default=0),
            best=None if best is None else (best, finite[best][0]),
        )
        if row.state is TrialState.PAUSED:
            self.paused[row.number] = order
            self.pause(row.number)
        else:
            if paused_at is not None:
                shown = {epoch: values for epoch, values in finite.items() if epoch <= paused_at}
                self._optuna.pause(self._open[row.number].optuna_trial, shown)
            self._unfinished.append(order)

    def _propose(self, given: Point | None = None) -> TrialOrder | None:
        """Ask Optuna until it names a configuration that was not trained; None when there is none left."""
        if len(self._numbers) - self._outside >= self._space.cardinality():
            return None
        number, share = self._next, None
        if given is not None and number != BASELINE_TRIAL and number not in self._seated:
            self._optuna.seed(derive(self._study.seed, "sampler", number, 0) % 2**32)
            trial = self._optuna.ask(given)
            return self._accept(trial, suggest_params(self._space, trial), ())
        if (seat := self._seat(number)) is not None:
            self._optuna.seed(derive(self._study.seed, "sampler", number, 0) % 2**32)
            trial = self._optuna.ask(seat.params, joins=True)
            return self._accept(trial, suggest_params(self._space, trial), (), seat)
        if self._shares is not None and number > 0:
            share = self._shares.due()
            if share is None:
                return None
        repeats: list[tuple[int, float | list[float] | None]] = []
        for attempt in range(ATTEMPTS):
            self._optuna.seed(derive(self._study.seed, "sampler", number, attempt) % 2**32)
            trial, params = self._suggest(number, share)
            earlier = self._numbers.get(self._space.config_hash(params))
            if earlier is None:
                return self._accept(trial, params, repeats)
            repeats.append((earlier, self._optuna.tell_repeat(trial, self._results.get(earlier))))
        unseen = self._unseen(number, self._space if share is None else share.space)
        if unseen is None:
            return None
        trial = self._optuna.ask(self._space.clamp(unseen))
        return self._accept(trial, suggest_params(self._space, trial), repeats)

    def _seat(self, number: int) -> SeatedTrial | None:
        """Return what of an earlier study the trial is; None where it is none, or was trained before a change."""
        seat = self._seated.get(number)
        return None if seat is None or hash_params(seat.params) in self._numbers else seat

    def _suggest(self, number: int, share: Share | None) -> tuple[optuna.Trial, dict[str, Value]]:
        """Return an Optuna trial and its active params; number 0 is the baseline as declared.

        Optuna is told the nearest point inside the space, where the baseline lies outside of it. With a
        ``share`` its choice is given, and only the other parameters are Optuna's to propose.
        """
        given = None if share is None else {share.name: share.choice}
        trial = self._optuna.ask(self._space.clamp(self._space.baseline) if number == BASELINE_TRIAL else given)
        params = suggest_params(self._space, trial)
        return trial, (self._space.baseline if number == BASELINE_TRIAL else params)

    def _accept(
        self,
        trial: optuna.Trial,
        params: dict[str, Value],
        repeats: Sequence[tuple[int, float | list[float] | None]],
        seat: SeatedTrial | None = None,
    ) -> TrialOrder:
        number, config_hash = self._next, hash_params(params)
        self._count(params, config_hash, number)
        self._next += 1
        self._open[number] = _Open(trial)
        seed, notes = trial_seed(self._study.seed, number), self._optuna.notes(trial)
        if seat is not None:
            notes[ORIGIN] = {"study": seat.study, "trial": seat.trial}
        return TrialOrder(number, params, seed, config_hash, tuple(repeats), notes)

    def _count(self, params: Point, config_hash: str, number: int) -> None:
        self._numbers[config_hash] = number
        if self._shares is not None:
            self._shares.count(params)

    def _unseen(self, number: int, space: Space) -> Point | None:
        """Return a point of a finite space that no trial had, drawn evenly; None if there is none."""
        if space.cardinality() > ENUMERABLE:
            return None
        left = [p for p in points(space) if hash_params(p) not in self._numbers]
        rng = np.random.default_rng([self._study.seed, number])
        return left[rng.integers(len(left))] if left else None


def trial_seed(study_seed: int, number: int) -> int:
    """Return the seed of a trial: it depends on the study's seed and the trial's number alone."""
    return derive(study_seed, "trial", number)

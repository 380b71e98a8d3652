"""Bayesian optimisation over configurations and epochs: a surrogate of the curves says who trains the next epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from scipy.linalg import LinAlgError
from scipy.stats import norm
from threadpoolctl import ThreadpoolController

from search.brain.choice import Choice
from search.brain.choice_cost import ChoiceCost
from search.brain.curve_data import Scale, log_time, observations, thinned
from search.brain.curve_gp import NEW, CurveGP
from search.brain.decision import Decision
from search.brain.encoding import Array, SpaceCandidates, dimensions, encode
from search.brain.pausing import PausingScheduler
from search.declaration.study import Study
from search.ledger.events import Event, SurrogateFailed
from spaces import BASELINE_TRIAL, Point, Value, hash_params
from trainables.derive import derive
from trainables.report import DIVERGED, EpochReport, to_result

FIRST = 8
"""Trials that begin before anything is modelled, at least: the baseline and Sobol points, an epoch each."""

GROWTH = 1.15
"""How many times as many epochs there are when the surrogate is fitted again."""

STEPS = 8
"""Of each fit, which begins where the last one ended."""

AT_RANDOM = 1 / 3
"""Share of the configurations that begin which is drawn from anywhere, whatever the surrogate expects of them.

As in BOHB (Falkner et al. 2018, arXiv:1807.01774): under noise the surrogate may be wrong about where the best are.
"""


class Candidates(Protocol):
    """What may begin."""

    def spread(self, index: int) -> dict[str, Value]:
        """Return one of the points that fill the space evenly."""

    def draw(self, count: int, rng: np.random.Generator) -> list[dict[str, Value]]:
        """Return points from anywhere."""

    def near(self, point: Point, count: int, rng: np.random.Generator) -> list[dict[str, Value]]:
        """Return points near a good one."""


@dataclass(frozen=True)
class _Candidate:
    """A trial that may train on, or a configuration that may begin (``number`` is ``NEW``)."""

    number: int
    point: Point
    age: int


class FreezeThawScheduler(PausingScheduler):
    """Freeze-thaw Bayesian optimisation (Swersky et al. 2014; Wistuba et al. 2022; Rakotoarison et al. 2024).

    Each round a Gaussian process over the curves so far predicts, for every paused trial and for new configurations,
    what they come to. For each lane a horizon and a target below the best value are drawn; the candidate that is
    likeliest to reach that target by that horizon trains an epoch (MFPI-random, arXiv:2404.16795). All others wait.
    Where that is a new configuration, one from anywhere begins in its place a third of the time.

    What is drawn depends on the study's seed and on how many epochs the ledger has, and the surrogate on these epochs
    alone, in their order: a search that is resumed chooses as one that was not interrupted.

    Args:
        study: its space, its epochs and its seed count.
        note: is told what the ledger should know.
        candidates: what may begin; any configuration of the space by default.
        weighed: for how many epochs a choice is, where an earlier session has found out; see ``ChoiceCost``.

    Attributes:
        took: what the choices took.
    """

    def __init__(
        self,
        study: Study,
        *,
        note: Callable[[Event], None] = lambda event: None,
        candidates: Candidates | None = None,
        weighed: int | None = None,
    ) -> None:
        super().__init__(study)
        self._study = study
        self._note = note
        self._candidates = candidates or SpaceCandidates(study.space, derive(study.seed, "sobol") % 2**32)
        self._points: dict[int, Point] = {}
        self._encoded: dict[int, Array] = {}
        self._hashes: set[str] = set()
        self._log: list[tuple[int, float]] = []  # every epoch in the order of the ledger: trial and value
        self._committed: dict[int, int] = {}
        self._surrogate = CurveGP(dimensions(study.space))
        self._fitted = 0  # the number of epochs that the surrogate was fitted to last
        self._threads = ThreadpoolController()  # of the libraries of NumPy and SciPy; to find them takes milliseconds
        self.took = ChoiceCost(study, weighed)

    def add(self, number: int, params: Point | None = None) -> None:
        """Take a trial that begins, with its configuration."""
        super().add(number, params)
        if params is not None and number not in self._points:
            self._points[number] = params
            (self._encoded[number],) = encode(self._study.space, [self._study.space.clamp(params)])
            self._hashes.add(hash_params(params))

    def complete(self, number: int, report: EpochReport) -> None:
        """Take the last report of a trial that ended itself; one that diverged is known to be bad."""
        if report.stop == DIVERGED:
            self._take(number, math.inf)
            self._ended.add(number)
        else:
            super().complete(number, report)

    def remove(self, number: int) -> None:
        """Take note that a trial ended without a last report; what it has shown still counts."""
        self._ended.add(number)

    def means(self) -> dict[int, float]:
        """Return for each trial the lowest mean of the surrogate over the epochs that it trained, its best smoothed.

        Noise makes the best of many values look better than it is. In the objective's units; empty where the surrogate
        cannot be fitted, or nothing was reported; a trial whose best value is clipped has none.
        """
        curves = {n: c for n, c in self._curves.items() if not all(map(math.isnan, c)) and min(c) < math.inf}
        if not curves:
            return {}
        scale, found = Scale.of(curves), dict[int, float]()
        with self._one_thread():
            try:
                self._fit()
                self._surrogate.condition(observations(curves, self._encoded, scale, self._max_epochs))
            except LinAlgError:
                return {}
            for number, curve in curves.items():
                if np.nanmin(curve) > scale.top:
                    continue
                times = log_time(np.array([thinned(len(curve))]).T, self._max_epochs)
                mean, _ = self._surrogate.predict(self._encoded[number][None], np.array([number]), times)
                found[number] = self._sign * scale.back(float(mean.min()))
        return found

    def _reported(self, number: int, report: EpochReport) -> None:
        self.took.trained(report.seconds)
        self._take(number, self._sign * float(to_result(report)[self._metric]))

    def _take(self, number: int, value: float) -> None:
        self._curves.setdefault(number, []).append(value)
        self._log.append((number, value))

    def _chosen(self, number: int, epoch: int) -> None:
        self._committed[number] = epoch

    def _choose(self, lanes: int, seated: Sequence[int], fresh: int, away: Collection[int]) -> Choice:
        if (weighed := self.took.weigh(len(self._log))) is not None:
            self._note(weighed)
        began = time.perf_counter()
        reported = [n for n in seated if self._is_due(n)]
        free = lanes - (len(seated) - len(reported))
        paused = self.paused.difference(away, self._ended)
        with self._one_thread():
            picked = self._pick(free, max(lanes, FIRST), [*reported, *sorted(paused)], fresh)
        go_on = {c.number: replace(d, action="continue") for c, d in picked if c.number in reported and d is not None}
        resume = {c.number: d for c, d in picked if c.number in paused and d is not None}
        begin = [c.point or None for c, _ in picked if c.number == NEW]
        if free > 0 and not picked:
            for number, decision in self._baseline_goes_on(reported, away).items():
                (resume if number in self.paused else go_on)[number] = decision
        why = self._why_paused(any(c.number == NEW for c, _ in picked))
        pause = {n: self._decision(n, "pause", why) for n in reported if n not in go_on}
        self.took.chose(len(picked), time.perf_counter() - began)
        return Choice(pause, go_on, resume, begin)

    def _one_thread(self) -> AbstractContextManager[object]:
        """Compute on one core: the same choice on any number of them, and no waiting for one that is busy."""
        found: AbstractContextManager[object] = self._threads.limit(limits=1, user_api="blas")
        return found

    def _is_due(self, number: int) -> bool:
        """Say whether a trial in a lane has trained what it was chosen for, so that others may take its place."""
        if self._never_waits(number):
            return False
        each = 1 if self.closed else self.took.epochs_a_choice(len(self._log))
        return len(self._curves.get(number, ())) - self._committed.get(number, 0) >= each

    def _pick(self, free: int, first: int, here: Sequence[int], fresh: int) -> list[tuple[_Candidate, Decision | None]]:
        """Return who trains in the free lanes, each trial with the decision that says why."""
        if self.closed or free < 1:
            return []
        begun, known = len(self._points), any(math.isfinite(value) for _, value in self._log)
        if fresh and (begun < first or not known):
            last = begun + min(free, fresh, first - begun if begun < first else free)
            return [(_Candidate(NEW, self._first(i), 0), None) for i in range(begun, last)]
        if not known:
            return []
        rng = np.random.default_rng([self._study.seed, derive(self._study.seed, "turns") % 2**32, len(self._log)])
        curves = {n: c for n, c in self._curves.items() if not all(map(math.isnan, c))}
        scale = Scale.of(curves)
        candidates = self._candidates_of(here, curves, fresh, few=free < FIRST, rng=rng)
        if not candidates:
            return []
        try:
            self._fit()
            self._surrogate.condition(observations(curves, self._encoded, scale, self._max_epochs))
        except LinAlgError as error:
            self._note(SurrogateFailed(epochs=len(self._log), reason=str(error)))
            return self._by_value(candidates, free, fresh)
        return self._likeliest(candidates, free, fresh, scale, rng)

    def _first(self, index: int) -> Point:
        """Return one of the configurations that begin before anything is modelled; the sampler has the baseline's."""
        return {} if index == BASELINE_TRIAL else self._candidates.spread(index - 1)

    def _candidates_of(
        self, here: Sequence[int], curves: Mapping[int, Sequence[float]], fresh: int, *, few: bool, rng: Any
    ) -> list[_Candidate]:
        """Return the best of the trials that may train on, and what may begin: from anywhere, and near the best."""
        most, anywhere, near = (60, 60, 4) if few else (100, 80, 8)
        low = {n: min(v for v in curve if not math.isnan(v)) for n, curve in curves.items()}
        ranked = sorted(low, key=lambda n: (low[n], n))
        may = set(here)
        waiting = [n for n in ranked if n in may][:most]
        found = [_Candidate(n, self._points[n], len(self._curves[n])) for n in waiting]
        if not fresh:
            return found
        points = self._candidates.draw(anywhere, rng)
        for number in ranked[:5]:
            points += self._candidates.near(self._points[number], near, rng)
        hashes = {hash_params(point): point for point in points}
        return found + [_Candidate(NEW, point, 0) for key, point in hashes.items() if key not in self._hashes]

    def _fit(self) -> None:
        """Fit the surrogate to as many epochs as are due: to these alone, so that a replay comes to the same."""
        due = max(self._fitted, FIRST)
        while (due := math.ceil(due * GROWTH)) <= len(self._log):
            self._fitted, curves = due, dict[int, list[float]]()
            for number, value in self._log[:due]:
                if not math.isnan(value):
                    curves.setdefault(number, []).append(value)
            if any(map(math.isfinite, (v for curve in curves.values() for v in curve))):
                seen = observations(curves, self._encoded, Scale.of(curves), self._max_epochs)
                self._surrogate.fit(seen, steps=STEPS)

    def _likeliest(
        self, candidates: Sequence[_Candidate], free: int, fresh: int, scale: Scale, rng: np.random.Generator
    ) -> list[tuple[_Candidate, Decision | None]]:
        """Return for each free lane who is likeliest to reach a target that was drawn by a horizon that was drawn."""
        x = self._encode(candidates)
        ages, numbers = np.array([c.age for c in candidates]), np.array([c.number for c in candidates])
        count = min(free, len(candidates))
        until = np.minimum(ages + rng.integers(1, self._max_epochs + 1, count)[:, None], self._max_epochs)
        mean, deviation = self._surrogate.predict(x, numbers, log_time(until, self._max_epochs))
        left, picked = np.ones(len(candidates), bool), list[tuple[_Candidate, Decision | None]]()
        for k in range(count):
            target = scale.best - 10 ** rng.uniform(-4, -1) * scale.spread
            score = np.where(left, (target - mean[k]) / deviation[k], -np.inf)
            j = int(np.argmax(score))
            if not left[j]:
                break
            if numbers[j] == NEW and rng.random() < AT_RANDOM:
                j = int(np.argmax(left & (numbers == NEW)))  # the first one was drawn from anywhere
            left[j] = False
            fresh -= numbers[j] == NEW
            left &= (numbers != NEW) | (fresh > 0)
            picked.append((candidates[j], self._resumed(candidates[j], scale.back(target), until[k, j], score[j])))
        return picked

    def _encode(self, candidates: Sequence[_Candidate]) -> Array:
        """Return the encoded configurations  # [M, D]."""
        begun = [self._encoded[c.number] for c in candidates if c.number != NEW]
        new = encode(self._study.space, [c.point for c in candidates if c.number == NEW])
        return np.array([*begun, *new])  # as they are listed, see ``_candidates_of``

    def _resumed(self, candidate: _Candidate, target: float, until: int, score: float) -> Decision | None:
        if candidate.number == NEW:
            return None
        goal = f"{self._metric} {self._sign * target:.6g} by epoch {until}"
        why = f"likeliest to reach {goal} (probability {float(norm.cdf(score)):.2g})"
        return self._decision(candidate.number, "resume", why, target)

    def _by_value(
        self, candidates: Sequence[_Candidate], free: int, fresh: int
    ) -> list[tuple[_Candidate, Decision | None]]:
        """Return whom to train where there is no surrogate: half of the lanes the best so far, the others new ones."""
        waiting = [c for c in candidates if c.number != NEW]
        new = [c for c in candidates if c.number == NEW][: min(fresh, free // 2)]
        why = "the best value so far of those that wait; the surrogate could not be fitted"
        best = waiting[: free - len(new)]
        return [*((c, self._decision(c.number, "resume", why)) for c in best), *((c, None) for c in new)]

    def _why_paused(self, begins: bool) -> str:
        if self.closed:
            return f"the {self._total} epochs of the search are trained"
        if begins and len(self._points) == len(self._log):
            return "the first trials train an epoch each"
        low = min((value for _, value in self._log if math.isfinite(value)), default=math.nan)
        return f"others are likelier to better {self._metric} {self._sign * low:.6g}"

    @property
    def cost(self) -> str:
        """What the choices took, in words; empty before there was one."""
        return self.took.sentence(len(self._log))

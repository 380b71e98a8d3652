"""The answer to the study's question: the finalists and the baseline on the same fresh pairs, and a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeAlias

from search.ledger.outcome import DIVERGED, TrialState
from search.report.paired import LEVEL, Interval, holm, interval, level_at
from spaces import BASELINE_TRIAL, distance, hash_params
from trainables.data.parts import counted
from trainables.direction import Direction
from trainables.metrics import TEST_ERROR, is_exact, shown_metric

if TYPE_CHECKING:
    import pandas as pd

    from search.declaration.study import Study
    from search.ledger import FitRow
    from search.ledger.confirmed import Confirmed
    from search.report.worth import Ablation

Judge: TypeAlias = "Callable[..., Interval]"
"""``interval`` with the shares, the level and the kind of metric of a study."""

BETTER, WORSE, SAME = "better", "worse", "cannot be told apart"

NOT_FINITE = "a value that is not finite"

FEWEST_PAIRS = 2
"""Pairs that a confirmation needs: one has no spread."""

FEWEST_AFTER_FAILURES = 3
"""Pairs that a configuration of which some runs failed needs for an interval of the rest."""


@dataclass(frozen=True)
class Candidate:
    """A configuration to be confirmed.

    Attributes:
        trial: the number of the trial that had it.
        searched: the best value of the objective that the search saw of it.
    """

    trial: int
    searched: float
    params: Mapping[str, Any]

    @property
    def config_hash(self) -> str:
        """Its hash, as the ledger's fits have it."""
        return hash_params(dict(self.params))


@dataclass(frozen=True)
class Standing:
    """What the pairs say of one configuration.

    Attributes:
        trial: whose configuration it is.
        searched: the best value that the search saw of it.
        values: the objective on each pair, by the pair's number.
        validation: its mean over the re-splits; None where too few runs succeeded.
        test: its mean on the test part; None likewise, or where there is no test part.
        to_baseline: the mean paired difference to the baseline, with the p-value corrected over the finalists (Holm);
            None for the baseline.
        to_next: the same to the best of the other finalists, not corrected; None for the baseline.
        epochs: the mean of the epochs that were best.
        failed: runs that failed.
        error: what the first of them said.
    """

    trial: int
    params: Mapping[str, Any]
    searched: float
    values: Mapping[int, float]
    validation: Interval | None = None
    test: Interval | None = None
    to_baseline: Interval | None = None
    to_next: Interval | None = None
    epochs: float | None = None
    failed: int = 0
    error: str | None = None


@dataclass(frozen=True)
class Confirmation:
    """What a search's winner is worth.

    Attributes:
        verdict: ``better``, ``worse`` or ``cannot be told apart``: the finalists beside the baseline.
        sentence: the same in one sentence, with figures.
        recommended: the trial whose configuration to use: the nearest to the baseline of those that cannot be told
            from the best.
        metric, mode: the objective.
        pairs: on how many pairs every configuration was trained; the statistics are over these.
        planned: how many were asked for.
        level: 1 - the confidence of the intervals; smaller than usual where pairs were added until the verdict was
            settled.
        baseline, finalists: the configurations, finalists in the order of the search.
        searched_gain, confirmed_gain: the search's winner less the baseline, as the search saw it and on fresh pairs.
        scored_examples, train_examples: of a pair.
        test_opened: how often the test part was opened so far.
        compared: the parameter of which finalists have different values, where the study compares these.
        ablation: what each parameter of the recommended configuration is worth, where that was asked for.
        folds: of how many folds a value of the search was the mean; None where there was one validation part.
    """

    verdict: str
    sentence: str
    recommended: int
    metric: str
    mode: str
    pairs: int
    planned: int
    level: float
    baseline: Standing
    finalists: tuple[Standing, ...]
    searched_gain: float
    confirmed_gain: float | None
    scored_examples: int
    train_examples: int
    test_opened: int = 0
    compared: str | None = None
    ablation: Ablation | None = None
    folds: int | None = None

    @property
    def standing(self) -> Standing:
        """The recommended configuration."""
        found = self.standing_of(self.recommended)
        assert found is not None, "a finalist or the baseline is recommended"
        return found

    def standing_of(self, trial: int) -> Standing | None:
        """Return what the pairs say of a trial's configuration; None where it was none of those that were trained."""
        return next((s for s in (self.baseline, *self.finalists) if s.trial == trial), None)


def candidates(
    board: pd.DataFrame, finalists: int, *, one_of_each: str | None = None
) -> tuple[Candidate | None, list[Candidate]]:
    """Return the baseline, and the best distinct other configurations of trials that ended by themselves or at a rung.

    Args:
        board: the frame of ``leaderboard``.
        finalists: how many, at most.
        one_of_each: a parameter of which no two finalists have the same value: the study asks how these compare.
    """
    found: dict[str, Candidate] = {}
    baseline: Candidate | None = None
    for row in board.to_dict("records"):
        candidate = Candidate(int(row["number"]), float(row["value"]), dict(row["params"]))
        if candidate.trial == BASELINE_TRIAL:
            baseline = candidate
        elif row["state"] in (TrialState.COMPLETE.value, TrialState.PRUNED.value) and row["stop_reason"] != DIVERGED:
            found.setdefault(candidate.config_hash, candidate)
    chosen = [c for h, c in found.items() if baseline is None or h != baseline.config_hash]
    if one_of_each is not None:
        best: dict[Any, Candidate] = {}
        for candidate in chosen:
            best.setdefault(candidate.params.get(one_of_each), candidate)
        chosen = list(best.values())
    return baseline, chosen[:finalists]


def confirmation(study: Study, board: pd.DataFrame, confirmed: Confirmed | None) -> Confirmation | None:
    """Return what the pairs say; None where fewer than two are whole, or there is no baseline to compare with.

    A pair counts once every configuration had its run on it.

    Args:
        study: says by which objective, in which space.
        board: the frame of ``leaderboard``.
        confirmed: what the ledger has.
    """
    if confirmed is None:
        return None
    by_trial = {int(row["number"]): row for row in board.to_dict("records")}
    chosen = [t for t in (BASELINE_TRIAL, *confirmed.trials) if t in by_trial]
    runs = {t: _runs_of(by_trial[t]["params"], confirmed.fits) for t in chosen}
    whole = sorted(set.intersection(*(set(fits) for fits in runs.values()))) if runs else []
    if len(whole) < FEWEST_PAIRS or BASELINE_TRIAL not in runs or len(chosen) < 2:
        return None
    level = level_at(len(whole)) if confirmed.auto else LEVEL
    fits = [runs[t][w] for t in chosen for w in whole]
    exact = is_exact(study.objective.metric)
    judge = partial(interval, share=max(f.share for f in fits), level=level, exact=exact)
    standings = [_standing(study, by_trial[t], {w: runs[t][w] for w in whole}, judge) for t in chosen]
    baseline, *finalists = _compared(standings, study, judge)
    verdict, recommended = _judged(baseline, finalists, study, judge, level)
    gain = finalists[0].searched - baseline.searched
    first = finalists[0].to_baseline
    found = Confirmation(
        verdict=verdict,
        sentence="",
        recommended=recommended,
        metric=study.objective.metric,
        mode=study.objective.mode,
        pairs=len(whole),
        planned=max(confirmed.planned, len(whole)),
        level=level,
        baseline=baseline,
        finalists=tuple(finalists),
        searched_gain=gain,
        confirmed_gain=None if first is None else first.mean,
        scored_examples=fits[0].scored_examples,
        train_examples=fits[0].train_examples,
        test_opened=confirmed.test_opened,
        compared=study.curve,
        folds=study.data.folds,
    )
    return replace(found, sentence=_sentence(found, auto=confirmed.auto))


def leader_of(found: Confirmation) -> Standing | None:
    """Return the finalist with the best mean on fresh pairs; None where too many runs of all of them failed."""
    return _leader(found.finalists, Direction(found.mode))


def _leader(finalists: Sequence[Standing], direction: Direction) -> Standing | None:
    known = [s for s in finalists if s.validation is not None]
    return min(known, key=lambda s: direction.cost(_mean(s)), default=None)


def ablated_standing(found: Confirmation) -> Standing | None:
    """Return the configuration whose parameters are looked at: the recommended one, or beside a baseline the leader."""
    return leader_of(found) if found.recommended == BASELINE_TRIAL else found.standing


def is_settled(found: Confirmation | None) -> bool:
    """Say whether more pairs can change nothing that is asked: a finalist is better, or all are worse."""
    return found is not None and found.verdict != SAME


def confirmation_csv(found: Confirmation) -> str:
    """Return the table as CSV: the baseline first, a column for each pair."""
    import pandas as pd

    records = []
    for s in (found.baseline, *found.finalists):
        intervals = {"validation": s.validation, "test": s.test, "to_baseline": s.to_baseline, "to_next": s.to_next}
        bounds_ = {
            f"{name}_{part}": getattr(i, part) for name, i in intervals.items() if i for part in ("mean", "low", "high")
        }
        records.append(
            {"trial": s.trial, "searched": s.searched, **bounds_, **{f"pair_{w}": v for w, v in s.values.items()}}
        )
    return pd.DataFrame(records).to_csv(index=False)


def _runs_of(params: Mapping[str, Any], fits: Sequence[FitRow]) -> dict[int, FitRow]:
    """Return the runs of a configuration by pair."""
    wanted = hash_params(dict(params))
    return {fit.split: fit for fit in fits if fit.config_hash == wanted}


def finite_values(runs: Mapping[int, FitRow], metric: str) -> dict[int, float]:
    """Return a metric by pair, of the runs that have a finite one."""
    return {w: float(f.metrics[metric]) for w, f in runs.items() if math.isfinite(f.metrics.get(metric, math.nan))}


def _standing(study: Study, row: Mapping[Any, Any], runs: Mapping[int, FitRow], judge: Judge) -> Standing:
    metric = study.objective.metric
    values = finite_values(runs, metric)
    failed = [f for w, f in runs.items() if w not in values]
    found = Standing(
        trial=int(row["number"]),
        params=dict(row["params"]),
        searched=float(row["value"]),
        values=values,
        failed=len(failed),
        error=failed[0].message or NOT_FINITE if failed else None,
    )
    if len(values) < (FEWEST_AFTER_FAILURES if failed else FEWEST_PAIRS):
        return found
    name = shown_metric(metric)
    tested = [f.metrics for w, f in runs.items() if w in values and name in f.metrics]
    # the same examples score every run, so that averaging over runs leaves what these make of it
    error = fmean(m.get(TEST_ERROR, 0.0) ** 2 for m in tested) if tested else 0.0
    return replace(
        found,
        validation=judge(list(values.values())),
        test=judge([m[name] for m in tested], variance_of_examples=error) if len(tested) > 1 else None,
        epochs=sum(runs[w].epochs for w in values) / len(values),
    )


def _compared(standings: Sequence[Standing], study: Study, judge: Judge) -> list[Standing]:
    """Return the standings, each beside the baseline and beside the best of the others."""
    baseline, *finalists = standings
    differences = [_paired(s, baseline, judge) for s in finalists]
    corrected = holm([None if d is None else d.p for d in differences])
    beside = [
        replace(s, to_baseline=None if d is None else replace(d, p=p))
        for s, d, p in zip(finalists, differences, corrected, strict=True)
    ]
    cost = study.objective.direction.cost
    ranked = sorted((s for s in beside if s.validation is not None), key=lambda s: cost(_mean(s)))
    for i, s in enumerate(beside):
        other = next((other for other in ranked if other.trial != s.trial), None)
        beside[i] = replace(s, to_next=None if other is None else _paired(s, other, judge))
    return [baseline, *beside]


def _paired(a: Standing, b: Standing, judge: Judge) -> Interval | None:
    """Return the mean difference of ``a`` to ``b`` on the pairs that both have; None where these are too few."""
    if a.validation is None or b.validation is None:
        return None
    both = sorted(a.values.keys() & b.values.keys())
    if len(both) < (FEWEST_AFTER_FAILURES if a.failed or b.failed else FEWEST_PAIRS):
        return None
    return judge([a.values[w] - b.values[w] for w in both])


def _judged(
    baseline: Standing, finalists: Sequence[Standing], study: Study, judge: Judge, level: float
) -> tuple[str, int]:
    """Return the verdict, and the trial that is recommended."""
    cost = study.objective.direction.cost
    told = [s for s in finalists if _is_told(s.to_baseline, level)]
    better = [s for s in told if s.to_baseline is not None and cost(s.to_baseline.mean) < 0]
    if better:
        best = min(better, key=lambda s: cost(_mean(s)))
        beside = [_paired(s, best, judge) for s in better]
        same = [s for s, d in zip(better, beside, strict=True) if s is best or not _is_told(d, level)]
        return BETTER, min(same, key=lambda s: distance(study.space, s.params, baseline.params)).trial
    leader = _leader(finalists, study.objective.direction)
    return (WORSE if leader is not None and leader in told else SAME), baseline.trial


def _is_told(difference: Interval | None, level: float) -> bool:
    return difference is not None and difference.p is not None and difference.p <= level


def _mean(s: Standing) -> float:
    return math.nan if s.validation is None else s.validation.mean


def _sentence(found: Confirmation, *, auto: bool) -> str:
    over = (
        f"over {found.pairs} pairs"
        if found.pairs >= found.planned or auto
        else (f"over {found.pairs} of {found.planned} pairs")
    )
    leader = found.standing if found.verdict == BETTER else leader_of(found)
    beside = None if leader is None else leader.to_baseline
    if leader is None or beside is None:
        return f"nothing can be said: too many runs failed {over}"
    figures = f"{found.metric} {beside.mean:+.3g} {bounds(beside)} {over}"
    if found.verdict == BETTER:
        return f"better than the baseline: trial {leader.trial}, {figures}"
    if found.verdict == WORSE:
        return f"worse than the baseline: the best finalist is trial {leader.trial}, {figures}; use the baseline"
    if beside.low is not None and beside.high is not None and not beside.low <= 0 <= beside.high:
        figures += f", which the best of {counted(len(found.finalists), 'finalist')} may reach by luck"
    return (
        f"cannot be told apart from the baseline: the best finalist is trial {leader.trial}, {figures}; "
        "no gain was shown, and the baseline is simpler"
    )


def bounds(found: Interval) -> str:
    """Return ``[-0.07, -0.05]``; empty where there is no interval."""
    return "" if found.low is None or found.high is None else f"[{found.low:+.3g}, {found.high:+.3g}]"

"""The answer of a search: what the terminal prints at its end, and what ``--json`` writes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from search.ledger.outcome import DIVERGED, StopReason, TrialState, shown_counts
from search.report.ablation import ablation
from search.report.audit import Audited
from search.report.choices import Choice, by_choice, shown_choices
from search.report.comparison import Comparison, comparison
from search.report.confirmation import Confirmation, confirmation, leader_of
from search.report.curve import Curve, curve
from search.report.expected_best import ExpectedBest, expected_best
from search.report.importance import Importance, importance
from search.report.leaderboard import improvements, leaderboard
from search.report.pareto import pareto
from search.report.problem import divergence_of, problem_of
from search.report.pruning import Pruning, pruning
from spaces import BASELINE_TRIAL
from trainables.derive import derive

if TYPE_CHECKING:
    import pandas as pd

    from search.declaration.study import Study
    from search.ledger import FitRow, StudyFacts
    from search.ledger.confirmed import Confirmed

SHOWN = 5


@dataclass(frozen=True)
class Entry:
    """One trial of the leaderboard.

    Attributes:
        value: the best value of the objective over the trial's epochs.
        epoch: the epoch of that value.
        metrics: all metrics of that epoch.
        params: the active parameters.
        origin: whose configuration it is, where it is one of an earlier study.
        smoothed: the value without the noise, where a model of the curves has one.
    """

    trial: int
    value: float
    epoch: int
    epochs: int
    state: str
    stop_reason: str | None
    params: dict[str, Any]
    metrics: dict[str, float]
    origin: str | None = None
    smoothed: float | None = None


@dataclass(frozen=True)
class FrontEntry:
    """One trial of the Pareto front.

    Attributes:
        values: each objective by name, at ``epoch``, where the first one was best.
        params: the active parameters.
    """

    trial: int
    values: dict[str, float]
    epoch: int
    state: str
    stop_reason: str | None
    params: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a search found.

    Attributes:
        states: number of trials by state.
        best: None if no trial reported a finite value.
        baseline: trial 0; None if it reported no finite value.
        top: the best five, best first.
        epochs_trained: all trials together.
        epochs_saved: those that pruned trials did not train.
        failures: the messages of failed trials, with their counts.
        improvements: the trials that bettered all before them, by number, each with its value.
        choices: what each choice of each categorical parameter came to.
        shown: the parameters of ``choices`` that a reader should look at.
        comparison: the choices of the balanced parameter on the same splits, where the study asks for it.
        confirmation: the finalists and the baseline on fresh pairs, where the study was confirmed.
        curve: the values of the whole-number parameter that the study names, side by side.
        further: what was weighed against the metric: mode by name.
        front: where something was, the trials that no other beats in everything, best by the metric first.
        diverged: how many of the pruned trials no scheduler stopped: their loss was NaN or infinite.
        problem: why there is no answer, in a line that says what to do: all trials failed or diverged, say.
        divergence: where at least half of the trials diverged, what to do about it, in a line.
        pruning: what it saved, by outcome, and how the rungs and the trials' ends agree; None without a trial.
        expected: what more trials would come to; None where too few have ended.
        importance: what each parameter was worth, at equal epochs; None for fewer than ten trials.
        folds: of how many folds every value of a trial is the mean; None where there is one validation part.
        smoothed: each trial's best value without the noise, by number; empty where no model of the curves has one.
    """

    study: str
    kind: str
    metric: str
    mode: str
    trials: int
    states: dict[str, int]
    best: Entry | None
    baseline: Entry | None
    top: tuple[Entry, ...]
    epochs_trained: int
    epochs_saved: int
    failures: dict[str, int]
    improvements: tuple[tuple[int, float], ...] = ()
    choices: dict[str, tuple[Choice, ...]] = field(default_factory=dict)
    shown: tuple[str, ...] = ()
    comparison: Comparison | None = None
    confirmation: Confirmation | None = None
    curve: Curve | None = None
    further: dict[str, str] = field(default_factory=dict)
    front: tuple[FrontEntry, ...] = ()
    diverged: int = 0
    problem: str | None = None
    divergence: str | None = None
    pruning: Pruning | None = None
    expected: ExpectedBest | None = None
    importance: Importance | None = None
    folds: int | None = None
    smoothed: dict[int, float] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """The number of trials by what a reader is told of their end: ``complete``, ``pruned``, ``diverged`` ..."""
        return shown_counts({TrialState(state): count for state, count in self.states.items()}, self.diverged)

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as plain data."""
        return asdict(self)


def answer(
    study: Study,
    trials: pd.DataFrame,
    epochs: pd.DataFrame,
    facts: StudyFacts,
    refits: Sequence[FitRow] = (),
    confirmed: Confirmed | None = None,
    audited: Audited | None = None,
    smoothed: Mapping[int, float] | None = None,
) -> Answer:
    """Return what a study found.

    Args:
        study: the declaration.
        trials: the frame of ``Ledger.trials_frame``.
        epochs: the frame of ``Ledger.epochs_frame``.
        facts: those of the study.
        refits: the fits after the search, where the study compares the choices of a parameter.
        confirmed: the runs of its confirmation, where there was one.
        audited: the pruned trials that were drawn to train on, where the study asks for that.
        smoothed: each trial's best value without the noise, where a model of the curves has one.
    """
    board = leaderboard(trials, epochs, study.objective, smoothed)
    had = epochs.groupby("number").count() if len(epochs) else epochs  # of each metric, how many numbers a trial had
    entries = [_entry(row, had.loc[row["number"]]) for row in board.to_dict("records")]
    choices = by_choice(study, trials, epochs, board)
    front = pareto(board, epochs, study.objectives).to_dict("records") if study.further else []
    failed = trials[trials["state"] == TrialState.FAILED.value] if len(trials) else trials
    return Answer(
        study=study.name,
        kind=study.kind,
        metric=study.objective.metric,
        mode=study.objective.mode,
        trials=len(trials),
        states={str(k): int(v) for k, v in trials["state"].value_counts().items()} if len(trials) else {},
        best=entries[0] if entries else None,
        baseline=next((e for e in entries if e.trial == BASELINE_TRIAL), None),
        top=tuple(entries[:SHOWN]),
        epochs_trained=len(epochs),
        epochs_saved=epochs_saved(study, trials, epochs),
        failures={str(k): int(v) for k, v in failed["message"].value_counts().items()} if len(failed) else {},
        improvements=tuple(improvements(board, ascending=study.objective.direction.ascending)),
        choices=choices,
        shown=shown_choices(study, choices, board),
        comparison=comparison(study, board, refits),
        confirmation=_with_ablation(study, confirmation(study, board, confirmed), confirmed),
        curve=curve(study, trials, epochs, board, facts),
        further={o.metric: o.mode for o in study.further},
        front=tuple(_front_entry(row, study) for row in front),
        diverged=int((trials["stop_reason"] == DIVERGED).sum()),
        problem=problem_of(study, trials, board),
        divergence=divergence_of(study, trials),
        pruning=pruning(study, trials, epochs, board, audited),
        expected=_expected(study, trials, board),
        importance=importance(study, trials, epochs),
        folds=study.data.folds,
        smoothed=dict(smoothed or {}),
    )


def _with_ablation(study: Study, found: Confirmation | None, confirmed: Confirmed | None) -> Confirmation | None:
    """Return a confirmation with what each parameter is worth: of the recommended trial, else of a finalist."""
    if found is None or confirmed is None:
        return found
    level = found.level
    leader = leader_of(found)
    standings = [found.standing, *([] if leader is None else [leader])]
    tables = (ablation(study, s, found.baseline, confirmed.fits, level=level) for s in standings)
    return replace(found, ablation=next((table for table in tables if table is not None), None))


LEFT_OFF = (StopReason.RUNG.value, StopReason.NOT_RESUMED.value)
"""How the labels of the reasons begin with which a scheduler saves epochs."""


def epochs_saved(study: Study, trials: pd.DataFrame, epochs: pd.DataFrame) -> int:
    """Return how many epochs the trials that the scheduler stopped, or left paused, did not train."""
    if trials.empty:
        return 0
    stopped = trials[trials["stop_reason"].fillna("").str.startswith(LEFT_OFF)]["number"]
    trained = epochs[epochs["number"].isin(stopped)]
    return len(stopped) * study.budget.max_epochs - len(trained)


def _expected(study: Study, trials: pd.DataFrame, board: pd.DataFrame) -> ExpectedBest | None:
    """Return what more trials would come to, from those that will not go on."""
    values, given = dict(zip(board["number"], board["value"], strict=True)), study.given_trials
    proposed = [
        int(number)
        for number, state in zip(trials["number"], trials["state"], strict=True)
        if number not in given and not TrialState(state).resumable
    ]
    known = [values[number] for number in given if number in values]
    return expected_best(
        [values.get(number) for number in proposed],
        study.objective.direction,
        known=study.objective.direction.best(known) if known else None,
        limit=study.objective.limit,
        exchangeable=study.sampler == "random",
        seed=derive(study.seed, "expected best") % 2**32,
    )


def _front_entry(row: Mapping[Any, Any], study: Study) -> FrontEntry:
    return FrontEntry(
        trial=int(row["number"]),
        values={o.metric: float(row[f"value_{o.metric}"]) for o in study.objectives},
        epoch=int(row["epoch"]),
        state=str(row["state"]),
        stop_reason=row["stop_reason"] if isinstance(row["stop_reason"], str) else None,
        params=dict(row["params"]),
    )


def _entry(row: Mapping[Any, Any], had: Mapping[str, int]) -> Entry:
    """Return a row of the leaderboard, without the metrics that only other trials reported."""
    return Entry(
        trial=int(row["number"]),
        value=float(row["value"]),
        epoch=int(row["epoch"]),
        epochs=int(row["epochs"]),
        state=str(row["state"]),
        stop_reason=row["stop_reason"] if isinstance(row["stop_reason"], str) else None,  # NaN while it runs
        params=dict(row["params"]),
        metrics={str(name): float(value) for name, value in row["metrics"].items() if had[name]},
        origin=origin if isinstance(origin := row.get("origin"), str) else None,
        smoothed=None if math.isnan(smoothed := float(row.get("smoothed", math.nan))) else smoothed,
    )

"""Trials that begin with an earlier study's configurations, in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from search.report.confirmation_words import params_line, value_text
from spaces.fit import Change, Fit
from trainables.data.parts import counted

if TYPE_CHECKING:
    from search.declaration.study import Study


def warm_start_lines(study: Study) -> list[str]:
    """Return which trials have an earlier study's configurations, and what of these is not as it was there.

    Empty where the study begins with none.
    """
    warm, seated = study.warm_start, study.seated_trials
    if warm is None:
        return []
    ended = "" if warm.ended is None else f" of {counted(warm.ended, 'trial')} that ended"
    what = f"the {len(seated)} best configurations" if len(seated) > 1 else "the best configuration"
    lines = [f"{_numbers([seat.number for seat in seated])}: {what}{ended} in {warm.name}, without their values"]
    if len(seated) < warm.best:
        lines.append(f"{warm.best} were asked for; no more of them differ from each other and from the baseline here")
    trials: dict[str, list[int]] = defaultdict(list)
    for seat in seated:
        for change in seat.changes:
            trials[change_text(change)].append(seat.number)
    lines += [f"{text} ({_numbers(numbers)})" for text, numbers in trials.items()]
    if study.sampler == "cmaes":
        lines.append("cmaes learns from none of them: it begins in the middle of the space")
    return lines


def seated_rows(study: Study) -> list[tuple[int, str, str]]:
    """Return the trials with an earlier configuration: number, whose it was, and the parameters."""
    return [(s.number, f"{s.study} trial {s.trial}", params_line(s.params)) for s in study.seated_trials]


def change_text(change: Change) -> str:
    """Return what became of one value, in words: ``dropout=0.7 is clipped to 0.5``."""
    was = "" if change.was is None else f"{change.parameter}={value_text(change.was)}"
    becomes = "" if change.becomes is None else value_text(change.becomes)
    if change.fit is Fit.CLIPPED:
        return f"{was} is clipped to {becomes}"
    if change.fit is Fit.NO_CHOICE:
        return f"{was} is no choice here: {becomes}, as the baseline has it"
    if change.fit is Fit.MISSING:
        return f"{change.parameter} was not there: {becomes}, as the baseline has it"
    if change.fit is Fit.INACTIVE:
        return f"{was} has no meaning beside the other values: left out"
    here = f": {becomes} here, for all trials" if becomes else ": left out"
    return f"{was} is not searched{here}"


def _numbers(numbers: Sequence[int]) -> str:
    """Return ``trial 1``, ``trials 1 to 5`` or ``trials 1, 3``."""
    first, last = numbers[0], numbers[-1]
    if len(numbers) == 1:
        return f"trial {first}"
    if len(numbers) > 2 and last - first == len(numbers) - 1:
        return f"trials {first} to {last}"
    return f"trials {', '.join(map(str, numbers))}"

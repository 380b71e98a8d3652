"""The confirmed answer in words: the verdict, and what its tables are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.report.confirmation import BETTER, Confirmation, leader_of
from search.report.paired import Interval
from search.report.worth import Ablation
from trainables.data.parts import counted
from trainables.direction import Direction


def confirmation_text(found: Confirmation) -> str:
    """Return what the table is, in a line."""
    interval = f"± half of the {100 * (1 - found.level):.4g}% interval"
    if not found.train_examples:
        return f"means over {found.pairs} fresh seeds (the training function's own data, split as it does), {interval}"
    if found.baseline.test is None:  # not measured on the examples that score: a loss in training, a function's own
        return (
            f"means over {found.pairs} pairs of a seed and a re-split ({found.train_examples:,} examples train; "
            f"{found.metric} as each run has it at its best epoch), {interval}"
        )
    score = "scores" if found.scored_examples == 1 else "score"
    return (
        f"means over {found.pairs} pairs of a seed and a re-split ({found.train_examples:,} examples train, "
        f"{counted(found.scored_examples, 'other')} {score}), {interval}"
    )


def confirmation_lines(found: Confirmation) -> list[str]:
    """Return what is to be said of it in words, the verdict first."""
    lines: list[str] = []
    if found.confirmed_gain is not None and found.searched_gain:
        lines.append(f"confirmed  {_searched_and_confirmed(found, found.confirmed_gain)}")
    if (next_ := beside_the_next(found)) is not None:
        lines.append(f"           {next_}")
    if found.verdict == BETTER:
        lines.append(f"           recommended: trial {found.recommended}, {params_line(found.standing.params)}")
    if found.folds is not None:
        lines.append(
            f"           re-splits flatter: {found.folds} folds let every example but those of the test part choose; "
            "the test part is the clean number"
        )
    if found.test_opened:
        times = "once" if found.test_opened == 1 else f"{found.test_opened} times"
        more = "" if found.test_opened == 1 else ": what is chosen by it from now on is chosen on it"
        lines.append(f"           the test part was opened {times}{more}")
    lines += [
        f"failed     trial {s.trial}: {s.failed} of {found.pairs} runs: {s.error}"
        for s in (found.baseline, *found.finalists)
        if s.failed
    ]
    return lines


def _searched_and_confirmed(found: Confirmation, confirmed: float) -> str:
    """Return what the search promised of its best configuration beside the baseline, and how much of it is left."""
    cost, searched, trial = Direction(found.mode).cost, found.searched_gain, found.finalists[0].trial
    said = f"the search said {searched:+.3g}, fresh pairs say {confirmed:+.3g}"
    if cost(searched) > 0:
        return f"the search's best but the baseline, trial {trial}: {said}"
    beside = found.finalists[0].to_baseline
    if beside is None or beside.p is None or beside.p > found.level:
        return f"the search's winner, trial {trial}: {said}, which cannot be told apart from no gain"
    if cost(confirmed) <= cost(searched):
        luck = "none"
    else:
        luck = "all" if cost(confirmed) >= 0 else f"{abs(searched - confirmed):.3g}"
    return f"the search's winner, trial {trial}: {said}; {luck} of it was luck"


def beside_the_next(found: Confirmation) -> str | None:
    """Return how the best finalist compares with the runner-up, in words; None where there is none."""
    leader = leader_of(found)
    if leader is None or leader.to_next is None or leader.to_next.p is None:
        return None
    told = "more than luck" if leader.to_next.p <= found.level else "cannot be told apart"
    values = (
        "" if found.compared is None else f", {found.compared} {value_text(leader.params.get(found.compared, '-'))}"
    )
    kind = "the runner-up" if found.compared is None else f"the next best {found.compared}"
    return f"the best finalist, trial {leader.trial}{values}, beside {kind}: {signed_text(leader.to_next)}, {told}"


def ablation_text(found: Ablation) -> str:
    """Return what the table is, in a line."""
    return (
        f"parts      what trial {found.trial} loses on the same {found.pairs} pairs where one parameter is set back to "
        "the baseline's value, and what the baseline gains by it alone"
    )


def params_line(params: Mapping[str, Any]) -> str:
    """Return ``dropout=0.31 schedule=cosine``."""
    return " ".join(f"{name}={value_text(value)}" for name, value in params.items())


def signed_text(found: Interval | None) -> str:
    """Return ``-0.06 ± 0.01``; empty where there is none."""
    return "" if found is None else f"{found.mean:+.2g}{half_text(found)}"


def half_text(found: Interval) -> str:
    """Return half of an interval, `` ± 0.01``; empty where there is none."""
    return "" if found.high is None else f" ± {found.high - found.mean:.2g}"


def value_text(value: object) -> str:
    """Return a parameter's value as it is read: ``on``, ``0.31``, ``cosine``."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.3g}" if isinstance(value, float) else str(value)

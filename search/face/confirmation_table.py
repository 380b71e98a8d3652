"""The confirmed answer as tables: the finalists beside the baseline, and what each parameter is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.face.grid import Column, Grid
from search.report.confirmation import BETTER, Confirmation, Standing, leader_of
from search.report.paired import Interval
from search.report.worth import Ablation
from spaces import BASELINE_TRIAL
from trainables.data.parts import counted
from trainables.direction import Direction
from trainables.metrics import shown_metric


def confirmation_table(found: Confirmation) -> Grid:
    """Return the finalists in the order of the search, and the baseline below them, on the same pairs."""
    test = [f"{shown_metric(found.metric)} ±"] if found.baseline.test is not None else []
    compared = [] if found.compared is None else [found.compared]
    names = ("trial", *compared, "searched", f"{found.metric} ±", *test, "minus baseline ±", "minus the next")
    grid = Grid([*(Column(name, right=True) for name in names), Column("")])
    for standing in found.finalists:
        grid.add(*_cells(standing, found, test=bool(test)))
    grid.end_section()
    grid.add(*_cells(found.baseline, found, test=bool(test)))
    return grid


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
    values = "" if found.compared is None else f", {found.compared} {_value(leader.params.get(found.compared, '-'))}"
    kind = "the runner-up" if found.compared is None else f"the next best {found.compared}"
    return f"the best finalist, trial {leader.trial}{values}, beside {kind}: {_signed(leader.to_next)}, {told}"


def ablation_table(found: Ablation) -> Grid:
    """Return what each parameter of the recommended configuration is worth, most first."""
    right = (Column(name, right=True) for name in ("is worth", "alone on the baseline"))
    grid = Grid([Column("parameter"), Column("value"), Column("baseline"), *right, Column("")])
    for row in found.rows:
        grid.add(
            row.parameter, _value(row.value), _value(row.baseline), _signed(row.in_place), _signed(row.alone), row.words
        )
    return grid


def ablation_text(found: Ablation) -> str:
    """Return what the table is, in a line."""
    return (
        f"parts      what trial {found.trial} loses on the same {found.pairs} pairs where one parameter is set back to "
        "the baseline's value, and what the baseline gains by it alone"
    )


def params_line(params: Mapping[str, Any]) -> str:
    """Return ``dropout=0.31 schedule=cosine``."""
    return " ".join(f"{name}={_value(value)}" for name, value in params.items())


def _cells(standing: Standing, found: Confirmation, *, test: bool) -> list[str]:
    name = "baseline" if standing.trial == BASELINE_TRIAL else str(standing.trial)
    tested = [_between(standing.test)] if test else []
    mark = "recommended" if standing.trial == found.recommended else ""
    compared = [] if found.compared is None else [_value(standing.params.get(found.compared, "-"))]
    return [
        name,
        *compared,
        f"{standing.searched:.4g}",
        _between(standing.validation),
        *tested,
        _signed(standing.to_baseline),
        "" if standing.to_next is None else f"{standing.to_next.mean:+.2g}",
        mark,
    ]


def _between(found: Interval | None) -> str:
    return "-" if found is None else f"{found.mean:.4g}{_half(found)}"


def _signed(found: Interval | None) -> str:
    return "" if found is None else f"{found.mean:+.2g}{_half(found)}"


def _half(found: Interval) -> str:
    return "" if found.high is None else f" ± {found.high - found.mean:.2g}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.3g}" if isinstance(value, float) else str(value)

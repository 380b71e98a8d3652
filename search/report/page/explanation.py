"""The sections that explain: importance, slices, all parameters at once, the front, curves of one parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.report.confirmation_words import value_text
from search.report.figures.front import front_figures
from search.report.figures.intervals import Bar, intervals
from search.report.figures.parallel import parallel_coordinates
from search.report.figures.schedule_rate import schedule_rates
from search.report.figures.slices import slice_of
from search.report.figures.value_curve import value_curve
from search.report.importance_words import importance_lines, percent_text
from search.report.page.document import Cell, Figure, Section, Table
from search.report.page.material import Material
from search.report.sentences import unlabelled

if TYPE_CHECKING:
    from spaces import Parameter

MOST_DRAWN = 12
"""Parameters that are drawn, the most important ones."""


def explanations(material: Material) -> list[Section]:
    """Return those of them that the study has."""
    makers = (_importance, _parameters, _front, _curve, _rates, _comparison, _choices)
    return [section for make in makers if (section := make(material)) is not None]


def _importance(material: Material) -> Section | None:
    found = material.answer.importance
    if found is None:
        return None
    lines = [unlabelled(line) for line in importance_lines(found)]
    if not found.parameters:
        return Section("importance", "Importance", lines=lines)
    bars = [Bar(r.parameter, r.variance.value, r.variance.low, r.variance.high, r.stands_out) for r in found.parameters]
    rows: list[list[Cell]] = [
        [r.parameter, percent_text(r.variance), percent_text(r.among_best), f"{r.p:.2g}", r.trials, r.condition or ""]
        for r in found.parameters
    ]
    columns = ["parameter", "variance [95%]", "among the best [95%]", "p", "trials", "only where"]
    table = Table("the share of the variance of the trials' ranks that each parameter has by itself", columns, rows)
    plot = intervals(bars, "share of the variance of the ranks")
    plot.update_xaxes(tickformat=".1~%")
    said = ", ".join(f"{r.parameter} {percent_text(r.variance)}" for r in found.parameters[:3])
    figure = Figure("importance-shares", "importance, with 95% intervals", f"Importance: {said}.", plot, table)
    return Section("importance", "Importance", lines=lines, tables=[table], figures=[figure])


def _parameters(material: Material) -> Section | None:
    """Return the slices and the parallel coordinates."""
    board, metric = material.board, material.study.objective.metric
    shown = _most_important(material)
    slices = (slice_of(board, p, metric, i, ascending=material.ascending) for i, p in enumerate(shown))
    drawn = [figure for figure in (parallel_coordinates(board, shown, metric), *slices) if figure is not None]
    if not drawn:
        return None
    left = len(material.study.space) - len(shown)
    lines = [f"The {len(shown)} most important parameters; {left} more are in the leaderboard."] if left > 0 else []
    return Section("parameters", "Parameters", lines=lines, figures=drawn)


def _most_important(material: Material) -> list[Parameter]:
    space, found = material.study.space, material.answer.importance
    order = [] if found is None else [row.parameter for row in found.parameters]
    return sorted(space, key=lambda p: order.index(p.name) if p.name in order else len(order))[:MOST_DRAWN]


def _front(material: Material) -> Section | None:
    answer = material.answer
    if not answer.front:
        return None
    values = [answer.metric, *answer.further]
    names = list(dict.fromkeys(name for entry in answer.front for name in entry.params))
    rows: list[list[Cell]] = [
        [e.trial, *(e.values[v] for v in values), e.epoch, *(e.params.get(name) for name in names)]
        for e in answer.front
    ]
    count = f"{len(rows)} of {answer.trials} trials that no other beats in everything"
    table = Table(count, ["trial", *values, "epoch", *names], rows)
    figures = front_figures(answer, material.board, material.epochs)
    return Section("front", "Pareto front", tables=[table], figures=figures)


def _curve(material: Material) -> Section | None:
    found = material.answer.curve
    if found is None:
        return None
    figure = value_curve(found)
    return Section("curve", figure.title, lines=[found.verdict], tables=[figure.table], figures=[figure])


def _rates(material: Material) -> Section | None:
    figures = schedule_rates(material.epochs, material.board, material.study.objective.metric)
    return Section("rates", "The schedule's rate beside the loss", figures=figures) if figures else None


def _comparison(material: Material) -> Section | None:
    found = material.answer.comparison
    if found is None:
        return None
    columns = [found.parameter, "trial", "searched", f"{found.metric}, {found.splits} splits", "deviation"]
    rows: list[list[Cell]] = [
        [
            value_text(r.choice),
            r.trial,
            r.searched,
            r.mean,
            r.spread,
            r.difference,
            r.low,
            r.high,
            r.seconds,
            r.error or "",
        ]
        for r in found.rows
    ]
    columns += ["minus the best", "95% from", "to", "seconds a fit", ""]
    table = Table(f"the best trial of each {found.parameter}, trained anew on the same splits", columns, rows)
    return Section("comparison", f"Every {found.parameter} on the same splits", lines=[found.verdict], tables=[table])


def _choices(material: Material) -> Section | None:
    answer = material.answer
    tables = [
        Table(
            name,
            ["choice", "trials", "complete", f"best {answer.metric}", "median", "epochs a trial"],
            [
                [value_text(c.choice), c.trials, c.completed, c.best, c.median, round(c.epochs, 1)]
                for c in answer.choices[name]
            ],
        )
        for name in answer.shown
    ]
    return Section("choices", "Choices side by side", tables=tables) if tables else None

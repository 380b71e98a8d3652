"""The values of a whole-number parameter side by side: of the freeze depth, say."""

from __future__ import annotations

from search.report.curve import Curve
from search.report.figures.base import BASELINE, BEST, OTHER, PRUNED, fit_values, new_figure
from search.report.page.document import Figure, Table


def value_curve(found: Curve) -> Figure:
    """Return best and median over the single trials of each value, and the baseline as a line."""
    from plotly.graph_objects import Scatter

    figure = new_figure(found.parameter, found.metric)
    points = [(row.value, value) for row in found.rows for value in row.values]
    having = [row for row in found.rows if row.best is not None]
    values = [row.value for row in having]
    figure.add_traces(
        [
            Scatter(
                x=[x for x, _ in points],
                y=[y for _, y in points],
                mode="markers",
                marker={"color": PRUNED, "size": 7, "symbol": "circle-open"},
                name="a trial",
            ),
            Scatter(x=values, y=[r.median for r in having], line={"dash": "dash", "color": OTHER}, name="median"),
            Scatter(x=values, y=[r.best for r in having], line={"width": 3, "color": BEST}, name="best"),
        ]
    )
    if found.baseline is not None and found.baseline.best is not None:
        figure.add_hline(found.baseline.best, line={"dash": "dash", "color": BASELINE}, annotation_text="baseline")
    fit_values(figure, [y for _, y in points], ascending=found.mode == "min")
    figure.update_xaxes(dtick=1 if len(found.rows) < 20 else None)
    return Figure(
        key="value-curve",
        title=f"{found.metric} by {found.parameter}",
        alt=f"Best and median {found.metric} for each {found.parameter}. {found.verdict}",
        plot=figure,
        table=Table(
            f"{found.metric} by {found.parameter}",
            [found.parameter, "stands for", "trials", "pruned", "best", "trial", "median", "seconds an epoch"],
            [
                ["baseline" if r.value is None else r.value, r.name, r.trials, r.pruned, r.best, r.trial, r.median]
                + [r.seconds]
                for r in (*found.rows, *([found.baseline] if found.baseline is not None else []))
            ],
        ),
    )

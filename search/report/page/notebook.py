"""The figures of a report by themselves, for a notebook: each with its title, in the style that plotly is set to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.report.page.material import Material
from search.report.page.report import report

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as Plot

TITLE_PX = 60
"""The margin above a figure that its title takes."""


def figures(material: Material) -> dict[str, Plot]:
    """Return the figures that a report of the study has, by name, in the order of the report."""
    import plotly.io

    shown = [figure for section in report(material).sections for figure in section.figures]
    for figure in shown:
        figure.plot.update_layout(
            template=plotly.io.templates.default, title={"text": figure.title}, margin={"t": TITLE_PX}
        )
    return {figure.name or figure.key.replace("-", "_"): figure.plot for figure in shown}

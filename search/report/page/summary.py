"""An answer in short: the verdict and the best trials, for a notebook's cell and for MLflow's description of a run."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from search.report.confirmation_words import params_line
from search.report.page.document import Cell, Table, cell_text
from search.report.page.markdown import escaped
from search.report.page.markdown import table as markdown_table
from search.report.sentences import states_text, verdict

if TYPE_CHECKING:
    from search.declaration.study import Study
    from search.report.answer import Answer


def summary(study: Study, answer: Answer) -> str:
    """Return the summary as HTML without style or scripts; what a user named is escaped."""
    table = _table(answer)
    lines = "".join(f"<p>{escape(line)}</p>" for line in sentences(answer))
    shown = bare_table(table) if table.rows else ""
    return f"<div><strong>{escape(study.name)}</strong>{lines}{shown}</div>"


def bare_table(table: Table) -> str:
    """Return a table as HTML without style or scripts; what a user named is escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell_text(c))}</td>' for c in row)}</tr>" for row in table.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def description(study: Study, answer: Answer) -> str:
    """Return the summary as Markdown, below the study's question."""
    table = _table(answer)
    parts = [escaped(study.question), *map(escaped, sentences(answer))]
    return "\n\n".join([*parts, *([markdown_table(table)] if table.rows else [])])


def sentences(answer: Answer) -> list[str]:
    """Return what may be said: the confirmed verdict, else that there is none yet."""
    if answer.problem is not None or answer.best is None:
        return [answer.problem or f"no trial reported a finite {answer.metric}"]
    found = answer.confirmation
    said = f"confirmed: {found.sentence}" if found is not None else verdict(answer)
    return [f"{said}.", f"{states_text(answer)}."]


def _table(answer: Answer) -> Table:
    smoothed = any(e.smoothed is not None for e in answer.top)
    rows: list[list[Cell]] = [
        [
            i,
            e.trial,
            e.value,
            *([e.smoothed] if smoothed else []),
            e.epoch,
            e.stop_reason or e.state.lower(),
            params_line(e.params),
        ]
        for i, e in enumerate(answer.top, 1)
    ]
    without_noise = ["smoothed"] if smoothed else []
    columns = ["rank", "trial", f"best {answer.metric}", *without_noise, "at epoch", "ended", "parameters"]
    return Table("the best trials, one seed each", columns, rows)

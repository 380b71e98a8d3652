"""The sections of the confirmed answer: the finalists on fresh pairs, and what each part is worth."""

from __future__ import annotations

from search.report.confirmation import Confirmation, Standing
from search.report.confirmation_words import (
    ablation_text,
    confirmation_lines,
    confirmation_text,
    signed_text,
    value_text,
)
from search.report.figures.intervals import Bar, intervals
from search.report.page.document import Cell, Figure, Section, Table
from search.report.paired import Interval
from search.report.worth import Ablation
from spaces import BASELINE_TRIAL
from trainables.metrics import shown_metric


def confirmed_sections(found: Confirmation | None) -> list[Section]:
    """Return them; none where the study was not confirmed."""
    if found is None:
        return []
    bars = [_bar(_name(s), s.to_baseline, found.level) for s in found.finalists if s.to_baseline is not None]
    title = f"{found.metric} minus the baseline's"
    table = _table(found)
    figures = [Figure("confirmed", title, f"{title}: {_said(bars)}.", intervals(bars, title), table)] if bars else []
    section = Section(
        "confirmation",
        "Confirmed on fresh seeds and splits" if found.train_examples else "Confirmed on fresh seeds",
        lines=[line.removeprefix("confirmed").strip() for line in confirmation_lines(found)],
        tables=[table],
        figures=figures,
    )
    return [section, *([_worth(found.ablation, found)] if found.ablation is not None else [])]


def _table(found: Confirmation) -> Table:
    test = found.baseline.test is not None
    tested = [f"{shown_metric(found.metric)} ±"] if test else []
    compared = [] if found.compared is None else [found.compared]
    standings = (*found.finalists, found.baseline)
    return Table(
        confirmation_text(found),
        ["trial", *compared, "searched", f"{found.metric} ±", *tested, "minus baseline ±", "p", "minus the next", ""],
        [_cells(s, found, test=test) for s in standings],
        marked=frozenset(i for i, s in enumerate(standings) if s.trial == found.recommended),
    )


def _cells(standing: Standing, found: Confirmation, *, test: bool) -> list[Cell]:
    beside = standing.to_baseline
    return [
        _name(standing),
        *([] if found.compared is None else [value_text(standing.params.get(found.compared, "-"))]),
        standing.searched,
        _between(standing.validation),
        *([_between(standing.test)] if test else []),
        signed_text(beside),
        "" if beside is None or beside.p is None else f"{beside.p:.2g}",
        "" if standing.to_next is None else f"{standing.to_next.mean:+.2g}",
        "recommended" if standing.trial == found.recommended else "",
    ]


def _worth(found: Ablation, confirmation: Confirmation) -> Section:
    bars = [
        Bar(row.parameter, row.in_place.mean, row.in_place.low, row.in_place.high, row.words in ("helps", "harms"))
        for row in found.rows
        if row.in_place is not None
    ]
    rows: list[list[Cell]] = [
        [r.parameter, r.value, r.baseline, signed_text(r.in_place), signed_text(r.alone), r.error or r.words]
        for r in found.rows
    ]
    columns = ["parameter", "value", "baseline", "is worth ±", "alone on the baseline ±", ""]
    table = Table(ablation_text(found).removeprefix("parts").strip(), columns, rows)
    title = f"{'rise' if confirmation.mode == 'min' else 'fall'} of {confirmation.metric} where it is set back"
    figure = Figure("worth", title, f"{title}: {_said(bars)}.", intervals(bars, title), table)
    return Section("worth", "What each part is worth", tables=[table], figures=[figure] if bars else [])


def _bar(name: str, found: Interval, level: float) -> Bar:
    return Bar(name, found.mean, found.low, found.high, found.p is not None and found.p <= level)


def _said(bars: list[Bar]) -> str:
    return "; ".join(f"{bar.name} {bar.value:+.3g}" for bar in bars)


def _name(standing: Standing) -> str:
    return "baseline" if standing.trial == BASELINE_TRIAL else f"trial {standing.trial}"


def _between(found: Interval | None) -> str:
    if found is None:
        return "-"
    return f"{found.mean:.4g}" + ("" if found.high is None else f" ± {found.high - found.mean:.2g}")

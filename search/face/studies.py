"""The list of studies: those that can be run, and where those stand that were."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.console import Console

from search.declaration.study import Study
from search.drive.overview import Overview
from search.face.grid import Column, Grid, print_grid
from search.face.present import say
from search.ledger import StudyRow
from search.ledger.outcome import SessionEnding
from search.ledger.printed_commands import resume_command
from search.report.sentences import counts_text


def print_studies(console: Console, declared: Mapping[str, Study], recorded: Sequence[Overview]) -> None:
    """Print what can be run, and what was; below it the command that goes on with each that did not end."""
    print_grid(console, declared_table(declared))
    if not recorded:
        return
    print_grid(console, recorded_table(recorded))
    for study in recorded:
        if study.resumable:
            say(console, f"{study.row.name}: {ending_text(study)}; go on with: {resume_command(study.paths)}")


def declared_table(declared: Mapping[str, Study]) -> Grid:
    """Return the registered studies."""
    grid = Grid([Column("study"), Column("data"), Column("parameters", right=True), Column("question", wraps=True)])
    for study in declared.values():
        grid.add(study.kind, study.data.name, str(len(study.space)), study.question)
    return grid


def recorded_table(recorded: Sequence[Overview]) -> Grid:
    """Return where the recorded studies stand."""
    grid = Grid(
        [
            Column("name"),
            Column("data"),
            Column("train", right=True),
            Column("started", spare=True),
            Column("trials", right=True),
            Column("of these", wraps=True, least=12),
            Column("best"),
            Column("state"),
        ]
    )
    for study in recorded:
        planned = "" if study.planned is None else f" of {study.planned}"
        best = "-" if study.best is None else f"{study.metric} {study.best:.5g}"
        counts = f"{study.done}{planned}", counts_text(study.counts)
        grid.add(
            study.row.name, *_data_cells(study.row), when_text(study.row.created_at), *counts, best, ending_text(study)
        )
    return grid


def ending_text(study: Overview) -> str:
    """Return ``running``, ``done``, ``interrupted`` ...: a reader need not know how a process was ended."""
    return "interrupted" if study.ending is SessionEnding.DIED else str(study.ending)


def when_text(at: float) -> str:
    """Return a local time to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _data_cells(row: StudyRow) -> tuple[str, str]:
    """Return what the data are called, and how many examples are for training, where the ledger holds it."""
    facts = row.facts.data
    if facts is None:
        return str(row.declaration.get("data", {}).get("name", "")), ""
    return facts["name"], str(facts["train"])

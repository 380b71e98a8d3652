"""The list of studies: those that can be run, and where those stand that were."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.filesize import decimal

from search.declaration.study import Study
from search.drive.overview import Overview
from search.face.grid import Column, Grid, print_grid
from search.face.present import say
from search.ledger import StudyRow
from search.ledger.outcome import SessionEnding
from search.ledger.printed_commands import resume_command
from search.report.sentences import counts_text

AGES = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))
"""Units of time that an age is said in, in seconds, largest first."""


def print_studies(console: Console, declared: Mapping[str, Study], recorded: Sequence[Overview]) -> None:
    """Print what can be run, and what was; below it the command that goes on with each that did not end."""
    print_grid(console, declared_table(declared))
    if not recorded:
        return
    print_grid(console, recorded_table(recorded, time.time()))
    for study in recorded:
        if study.resumable:
            say(console, f"{study.row.name}: {ending_text(study)}; go on with: {resume_command(study.paths)}")


def declared_table(declared: Mapping[str, Study]) -> Grid:
    """Return the registered studies."""
    grid = Grid([Column("study"), Column("data"), Column("parameters", right=True), Column("question", wraps=True)])
    for study in declared.values():
        grid.add(study.kind, study.data.name, str(len(study.space)), study.question)
    return grid


def recorded_table(recorded: Sequence[Overview], now: float) -> Grid:
    """Return where the recorded studies stand.

    Args:
        recorded: in the order of the rows.
        now: in seconds since 1970, for how long ago each was seen.
    """
    grid = Grid(
        [
            Column("name"),
            Column("data", spare=True),
            Column("train", right=True, spare=True),
            Column("trials", right=True),
            Column("of these", wraps=True, least=12, spare=True),
            Column("best", wraps=True, least=8),
            Column("ended", wraps=True, least=11),
            Column("size", right=True),
        ]
    )
    for study in recorded:
        planned = "" if study.planned is None else f"/{study.planned}"
        best = "-" if study.best is None else f"{study.metric} {study.best:.5g}"
        counts = f"{study.done}{planned}", counts_text(study.counts)
        ended = f"{ending_text(study)} {age_text(now - study.seen_at)}"
        grid.add(study.row.name, *_data_cells(study.row), *counts, best, ended, size_text(study.size))
    return grid


def study_json(study: Overview) -> dict[str, Any]:
    """Return where a recorded study stands, as plain data."""
    return {
        "name": study.row.name,
        "kind": study.row.declaration.get("kind"),
        "folder": str(study.paths.folder),
        "ledger": study.paths.ledger,
        "bytes": study.size,
        "trials": study.done,
        "planned": study.planned,
        "states": study.counts,
        "metric": study.metric,
        "direction": str(study.direction),
        "best": study.best,
        "ending": ending_text(study),
        "created_at": study.row.created_at,
        "seen_at": study.seen_at,
        "resume": resume_command(study.paths) if study.resumable else None,
    }


def age_text(seconds: float) -> str:
    """Return how long ago something was, in its largest unit: ``just now``, ``5 min ago``, ``3 d ago``."""
    for size, unit in AGES:
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return "just now"


def size_text(size: int) -> str:
    """Return bytes as people read them: ``12.3 MB``."""
    return decimal(size)


def ending_text(study: Overview) -> str:
    """Return ``running``, ``done``, ``interrupted`` ...: a reader need not know how a process was ended."""
    return "interrupted" if study.ending is SessionEnding.DIED else str(study.ending)


def _data_cells(row: StudyRow) -> tuple[str, str]:
    """Return what the data are called, and how many examples are for training, where the ledger holds it."""
    facts = row.facts.data
    if facts is None:
        return str(row.declaration.get("data", {}).get("name", "")), ""
    return facts["name"], str(facts["train"])

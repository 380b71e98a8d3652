"""The recorded studies of a home: listed, deleted, moved."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from search.commands.arguments import HOME, Database, Home, Json, recorded_names
from search.declaration.studies import registered
from search.drive.lookup import paths_of
from search.drive.overview import Order, recorded_studies, sorted_studies
from search.drive.relocation import move_study
from search.drive.removal import Found, delete_studies, hold_studies
from search.drive.study_folder import left_of_deletions
from search.errors import RunError, UsageError, UserError
from search.face.answer_stream import print_json
from search.face.housekeeping import deleted_lines, moved_lines, question
from search.face.present import make_console, say
from search.face.studies import print_studies, study_json
from search.ledger.paths import Paths
from trainables.mistake import nearest
from trainables.stage import stage

if TYPE_CHECKING:
    from search.tracking.removed_runs import StudyRuns

ORDERS: tuple[Order, ...] = get_args(Order)
UNASKED = "what is deleted is gone: where there is no terminal to ask in, --yes must be given; nothing was deleted"


def list_(
    home: Home = HOME,
    ledger: Database = None,
    sort: Annotated[
        str,
        typer.Option(metavar="|".join(ORDERS), help="What the last one has most of: it is the newest, the best ..."),
    ] = "date",
    json_: Json = False,
) -> None:
    """List the studies that can be run, and those that were."""
    by = next((order for order in ORDERS if order == sort.lower()), None)
    if by is None:
        raise UsageError(
            f"--sort must be {', '.join(ORDERS[:-1])} or {ORDERS[-1]}, got {sort!r}.{nearest(sort, ORDERS)}"
        )
    damaged: list[str] = []
    with stage("looking at the studies"):
        found = sorted_studies(recorded_studies(home, ledger, unreadable=damaged.append), by)
    if json_:
        declared = [{"study": study.kind, "question": study.question} for study in registered().values()]
        print_json({"declared": declared, "recorded": [study_json(study) for study in found], "unreadable": damaged})
    else:
        print_studies(make_console(), registered(), found)
        for folder in left_of_deletions(home):
            say(make_console(), f"left of a deletion that was cut off: {folder.absolute()}")
    if damaged:
        raise RunError(damaged)


def delete(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME [NAME ...]", help="Recorded studies; each also as HOME/NAME.", autocompletion=recorded_names
        ),
    ],
    home: Home = HOME,
    ledger: Database = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    with_mlflow: Annotated[
        bool, typer.Option("--with-mlflow", help="Delete their runs in MLflow, too; registered models stay.")
    ] = False,
) -> int:
    """Delete studies: ledger, models, checkpoints and all else in their folders. MLflow keeps its runs."""
    console = make_console()
    with ExitStack() as held:
        found = _found([paths_of(name, home, ledger) for name in names], held, asks=not yes)
        runs = _runs(found, partial(say, console)) if with_mlflow else []
        if not yes and not _agreed(question(found, runs)):
            say(console, "nothing was deleted")
            return 1
        left = delete_studies(found, runs)
    for line in deleted_lines(found, runs, with_mlflow=with_mlflow):
        say(console, line)
    if left:
        raise RunError(left)
    return 0


def _found(places: Sequence[Paths], held: ExitStack, *, asks: bool) -> list[Found]:
    """Return the studies, unless there is something that they cannot be deleted for, or nobody to ask."""
    alone = [UNASKED] if asks and not sys.stdin.isatty() else []
    try:
        found = hold_studies(places, held, damaged_ok=True)
    except UserError as error:
        if not alone:
            raise
        raise UsageError([*error.errors, *alone]) from None
    if alone:
        raise UsageError(alone)
    return found


def _runs(found: Sequence[Found], tell: partial[None]) -> list[StudyRuns]:
    """Return what MLflow has of the studies."""
    with stage("importing MLflow"):
        from search.tracking.removed_runs import find_runs
    os.umask(0o077)  # for what MLflow makes in the home
    runs: list[StudyRuns] = []
    errors: list[str] = []
    for study in found:
        if study.row is None:
            errors.append(f"{study.paths.name}: its runs in MLflow cannot be told, as {study.unreadable}")
            continue
        try:
            runs.append(find_runs(study.row, study.paths, tell))
        except RunError as error:
            errors += error.errors
    if errors:
        raise RunError(errors)
    return runs


def _agreed(lines: Sequence[str]) -> bool:
    """Ask in the terminal; the last line is the question."""
    for line in lines[:-1]:
        say(make_console(), line)
    with stage("waiting for an answer", way_on="nothing was deleted"):
        return typer.confirm(lines[-1])


def move(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A recorded study; also as HOME/NAME.", autocompletion=recorded_names),
    ],
    new_name: Annotated[str | None, typer.Argument(metavar="[NEWNAME]", help="What it is called from now on.")] = None,
    home: Home = HOME,
    ledger: Database = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="HOME", help="The home that it lies in from now on.")
    ] = None,
) -> None:
    """Give a study another name, or move it to another home."""
    if new_name is None and to is None:
        raise UsageError("move needs a new name, or --to HOME: python -m search move NAME NEWNAME")
    source = paths_of(name, home, ledger)
    target = Paths(source.home if to is None else to, new_name or source.name, source.database)
    found, left = move_study(source, target)
    for line in moved_lines(found, target):
        say(make_console(), line)
    if left is not None:
        raise RunError(left)

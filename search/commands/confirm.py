"""Confirm what a recorded study found, on fresh seeds and re-splits."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from search.commands.run import announcing, conclude
from search.declaration.options import parse_duration
from search.declaration.parts import Confirm
from search.declaration.study import Study
from search.drive.continuation import with_data_at
from search.drive.engine import resume
from search.drive.examples import load_data
from search.drive.lookup import open_ledger
from search.errors import UsageError
from search.face.answer_stream import answer_alone
from search.face.live_view import make_view
from search.face.present import make_console
from search.ledger.paths import Paths
from search.ledger.stored_study import study_from_row
from search.tracking.preflight import check_tracking
from search.tracking.process import WITHOUT_IT

HOME = Path("lanewise-home")


def confirm(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A recorded study; `list` shows all.")],
    home: Annotated[Path, typer.Option(help="Folder of all studies.")] = HOME,
    ledger: Annotated[
        str | None,
        typer.Option("--ledger", help="Database of the study, if not in its folder: postgresql+psycopg://..."),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="Pairs of a seed and a re-split; `auto` adds some until it is settled. [default: 5]"
        ),
    ] = None,
    finalists: Annotated[int | None, typer.Option(help="How many of the best. [default: 3]")] = None,
    ablate: Annotated[
        bool | None,
        typer.Option("--ablate/--no-ablate", help="Tell what each parameter is worth. [default: where it is cheap]"),
    ] = None,
    time_budget: Annotated[str | None, typer.Option(help="End after this long: 90s, 10m, 1h30m.")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="KIND:PATH", help="Where the study's own table:FILE or images:FOLDER lies now, if it moved."
        ),
    ] = None,
    accept_changed_model: Annotated[
        bool, typer.Option("--accept-changed-model", help="Go on though the trainable's source has changed.")
    ] = False,
    untracked_ok: Annotated[
        bool, typer.Option("--untracked-ok", help="Go on even where MLflow does not answer, as in `run`.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> int:
    """Train the best configurations and the baseline on fresh seeds and splits, and say whether it matters."""
    paths = Paths(home, name, ledger)
    changed, errors = _asked(seeds, finalists, ablate)
    limit_s = math.inf
    if time_budget is not None:
        try:
            limit_s = parse_duration(time_budget)
        except UsageError as error:
            errors += error.errors
    if errors:
        raise UsageError(errors)
    with open_ledger(paths) as facts:
        facts.check_whole()
        before = study_from_row(facts.study(paths.name))
    console = make_console()
    view = make_view(make_console(errors=json_), metric=before.objective.metric, silent=False)
    check_tracking(before, paths, view.say, otherwise=WITHOUT_IT, untracked_ok=untracked_ok)
    with answer_alone(json_):
        study, result = resume(
            paths,
            view=view,
            load=load_data,
            change=partial(_with_confirmation, changed=changed, data=data),
            extends=False,
            accept_changed_model=accept_changed_model,
            untracked_ok=untracked_ok,
            announce=announcing(paths, console, as_json=json_),
            confirm_only=True,
            confirm_s=limit_s,
        )
    return conclude(study, result, paths, console, as_json=json_)


def _asked(seeds: str | None, finalists: int | None, ablate: bool | None) -> tuple[dict[str, object], list[str]]:
    """Return the fields of ``Confirm`` that were asked for, and what is wrong with them."""
    changed: dict[str, object] = {}
    errors: list[str] = []
    if seeds is not None:
        if seeds == "auto":
            changed["pairs"] = seeds
        elif seeds.isdecimal() and 2 <= int(seeds) <= 1000:
            changed["pairs"] = int(seeds)
        else:
            errors.append(f"--seeds must be a number between 2 and 1000, or auto, got {seeds!r}: one has no spread")
    if finalists is not None:
        changed["finalists"] = finalists
        if not 1 <= finalists <= 100:
            errors.append(f"--finalists must be between 1 and 100, got {finalists}")
    if ablate is not None:
        changed["ablate"] = ablate
    return changed, errors


def _with_confirmation(study: Study, *, changed: dict[str, object], data: str | None) -> Study:
    """Return the study with the confirmation that is asked for; one that had none has the usual one."""
    study = study if data is None else with_data_at(study, data)
    before = study.confirm if study.confirm.pairs else Confirm()
    return study.model_copy(update={"confirm": before.model_copy(update=changed)})

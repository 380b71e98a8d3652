"""Confirm what a recorded study found, on fresh seeds and re-splits."""

from __future__ import annotations

import math
from functools import partial
from typing import Annotated

import typer

from search.commands.arguments import HOME, Accept, Database, DataPlace, Home, Json, Name, Quiet, UntrackedOk
from search.commands.continuing import continue_study
from search.declaration.option import parse_duration
from search.declaration.parts import Confirm
from search.declaration.study import Study
from search.drive.continuation import with_data_at
from search.errors import UsageError
from search.ledger.paths import Paths


def confirm(
    name: Name,
    home: Home = HOME,
    ledger: Database = None,
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
    data: DataPlace = None,
    accept_changed_model: Accept = False,
    untracked_ok: UntrackedOk = False,
    quiet: Quiet = False,
    json_: Json = False,
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
    return continue_study(
        paths,
        json_=json_,
        quiet=quiet,
        accept_changed_model=accept_changed_model,
        untracked_ok=untracked_ok,
        change=partial(_with_confirmation, changed=changed, data=data),
        extends=False,
        confirm_s=limit_s,
    )


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

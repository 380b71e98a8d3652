"""``python -m search VERB NAME`` (installed as ``lanewise VERB NAME``)."""

from __future__ import annotations

import json
import os
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from search.commands.arguments import (
    HOME,
    Accept,
    Database,
    DataPlace,
    Home,
    Json,
    Name,
    Quiet,
    UntrackedOk,
    recorded_names,
)
from search.commands.check import check
from search.commands.compare import compare
from search.commands.confirm import confirm
from search.commands.continuing import continue_study
from search.commands.entry import guarded
from search.commands.export import export, predict
from search.commands.housekeeping import delete, list_, move
from search.commands.main_command import run
from search.commands.parameters import GroupedCommand
from search.commands.report import report
from search.commands.run import show_result
from search.commands.stop import stop
from search.commands.watch import watch
from search.credentials import UnreadableAddress, masked_address, take_out
from search.declaration import study_schema, study_yaml
from search.declaration.studies import registered
from search.declaration.study import Study
from search.drive.continuation import extend_study, with_data_at
from search.drive.lookup import open_ledger, read_result, study_names
from search.errors import UsageError
from search.face.present import make_console, say
from search.ledger.paths import Paths
from search.ledger.stored_study import study_from_row
from search.tracking.preflight import store_of
from spaces import nearest
from trainables.stage import stage

SCRIPT = "lanewise"
SENT_STAYS = "what arrived stays, and the same command sends the rest"
COMPLETION = {"--install-completion", "--show-completion"}

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Hyperparameter search for PyTorch.",
)
app.command(name="run", cls=GroupedCommand)(run)
app.command(name="check", cls=GroupedCommand)(check)
app.command()(confirm)
app.command()(report)
app.command()(compare)
app.command()(watch)
app.command()(stop)
app.command()(export)
app.command()(predict)
app.command(name="list")(list_)
app.command()(delete)
app.command()(move)


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A recorded study; with --config also a STUDY.", autocompletion=recorded_names
        ),
    ],
    home: Home = HOME,
    ledger: Database = None,
    config: Annotated[
        bool, typer.Option("--config", help="Print the declaration as YAML, which `run --config FILE` runs again.")
    ] = False,
    json_: Json = False,
) -> None:
    """Show what a recorded study found, or how a study is declared."""
    paths = Paths(home, name, ledger)
    if config:
        study = _declaration(paths)
        print(json.dumps(study.model_dump(mode="json")) if json_ else study_yaml(study), end="\n" if json_ else "")
        return
    study, result = read_result(paths)
    show_result(study, result, paths, make_console(), as_json=json_)


def _declaration(paths: Paths) -> Study:
    """Return the declaration of a recorded study, else of a registered one."""
    known = registered()
    if paths.database is None and not paths.ledger_file.is_file():
        if paths.name in known:
            return known[paths.name]
        names = (*study_names(paths), *known)
        raise UsageError(
            f"no study {paths.name!r}, neither recorded in {paths.home.absolute()} nor declared."
            f"{nearest(paths.name, names)} `python -m search list` shows all"
        )
    with open_ledger(paths) as facts:
        return study_from_row(facts.study(paths.name), paths.folder)


@app.command()
def schema() -> None:
    """Print the JSON schema of a study in YAML, for editors: `python -m search schema > study.schema.json`."""
    print(json.dumps(study_schema(), indent=2))


@app.command(name="resume")
def resume_(
    name: Name,
    home: Home = HOME,
    ledger: Database = None,
    data: DataPlace = None,
    accept_changed_model: Accept = False,
    untracked_ok: UntrackedOk = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> int:
    """Continue a study where its ledger ends."""
    paths = Paths(home, name, ledger)
    return continue_study(
        paths,
        json_=json_,
        quiet=quiet,
        accept_changed_model=accept_changed_model,
        untracked_ok=untracked_ok,
        change=None if data is None else partial(with_data_at, data=data),
        extends=False,
    )


@app.command()
def extend(
    name: Name,
    home: Home = HOME,
    ledger: Database = None,
    trials: Annotated[int | None, typer.Option(help="So many more trials.")] = None,
    max_epochs: Annotated[int | None, typer.Option(help="Epochs per trial, for the trials to come.")] = None,
    time_budget: Annotated[str | None, typer.Option(help="So much more time: 90s, 10m, 1h30m.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PARAM=VALUE", help="Change the space; trials that still fit are kept."),
    ] = None,
    data: DataPlace = None,
    accept_changed_model: Accept = False,
    untracked_ok: UntrackedOk = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> int:
    """Go on with a study beyond what it was declared for; what it found is told to the sampler."""
    if trials is None and max_epochs is None and time_budget is None and not set_:
        raise UsageError("nothing to extend by: give --trials, --max-epochs, --time-budget or --set")

    def change(study: Study) -> Study:
        study = study if data is None else with_data_at(study, data)
        return extend_study(study, trials=trials, max_epochs=max_epochs, time_budget=time_budget, set_=set_ or ())

    return continue_study(
        Paths(home, name, ledger),
        json_=json_,
        quiet=quiet,
        change=change,
        accept_changed_model=accept_changed_model,
        untracked_ok=untracked_ok,
    )


@app.command()
def sync(
    name: Name,
    home: Home = HOME,
    ledger: Database = None,
    tracking: Annotated[str | None, typer.Option(help="MLflow URI. [default: the study's own]")] = None,
) -> None:
    """Send to MLflow whatever it does not have of a study yet."""
    paths = Paths(home, name, ledger)
    with open_ledger(paths) as facts:
        row = facts.study(name)
        uri, artifacts = store_of(study_from_row(row), paths, _tracking_uri(tracking))
        from search.tracking.process import check_server

        check_server(uri, otherwise="name another with --tracking")
        with stage("importing MLflow"):
            from search.export.hand_on import hand_on
            from search.tracking.follow import DRAIN_GRACE_S, send_to_new_store
            from search.tracking.follow import sync as send_missing
            from search.tracking.tracker import Tracker

        os.umask(0o077)  # for what MLflow makes in the home
        tell = partial(say, make_console())
        hand_on(paths, *read_result(paths))
        with stage(f"sending {name} to MLflow at {masked_address(uri)}", way_on=SENT_STAYS) as sending:
            tracker = Tracker(
                facts, row, uri, folder=paths.folder, artifacts=artifacts, say=tell, handed_on=paths.handed_on
            )
            sending.detail = lambda: f"{tracker.progress:,} epochs and endings are there"
            send_missing(tracker, grace_s=DRAIN_GRACE_S)
            send_to_new_store(tracker, paths.home, name, say=tell)
        shutil.rmtree(paths.handed_on, ignore_errors=True)
    say(
        make_console(),
        f"{name}: MLflow at {uri} is up to date; {tracker.progress} epochs and endings were sent",
    )


def _tracking_uri(given: str | None) -> str | None:
    """Return the tracking URI that was typed without its credentials, which are kept for use."""
    try:
        return None if given is None else take_out(given)
    except UnreadableAddress as error:
        raise UsageError(f"--tracking {masked_address(given or '')!r} {error}") from None


def main() -> int:
    """Entry point of ``python -m search`` and ``lanewise``.

    A shell completes a command by its name: what ``python -m search --install-completion`` installs is that of the
    script, which both stand for.
    """
    asked = COMPLETION & set(sys.argv[1:])
    return guarded(app, prog=SCRIPT if asked or Path(sys.argv[0]).stem == SCRIPT else "python -m search")

"""End a search from another terminal, as Ctrl-C in its own would."""

from __future__ import annotations

from typing import Annotated

import typer

from search.commands.arguments import HOME, Database, Home, Name
from search.drive.lookup import open_ledger
from search.drive.overview import last_ending
from search.errors import UsageError
from search.face.present import make_console, say
from search.ledger.outcome import SessionEnding
from search.ledger.paths import Paths
from search.ledger.printed_commands import resume_command
from search.ledger.stored_study import study_from_row
from trainables.data.parts import counted
from trainables.stage import stage

STILL_ENDING = "it was asked to end, and `stop --now` ends it at once"
"""What is said to a user who does not wait for a search to end."""


def stop(
    name: Name,
    home: Home = HOME,
    ledger: Database = None,
    now: Annotated[
        bool, typer.Option("--now", help="At once, as a second Ctrl-C: epochs in flight are not waited for.")
    ] = False,
) -> int:
    """End a search of this machine from another terminal, as Ctrl-C would; `resume` goes on with it."""
    from search.drive.stop import find_driver
    from search.drive.stop import stop as stopping

    paths, console = Paths(home, name, ledger), make_console()
    driver = find_driver(paths)
    say(console, f"stopping   {name}: {driver.holder}")
    with stage(f"waiting for {name} to end, its epochs in flight and MLflow", way_on=STILL_ENDING):
        stopping(driver, now=now)
    for line in _ended_lines(paths):
        say(console, line)
    return 0


def _ended_lines(paths: Paths) -> list[str]:
    """Return how a search that was stopped has ended, and how to go on with it."""
    try:
        with open_ledger(paths) as ledger:
            row = ledger.study(paths.name)
            ending, trials = last_ending(ledger, row), ledger.trials(row.id)
            planned = study_from_row(row).budget.trials
    except UsageError:
        return [f"stopped    {paths.name}, before there was anything to record; begin it again with the same command"]
    ended = sum(not trial.state.resumable for trial in trials)
    how = "at once" if ending is SessionEnding.DIED else str(ending)
    lines = [f"stopped    {paths.name}: {how}, {ended} of {counted(planned, 'trial')} ended for good"]
    return lines if ending is SessionEnding.DONE else [*lines, f"go on with {resume_command(paths)}"]

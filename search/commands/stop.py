"""End a search from another terminal, as Ctrl-C in its own would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console

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
from trainables.pace import duration

SAID_EVERY_S = 5.0
"""Seconds between two lines while a search takes its time to end, where no terminal shows them in place."""


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
    try:
        _wait(console, stopping(driver, now=now))
    except KeyboardInterrupt:
        say(console, f"no longer waiting: {name} was asked to end, and `stop --now` ends it at once")
        return 130
    for line in _ended_lines(paths):
        say(console, line)
    return 0


def _wait(console: Console, seconds: Iterator[float]) -> None:
    """Wait until a search has ended, and show that it is being waited for."""
    said = SAID_EVERY_S
    with console.status("") as shown:
        for passed in seconds:
            text = f"its epochs in flight and MLflow are waited for, {duration(passed)} so far"
            shown.update(text)
            if not console.is_terminal and passed >= said:
                said += SAID_EVERY_S
                say(console, f"           {text}")


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

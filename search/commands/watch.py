"""Serve the report of a study on this machine, and keep it up to date while the study is searched."""

from __future__ import annotations

import os
import signal
import webbrowser
from typing import Annotated

import typer

from search.commands.arguments import HOME, Database, Home, Name
from search.errors import UsageError
from search.face.present import make_console, say
from search.ledger.paths import Paths
from search.signs.stopping import Stopped
from trainables.stage import stage

KINDNESS = 19
"""What is added to the process's niceness: the search goes first."""


def watch(
    name: Name,
    home: Home = HOME,
    ledger: Database = None,
    port: Annotated[int, typer.Option(help="Where on this machine. [default: a free port]", show_default=False)] = 0,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> int:
    """Serve the report on this machine, kept up to date while the study is searched; Ctrl-C ends that alone."""
    from search.watch.server import WatchServer
    from search.watch.study import WatchedStudy

    if not 0 <= port <= 65535:
        raise UsageError(f"--port must be between 1 and 65535, or 0 for a free one, got {port}")
    console = make_console()
    code = 0
    with WatchServer(WatchedStudy(Paths(home, name, ledger)), port) as server:
        try:
            os.nice(KINDNESS)
            say(console, f"watching   {server.url}")
            say(console, f"           for this machine alone, as long as this runs; Ctrl-C ends it, and {name} goes on")
            if open_:
                webbrowser.open(server.url)
            with stage(f"watching {name}", quiet=True):
                server.serve_forever()
        except KeyboardInterrupt:
            pass
        except Stopped as stopped:  # Ctrl-C is how it is meant to end; whoever sends another signal asks for its code
            code = 0 if stopped.number is signal.SIGINT else stopped.exit_code
    say(console, f"\nno longer watching {name}")
    return code

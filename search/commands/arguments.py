"""The arguments and options that several verbs have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.ledger.paths import study_folders


def recorded_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of a home's studies that begin so, for a shell that completes one."""
    home = Path(ctx.params.get("home") or HOME)
    return [folder.name for folder in study_folders(home) if folder.name.startswith(incomplete)]


HOME = Path("lanewise-home")
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A recorded study; `list` shows all.", autocompletion=recorded_names)
]
Home = Annotated[Path, typer.Option(help="Folder of all studies.")]
Database = Annotated[
    str | None, typer.Option("--ledger", help="Database of the study, if not in its folder: postgresql+psycopg://...")
]
Accept = Annotated[
    bool, typer.Option("--accept-changed-model", help="Go on though the trainable's source has changed.")
]
UntrackedOk = Annotated[
    bool, typer.Option("--untracked-ok", help="Go on even where MLflow does not answer, as in `run`.")
]
DataPlace = Annotated[
    str | None,
    typer.Option(metavar="KIND:PATH", help="Where the study's own table:FILE or images:FOLDER lies now, if it moved."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Leave out the progress and the chart.")]

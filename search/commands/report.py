"""Write what a recorded study found as a page to hand on, or as a table for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.commands.arguments import HOME, Database, Home, Name
from search.drive.lookup import open_ledger
from search.drive.report import read_material
from search.drive.report_file import FORMATS, content, write
from search.errors import UsageError
from search.face.present import make_console, say
from search.ledger.paths import Paths
from trainables.stage import stage


def report(
    name: Name,
    home: Home = HOME,
    ledger: Database = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What is written. [default: report.html in the study's folder]")
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="|".join(FORMATS), help="A page, its text, or its trials. [default: as FILE's]"
        ),
    ] = None,
) -> None:
    """Write a report: the verdict, figures and tables in one page, or every trial as a table."""
    paths = Paths(home, name, ledger)
    wanted, errors = _format(format_, out)
    file = paths.folder / f"report.{wanted}" if out is None else out
    if out is not None and out.is_dir():
        errors.append(f"--out {out} is a folder; name a file in it: {out / f'report.{wanted}'}")
    elif out is not None and not out.absolute().parent.is_dir():
        errors.append(f"--out {out}: there is no folder {out.absolute().parent}")
    try:
        open_ledger(paths).close()
    except UsageError as error:
        errors += error.errors
    if errors:
        raise UsageError(errors)
    material = read_material(paths)
    with stage(f"drawing the report of {len(material.trials):,} trials"):
        written = content(material, wanted)
    write(file, written)
    size = f"{len(written) / 1e6:.2f} MB" if len(written) >= 1e5 else f"{len(written) / 1e3:.1f} kB"
    say(make_console(), f"report     {file.absolute()} ({size})")


def _format(given: str | None, out: Path | None) -> tuple[str, list[str]]:
    """Return the format that is wanted, by its name or by the file's, and what is wrong with that."""
    if given is not None:
        named = given.lower()
        return named, [] if named in FORMATS else [f"--format must be one of {', '.join(FORMATS)}, got {given!r}"]
    if out is None:
        return FORMATS[0], []
    ending = out.suffix[1:].lower()
    if ending in ("htm", "html", ""):
        return FORMATS[0], []
    if ending in FORMATS:
        return ending, []
    return FORMATS[0], [f"--out {out} does not say what to write: end it in .{', .'.join(FORMATS)}, or give --format"]

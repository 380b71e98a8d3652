"""Write what a recorded study found as a page to hand on, or as a table for other programs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from search.drive.lookup import open_ledger
from search.drive.report import read_material
from search.errors import RunError, UsageError
from search.face.present import make_console, say
from search.ledger.paths import Paths
from search.report.page.material import Material

HOME = Path("lanewise-home")
FORMATS = ("html", "md", "csv", "parquet")


def report(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A recorded study; `list` shows all.")],
    home: Annotated[Path, typer.Option(help="Folder of all studies.")] = HOME,
    ledger: Annotated[
        str | None,
        typer.Option("--ledger", help="Database of the study, if not in its folder: postgresql+psycopg://..."),
    ] = None,
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
    written = content(read_material(paths), wanted)
    write(file, written)
    say(make_console(), f"report     {file.absolute()} ({len(written) / 1e6:.2f} MB)")


def content(material: Material, wanted: str) -> bytes:
    """Return the bytes of a report in one of ``FORMATS``."""
    if wanted in ("html", "md"):
        from search.report.page.html import to_html
        from search.report.page.markdown import to_markdown
        from search.report.page.report import report as document

        return (to_html if wanted == "html" else to_markdown)(document(material)).encode()
    from search.report.trial_table import trial_table, with_one_type_each

    table = trial_table(material.trials, material.board, material.study.objective.metric)
    if wanted == "csv":
        return table.to_csv(index=False).encode()
    found: bytes = with_one_type_each(table).to_parquet(index=False)
    return found


def write(file: Path, written: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        RunError: it cannot be written.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=file.absolute().parent, prefix=f".{file.name}", delete=False) as beside:
            beside.write(written)
        os.replace(beside.name, file)
    except OSError as error:
        raise RunError(f"{file} cannot be written ({error.strerror or error})") from None


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

"""Show two or more recorded studies side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.commands.arguments import HOME, Database, Home, Json
from search.drive.compare import compare_studies
from search.drive.report_file import PAGES, page, page_format, write
from search.errors import UsageError
from search.face.answer_stream import answer_alone, print_json
from search.face.present import make_console, say
from search.face.side_by_side import print_side_by_side
from search.report.page.side_by_side import side_by_side_document


def compare(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME NAME...", help="Two recorded studies or more; each also as HOME/NAME.")
    ],
    home: Home = HOME,
    ledger: Database = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help=f"Write it as a page, too: .{', .'.join(PAGES)}.")
    ] = None,
    json_: Json = False,
) -> None:
    """Show studies on the same data side by side: what differs, what each found and cost, and which is better."""
    with answer_alone(json_):
        wanted, errors = (PAGES[0], list[str]()) if out is None else page_format(out)
        try:
            found = compare_studies(names, home, ledger)
        except UsageError as error:
            raise UsageError([*errors, *error.errors]) from None
        if errors:
            raise UsageError(errors)
        if out is not None:
            write(out, page(side_by_side_document(found), wanted))
        if json_:
            print_json({**found.to_dict(), "file": None if out is None else str(out.absolute())})
            return
        print_side_by_side(make_console(), found)
        if out is not None:
            say(make_console(), f"page       {out.absolute()}")

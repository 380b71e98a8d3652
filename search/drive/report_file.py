"""A report in a file, in any of its formats."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from search.errors import RunError
from search.report.page.document import Document
from search.report.page.material import Material

PAGES = ("html", "md")
FORMATS = (*PAGES, "csv", "parquet")


def content(material: Material, wanted: str) -> bytes:
    """Return the bytes of a report in one of ``FORMATS``."""
    if wanted in PAGES:
        from search.report.page.report import report as document

        return page(document(material), wanted)
    from search.report.trial_table import trial_table, with_one_type_each

    table = trial_table(material.trials, material.board, material.study.objective.metric)
    if wanted == "csv":
        return table.to_csv(index=False).encode()
    found: bytes = with_one_type_each(table).to_parquet(index=False)
    return found


def page(document: Document, wanted: str) -> bytes:
    """Return the bytes of a document in one of ``PAGES``."""
    from search.report.page.html import to_html
    from search.report.page.markdown import to_markdown

    return (to_html if wanted == "html" else to_markdown)(document).encode()


def page_format(file: Path) -> tuple[str, list[str]]:
    """Return in which of ``PAGES`` a file is to be written, by its ending, and why it cannot be, a line each."""
    ending = {"htm": "html", "": "html"}.get(file.suffix[1:].lower(), file.suffix[1:].lower())
    if file.is_dir():
        return PAGES[0], [f"--out {file} is a folder; name a file in it"]
    errors = [] if ending in PAGES else [f"--out {file} does not say what to write: end it in .{' or .'.join(PAGES)}"]
    if not file.absolute().parent.is_dir():
        errors.append(f"--out {file}: there is no folder {file.absolute().parent}")
    return ending, errors


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

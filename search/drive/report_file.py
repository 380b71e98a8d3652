"""A report in a file, in any of its formats."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from search.errors import RunError
from search.report.page.material import Material

FORMATS = ("html", "md", "csv", "parquet")


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

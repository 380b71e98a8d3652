"""A report as Markdown: text and tables, no figures."""

from __future__ import annotations

import re

from search.report.page.document import Document, Section, Table, cell_text

SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")


def to_markdown(found: Document) -> str:
    """Return the report; what a user named is escaped, so that it is read as it was written."""
    parts = [f"# {escaped(found.title)}", escaped(found.subtitle), f"**{escaped(found.headline)}**"]
    parts += [escaped(line) for line in found.verdict]
    parts += [_command(*command) for command in found.commands]
    parts += [_section(section) for section in found.sections]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Return a text that Markdown shows as it is, in one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def table(found: Table) -> str:
    """Return a table below its caption."""
    rows = [[escaped(cell_text(cell)) for cell in row] for row in (found.columns, *found.rows)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|" + "---|" * len(found.columns))
    return f"{escaped(found.caption)}\n\n" + "\n".join(lines)


def _section(found: Section) -> str:
    parts = [f"## {escaped(found.title)}", *(f"- {escaped(line)}" for line in found.lines)]
    text = parts[0] + ("\n\n" + "\n".join(parts[1:]) if parts[1:] else "")
    further = [table(t) for t in found.tables] + [_command(*command) for command in found.commands]
    if found.folded is not None:
        further.append(f"{escaped(found.folded[0])}:\n\n{fenced(found.folded[1], 'yaml')}")
    return "\n\n".join([text, *further])


def _command(what: str, command: str) -> str:
    return f"{escaped(what)}:\n\n{fenced(command, 'sh')}"


def fenced(text: str, language: str) -> str:
    """Return a block of code, with a fence longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"

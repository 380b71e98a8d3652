"""What was measured, in files that are written anew after each section: a cut loses the section it falls in alone."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

JSON_FILE, MARKDOWN_FILE = "gpu.json", "gpu.md"


@dataclass(frozen=True)
class Section:
    """One part of what is measured.

    Attributes:
        title: what it shows.
        header, rows: of its table.
        notes: sentences below the table.
        errors: what failed, a line each; empty if nothing did.
        raw: every single figure.
        seconds: what it took.
    """

    title: str
    header: tuple[str, ...] = ()
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def markdown(self) -> str:
        """Return it as Markdown."""
        parts = [f"## {self.title}"]
        if self.rows:
            lines = [self.header, ["---"] * len(self.header), *self.rows]
            parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
        parts += [f"**FAILED**: {error}" for error in self.errors] + self.notes
        return "\n\n".join([*parts, f"Took {self.seconds:.0f} s."])


def write_figures(folder: Path, *, head: Sequence[str], machine: dict[str, Any], sections: dict[str, Section]) -> None:
    """Write both files; a reader never sees half of one."""
    found = {"machine": machine, "sections": {name: asdict(section) for name, section in sections.items()}}
    text = "\n\n".join(["# Lanes on a GPU", *head, *(section.markdown() for section in sections.values())])
    for name, content in ((JSON_FILE, json.dumps(found, indent=1)), (MARKDOWN_FILE, text)):
        new = folder / f".{name}.new"
        new.write_text(content + "\n")
        os.replace(new, folder / name)


def spread(values: Sequence[float], unit: str = "") -> str:
    """Write ``median [least - most], n``, or that there is none."""
    if not values:
        return "none"
    low, middle, high = min(values), statistics.median(values), max(values)
    digits = 0 if low >= 100 else 2
    return f"{middle:.{digits}f} [{low:.{digits}f} - {high:.{digits}f}]{unit}, n={len(values)}"

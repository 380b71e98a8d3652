"""Studies that are to be compared, read from their ledgers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from search.drive.lookup import paths_of
from search.drive.report import read_material
from search.errors import UsageError
from search.ledger.paths import Paths
from search.report.side_by_side import Side, SideBySide, reasons_against, side_by_side

REFUSED = "cannot be compared"


def compare_studies(names: Sequence[str], home: Path, database: str | None = None) -> SideBySide:
    """Return two or more studies side by side; they are only read.

    Args:
        names: each a name in the home or the database, or the path of a study's folder, HOME/NAME.
        home: folder of the studies that are called by their names.
        database: the ledger of these, if not in their folders.

    Raises:
        UsageError: fewer than two, one that is not there or has no finished trial, or why they cannot be compared:
            everything that is so, a line each.
    """
    if len(names) < 2:
        raise UsageError(f"compare takes two studies or more, got {len(names)}")
    errors: list[str] = []
    places = [paths_of(name, home, database) for name in names]
    labels = _labels(names, places)
    errors += [
        f"{label} is named {labels.count(label)} times" for label in dict.fromkeys(labels) if labels.count(label) > 1
    ]
    sides: list[Side] = []
    for label, paths in dict(zip(labels, places, strict=True)).items():
        try:
            sides.append(Side(label, read_material(paths)))
        except UsageError as error:
            errors += error.errors
    if len(sides) > 1:
        errors += [f"{REFUSED}: {line}" for line in reasons_against(sides)]
    if errors:
        raise UsageError(errors)
    return side_by_side(sides)


def _labels(names: Sequence[str], places: Sequence[Paths]) -> list[str]:
    """Return what each study is called: its name, or as it was typed where another in another home has that name."""
    places_of: dict[str, set[Path]] = {}
    for paths in places:
        places_of.setdefault(paths.name, set()).add(paths.folder.resolve())
    return [p.name if len(places_of[p.name]) == 1 else typed for typed, p in zip(names, places, strict=True)]

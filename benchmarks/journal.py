"""The pairs of a long comparison, kept as they end, so that one that was stopped goes on where it was."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Contender, Measurement
from benchmarks.process import Cost

Pair = tuple[Measurement, Measurement]


class Journal:
    """A file with a line of JSON for each pair of runs.

    Only pairs of the same commands, seed, hardware and versions (the project's commit is one of them) are found
    again.

    Args:
        path: the file, which may be absent yet.
        circumstances: in words, hardware, versions, and what else the printed commands do not say.
    """

    def __init__(self, path: Path, circumstances: str) -> None:
        self._path = path
        self._circumstances = circumstances

    def find(self, sides: Sequence[Contender]) -> Pair | None:
        """Return the pair that was measured with these commands, the seed among their words."""
        if not self._path.exists():
            return None
        wanted = self._key(sides)
        for line in self._path.read_text().splitlines():
            row = json.loads(line)
            if {name: row[name] for name in wanted} == wanted:
                ours, other = (Measurement(Cost(**run["cost"]), run["output"]) for run in row["runs"])
                return ours, other
        return None

    def add(self, sides: Sequence[Contender], pair: Pair) -> None:
        """Keep a pair."""
        runs = [{"cost": dataclasses.asdict(run.cost), "output": run.output} for run in pair]
        with self._path.open("a") as file:
            file.write(json.dumps({**self._key(sides), "runs": runs}) + "\n")

    def _key(self, sides: Sequence[Contender]) -> dict[str, object]:
        return {"circumstances": self._circumstances, "commands": [side.shown() for side in sides]}

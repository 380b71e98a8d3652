"""The searches of a long comparison on recorded curves, kept as they end, so that one that was stopped goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import commit


@dataclass(frozen=True, eq=False)
class Trace:
    """One search: the best value after each epoch that was trained, and what a choice cost."""

    best: NDArray[np.float64]
    ms: float


class KeptTraces:
    """A file with a line of JSON for each search: what it was, at which commit, and where its best value fell.

    Unlike a journal of timings it holds for any machine: what is counted are epochs.

    Args:
        path: the file, which may be absent yet; None keeps nothing.

    Attributes:
        commits: at which those searches were run that were found.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._commit = "" if path is None else commit()
        self._found: dict[str, tuple[Trace, str]] = {}
        self.commits: set[str] = set()
        for line in path.read_text().splitlines() if path is not None and path.exists() else ():
            row = json.loads(line)
            steps = [b - a for a, b in zip(row["at"], [*row["at"][1:], row["epochs"]], strict=True)]
            self._found[_word(row["search"])] = (
                Trace(np.repeat(row["best"], steps), row["ms"]),
                row["commit"],
            )

    def find(self, search: Mapping[str, object]) -> Trace | None:
        """Return what a search came to; None where it was not run yet."""
        trace, commit = self._found.get(_word(search), (None, ""))
        if trace is not None:
            self.commits.add(commit)
        return trace

    def add(self, search: Mapping[str, object], trace: Trace) -> None:
        """Keep a search, unless it is kept already."""
        if self._path is None or _word(search) in self._found:
            return
        falls = np.flatnonzero(np.diff(trace.best, prepend=np.inf))
        told = {"at": falls.tolist(), "best": trace.best[falls].tolist(), "epochs": len(trace.best), "ms": trace.ms}
        self._found[_word(search)] = trace, self._commit
        with self._path.open("a") as file:
            file.write(json.dumps({"search": dict(search), "commit": self._commit, **told}) + "\n")


def _word(search: Mapping[str, object]) -> str:
    return json.dumps(dict(search), sort_keys=True)

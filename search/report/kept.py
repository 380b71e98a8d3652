"""Which of a study's checkpoints are on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from search.report.answer import Entry
from trainables.checkpoint_store import CheckpointStore


@dataclass(frozen=True)
class Kept:
    """The checkpoints on disk.

    Attributes:
        checkpoints: how many, best models included.
        size_mb: the size of all of them together, in millions of bytes.
        best_model: the file of the best trial's best epoch; None where that was not kept.
        why_not: what was recorded of the best trial's checkpoints where its model was not kept; None if nothing was.
    """

    checkpoints: int
    size_mb: float
    best_model: Path | None
    why_not: str | None = None

    def to_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        return {
            "kept": self.checkpoints,
            "size_mb": self.size_mb,
            "best_model": None if self.best_model is None else str(self.best_model),
            "why_not": self.why_not,
        }


def kept_on_disk(folder: Path, best: Entry | None, notes: Mapping[int, str] = MappingProxyType({})) -> Kept:
    """Look into a study's folder of checkpoints.

    Args:
        folder: may be absent.
        best: the first of the leaderboard, if there is one.
        notes: what was recorded last of the checkpoints of each trial.
    """
    store = CheckpointStore(folder)
    count, size_mb = store.count(), store.size_bytes() / 1e6
    if best is None:
        return Kept(count, size_mb, None)
    if (path := store.best_path(best.trial)).is_file():
        return Kept(count, size_mb, path)
    return Kept(count, size_mb, None, notes.get(best.trial))

"""Which of a study's checkpoints are on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from search.report.answer import Entry
from trainables.checkpoint_store import CheckpointStore


@dataclass(frozen=True)
class Kept:
    """The checkpoints on disk.

    Attributes:
        checkpoints: how many, best models included.
        size_mb: the size of all of them together, in millions of bytes.
        best_model: the file of the best trial's best epoch; None where that was not kept.
    """

    checkpoints: int
    size_mb: float
    best_model: Path | None

    def to_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        return {
            "kept": self.checkpoints,
            "size_mb": self.size_mb,
            "best_model": None if self.best_model is None else str(self.best_model),
        }


def kept_on_disk(folder: Path, best: Entry | None) -> Kept:
    """Look into a study's folder of checkpoints.

    Args:
        folder: may be absent.
        best: the first of the leaderboard, if there is one.
    """
    store = CheckpointStore(folder)
    path = None if best is None else store.best_path(best.trial)
    return Kept(store.count(), store.size_bytes() / 1e6, path if path is not None and path.is_file() else None)

"""Which of a study's checkpoints are on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from search.report.answer import Answer
from trainables.checkpoint_store import CheckpointStore


@dataclass(frozen=True)
class Kept:
    """The checkpoints on disk.

    Attributes:
        checkpoints: how many, best models included.
        size_mb: the size of all of them together, in millions of bytes.
        best_model: the file of the best trial's best epoch; None where that was not kept.
        why_not: what was recorded of the best trial's checkpoints where its model was not kept; None if nothing was.
        recommended_model: the file of the model that a confirmation recommends, which may be another than the best of
            the search; None where nothing was confirmed, or that model was not kept.
    """

    checkpoints: int
    size_mb: float
    best_model: Path | None
    why_not: str | None = None
    recommended_model: Path | None = None

    def to_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        return {
            "kept": self.checkpoints,
            "size_mb": self.size_mb,
            "best_model": None if self.best_model is None else str(self.best_model),
            "why_not": self.why_not,
            "recommended_model": None if self.recommended_model is None else str(self.recommended_model),
        }


def kept_on_disk(folder: Path, found: Answer, notes: Mapping[int, str] = MappingProxyType({})) -> Kept:
    """Look into a study's folder of checkpoints.

    Args:
        folder: may be absent.
        found: says which trial is the best, and which one a confirmation recommends.
        notes: what was recorded last of the checkpoints of each trial.
    """
    store = CheckpointStore(folder)
    recommended = None if found.confirmation is None else _file(store, found.confirmation.recommended)
    best = None if found.best is None else _file(store, found.best.trial)
    why_not = None if found.best is None or best is not None else notes.get(found.best.trial)
    return Kept(store.count(), store.size_bytes() / 1e6, best, why_not, recommended)


def _file(store: CheckpointStore, trial: int) -> Path | None:
    path = store.best_path(trial)
    return path if path.is_file() else None

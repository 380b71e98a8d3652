"""The checkpoints of a study's trials on disk: which are kept, and which is whole."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from trainables.errors import CheckpointError, is_out_of_memory

BEST = "best.pt"
ARTIFACTS = "artifacts"
"""The folder of a trial's artifacts, below that of its files."""
NAME = re.compile(r"epoch_\d{6,}\.pt")


class CheckpointStore:
    """The checkpoints of one study's trials: ``<folder>/trial_00012/epoch_000007.pt`` and ``best.pt``.

    The last two of each trial that goes on are kept, so that a damaged one leaves something to continue
    from. ``best.pt`` holds the model of the trial's best epoch, see ``trainables.best``.

    Args:
        folder: where they lie; on a cluster a folder that every node sees.
    """

    KEPT = 2

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, number: int, state: dict[str, Any]) -> Path:
        """Write the state of trial ``number`` after ``state["epoch"]`` epochs, and remove older ones.

        Raises:
            CheckpointWriteError: see ``checkpoint.save``.
        """
        from trainables import checkpoint  # imports torch, which a driver may not need

        path = self._trial(number) / f"epoch_{state['epoch']:06d}.pt"
        checkpoint.save(state, path)
        for old in self._files(number)[: -self.KEPT]:
            _remove(old)
        return path

    def latest(self, number: int, *, at_most: int | None = None) -> tuple[dict[str, Any] | None, list[CheckpointError]]:
        """Return the newest whole state of trial ``number``, and what was wrong with newer ones.

        The state is None where the trial has no whole checkpoint; it then starts from epoch 0.

        Args:
            number: the trial's number.
            at_most: the epochs that the ledger has of it, where that matters. A driver killed after a
                checkpoint and before its ledger's write leaves a newer one; to go on from there would
                leave out an epoch.
        """
        from trainables import checkpoint

        damaged: list[CheckpointError] = []
        for path in reversed(self._files(number)):
            if at_most is not None and _epoch(path) > at_most:
                continue
            try:
                state = checkpoint.load(path)
                epoch = state.get("epoch")
                if type(epoch) is not int or epoch != _epoch(path):
                    raise CheckpointError(f"checkpoint {path} says that it is of epoch {epoch!r:.40}")
                return state, damaged
            except CheckpointError as error:
                damaged.append(error)
        return None, damaged

    def restore(
        self, number: int, use: Callable[[dict[str, Any] | None], None], *, at_most: int | None = None
    ) -> list[str]:
        """Give ``use`` the newest state of trial ``number`` that it takes; None where there is none.

        Args:
            number: the trial's number.
            use: takes a state, and raises where it is not one of its kind.
            at_most: the latest epoch whose checkpoint is looked at.

        Returns:
            What the ledger should know, a line each.

        Raises:
            Exception: what ``use`` raises of None, or for want of memory.
        """
        damaged: list[CheckpointError] = []
        while True:
            state, worse = self.latest(number, at_most=at_most)
            damaged += worse
            try:
                use(state)
                return damage_notes(number, state, damaged)
            except Exception as error:  # what a state of another model leads a trainable to
                if state is None or is_out_of_memory(error):
                    raise
                at_most = state["epoch"] - 1
                cause = f"{type(error).__name__}: {error}".splitlines()[0]
                damaged.append(CheckpointError(f"its checkpoint of epoch {state['epoch']} cannot be used: {cause}"))

    def save_best(self, number: int, state: dict[str, Any]) -> Path:
        """Write the best model of trial ``number``.

        Raises:
            OSError: see ``checkpoint.save``; the one before it stays.
        """
        from trainables import checkpoint

        checkpoint.save(state, self.best_path(number))
        return self.best_path(number)

    def best(self, number: int) -> dict[str, Any] | None:
        """Return the best model of trial ``number`` as it was written, or None where there is none.

        Raises:
            CheckpointError: it is damaged.
        """
        from trainables import checkpoint

        return checkpoint.load(self.best_path(number)) if self.best_path(number).is_file() else None

    def best_path(self, number: int) -> Path:
        """Return where the best model of trial ``number`` lies, if it has one."""
        return self._trial(number) / BEST

    def files_folder(self, number: int) -> Path:
        """Return where the code of trial ``number`` may leave files of its own, beside the checkpoints; they stay."""
        return self.folder.parent / "trials" / f"trial_{number:05d}"

    def remove_best(self, number: int) -> None:
        """Remove the best model of trial ``number``."""
        _remove(self.best_path(number))

    def holds(self, number: int) -> bool:
        """Say whether anything of trial ``number`` is on disk."""
        return self._trial(number).is_dir()

    def trim(self, number: int, *, keep_best: bool) -> None:
        """Remove what a trial that ended needs no more: all of it, or all but its best model."""
        if not keep_best:
            shutil.rmtree(self._trial(number), ignore_errors=True)
            return
        for path in self._files(number):
            _remove(path)
        self._remove_partial(number)

    def remove_leftovers(self, *, going_on: Collection[int], kept: Collection[int]) -> None:
        """Remove what a killed session left behind: files of trials that need none, and files half written.

        Args:
            going_on: trials that a resume continues; they keep theirs.
            kept: trials that ended and keep their best model alone.
        """
        for folder in self.folder.glob("trial_[0-9]*"):
            number = int(folder.name.removeprefix("trial_"))
            if number in going_on:
                self._remove_partial(number)
            else:
                self.trim(number, keep_best=number in kept)

    def count(self) -> int:
        """Return how many checkpoints are on disk, best models included."""
        return len(list(self.folder.glob("trial_*/*.pt")))

    def size_bytes(self) -> int:
        """Return what all checkpoints take on disk."""
        return sum(path.stat().st_size for path in self.folder.glob("trial_*/*"))

    def _remove_partial(self, number: int) -> None:
        for path in self._trial(number).glob("*.tmp"):
            path.unlink(missing_ok=True)

    def _trial(self, number: int) -> Path:
        return self.folder / f"trial_{number:05d}"

    def _files(self, number: int) -> list[Path]:
        """Return its checkpoints, oldest first; whatever else lies there is left alone."""
        return sorted(p for p in self._trial(number).glob("epoch_*.pt") if NAME.fullmatch(p.name))


def _epoch(path: Path) -> int:
    return int(path.stem.removeprefix("epoch_"))


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".sha256").unlink(missing_ok=True)


def damage_notes(number: int, state: dict[str, Any] | None, damaged: Sequence[CheckpointError]) -> list[str]:
    """Return what the ledger should know of the damaged checkpoints of trial ``number``, a line each."""
    if not damaged:
        return []
    goes_on = f"trial {number} goes on from epoch {state['epoch'] if state else 0}"
    return [*(f"trial {number}: {error}" for error in damaged), goes_on]

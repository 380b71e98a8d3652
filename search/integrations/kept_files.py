"""Files that a trainer writes of its own accord, as something that a trial keeps."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch


class KeptFiles:
    """Keeps a folder's files in a trial's checkpoint, byte for byte; for ``trial.keep``.

    Args:
        folder: where the files of a checkpoint are put when the trial goes on.
        locate: returns the folder that holds the files now, or writes them into the empty one it is given; called
            when a checkpoint is due.
    """

    def __init__(self, folder: Path, locate: Callable[[Path], Path]) -> None:
        self._folder = folder
        self._locate = locate
        self._put_back = False

    @property
    def restored(self) -> Path | None:
        """The folder with the files of the checkpoint that the trial goes on from; None where it begins."""
        return self._folder if self._put_back else None

    def state_dict(self) -> dict[str, Any]:
        """Return each file's bytes, a uint8 tensor [size], by its path below the folder."""
        with tempfile.TemporaryDirectory(prefix="lanewise-") as empty:
            found = self._locate(Path(empty))
            files = sorted(path for path in found.rglob("*") if path.is_file())
            return {path.relative_to(found).as_posix(): _bytes_of(path) for path in files}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Write the files that ``state_dict`` returned."""
        shutil.rmtree(self._folder, ignore_errors=True)
        for name, content in state.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.numpy().tobytes())
        self._put_back = bool(state)


def _bytes_of(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(path.read_bytes(), dtype=np.uint8).copy())

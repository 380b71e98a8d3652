"""A file that names the trial in training, for whoever finds its worker dead or hung."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trainables.protocols import Closes, HasFullWeights, Run, TellsNotices

if TYPE_CHECKING:
    from trainables.report import EpochReport


class RunWithMarkerFile:
    """A run that writes its trial's number into a file before each step.

    Args:
        run: what trains.
        marker: the file.
        number: of the trial.
    """

    def __init__(self, run: Run, marker: Path, number: int) -> None:
        self._run, self._marker, self._text = run, marker, f"{number}\n"
        self.state_dict = run.state_dict
        self.load_state_dict = run.load_state_dict
        if isinstance(run, HasFullWeights):
            self.full_weights = run.full_weights
        if isinstance(run, TellsNotices):
            self.take_notices = run.take_notices
        if isinstance(run, Closes):
            self.close = run.close

    def step(self) -> EpochReport:
        """Say whose epoch it is, and train it."""
        self._marker.write_text(self._text)
        return self._run.step()


def marked_trial(marker: Path) -> int | None:
    """Return the number that a marker file holds; None where there is none."""
    try:
        return int(marker.read_text())
    except (OSError, ValueError):
        return None

"""What a training function is handed of its trial."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.checkpoint_store import ARTIFACTS
from trainables.errors import ConfigError
from trainables.notice import ARTIFACT, NOTE, Notice
from trainables.train_function.kept import Kept
from trainables.train_function.reporting import Reporting
from trainables.train_function.streams import RandomStreams

if TYPE_CHECKING:
    import torch

    from trainables.data import Splits

LONGEST_NOTE = 500


class Trial:
    """One trial of a search, as a training function is handed it; Lanewise makes it.

    ::

        def train(trial):
            net = Net(trial.params["dropout"]).to(trial.device)
            optimizer = torch.optim.AdamW(net.parameters(), lr=trial.params["learning_rate"])
            trial.keep(net=net, optimizer=optimizer)
            for epoch in trial.epochs():
                ...
                trial.report(val_loss=loss, val_accuracy=accuracy)

    Attributes:
        params: the trial's parameters and the study's settings, read-only. Which were read is noted: one that never is
            would move nothing, and ends the search after its first trial.
        number: of the trial in its study, from 0, the baseline; None where a configuration is trained outside of one.
        seed: of the trial. Python's, NumPy's and torch's global generators are seeded already, for this trial alone.
        device: where to train: the GPU that the trial was given, or the CPU.
        max_epochs: how many epochs it has at most.
        data: the study's examples, where it names any: ``data.train.x`` [N, ...] and ``data.train.y`` [N], NumPy
            arrays, and ``data.val`` likewise. None where the function brings its own.
    """

    def __init__(
        self,
        *,
        params: Mapping[str, Any],
        number: int | None,
        seed: int,
        device: torch.device,
        data: Splits | None,
        max_epochs: int,
        folder: Path | None,
        reporting: Reporting,
        kept: Kept,
        streams: RandomStreams,
        begin: Callable[[], None],
        tell: Callable[[Notice], None],
    ) -> None:
        self.params = params
        self.number = number
        self.seed = seed
        self.device = device
        self.data = data
        self.max_epochs = max_epochs
        self._folder = folder
        self._reporting = reporting
        self._kept = kept
        self._streams = streams
        self._begin = begin
        self._tell = tell

    @property
    def folder(self) -> Path:
        """The trial's own folder, below the study's; made when it is first asked for. It stays.

        Outside of a trial it is a temporary one.
        """
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="lanewise-trial-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def keep(self, **named: Any) -> None:
        """Say what a checkpoint holds, each under a name of its own.

        Where the trial goes on after an interruption, the saved states are put back here, and ``epochs`` begins after
        the checkpoint. The modules among them are what is kept of the best model.

        Args:
            named: anything with ``state_dict`` and ``load_state_dict``; generators of torch, NumPy and ``random``.

        Raises:
            ConfigError: one has no state.
            CheckpointError: a saved state does not fit.
        """
        self._kept.add(named)

    def epochs(self) -> Iterator[int]:
        """Yield the numbers of the epochs to train: 1 .. ``max_epochs``, without those that a checkpoint has.

        Call ``report`` in each. After the last one the function goes on behind the loop.
        """
        return self._reporting.epochs(self._begin)

    def report(self, **metrics: Any) -> None:
        """Report an epoch: numbers by name, the objective among them, and the same names each time.

        A checkpoint holds what is so now: what an epoch has to do, a step of a schedule say, comes before. A NumPy or
        torch number is taken too, without its gradient. The trial has diverged where an objective, ``train_loss`` or
        ``val_loss`` is NaN or infinite.

        Raises:
            ConfigError: a name or a value is none, the epoch was reported before, or other metrics than before.
            TrialEnded: the trial was pruned or stopped; let it through, ``finally`` does its work.
        """
        self._reporting.report(metrics)

    def note(self, text: str) -> None:
        """Record a line about this trial among the study's events, which the ledger has."""
        line = " ".join(str(text).split())
        self._tell(Notice(NOTE, line if len(line) <= LONGEST_NOTE else f"{line[: LONGEST_NOTE - 3]}..."))

    def artifact(self, path: str | Path) -> Path:
        """Keep a file with the trial, in its folder and in MLflow, and return where it lies now.

        One of the same name is replaced; MLflow gets each when the trial ends.

        Raises:
            ConfigError: there is no such file.
        """
        file = Path(path)
        if not file.is_file():
            raise ConfigError(f"trial.artifact({str(path)!r}): there is no such file")
        kept = self.folder / ARTIFACTS / file.name
        kept.parent.mkdir(exist_ok=True)
        if file.resolve() != kept.resolve():
            shutil.copyfile(file, kept)
        self._tell(Notice(ARTIFACT, file.name))
        return kept

    @property
    def generator(self) -> torch.Generator:
        """A random generator on the CPU that is this trial's alone, seeded by ``seed``.

        It is part of each checkpoint whether it is kept or not, and is put back as ``epochs`` begins. A function that
        trains side by side with others draws from it, or from others that it makes and keeps.
        """
        return self._streams.generator

    def streams(self) -> RandomStreams:
        """Return the global random generators of Python, NumPy and torch, as this trial has them, as one object.

        They are part of each checkpoint whether they are kept or not, and are put back as ``epochs`` begins. A function
        that trains side by side with others has them until then alone.
        """
        return self._streams

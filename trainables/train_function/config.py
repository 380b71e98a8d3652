"""What is known of a training function's trial before it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trainables.train_function.open_files import OpenFiles
from trainables.train_function.turns import SharedGenerators
from trainables.train_function.working_folder import WorkingFolder

if TYPE_CHECKING:
    from trainables.data import Splits


@dataclass(frozen=True, slots=True)
class FunctionConfig:
    """The configuration of a trial: what its function reads, and how many epochs it has."""

    params: dict[str, Any]
    max_epochs: int


@dataclass(frozen=True, slots=True)
class FunctionData:
    """What all trials of a worker share.

    Attributes:
        splits: the study's examples; None where it names none.
        required: the metrics that each report must hold.
        generators: the global ones of the process, where functions train side by side.
        files: that the process has open.
        folder: in which the process works.
    """

    splits: Splits | None
    required: tuple[str, ...]
    generators: SharedGenerators = field(default_factory=SharedGenerators)
    files: OpenFiles = field(default_factory=OpenFiles)
    folder: WorkingFolder = field(default_factory=WorkingFolder)

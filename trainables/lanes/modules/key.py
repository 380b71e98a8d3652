"""The group of a trial that trains a module: which others it may share a stack with."""

from __future__ import annotations

from dataclasses import dataclass

from trainables.config import MlpConfig
from trainables.lanes.modules.form import ModuleForm


@dataclass(frozen=True, slots=True)
class ModuleKey:
    """What the trials of a stack of modules have in common; used as a ``GroupKey``.

    Attributes:
        name: of the module's class.
        digest: of its form; see ``ModuleForm``.
    """

    name: str
    digest: str
    batch_size: int
    optimizer: str
    loss: str

    def __str__(self) -> str:
        return f"{self.name} {self.digest[:8]}, batch {self.batch_size}, {self.optimizer}, loss {self.loss}"

    @classmethod
    def of(cls, form: ModuleForm, training: MlpConfig) -> ModuleKey:
        """Return the key of a trial."""
        return cls(form.name, form.digest, training.batch_size, training.optimizer, training.loss)

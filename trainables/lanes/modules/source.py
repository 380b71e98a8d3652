"""Where the modules of a worker's trials come from, and one of them with the group that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from trainables.config import MlpConfig
from trainables.lanes.modules.form import ModuleForm, form_of
from trainables.lanes.modules.key import ModuleKey
from trainables.protocols import BuildsModules


def _silently(what: str) -> AbstractContextManager[object]:
    return nullcontext()


@dataclass(frozen=True)
class BuiltModule:
    """A trial's module at epoch 0.

    Attributes:
        form: of the module.
        training: what drives its loop.
        key: of the group that it belongs to.
    """

    module: nn.Module
    form: ModuleForm
    training: MlpConfig
    key: ModuleKey


@dataclass(frozen=True)
class ModuleSource:
    """Builds the modules of trials.

    Attributes:
        trainable: what a trial's configuration is one of.
        corners: configurations at the ends of what is searched: a group is compared with the plain loop at those of
            them that belong to it, beside its first trial.
        drawn: configurations from anywhere in what is searched, which tell how many trials are of one group.
        at_once: how many of them are likely to train at a time in a worker; None: as many as it has lanes.
        doing: (what) -> a context in which that is done, of which whoever waits may be told.
    """

    trainable: BuildsModules
    corners: Sequence[Any] = ()
    drawn: Sequence[Any] = ()
    at_once: int | None = None
    doing: Callable[[str], AbstractContextManager[object]] = _silently

    def build(self, config: Any, data: Any, *, seed: int, device: torch.device) -> BuiltModule:
        """Return the module of a trial; what its code raises is raised."""
        module = self.trainable.module_of(config, data, seed=seed, device=device)
        form, training = form_of(module), self.trainable.training_of(config)
        return BuiltModule(module, form, training, ModuleKey.of(form, training))

"""A trial as the sampler orders it and as every executor takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from spaces import Value


@dataclass(frozen=True)
class TrialOrder:
    """One trial to be trained, and what is there of it already.

    Attributes:
        number: of the trial within its study.
        params: active parameters; the study's settings come on top.
        seed: what every random stream of the trial is derived from.
        config_hash: of ``params``; no two trials of a study have the same.
        repeats: the earlier trials whose configuration was proposed, and refused, just before this one; each with
            what Optuna was told again for it: the value, the values of several objectives, or None (told as failed).
        sampler_attrs: Optuna's own notes on the trial and on its study; some samplers continue from them.
        resumed: whether the trial began before, in an earlier session or on a worker that was lost: it continues
            from its newest whole checkpoint, if there is one.
        epochs: how many the ledger has. Those that the checkpoint lacks are trained again before anything new is,
            and neither recorded nor decided on twice.
        best: the best of these epochs and its value; None where none was finite.
    """

    number: int
    params: Mapping[str, Value]
    seed: int
    config_hash: str
    repeats: tuple[tuple[int, float | list[float] | None], ...] = field(default=(), compare=False)
    sampler_attrs: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    resumed: bool = False
    epochs: int = 0
    best: tuple[int, float] | None = None

    def continued(self, *, epochs: int, best: tuple[int, float] | None) -> TrialOrder:
        """Return the order to go on with the trial from what the ledger has of it by now."""
        return replace(self, resumed=True, epochs=epochs, best=best)

"""The trials of a study at equal epochs: they differ in their parameters, and not in how long they trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optuna.distributions import CategoricalDistribution

from search.ledger.outcome import DIVERGED, TrialState
from search.report.leaderboard import with_objectives

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from search.declaration.study import Study
    from spaces import Space, Value

FEWEST = 10
"""Fewer trials are not compared."""

SHARE = 0.75
"""Share of the trials that reported that must count at an epoch. Among the survivors of a rung, the parameters that
decided who survives look as if they did not matter: of a known function whose best trials alone were compared, half of
all, the strongest parameter came first in 15% of searches, and with all at the rung before in every one."""


@dataclass(frozen=True)
class Comparable:
    """N trials at one epoch, in the order of their numbers.

    Attributes:
        epoch: the highest that enough trials reached.
        params: the active parameters of each, moved to the nearest point of the space.
        ranks: of the best value of the objective up to ``epoch``, 1 the best, ties shared; diverged ones last  # [N].
        gaps: ``val_loss - train_loss`` at ``epoch`` or where a trial ended itself before; NaN if unknown  # [N].
        diverged: how many of these had diverged by then.
        left_out: the number of other trials by why they do not count.
    """

    epoch: int
    params: tuple[Mapping[str, Value], ...]
    ranks: NDArray[np.float64]
    gaps: NDArray[np.float64]
    diverged: int
    left_out: dict[str, int]


def comparable(study: Study, trials: pd.DataFrame, epochs: pd.DataFrame) -> Comparable | None:
    """Return the trials at the highest epoch at which enough of them count; None where no epoch has enough.

    A trial counts that reached the epoch, or ended itself before it: out of patience, or with its own last epoch.
    Patience is a part of what is searched, so its best value is what it would have been kept for. It counts with its
    best value up to that epoch, as the leaderboard does, and not with its value there, which is noisier and punishes
    who has begun to overfit. One that diverged before counts as the worst: left out, what makes a loss infinite
    would look as if it did not matter. Enough are ``FEWEST``, and ``SHARE`` of those that reported.

    Args:
        study: its space and its objective count.
        trials: the frame of ``Ledger.trials_frame``.
        epochs: the frame of ``Ledger.epochs_frame``.
    """
    import numpy as np

    if len(trials) < FEWEST or epochs.empty or study.objective.metric not in with_objectives(epochs):
        return None
    last = epochs.groupby("number")["epoch"].max()
    rows = trials[trials["number"].isin(last.index)].sort_values("number").set_index("number")
    wild = rows["stop_reason"] == DIVERGED
    # a diverged trial reported its last epoch, and that one is not finite
    reached = last.reindex(rows.index) - wild
    own_end = wild | (rows["state"] == TrialState.COMPLETE.value)
    counts = {int(e): int((own_end | (reached >= e)).sum()) for e in sorted(set(epochs["epoch"]))}
    enough = max(FEWEST, SHARE * len(rows))
    epoch = max((e for e, count in counts.items() if count >= enough), default=None)
    if epoch is None:
        return None
    rows, wild = rows[own_end | (reached >= epoch)], wild & (reached < epoch)
    best, gaps = _values(study, epochs[epochs["epoch"] <= epoch])
    inside = {n: moved for n, params in rows["params"].items() if (moved := _inside(study.space, params)) is not None}
    diverged = set(wild.index[wild])
    numbers = [n for n in inside if n in diverged or n in best.index]
    if len(numbers) < FEWEST:
        return None
    costs = study.objective.direction.cost(best).reindex(numbers).where(~wild.reindex(numbers), np.inf)
    left_out = {
        f"did not reach epoch {epoch}": len(trials) - len(rows),
        "outside the space": len(rows) - len(inside),
        f"without a finite {study.objective.metric}": len(inside) - len(numbers),
    }
    return Comparable(
        epoch=epoch,
        params=tuple(inside[n] for n in numbers),
        ranks=np.asarray(costs.rank(), dtype=np.float64),
        gaps=np.asarray(gaps.reindex(numbers).where(~wild.reindex(numbers)), dtype=np.float64),
        diverged=len(diverged & set(numbers)),
        left_out={why: count for why, count in left_out.items() if count},
    )


def _values(study: Study, epochs: pd.DataFrame) -> tuple[pd.Series[float], pd.Series[float]]:
    """Return, by trial, the best finite value of the objective, and the last gap between validation and training."""
    import numpy as np

    epochs = with_objectives(epochs).sort_values(["number", "epoch"])
    values = epochs[study.objective.metric].astype(float)
    by_trial = values[np.isfinite(values)].groupby(epochs["number"])
    best = by_trial.min() if study.objective.direction.ascending else by_trial.max()
    if not {"train_loss", "val_loss"} <= set(epochs):
        return best, best * np.nan
    gaps = epochs["val_loss"].astype(float) - epochs["train_loss"].astype(float)
    return best, gaps[np.isfinite(gaps)].groupby(epochs["number"]).last()


def _inside(space: Space, params: Mapping[str, Value]) -> dict[str, Value] | None:
    """Return the nearest point of the space, as the sampler was told; None where that is another category."""
    known = space.active({n: v for n, v in params.items() if n in space})
    moved = any(
        isinstance(space[n].distribution, CategoricalDistribution) and not space[n].contains(v)
        for n, v in known.items()
    )
    return None if moved else space.clamp(known)

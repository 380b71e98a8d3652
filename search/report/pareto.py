"""The trials that no other beats in every objective at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from search.report.leaderboard import with_objectives

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from search.declaration.study import Objective


def pareto(board: pd.DataFrame, epochs: pd.DataFrame, objectives: Sequence[Objective]) -> pd.DataFrame:
    """Return the Pareto front: the trials of the leaderboard that no other dominates.

    A trial counts with the best value of the first objective over its epochs, and with what the others were
    at that epoch, in whatever state it ended. One without a finite value of each is left out. Trials with
    the same values are all on the front, or none is.

    Args:
        board: the frame of ``leaderboard`` by the first objective.
        epochs: the frame of ``Ledger.epochs_frame``.
        objectives: all of them.

    Returns:
        In the order of the board: its columns, but a column ``value_<metric>`` for each objective instead
        of ``rank`` and ``value``.
    """
    import numpy as np

    metrics = with_objectives(epochs)
    named = {o.metric: f"value_{o.metric}" for o in objectives}
    if board.empty:
        return board.drop(columns=["rank", "value"]).assign(**dict.fromkeys(named.values(), []))
    values = metrics[["number", "epoch", *named]].rename(columns=named)
    rows = board.drop(columns=["rank", "value"]).merge(values, on=["number", "epoch"])
    columns = list(named.values())
    finite = np.isfinite(rows[columns].to_numpy(float)).all(axis=1)
    rows = rows[finite]
    costs = np.column_stack([o.direction.cost(rows[named[o.metric]].to_numpy(float)) for o in objectives])
    front: pd.DataFrame = rows[non_dominated(costs)].reset_index(drop=True)
    return front


def non_dominated(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say for each point whether no other is as good in everything and better in something.

    Args:
        costs: the less, the better; finite  # [N, objectives].

    Returns:
        [N].
    """
    import numpy as np

    free = np.ones(len(costs), dtype=bool)
    for i, point in enumerate(costs):
        as_good = (costs <= point).all(axis=1)
        free[i] = not (as_good & (costs < point).any(axis=1)).any()
    return free

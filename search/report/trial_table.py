"""One row a trial with all that is known of it, for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def trial_table(trials: pd.DataFrame, board: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return all trials, those without a finite value last.

    Args:
        trials: the frame of ``Ledger.trials_frame``.
        board: the frame of ``leaderboard``.
        metric: the objective.

    Returns:
        By rank: ``rank``, ``number``, ``state``, ``stop_reason``, ``best_<metric>``, ``epoch`` of that, ``epochs``
        trained, every metric of that epoch under ``metric_<name>``, every parameter under ``params_<name>`` (missing
        where it was not active), ``seed``, ``config_hash``, ``started_at`` and ``ended_at`` (seconds since 1970),
        ``message``.
    """
    import pandas as pd

    metrics = pd.DataFrame(board["metrics"].tolist(), index=board.index).add_prefix("metric_")
    best = board[["rank", "number", "value", "epoch", "epochs"]].rename(columns={"value": f"best_{metric}"})
    rows = trials.drop(columns=["params"]).merge(pd.concat([best, metrics], axis=1), on="number", how="left")
    rows = rows.astype({"rank": "Int64", "epoch": "Int64", "epochs": "Int64"})
    params = [c for c in map(str, rows) if c.startswith("params_")]
    first = ["rank", "number", "state", "stop_reason", f"best_{metric}", "epoch", "epochs", *metrics, *params]
    rows = rows[[*first, *(c for c in rows if c not in first)]]
    return rows.sort_values(["rank", "number"], na_position="last").reset_index(drop=True)


def with_one_type_each(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose columns of mixed values are texts, as a file with typed columns needs them."""
    import pandas as pd

    mixed = [c for c in map(str, table) if pd.api.types.infer_dtype(table[c], skipna=True).startswith("mixed")]
    return table.assign(**{c: table[c].map(str, na_action="ignore") for c in mixed})

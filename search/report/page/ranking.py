"""The sections of the trials: the leaderboard and the learning curves."""

from __future__ import annotations

from search.report.figures.learning_curves import learning_curves
from search.report.figures.progress import progress
from search.report.page.document import Cell, Section, Table
from search.report.page.material import Material
from search.report.pruning import rungs_of
from search.report.sentences import epochs_text, mean_text, metrics_text, verdict

MOST_ROWS = 100
"""Of the leaderboard; ``--format csv`` writes all."""

LOSSES = {"val_loss": "train_loss", "val_accuracy": "train_accuracy"}
"""The same of the training part, where it is reported."""


def leaderboard_section(material: Material) -> Section:
    """Return the best trials with their parameters, the baseline among them."""
    answer, board = material.answer, material.board
    if answer.best is None:
        return Section("leaderboard", "Leaderboard", lines=["no trial has a value"])
    named = [p.name for p in material.study.space]
    names = [*named, *(n for n in dict.fromkeys(k for p in board["params"] for k in p) if n not in named)]
    warm, smoothed = "origin" in board, "smoothed" in board
    shown = board[(board["rank"] <= MOST_ROWS) | (board["number"] == 0)]
    rows: list[list[Cell]] = [
        [
            int(row["rank"]),
            int(row["number"]),
            float(row["value"]),
            *([row["smoothed"] if row["smoothed"] == row["smoothed"] else None] if smoothed else []),
            int(row["epoch"]),
            int(row["epochs"]),
            row["stop_reason"] if isinstance(row["stop_reason"], str) else str(row["state"]).lower(),
            *([row["origin"]] if warm else []),
            *(row["params"].get(name) for name in names),
        ]
        for row in shown.to_dict("records")
    ]
    what = f"best {answer.metric}" if answer.folds is None else f"best {answer.metric} ({mean_text(answer.folds)})"
    rest = f"; the first {MOST_ROWS}, --format csv writes all" if len(board) > MOST_ROWS else ""
    without_noise = ["smoothed"] if smoothed else []
    from_ = ["from"] if warm else []
    table = Table(
        f"{len(board)} trials by the {what} over their epochs; the baseline is trial 0{rest}",
        ["rank", "trial", f"best {answer.metric}", *without_noise, "at epoch", "epochs", "ended", *from_, *names],
        rows,
        marked=frozenset(i for i, row in enumerate(rows) if row[1] == 0),
    )
    lines = [
        f"{verdict(answer)}.",
        f"Trial {answer.best.trial}, epoch {answer.best.epoch}: {metrics_text(answer.best.metrics)}.",
    ]
    if smoothed:
        lines.append("Smoothed: what the model of the curves holds of a trial at its best epoch, without the noise.")
    return Section("leaderboard", "Leaderboard", lines=lines, tables=[table])


def curves_section(material: Material) -> Section | None:
    """Return the curves of the objective and of the training part beside it; None where no trial has a value."""
    board, epochs = material.board, material.epochs
    if board.empty:
        return None
    metric = material.study.objective.metric
    rungs = rungs_of(material.study) if material.study.scheduler.name in ("asha", "promote") else []
    metrics = [metric, *([LOSSES[metric]] if LOSSES.get(metric) in epochs else [])]
    if len(metrics) == 1:
        metrics += [m for m in ("val_loss", "train_loss") if m in epochs and m != metric]
    drawn = [m for m in metrics if m in epochs and epochs[m].notna().any()]
    figures = [
        learning_curves(epochs, board, m, rungs, ascending=material.ascending if m == metric else "loss" in m)
        for m in drawn
    ]
    lines = [epochs_text(material.answer, material.study).removeprefix("epochs").strip()]
    return Section("curves", "Learning curves", lines=lines, figures=figures)


def progress_section(material: Material, lines: list[str]) -> Section | None:
    """Return the best value over the trials, and what more are expected to come to.

    Args:
        material: the study.
        lines: what is said of that.
    """
    answer = material.answer
    if material.board.empty:
        return None
    figure = progress(material.board, answer.expected, answer.metric, ascending=material.ascending)
    return Section("expected", "Would more trials help?", lines=lines, figures=[figure])

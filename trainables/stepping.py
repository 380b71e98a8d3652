"""The reports of a run, one after the other, outside of an executor."""

from __future__ import annotations

from collections.abc import Iterator

from trainables.protocols import Closes, Run
from trainables.report import EpochReport, RunEnded


def reports_of(run: Run, *, epochs: int) -> Iterator[EpochReport]:
    """Step a run and yield its reports, until it ends itself or for ``epochs``; then it is closed.

    Args:
        run: at its beginning.
        epochs: the most that it is stepped.
    """
    try:
        for _ in range(epochs):
            try:
                report = run.step()
            except RunEnded:
                return
            yield report
            if report.stop is not None:
                return
    finally:
        if isinstance(run, Closes):
            run.close()

"""Whether what a ledger holds of a study can have happened, before anything is rebuilt from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from search.errors import LedgerError, UserError
from search.rows import EpochRow, TrialRow
from trainables.report import SECONDS


@contextmanager
def replaying(trials: Sequence[TrialRow], epochs: Sequence[EpochRow], *, metric: str, ledger: str) -> Iterator[None]:
    """Check the history of a study, and say so where what is rebuilt inside does not agree with it.

    A flipped bit inside a number or a text is no damage that a database would notice.

    Args:
        trials: all of them, by number.
        epochs: all of them, in order.
        metric: that every epoch must have.
        ledger: where they are from.

    Raises:
        LedgerError: the facts contradict each other.
    """
    found = contradiction({trial.number: trial for trial in trials}, epochs, metric)
    if found is not None:
        raise LedgerError(f"ledger {ledger} contradicts itself: {found}; no trial was started")
    with agreeing(ledger):
        yield


@contextmanager
def agreeing(ledger: str) -> Iterator[None]:
    """Say so where facts that are put together inside do not belong together.

    Raises:
        LedgerError: whatever that led to.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # samplers, schedulers and pandas raise what such facts lead them to
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise LedgerError(f"ledger {ledger} contradicts itself ({cause}); no trial was started") from error


def contradiction(trials: Mapping[int, TrialRow], epochs: Sequence[EpochRow], metric: str) -> str | None:
    """Return the first fact that cannot be, in words, or None."""
    for trial in trials.values():
        strangers = [earlier for earlier, _ in trial.repeats if earlier not in trials or earlier >= trial.number]
        if strangers:
            return f"trial {trial.number} repeats trial {strangers[0]}"
    last: dict[int, int] = {}
    for row in epochs:
        if row.number not in trials:
            return f"an epoch of trial {row.number}, which it does not have"
        if row.epoch <= last.get(row.number, 0):
            return f"epoch {row.epoch} of trial {row.number} after its epoch {last.get(row.number, 0)}"
        if metric not in row.metrics and metric != SECONDS:
            return f"epoch {row.epoch} of trial {row.number} has no {metric}"
        last[row.number] = row.epoch
    return None

"""Whether what a ledger holds of a study can have happened, before anything is rebuilt from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from search.declaration.study import Study, fits
from search.errors import LedgerError, UserError
from search.ledger import EpochRow, TrialRow
from spaces import hash_params
from trainables.errors import ConfigError
from trainables.registry import find_trainable


@contextmanager
def checked_history(
    trials: Sequence[TrialRow], epochs: Sequence[EpochRow], *, metric: str, ledger: str
) -> Iterator[None]:
    """Check the history of a study, and raise LedgerError where what is rebuilt from it inside fails.

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
    with as_ledger_error(ledger):
        yield


@contextmanager
def as_ledger_error(ledger: str) -> Iterator[None]:
    """Raise LedgerError for whatever is raised inside, where facts are put together that may contradict each other.

    Raises:
        LedgerError: with the cause; errors that are already for the user pass.
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
        if hash_params(trial.params) != trial.config_hash:
            return f"the parameters of trial {trial.number} are not those of its hash {trial.config_hash:.16}"
        strangers = [earlier for earlier, _ in trial.repeats if earlier not in trials or earlier >= trial.number]
        if strangers:
            return f"trial {trial.number} repeats trial {strangers[0]}"
    last: dict[int, int] = {}
    for row in epochs:
        if row.number not in trials:
            return f"an epoch of trial {row.number}, which it does not have"
        if row.epoch <= last.get(row.number, 0):
            return f"epoch {row.epoch} of trial {row.number} after its epoch {last.get(row.number, 0)}"
        if metric not in row.values:
            return f"epoch {row.epoch} of trial {row.number} has no {metric}"
        last[row.number] = row.epoch
    return None


def refuse_untrainable(study: Study, trials: Sequence[TrialRow], ledger: str) -> None:
    """Build the configuration of every trial that goes on, as the executor will.

    The space vouches for what lies within it; the baseline may lie outside.

    Raises:
        LedgerError: there is none for its parameters.
    """
    trainable = find_trainable(study.trainable)
    for trial in trials:
        if not (trial.state.resumable and fits(study.space, trial.params, trial.number)):
            continue
        try:
            trainable.configure(study.params_of(trial.params), max_epochs=study.budget.max_epochs)
        except ConfigError as error:
            where = f"ledger {ledger} contradicts itself: trial {trial.number} cannot be trained"
            raise LedgerError([f"{where}: {line}; no trial was started" for line in error.errors]) from None

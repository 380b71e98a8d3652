"""What an answer comes to, in sentences: of the terminal and of the report alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from search.ledger.outcome import TrialState
from trainables.data.parts import counted

if TYPE_CHECKING:
    from search.declaration.study import Study
    from search.report.answer import Answer, Entry


def verdict(found: Answer) -> str:
    """Return the best beside the baseline, in one sentence."""
    assert found.best is not None
    best = f"best {found.metric} {found.best.value:.5g} (trial {found.best.trial})"
    if found.baseline is None:
        return f"{best}; the baseline reported no finite value"
    if found.best.trial == found.baseline.trial:
        return f"{best}: the untuned baseline; no trial beat it"
    if found.baseline.state != TrialState.COMPLETE.value:
        return f"{best}; {early_end_text(found.baseline)}, so that nothing is compared with it"
    change = found.best.value - found.baseline.value
    relative = f" ({change / abs(found.baseline.value):+.1%})" if found.baseline.value else ""
    seeds = "one seed each" if found.folds is None else f"each {mean_text(found.folds)}, one seed"
    confirmed = seeds if found.confirmation is not None else f"{seeds}, not yet confirmed"
    return f"{best}, baseline {found.baseline.value:.5g}: {change:+.5g}{relative}; {confirmed}"


def mean_text(folds: int) -> str:
    """Return of what a trial's values are the mean."""
    return f"the mean of {folds} folds"


def early_end_text(baseline: Entry) -> str:
    """Return why the baseline did not train to its own end."""
    after = f"after {baseline.epochs} epoch{'' if baseline.epochs == 1 else 's'}"
    if baseline.state in (TrialState.RUNNING.value, TrialState.PAUSED.value, TrialState.INTERRUPTED.value):
        return f"the baseline has not ended ({after})"
    return f"the baseline ended early ({baseline.stop_reason} {after})"


def metrics_text(metrics: dict[str, float]) -> str:
    """Return ``train_loss 0.021, val_loss 0.054, val_accuracy 0.983``."""
    return ", ".join(f"{name} {value:.5g}" for name, value in metrics.items())


def progress_text(found: Answer) -> str:
    """Return how often the best value was bettered."""
    times = counted(len(found.improvements) - 1, "time")
    return f"the best {found.metric} so far over {counted(found.trials, 'trial')}, bettered {times}"


def epochs_text(found: Answer, study: Study) -> str:
    """Return what early stopping saved."""
    stopped = study.scheduler.name
    if stopped == "none":
        return f"epochs     {found.epochs_trained} trained; no scheduler stopped any trial"
    total = found.epochs_trained + found.epochs_saved
    share = f" of {total} ({found.epochs_saved / total:.0%})" if total else ""
    return f"epochs     {found.epochs_trained} trained; {stopped} saved {found.epochs_saved}{share}"


def states_text(found: Answer) -> str:
    """Return ``64 trials: 50 pruned, 14 complete``."""
    return f"{counted(found.trials, 'trial')}: {counts_text(found.counts)}"


def counts_text(counts: Mapping[str, int]) -> str:
    """Return ``50 pruned, 14 complete``."""
    return ", ".join(f"{n} {word}" for word, n in Counter(counts).most_common()) or "none"


def unlabelled(line: str) -> str:
    """Return a line of the terminal without its columns: ``more       after 2x ..`` becomes ``more: after 2x ..``."""
    label, blanks, rest = line.partition("  ")
    return f"{label}: {rest.strip()}" if blanks and label and " " not in label else line.strip()

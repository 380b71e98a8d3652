"""Trials that ran out of memory are tried once more, each alone: which ones, and with what."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from search.declaration.study import Study, fits
from search.ledger import Ledger, TrialRow
from search.ledger.events import EventKind
from search.ledger.outcome import StopReason


def tried_alone(ledger: Ledger, study_id: int) -> frozenset[int]:
    """Return the trials that were tried alone, as the events of the study say."""
    events = ledger.events(study_id, EventKind.TRIED_ALONE)
    return frozenset(row.trial for row in events if row.trial is not None)


def trials_to_retry(study: Study, trials: Sequence[TrialRow], tried: Collection[int]) -> frozenset[int]:
    """Return the trials that are to run alone now.

    Those that ran out of memory among others, and those that were running alone when an earlier session ended.

    Args:
        study: whose space such a trial must still fit.
        trials: all of them.
        tried: those that were tried alone.
    """
    return frozenset(
        t.number
        for t in trials
        if (t.state.resumable if t.number in tried else t.reason is StopReason.OUT_OF_MEMORY)
        and fits(study.space, t.params, t.number)
    )


def with_one_trial(study: Study) -> Study:
    """Return the study as one trial after the other is run: one lane, one worker, whole GPUs.

    The cores stay as they are: memory is not theirs, and more of them would change a curve's last digits.
    """
    r = study.resources
    whole = {"gpus_per_trial": float(math.ceil(r.gpus_per_trial))}
    if r.gpus_per_worker is not None:
        whole["gpus_per_worker"] = float(math.ceil(r.gpus_per_worker))
    return study.model_copy(
        update={
            "resources": r.model_copy(update={"workers": 1, **whole}),
            "lanes": study.lanes.model_copy(update={"lanes": 1}),
        }
    )

"""Trials that ran out of memory are tried once more, each alone: which ones, with what, and how that is remembered."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

from search.declaration.study import Study, fits
from search.ledger import TrialRow
from search.ledger.outcome import StopReason


def tried(messages: Iterable[str]) -> frozenset[int]:
    """Return the trials that the messages of such events name."""
    return frozenset(int(message.split()[1]) for message in messages)


def due(study: Study, trials: Sequence[TrialRow], tried: Collection[int]) -> frozenset[int]:
    """Return the trials that are to run alone now.

    Those that ran out of memory among others, and those that were running alone when an earlier session ended.
    """
    ran_out = StopReason.OUT_OF_MEMORY.value
    return frozenset(
        t.number
        for t in trials
        if (t.state.resumable if t.number in tried else t.stop_reason == ran_out)
        and fits(study.space, t.params, t.number)
    )


def for_one(study: Study) -> Study:
    """Return the study as one trial after the other is run: one lane, one worker, whole GPUs.

    The cores stay as they are: memory is not theirs, and more of them would change a curve's last digits.
    """
    r = study.resources
    whole = {name: float(math.ceil(getattr(r, name))) for name in ("gpus_per_trial", "gpus_per_worker")}
    return study.model_copy(
        update={
            "resources": r.model_copy(update={"workers": 1, **whole}),
            "lanes": study.lanes.model_copy(update={"lanes": 1}),
        }
    )

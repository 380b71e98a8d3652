"""One configuration trained on a pair, in a process that may die of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from search.declaration.study import Study
from search.executors.faults import outcome_of_error
from search.executors.fits import FitDone, Job, NumberedPair, failed_row, finished
from search.ledger.outcome import Outcome, StopReason
from trainables.errors import is_of_a_signal
from trainables.model_function import take_function
from trainables.registry import find_trainable, function_path

if TYPE_CHECKING:
    import torch


def fit_job(study: Study, pair: NumberedPair, job: Job, function: bytes | None, *, device: torch.device) -> FitDone:
    """Train a configuration on a pair, and score it; what it raises is its row."""
    import torch

    from trainables.pair_run import BestEpoch
    from trainables.stepping import reports_of
    from trainables.weights_snapshot import snapshot_weights

    started_at = time.time()
    try:
        take_function(function_path(study.trainable), function)
        torch.set_num_threads(max(1, int(study.resources.cpus_per_trial)))
        trainable = find_trainable(study.trainable)
        config = trainable.configure(study.params_of(job.params), max_epochs=study.budget.max_epochs)
        data = trainable.prepare(pair.data.splits, device)
        run = trainable.start(config, data, seed=pair.seed, device=device)
        best = BestEpoch(study.objective.metric, study.objective.mode)
        for report in reports_of(run, epochs=study.budget.max_epochs):
            best.observe(report, lambda: snapshot_weights(run))
        return finished(trainable, config, best, pair, job, started_at)
    except BaseException as error:  # its own code may call sys.exit
        if is_of_a_signal(error):
            raise
        return FitDone(failed_row(pair, job, outcome_of_error(error), started_at))


def hangs(study: Study, since: float) -> bool:
    """Say whether a run took longer than all its epochs may: a trial's limit is that of one of them."""
    limit_s = study.faults.trial_timeout_s
    return limit_s is not None and time.time() - since > limit_s * study.budget.max_epochs


def hung(study: Study) -> Outcome:
    """Return the outcome of such a run."""
    limit_s = study.faults.trial_timeout_s
    return Outcome(StopReason.ERROR, message=f"it took longer than {limit_s:g} s (--trial-timeout)")

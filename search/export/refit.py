"""The chosen configuration trained on the training and the validation part together, for a number of epochs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from search.declaration.study import Study
from search.drive.continuation import refuse_other_data
from search.drive.examples import load_data
from search.drive.lookup import open_ledger
from search.errors import RunError, UsageError
from search.export.chosen import Chosen
from search.ledger.paths import Paths
from trainables.data.class_balance import balanced
from trainables.data.spec import NO_DATA
from trainables.derive import derive
from trainables.registry import find_trainable

if TYPE_CHECKING:
    from trainables.data import Splits


def refuse_refit(study: Study) -> None:
    """Look whether a study's data can be refitted at all, before anything of them is read.

    Raises:
        UsageError: they cannot.
    """
    data = study.data
    if data.source == NO_DATA:
        raise UsageError(f"{data.name}: there are no examples to train on")
    if data.source == "stream":
        raise UsageError(f"{data.name} is streamed, and --refit trains on examples that are held: export --trial N")
    if data.weight is not None:
        raise UsageError(
            f"{data.name}: --refit knows no weights of the validation examples (--weight), and would train without "
            "any; export a model that is kept: --trial N"
        )


def refit_state(paths: Paths, study: Study, chosen: Chosen) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the state of the model, as of one that a trial kept, and what ``config.json`` says of how it was trained.

    Columns, pixels and the target stay standardised as in the search. Nothing scores the model: no example that it was
    not trained on is left but the test part, which stays closed.

    Raises:
        UsageError: the trial has no epoch to train to, or the study no examples.
        RunError: the data are others than those of the search, or training diverged.
    """
    import torch

    from trainables.best import trial_facts
    from trainables.kept_data import KeptData
    from trainables.refit import refit

    if chosen.epochs is None:
        raise UsageError(
            f"{study.name}: trial {chosen.trial} has no finite {study.objective.metric}, so that nothing tells for how "
            "many epochs to train it"
        )
    splits = load_data(study)
    with open_ledger(paths) as ledger:
        refuse_other_data(ledger.study(paths.name), splits)
    trainable = find_trainable(study.trainable)
    params = {**study.params_of(chosen.params)}
    if "patience" in params:
        params["patience"] = 0  # it would watch examples that are trained on
    joined, seed = _joined(splits), derive(study.seed, "export")
    config = trainable.configure(params, max_epochs=study.budget.max_epochs)
    data = trainable.prepare(joined, torch.device("cpu"))
    done = refit(trainable, config, data, seed=seed, epochs=chosen.epochs)
    if done is None or not math.isfinite(done.metrics.get("train_loss", math.nan)):
        raise RunError(f"{study.name}: trial {chosen.trial} diverged when it was trained on all examples")
    facts = trial_facts(
        chosen.trial,
        trainable=study.trainable,
        params=params,
        max_epochs=study.budget.max_epochs,
        seed=seed,
        shape=splits.shape,
        outputs=splits.outputs,
        data=KeptData.of(splits).to_dict(),
    )
    about = {
        "examples": len(joined.train),
        "epochs": done.epochs,
        "epochs_from": "the mean of the best epochs of the confirmation's pairs"
        if chosen.of_pairs
        else "the best epoch of the trial in the search",
        "seed": seed,
    }
    return {**facts, "epoch": done.epochs, "value": None, "metrics": {}, "model": done.weights()}, about


def _joined(splits: Splits) -> Splits:
    """Return examples of which all but the test part are trained on; the validation part is among them.

    Classes that are to count alike do so over all of them.
    """
    from trainables.data.splits import Arrays

    if splits.streamed:  # images beyond the memory, which is known only once they are listed
        raise UsageError(f"{splits.name} is streamed, and --refit trains on examples that are held: export --trial N")
    parts = (splits.train, splits.val)
    train = Arrays(np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts]))
    weighted = splits.spec is not None and splits.spec.class_weight is not None
    return replace(splits, train=balanced(train) if weighted else train)
